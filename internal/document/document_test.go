package document_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/document"
)

func parse(t testing.TB, name, text string) *document.Document {
	t.Helper()
	d, err := document.Parse(name, []byte(text))
	require.NoError(t, err, "%q", text)
	return d
}

// accepted are YAML texts and the JSON they mean by YAML 1.2's core schema.
var accepted = []struct{ yaml, json string }{
	// scalars
	{"[no, on, yes, off, y, 2024-01-01, 12:30]", `["no","on","yes","off","y","2024-01-01","12:30"]`},
	{"[true, True, TRUE, false, tRue]", `[true,true,true,false,"tRue"]`},
	{"[~, null, Null, NULL, nULL]", `[null,null,null,null,"nULL"]`},
	{"a:\nb: ~\n", `{"a":null,"b":null}`},
	{"- \n-\n", `[null,null]`},
	{"[0o17, 0x1f, 0xFF, 0o, 0x, 0b11, 0o8]", `[15,31,255,"0o","0x","0b11","0o8"]`},
	{"[1_000, 1,000]", `["1_000",1,0]`},
	{"[010, +5, -0, 00, 08]", `[10,5,-0,0,8]`},
	{"[.5, 1., -1.50, +1e3, 1E-5, 1e5x, 1.2.3, .]", `[0.5,1.0,-1.50,1e3,1E-5,"1e5x","1.2.3","."]`},
	{"[12345678901234567890123, 0xffffffffffffffffffff, 1e400]", `[12345678901234567890123,1208925819614629174706175,1e400]`},
	{"['5', \"true\", '', \"~\"]", `["5","true","","~"]`},
	{"a: http://x:80/y?q=1#f", `{"a":"http://x:80/y?q=1#f"}`},
	{"a: b # comment\nc: 'd # e'\n", `{"a":"b","c":"d # e"}`},
	{"a: x\n  y\n\n  z", `{"a":"x y\nz"}`},
	{"plain", `"plain"`},
	{"5", `5`},
	// quotes
	{`a: "x\n\u00e9\ud83d\ude00\/\x41\t\\"`, `{"a":"x\né😀/A\t\\"}`},
	{"a: 'it''s'", `{"a":"it's"}`},
	{"a: \"x\n  y\n   \n  z\"", `{"a":"x y\nz"}`},
	{"a: \"x\\\n  y\"", `{"a":"xy"}`},
	{"a: \"x\ty\"", `{"a":"x\ty"}`},
	// block scalars
	{"a: |\n  x\n  y\n", `{"a":"x\ny\n"}`},
	{"a: |-\n  x\n\n", `{"a":"x"}`},
	{"a: |+\n  x\n\n\nb: 1", `{"a":"x\n\n\n","b":1}`},
	{"a: |\n  x\n\n\nb: 1", `{"a":"x\n","b":1}`},
	{"a: |\n  x", `{"a":"x"}`},
	{"a: |\n  x  ", `{"a":"x  "}`},
	{"a: |\n\n\n  x\n", `{"a":"\n\nx\n"}`},
	{"a: |2\n    x\n  y\n", `{"a":"  x\ny\n"}`},
	{"- a: |1\n    x\n", `[{"a":" x\n"}]`},
	{"a: |\n  x\n    y\n\n  z\n", `{"a":"x\n  y\n\nz\n"}`},
	{"a: |\n  x\n   \n  y\n", `{"a":"x\n \ny\n"}`},
	{"a: |\n  x\n \n  y\n", `{"a":"x\n\ny\n"}`},
	{"a: |\n  # not a comment\n # a comment\nb: 1", `{"a":"# not a comment\n","b":1}`},
	{"a: |  # comment\n  \tx\n", `{"a":"\tx\n"}`},
	{"a: |\nb: >\n", `{"a":"","b":""}`},
	{"- |\n x\n- >-\n y\n z\n", `["x\n","y z"]`},
	{"a: >\n  x\n  y\n\n  z\n", `{"a":"x y\nz\n"}`},
	{"a: >\n  x\n    more\n  y\n", `{"a":"x\n  more\ny\n"}`},
	{"a: >-\n\n  x\n", `{"a":"\nx"}`},
	{"a: >+\n  x\n\n", `{"a":"x\n\n"}`},
	{"--- |\n x\n", `"x\n"`},
	// structure
	{"a:\n- b\n- c\nd: {e: [1, {f: g}], \"h\": i}\n", `{"a":["b","c"],"d":{"e":[1,{"f":"g"}],"h":"i"}}`},
	{"- - - 1\n  - 2\n-\n  - x", `[[[1],2],["x"]]`},
	{"z: 1\na: 2\n", `{"z":1,"a":2}`},
	{"---\na: 1\n...\n", `{"a":1}`},
	{"[ ]", `[]`}, {"{ }", `{}`},
	{"on: 1\nno: 2\n'5': 3\n\"~\": 4", `{"on":1,"no":2,"5":3,"~":4}`},
	{"a: [b: 1]", `{"a":[{"b":1}]}`},
	{"\ufeffa: 1\r\nb: |\r\n  x\r\n  y\r\n", `{"a":1,"b":"x\ny\n"}`},
	{"url: https://{{env.H}}/p?q={{parameters.q}}", `{"url":"https://{{env.H}}/p?q={{parameters.q}}"}`},
}

