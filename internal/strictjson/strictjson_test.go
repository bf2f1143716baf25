package strictjson_test

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// faults are texts that Decode, Valid, Compact and Unmarshal refuse, each with
// the same words.
var faults = []struct{ text, want string }{
	{``, `invalid JSON at offset 0: there is no value: send one`},
	{" \n", `invalid JSON at offset 2: there is no value: send one`},
	{`{`, `invalid JSON at offset 1: ends in the middle of a value: send it whole`},
	{`[1,`, `invalid JSON at offset 3: ends in the middle of a value: send it whole`},
	{`{"a":`, `invalid JSON at offset 5 (in /a): ends in the middle of a value: send it whole`},
	{`"abc`, `invalid JSON at offset 4: ends in the middle of a value: send it whole`},
	{`"a\`, `invalid JSON at offset 3: ends in the middle of a value: send it whole`},
	{`nul`, `invalid JSON at offset 3: ends in the middle of a value: send it whole`},
	{`-`, `invalid JSON at offset 1: ends in the middle of a value: send it whole`},
	{`1.`, `invalid JSON at offset 2: ends in the middle of a value: send it whole`},
	{`1.x`, `invalid JSON at offset 2: malformed number`},
	{`trux`, `invalid JSON at offset 3: unexpected character in a literal (true, false and null are the only ones)`},
	{`NaN`, `invalid JSON at offset 0: unexpected character at start of value`},
	{`'a'`, `invalid JSON at offset 0: unexpected ''' at start of value`},
	{`<html>`, `invalid JSON at offset 0: unexpected '<' at start of value`},
	{"\ufeff{}", `invalid JSON at offset 0: starts with a byte order mark: send it without`},
	{`01`, `invalid JSON at offset 1: unexpected data after the value: send exactly one value`},
	{`{} x`, `invalid JSON at offset 3: unexpected data after the value: send exactly one value`},
	{"{}\n{}", `invalid JSON at offset 3: unexpected data after the value: send exactly one value`},
	{"{}\x00", `invalid JSON at offset 2: unexpected data after the value: send exactly one value`},
	{`{"a" 1}`, `invalid JSON at offset 5 (in /a): unexpected character after object name (expecting ':')`},
	{`{a:1}`, `invalid JSON at offset 1: unexpected character where a name in double quotes must stand`},
	{`{"a":1,}`, `invalid JSON at offset 7: unexpected '}' where a name in double quotes must stand`},
	{`{1:2}`, `invalid JSON at offset 1: unexpected character where a name in double quotes must stand`},
	{`[1,]`, `invalid JSON at offset 3 (in /1): unexpected ']' at start of value`},
	{`[1 2]`, `invalid JSON at offset 3: unexpected character after array element (expecting ',' or ']')`},
	{`{"a":1 "b"}`, `invalid JSON at offset 7: unexpected '"' after object value (expecting ',' or '}')`},
	{`{"a":sk-secret}`, `invalid JSON at offset 5 (in /a): unexpected character at start of value`},
	{`{"a":1,"a":2}`, `invalid JSON at offset 7 (in /a): duplicate name "a"`},
	{`{"x":{"k\u0041":1,"kA":2}}`, `invalid JSON at offset 18 (in /x/kA): duplicate name "kA"`},
	{"\"\x01\"", `invalid JSON at offset 1: a control character in a string must be escaped`},
	{"{\"\xff\":1}", `invalid JSON at offset 2: a string isn't valid UTF-8`},
	{"[\"\xc0\x80\"]", `invalid JSON at offset 2 (in /0): a string isn't valid UTF-8`},
	{`["\x41"]`, `invalid JSON at offset 2 (in /0): invalid escape sequence in a string`},
	{`"\ud800"`, `invalid JSON at offset 1: invalid escape sequence in a string`},
}

func TestFaultsReadTheSameEverywhere(t *testing.T) {
	for _, c := range faults {
		_, err := strictjson.Decode([]byte(c.text))
		require.EqualError(t, err, c.want, "Decode %q", c.text)
		require.EqualError(t, strictjson.Valid([]byte(c.text)), c.want, "Valid %q", c.text)
		_, err = strictjson.Compact([]byte(c.text))
		require.EqualError(t, err, c.want, "Compact %q", c.text)
		var into any
		require.EqualError(t, strictjson.Unmarshal([]byte(c.text), &into), c.want, "Unmarshal %q", c.text)

		var e *strictjson.SyntaxError
		require.True(t, errors.As(err, &e))
		require.NotContains(t, e.Message, "secret")
	}
}

func TestDecode(t *testing.T) {
	for text, want := range map[string]any{
		`null`: nil, ` true `: true, "\t\r\nfalse": false,
		`""`: "", `"a\u0041\n\ud83d\ude00"`: "aA\n😀", `"\u0000"`: "\x00",
		`[]`: []any{}, `{}`: map[string]any{},
		`[1,[true,{"a":null}]]`:            []any{int64(1), []any{true, map[string]any{"a": nil}}},
		`[{"id":1},{"id":2}]`:              []any{map[string]any{"id": int64(1)}, map[string]any{"id": int64(2)}},
		`{"":0,"a\"b":1,"A":2,"\u0061":3}`: map[string]any{"": int64(0), `a"b`: int64(1), "A": int64(2), "a": int64(3)},
	} {
		got, err := strictjson.Decode([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]any{
		`0`: int64(0), `-0`: int64(0), `-1`: int64(-1),
		`9223372036854775806`: int64(math.MaxInt64 - 1), `9223372036854775807`: int64(math.MaxInt64),
		`9223372036854775808`:  json.Number("9223372036854775808"), // a double can't tell it from its neighbours
		`-9223372036854775808`: int64(math.MinInt64), `-9223372036854775809`: json.Number("-9223372036854775809"),
		`9007199254740993`: int64(9007199254740993), `9007199254740993.0`: json.Number("9007199254740993.0"),
		`1.0`: 1.0, `1e3`: 1000.0, `1E+2`: 100.0, `0.1`: 0.1, `-0.0`: math.Copysign(0, -1), `100e-2`: 1.0,
		`100000000000000000000`: 1e20, `12345678901234567890`: json.Number("12345678901234567890"),
		`1.7976931348623157e308`: math.MaxFloat64, `1e309`: json.Number("1e309"), `-1e400`: json.Number("-1e400"),
		`5e-324`: 5e-324, `4e-324`: json.Number("4e-324"), `1e-400`: json.Number("1e-400"),
		`0e99999999999999999999`: 0.0, `0.00e-5`: 0.0, `1e99999999999999999999`: json.Number("1e99999999999999999999"),
		`0.30000000000000004`: 0.30000000000000004, `3.14159265358979323846`: json.Number("3.14159265358979323846"),
		`0.1000000000000000055511151231257827`: json.Number("0.1000000000000000055511151231257827"),
	} {
		got, err := strictjson.Decode([]byte(text))
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)

		// Written and read again, it is the same number.
		written, err := strictjson.Marshal(got)
		require.NoError(t, err, text)
		again, err := strictjson.Decode(written)
		require.NoError(t, err, text)
		if got != again {
			require.EqualValues(t, got, again, text)
		}
	}
}

func TestDepth(t *testing.T) {
	nested := func(open, inner, closing string, n int) []byte {
		return []byte(strings.Repeat(open, n) + inner + strings.Repeat(closing, n))
	}
	for _, shape := range []struct{ open, inner, closing string }{
		{`[`, ``, `]`}, {`{"a":`, `1`, `}`}, {`[{"a":[`, `"[[["`, `]}]`}, {`[["]]",`, `1`, `]]`}, {`["\\",`, `1`, `]`}, {`["\"[",`, `1`, `]`},
	} {
		levels := strings.Count(strings.NewReplacer(`"\"["`, "", `"[[["`, "").Replace(shape.open), "[") + strings.Count(shape.open, "{")
		fits := strictjson.MaxDepth / levels
		for _, n := range []int{fits - 1, fits} {
			text := nested(shape.open, shape.inner, shape.closing, n)
			v, err := strictjson.Decode(text)
			require.NoError(t, err, "%s × %d", shape.open, n)
			require.NoError(t, strictjson.Valid(text))
			_, err = strictjson.Compact(text)
			require.NoError(t, err)
			var into any
			require.NoError(t, strictjson.Unmarshal(text, &into))
			_, err = strictjson.Marshal(v)
			require.NoError(t, err)
		}
		for _, n := range []int{fits + 1, 100 * fits} {
			text := nested(shape.open, shape.inner, shape.closing, n)
			_, err := strictjson.Decode(text)
			require.ErrorContains(t, err, "nested more than 1000 levels deep: send flatter data")
			require.Equal(t, err, strictjson.Valid(text))
			_, err = strictjson.Compact(text)
			require.Equal(t, strictjson.Valid(text), err)
			var into any
			require.Equal(t, err, strictjson.Unmarshal(text, &into))
		}
	}
	// Width isn't depth.
	require.NoError(t, strictjson.Valid([]byte(`[`+strings.Repeat(`[],{},"[{",`, 5000)+`1]`)))
}

func TestCompactKeepsTokensAsWritten(t *testing.T) {
	for text, want := range map[string]string{
		" { \"a\" : [ 1 , 2.50 , 1E5 ] ,\n\"b\\u0041\\/\" : \"<&>\u2028\" } ": `{"a":[1,2.50,1E5],"b\u0041\/":"<&>` + "\u2028" + `"}`,
		` 12345678901234567890 `: `12345678901234567890`, `"a b"`: `"a b"`, `[ ]`: `[]`, `{ }`: `{}`,
	} {
		in := []byte(text)
		got, err := strictjson.Compact(in)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
		require.Equal(t, text, string(in), "the input changed")
	}
}

func TestUnmarshal(t *testing.T) {
	type item struct {
		Small  int8            `json:"small"`
		Text   string          `json:"text"`
		Any    any             `json:"any"`
		Number json.Number     `json:"number"`
		Raw    json.RawMessage `json:"raw"`
		Map    map[string]item `json:"map"`
		List   []item          `json:"list"`
		Bool   *bool           `json:"bool"`
		Port   uint16          `json:"port"`
		Bytes  []byte          `json:"bytes"`
		Time   time.Time       `json:"time"`
	}
	for text, want := range map[string]string{
		`[]`:                     `invalid JSON at offset 0: must be an object`,
		`{"small":128}`:          `invalid JSON at offset 9 (in /small): must be an integer that fits in 8 bits`,
		`{"small":"sk-secret"}`:  `invalid JSON at offset 9 (in /small): must be an integer that fits in 8 bits`,
		`{"port":-1}`:            `invalid JSON at offset 8 (in /port): must be an integer, not negative, that fits in 16 bits`,
		`{"text":5}`:             `invalid JSON at offset 8 (in /text): must be a string`,
		`{"bool":"sk-secret"}`:   `invalid JSON at offset 8 (in /bool): must be true or false`,
		`{"list":{}}`:            `invalid JSON at offset 8 (in /list): must be an array`,
		`{"map":"sk-secret"}`:    `invalid JSON at offset 7 (in /map): must be an object`,
		`{"bytes":"%secret"}`:    `invalid JSON at offset 9 (in /bytes): must be a string in base64`,
		`{"time":"sk-secret"}`:   `invalid JSON at offset 8 (in /time): must be a time as in 2026-01-31T12:00:00Z`,
		`{"number":"sk-secret"}`: `invalid JSON at offset 10 (in /number): must be a number`,
		`{"Text":"x"}`:           `invalid JSON at offset 1 (in /Text): unknown field "Text"`,
		`{"map":{"a":{"zz":1}}}`: `invalid JSON at offset 13 (in /map/a/zz): unknown field "zz"`,
		`{"raw":{"a":1,"a":2}}`:  `invalid JSON at offset 14 (in /raw/a): duplicate name "a"`,
		`{"any":{"a":1,"a":2}}`:  `invalid JSON at offset 14 (in /any/a): duplicate name "a"`,
		`{"any":[1,}`:            `invalid JSON at offset 10 (in /any/1): unexpected '}' at start of value`,
	} {
		var into item
		err := strictjson.Unmarshal([]byte(text), &into)
		require.EqualError(t, err, want, text)
	}

	var got item
	require.NoError(t, strictjson.Unmarshal([]byte(`{"any":[9007199254740993,{"x":1e400}],"number":1.50,"raw":[1, 2],"list":[{"number":null}]}`), &got))
	require.Equal(t, []any{int64(9007199254740993), map[string]any{"x": json.Number("1e400")}}, got.Any)
	require.Equal(t, json.Number("1.50"), got.Number)
	require.Equal(t, `[1, 2]`, string(got.Raw))
	require.Equal(t, json.Number(""), got.List[0].Number)
}

func TestQuoteIsMarshalOfAString(t *testing.T) {
	for _, text := range []string{"", "a", `"\`, "<&>\u2028\x00\n\t\x7f", "é𝄞", "cut \xf0\x9d", "\xff"} {
		want, wantErr := strictjson.Marshal(text)
		got, err := strictjson.Quote(text)
		require.Equal(t, string(want), string(got))
		require.Equal(t, wantErr, err)
	}
}

func TestMarshal(t *testing.T) {
	type record struct {
		Any    any             `json:"any"`
		Number json.Number     `json:"number"`
		Raw    json.RawMessage `json:"raw,omitempty"`
	}
	for want, v := range map[string]any{
		`null`: nil, `true`: true, `"a<>&"`: "a<>&", `5`: 5, `-7`: int64(-7), `0.5`: 0.5, `1e+21`: 1e21, `12e400`: json.Number("12e400"),
		`18446744073709551615`: uint64(math.MaxUint64), `[]`: []string(nil), `{}`: map[string]any(nil),
		`{"a":[1,{}],"b":null,"é":"x"}`:       map[string]any{"é": "x", "b": nil, "a": []any{int64(1), map[string]any{}}},
		`{"a":2,"b":1}`:                       map[string]int{"b": 1, "a": 2},
		`{"any":7,"number":1.50}`:             record{Any: json.Number("7"), Number: "1.50"},
		`{"any":null,"number":0,"raw":[1,2]}`: record{Raw: json.RawMessage(" [1, 2]")},
		`[{"any":{"x":1},"number":0}]`:        []any{record{Any: map[string]any{"x": int64(1)}}},
	} {
		got, err := strictjson.Marshal(v)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

func TestMarshalRefuses(t *testing.T) {
	type node struct{ Next *node }
	loop := &node{}
	loop.Next = loop
	cycle := []any{nil}
	cycle[0] = cycle
	for _, c := range []struct {
		v    any
		want string
	}{
		{math.NaN(), `invalid JSON: JSON can't hold this value`},
		{map[string]any{"a": []any{math.Inf(1)}}, `invalid JSON (in /a/0): JSON can't hold this value`},
		{func() {}, `invalid JSON: JSON can't hold this value`},
		{"\xff", `invalid JSON: a string isn't valid UTF-8`},
		{map[string]any{"\xff": 1}, `invalid JSON: a string isn't valid UTF-8`},
		{json.Number("sk-secret"), `invalid JSON: a number isn't written as JSON writes one`},
		{json.Number("1x"), `invalid JSON: JSON can't hold this value`},
		{json.RawMessage(`{"a":`), `invalid JSON: JSON can't hold this value`},
		{cycle, `invalid JSON: nested more than 1000 levels deep: send flatter data`},
	} {
		_, err := strictjson.Marshal(c.v)
		require.EqualError(t, err, c.want, "%T", c.v)
	}
	_, err := strictjson.Marshal(loop)
	require.ErrorContains(t, err, "JSON can't hold this value")
	require.Less(t, len(err.Error()), 300)
}

func TestLongNamesAreShortenedInErrors(t *testing.T) {
	name := strings.Repeat("n", 10_000)
	err := strictjson.Valid([]byte(`{"` + name + `":1,"` + name + `":2}`))
	require.ErrorContains(t, err, `duplicate name "nnn`)
	require.Less(t, len(err.Error()), 300)
}