func TestYAML(t *testing.T) {
	for _, c := range accepted {
		require.Equal(t, c.json, string(parse(t, "f.yaml", c.yaml).JSON), "%q", c.yaml)
	}
}

func TestJSONIsAlsoYAML(t *testing.T) {
	for _, text := range []string{
		`{"a":[1,2.50,-3e10,1E+5,0,-0,12345678901234567890],"b":{"c":null,"d":[true,false],"e":{}}}`,
		`["", "x y", "\"\\\/\b\f\n\r\t", "\u00e9\ud83d\ude00", "no", "5", "# x", "a: b", "{{x}}"]`,
		"{\n  \"a\": 1,\n  \"b\" : [\n    {\"c\": \"d\"}\n  ]\n}\n",
		`{"a/b":{"c~d":1}}`, `[]`, `"x"`, `null`, `[[[]]]`,
	} {
		asJSON, asYAML := parse(t, "f.json", text), parse(t, "f.yaml", text)
		require.Equal(t, string(asJSON.JSON), string(asYAML.JSON), text)
		require.Equal(t, asJSON.Positions, asYAML.Positions, text)
	}
}

func TestPositions(t *testing.T) {
	const yaml = `# a tool
name: weather
parameters:
  type: object
  properties:
    "a/b": {type: string, minLength: 1}
    é: [x, {y~: z}]
items:
  - one
  - k: v
    code: |

      first
`
	const json = "{\n \"name\" : \"w\",\n\t\"é\": [1, {\"b\":\n 2}]\n}"
	for _, c := range []struct {
		d    *document.Document
		want map[string]string
	}{
		{parse(t, "dir/weather.yaml", yaml), map[string]string{
			"": "2:1", "/name": "2:1", "/parameters": "3:1", "/parameters/type": "4:3", "/parameters/properties/a~1b": "6:5",
			"/parameters/properties/a~1b/minLength": "6:27", "/parameters/properties/é/0": "7:9", "/parameters/properties/é/1/y~0": "7:13",
			"/items/0": "9:5", "/items/1": "10:5", "/items/1/k": "10:5", "/items/1/code": "11:5",
			// what isn't there is at its nearest ancestor
			"/parameters/required/0": "3:1", "/items/7/x": "8:1", "/nowhere": "2:1",
		}},
		{parse(t, "dir/weather.yaml", "[1,\n  {a: 2},\n  x]"), map[string]string{"": "1:1", "/0": "1:2", "/1": "2:3", "/1/a": "2:4", "/2": "3:3"}},
		{parse(t, "dir/weather.yaml", json), map[string]string{"": "1:1", "/name": "2:2", "/é": "3:2", "/é/0": "3:8", "/é/1": "3:11", "/é/1/b": "3:12"}},
		{parse(t, "dir/weather.JSON", json), map[string]string{"": "1:1", "/name": "2:2", "/é": "3:2", "/é/0": "3:8", "/é/1": "3:11", "/é/1/b": "3:12"}},
	} {
		for pointer, want := range c.want {
			require.Equal(t, c.d.Name+":"+want, c.d.Where(pointer), pointer)
		}
	}
}

func TestLineOf(t *testing.T) {
	d := parse(t, "f.yaml", "a: 1\ncode: |\n\n  return 1\nb:\n  - |- # note\n      x\n  - >\n      y\n  - \"z\\nz\"\n")
	for pointer, want := range map[string]int{"/code": 3, "/b/0": 7} {
		line, ok := d.LineOf(pointer)
		require.True(t, ok, pointer)
		require.Equal(t, want, line, pointer)
	}
	for _, pointer := range []string{"/a", "/b", "/b/1", "/b/2", "/none"} {
		_, ok := d.LineOf(pointer)
		require.False(t, ok, pointer)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "1:1: is empty"}, {"# x\n", "1:1: is empty"}, {"---\n", "1:1: is empty"},
		{"a: 1\nb: &x 1", "2:4: anchors (&) are not supported: write the value out, or quote a string that starts with &"},
		{"a: *x", "1:4: aliases (*) are not supported: write the value out, or quote a string that starts with *"},
		{"a:\n  <<: {b: 1}", "2:3: merge keys (<<) are not supported: write the keys out"},
		{"a: !secret x", "1:4: tags (!) are not supported: remove it, or quote a string that starts with !"},
		{"a: !!str 5", "1:4: tags (!) are not supported: remove it, or quote a string that starts with !"},
		{"%YAML 1.2\n---\na: 1", "1:1: directives (%) are not supported: remove the line"},
		{"? a\n: b", "1:1: explicit keys (?) are not supported: write key: value"},
		{"a: 1\n---\nb: 2", "2:1: several documents in one file are not supported: use one file each"},
		{"a: 1\nb: 2\na: 3", `3:1: duplicate key "a": line 1 has it already`},
		{"{a: 1, 'a': 2}", `1:8: duplicate key "a": line 1 has it already`},
		{"404: x", "1:1: a key must be a string: put it in quotes"},
		{"{true: x}", "1:2: a key must be a string: put it in quotes"},
		{"null: x", "1:1: a key must be a string: put it in quotes"},
		{"a: .inf", "1:4: infinity and not-a-number are not supported: JSON has no such numbers; quote it if a string is meant"},
		{"a: [-.INF]", "1:5: infinity and not-a-number are not supported: JSON has no such numbers; quote it if a string is meant"},
		{"a: .NaN", "1:4: infinity and not-a-number are not supported: JSON has no such numbers; quote it if a string is meant"},
		{"a: {{parameters.x}}", "1:5: an expression at the start of a value must be in quotes: '{{…}}'"},
		{"- {{x}}-{{y}}", "1:4: an expression at the start of a value must be in quotes: '{{…}}'"},
		{"a:\n\tb: 1", "2:1: a tab can't indent or separate here: use spaces"},
		{"a: sk\tsecret", "1:4: a string with a tab in it must be in quotes"},
		{"a: }", "1:4: a string that starts with } must be in quotes"},
		{"a: @sk", "1:4: is not valid YAML: '@' is a reserved character"},
		{"a: b: c", "1:4: is not valid YAML: mapping value is not allowed in this context"},
		{"a: [1, 2", "1:4: is not valid YAML: sequence end token ']' not found"},
		{"a: \"sk-secret", "1:4: is not valid YAML: could not find end character of double-quoted text"},
		{"a:\n  - b\n c: 1", "3:2: is not valid YAML: value is not allowed in this context"},
		{"a: \"\\q\"", "1:6: is not valid YAML: found unknown escape character 'q'"},
		{"a: |\n    \n  x\n", "1:4: can't tell where this block ends: indent all its lines alike, more than the key or dash before it"},
		// The parser can't read a block of empty lines, and once took the next entry for its text.
		{"- |+\n \n- >\n a\n b\n", "3:1: is not valid YAML: could not find multi-line content"},
		{"a: x\x00", "1:5: a control character is not allowed: remove it, or write it escaped in double quotes"},
		{"a: 1\nb: \xff", "2:4: is not valid UTF-8: save the file as UTF-8"},
	} {
		d, err := document.Parse("f.yaml", []byte(c.text))
		require.Nil(t, d)
		require.EqualError(t, err, "f.yaml:"+c.want, "%q", c.text)
		require.NotContains(t, err.Error(), "secret")
	}
	for _, c := range []struct{ text, want string }{
		{"", "1:1: there is no value: send one"},
		{"{\n \"a\": 1,\n}", "3:1: unexpected '}' where a name in double quotes must stand"},
		{"{\"a\": 1,\n \"a\": 2}", `2:2: duplicate name "a"`},
		{"{} {}", "1:4: unexpected data after the value: send exactly one value"},
		{"\ufeff{}", "1:1: starts with a byte order mark: send it without"},
		{"{\"a\": \"sk-secret}", "1:18: ends in the middle of a value: send it whole"},
	} {
		d, err := document.Parse("f.json", []byte(c.text))
		require.Nil(t, d)
		require.EqualError(t, err, "f.json:"+c.want, "%q", c.text)
	}
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name, file string
		limit      int
		text       func(n int) string
		want       string
	}{
		{"bytes", "f.yaml", document.MaxBytes, func(n int) string { return "a: " + strings.Repeat("x", n-3) }, "is larger than 1 MiB: split it"},
		{"bytes", "f.json", document.MaxBytes, func(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }, "is larger than 1 MiB: split it"},
		{"flow", "f.yaml", document.MaxDepth, func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }, "nested more than 100 levels deep: write it flatter"},
		{"arrays", "f.json", document.MaxDepth, func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }, "nested more than 100 levels deep: write it flatter"},
		{"objects", "f.json", document.MaxDepth, func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }, "nested more than 100 levels deep: write it flatter"},
		{"dashes", "f.yaml", document.MaxDepth, func(n int) string { return strings.Repeat("- ", n) + "x" }, "nested more than 100 levels deep: write it flatter"},
		{"indents", "f.yaml", document.MaxDepth, indented, "nested more than 100 levels deep: write it flatter"},
		{"digits", "f.yaml", 1000, func(n int) string { return strings.Repeat("9", n) }, "a number of more than 1000 digits is not supported: quote it if a string is meant"},
	} {
		for _, n := range []int{c.limit - 1, c.limit} {
			parse(t, c.file, c.text(n))
		}
		_, err := document.Parse(c.file, []byte(c.text(c.limit+1)))
		require.ErrorContains(t, err, c.want, c.name)
	}
}

// indented nests n objects, one a line.
func indented(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

// Texts at which a parser may take very long, recurse without end, or panic.
func TestHostile(t *testing.T) {
	const n = 5_000
	for _, text := range []string{
		strings.Repeat("[", n), strings.Repeat("{a: ", n), strings.Repeat("- ", n), strings.Repeat("? ", n), strings.Repeat(": ", n),
		strings.Repeat("a: ", n), strings.Repeat("]", n), strings.Repeat("&a ", n), strings.Repeat("*a ", n), strings.Repeat("\"\" ", n),
		strings.Repeat("|\n", n), strings.Repeat("---\n", n), strings.Repeat("%a\n", n), strings.Repeat("!", n), strings.Repeat(",", n),
		strings.Repeat("'", n), strings.Repeat("\\", n), strings.Repeat("a:\n", n), indented(1000), "a: |9\n", "- |\n-", ">", "\"\\", "{", "[a, {",
	} {
		_, err := document.Parse("f.yaml", []byte(text))
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			require.Less(t, len(err.Error()), 300)
		}
	}
	var keys strings.Builder
	for i := range 10_001 {
		fmt.Fprintf(&keys, "key%d: 1\n", i)
	}
	_, err := document.Parse("f.yaml", []byte(keys.String()))
	require.EqualError(t, err, "f.yaml:10001:9: has more than 10000 keys: split the file, or write it as JSON")
	_, err = document.Parse("f.yaml", []byte("["+strings.Repeat("1,", 100_000)+"1]"))
	require.ErrorContains(t, err, "has more than 200000 parts: split the file, or write it as JSON")
}
