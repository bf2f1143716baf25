package schema_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/schema"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// ok marks a value that the schema accepts.
const ok = ""

func compile(t testing.TB, source string) *schema.Schema {
	t.Helper()
	s, faults := schema.Compile([]byte(source))
	require.Empty(t, faults, source)
	return s
}

func decode(t testing.TB, text string) any {
	t.Helper()
	v, err := strictjson.Decode([]byte(text))
	require.NoError(t, err, text)
	return v
}

// lines writes faults one a line: pointer, space, message.
func lines(faults []errclass.FieldError) string {
	var list []string
	for _, f := range faults {
		list = append(list, f.Field+" "+f.Message)
	}
	return strings.Join(list, "\n")
}

func TestValidate(t *testing.T) {
	for _, c := range []struct{ schema, value, want string }{
		// type
		{`{"type":"integer"}`, `1`, ok},
		{`{"type":"integer"}`, `1.0`, ok},
		{`{"type":"integer"}`, `12345678901234567890`, ok},
		{`{"type":"integer"}`, `1.5`, " must be integer"},
		{`{"type":"number"}`, `"sk-secret"`, " must be number"},
		{`{"type":["null","string"]}`, `1`, " must be string or null"},
		{`{"type":["string","null","number"]}`, `true`, " must be number, string or null"},
		{`{"type":"object"}`, `5`, " must be object"},
		{`{"type":"object"}`, `[]`, " must be object"},
		{`true`, `1`, ok},
		{`{}`, `null`, ok},
		{`false`, `1`, " must not be given"},
		// values
		{`{"enum":["a","b",3,null]}`, `"sk-secret"`, ` must be one of: "a", "b", 3, null`},
		{`{"enum":[1,2,3,4,5,6,7,8,9,10]}`, `0`, ` must be one of: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10`},
		{`{"enum":[1,2,3,4,5,6,7,8,9,10,11]}`, `0`, ` must be one of: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 1 more`},
		{`{"enum":["only"]}`, `0`, ` must be "only"`},
		{`{"enum":[1]}`, `1.0`, ok},
		{`{"const":{"a":[1]}}`, `{"a":[1.0]}`, ok},
		{`{"const":{"a":[1]}}`, `{"a":[2]}`, ` must be {"a":[1]}`},
		{`{"const":null}`, `0`, ` must be null`},
		// numbers
		{`{"minimum":1}`, `0`, " must be at least 1"},
		{`{"minimum":1}`, `1`, ok},
		{`{"maximum":0.5}`, `0.6`, " must be at most 0.5"},
		{`{"exclusiveMinimum":1}`, `1`, " must be greater than 1"},
		{`{"exclusiveMaximum":1e3}`, `1000`, " must be less than 1000"},
		{`{"multipleOf":0.01}`, `19.99`, ok},
		{`{"multipleOf":0.01}`, `19.999`, " must be a multiple of 0.01"},
		{`{"maximum":9007199254740992}`, `9007199254740993`, " must be at most 9007199254740992"},
		// strings
		{`{"minLength":1}`, `""`, " must not be empty"},
		{`{"minLength":2}`, `"é"`, " must have at least 2 characters"},
		{`{"maxLength":1}`, `"😀"`, ok},
		{`{"maxLength":1}`, `"sk"`, " must have at most 1 character"},
		{`{"pattern":"^[a-z]+$"}`, `"SK"`, " must match pattern ^[a-z]+$"},
		{`{"pattern":"b"}`, `"abc"`, ok},
		{`{"format":"email"}`, `"a@b.c"`, ok},
		{`{"format":"email"}`, `"sk-secret"`, " must be a valid email"},
		{`{"format":"date-time"}`, `"2026-01-31"`, " must be a valid date and time as in 2026-01-31T12:00:00Z"},
		{`{"format":"uri"}`, `"/x"`, " must be a valid URI with its scheme"},
		{`{"format":"uuid"}`, `"x"`, " must be a valid UUID"},
		{`{"format":"made-up"}`, `"x"`, ok},
		{`{"format":"email"}`, `5`, ok},
		// arrays
		{`{"items":{"type":"string"}}`, `["a",1]`, "/1 must be string"},
		{`{"minItems":1}`, `[]`, " must have at least 1 item"},
		{`{"maxItems":10}`, `[1,2,3,4,5,6,7,8,9,10,11]`, " must have at most 10 items"},
		{`{"uniqueItems":true}`, `[1,"1",1.0]`, " must not have equal items: 0 and 2 are"},
		{`{"prefixItems":[{"type":"string"}],"items":false}`, `["a",2]`, "/1 is not allowed"},
		{`{"prefixItems":[true],"items":{"type":"string"}}`, `[1,2]`, "/1 must be string"},
		{`{"prefixItems":[true],"unevaluatedItems":false}`, `[1,2]`, "/1 is not allowed"},
		{`{"contains":{"const":1}}`, `[2]`, " must contain at least 1 item of the form that contains asks for"},
		{`{"contains":{"const":1},"minContains":2}`, `[1]`, " must contain at least 2 items of the form that contains asks for"},
		{`{"contains":{"const":1},"maxContains":1}`, `[1,1]`, " must contain at most 1 item of the form that contains asks for"},
		{`{"contains":{"const":1},"minContains":0}`, `[]`, ok},
		// objects
		{`{"required":["a","b~/"]}`, `{}`, "/a is required\n/b~0~1 is required"},
		{`{"properties":{"a":{"properties":{"b":{"required":["c"]}}}}}`, `{"a":{"b":{}}}`, "/a/b/c is required"},
		{`{"minProperties":2}`, `{"a":1}`, " must have at least 2 properties"},
		{`{"maxProperties":1}`, `{"a":1,"b":2}`, " must have at most 1 property"},
		{`{"dependentRequired":{"a":["b"]}}`, `{"a":1}`, `/b is required where "a" is given`},
		{`{"dependentSchemas":{"a":{"required":["b"]}}}`, `{"a":1}`, `/b is required`},
		{`{"patternProperties":{"^x-":{"type":"string"}}}`, `{"x-a":1,"y":1}`, "/x-a must be string"},
		{`{"additionalProperties":{"type":"string"}}`, `{"a":1}`, "/a must be string"},
		{`{"propertyNames":{"maxLength":1}}`, `{"ab":1}`, "/ab has a name that is not allowed: it must have at most 1 character"},
		{`{"properties":{"timeout":{}},"additionalProperties":false}`, `{"timout":1}`, `/timout is not allowed (did you mean "timeout"?)`},
		{`{"properties":{"timeout":{}},"additionalProperties":false}`, `{"tmieuot":1}`, `/tmieuot is not allowed (did you mean "timeout"?)`},
		{`{"properties":{"timeout":{}},"additionalProperties":false}`, `{"tout":1}`, `/tout is not allowed`},
		{`{"properties":{"timeout":{}},"additionalProperties":false}`, `{"timout":1,"timeout":2}`, `/timout is not allowed`},
		{`{"properties":{"a":{}},"additionalProperties":false}`, `{"z":1}`, `/z is not allowed`},
		{`{"unevaluatedProperties":false,"allOf":[{"properties":{"count":{}}}]}`, `{"cuont":1}`, `/cuont is not allowed (did you mean "count"?)`},
		{`{"properties":{"a":false}}`, `{"a":1}`, `/a is not allowed`},
		// combinations
		{`{"not":{"type":"string"}}`, `"sk"`, ` must not be of the form that the schema rules out`},
		{`{"allOf":[{"minimum":5},{"multipleOf":2}]}`, `3`, " must be a multiple of 2\n must be at least 5"},
		{`{"if":{"required":["t"]},"then":{"required":["u"]},"else":{"required":["w"]}}`, `{"t":1}`, `/u is required`},
		{`{"if":{"required":["t"]},"then":{"required":["u"]},"else":{"required":["w"]}}`, `{}`, `/w is required`},
		// references
		{`{"$defs":{"p":{"type":"integer"}},"properties":{"a":{"$ref":"#/$defs/p"}}}`, `{"a":"x"}`, `/a must be integer`},
		{`{"$defs":{"p":{"$anchor":"here","type":"integer"}},"properties":{"a":{"$ref":"#here"}}}`, `{"a":"x"}`, `/a must be integer`},
		{`{"properties":{"a":{"$ref":"#/$defs/p","maximum":1}},"$defs":{"p":{"minimum":0}}}`, `{"a":2}`, `/a must be at most 1`},
		{`{"properties":{"next":{"$ref":"#"},"v":{"type":"integer"}}}`, `{"next":{"next":{"v":"x"}}}`, `/next/next/v must be integer`},
		{`{"$dynamicAnchor":"node","properties":{"c":{"items":{"$dynamicRef":"#node"}},"v":{"type":"integer"}}}`, `{"c":[{"c":[{"v":"x"}]}]}`, `/c/0/c/0/v must be integer`},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"type":"string"}],"additionalItems":false}`, `[1,2]`, " has 1 item too many\n/0 must be string"},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","dependencies":{"a":["b"]}}`, `{"a":1}`, `/b is required where "a" is given`},
		// the metaschema may be used, as a tool that takes a schema does
		{`{"properties":{"s":{"$ref":"https://json-schema.org/draft/2020-12/schema"}}}`,
			`{"s":{"properties":{"a":{"items":{"anyOf":[{"not":{"type":"strng"}}]}}}}}`,
			`/s/properties/a/items/anyOf/0/not/type must be one of: "array", "boolean", "integer", "null", "number", "object", "string"`},
	} {
		s := compile(t, c.schema)
		require.Equal(t, c.want, lines(s.Validate(decode(t, c.value))), "%s on %s", c.schema, c.value)
	}
}

func TestBranches(t *testing.T) {
	pets := `{"oneOf":[
		{"type":"object","properties":{"kind":{"const":"cat"},"lives":{"type":"integer"}},"required":["kind","lives"]},
		{"type":"object","properties":{"kind":{"const":"dog"},"bark":{"type":"string"}},"required":["kind","bark"]},
		{"type":"null"}]}`
	for _, c := range []struct{ schema, value, want string }{
		{`{"anyOf":[{"type":"string"},{"type":"null"}]}`, `5`, " must be string or null"},
		{`{"oneOf":[{"const":"a"},{"const":"b"}]}`, `"c"`, ` must be one of: "a", "b"`},
		{`{"anyOf":[{"enum":["on","off"]},{"type":"integer"}]}`, `"x"`, ` must be one of: "on", "off"`},
		{`{"anyOf":[{"enum":["on","off"]},{"type":"integer"}]}`, `null`, ` must be one of: "on", "off", or be integer`},
		{`{"anyOf":[{"type":"string","minLength":3},{"type":"integer"}]}`, `"ab"`, " must have at least 3 characters"},
		{`{"anyOf":[{"type":"string","format":"email"},{"type":"null"}]}`, `"x"`, " must be a valid email"},
		{pets, `{"kind":"dog"}`, "/bark is required"},
		{pets, `{"kind":"cat","lives":"x"}`, "/lives must be integer"},
		{pets, `{"kind":"cow"}`, `/kind must be one of: "cat", "dog"`},
		{pets, `5`, " must be object or null"},
		{`{"anyOf":[{"required":["email"]},{"required":["phone"]}]}`, `{}`,
			" must match one of the allowed forms: either email is required, or phone is required"},
		{`{"oneOf":[{"multipleOf":2},{"multipleOf":3}]}`, `6`, " must match exactly one of the allowed forms, but matches number 1 and 2"},
		{`{"oneOf":[{"multipleOf":2},{"multipleOf":3}]}`, `7`,
			" must match one of the allowed forms: either must be a multiple of 2, or must be a multiple of 3"},
		// the form whose fault lies deeper is the one that was meant
		{`{"anyOf":[{"required":["a"]},{"properties":{"b":{"properties":{"c":{"type":"integer"}}}}}]}`, `{"b":{"c":"x"}}`, "/b/c must be integer"},
		{`{"properties":{"x":{"anyOf":[{"anyOf":[{"type":"string"},{"type":"integer"}]},{"type":"null"}]}}}`, `{"x":[]}`, "/x must be string or integer"},
	} {
		s := compile(t, c.schema)
		require.Equal(t, c.want, lines(s.Validate(decode(t, c.value))), "%s on %s", c.schema, c.value)
	}
}

func TestCompileFaults(t *testing.T) {
	for _, c := range []struct{ schema, want string }{
		{``, " is not valid JSON: there is no value: send one"},
		{`{"a":1,"a":2}`, `/a is not valid JSON: duplicate name "a"`},
		{`[]`, " must be boolean or object"},
		{`"object"`, " must be boolean or object"},
		{`{"type":"objct"}`, `/type must be one of: "array", "boolean", "integer", "null", "number", "object", "string"`},
		// all at once
		{`{"minimum":"x","properties":{"a":{"maxLength":-1},"b":{"required":"a"}}}`,
			"/minimum must be number\n/properties/a/maxLength must be at least 0\n/properties/b/required must be array"},
		{`{"properties":{"a":{"pattern":"a(?=b)"},"b":{"pattern":"(a)\\1"},"c":{"pattern":"["}}}`,
			"/properties/a/pattern must be a regular expression without lookaround: (?= is not in RE2's syntax\n" +
				"/properties/b/pattern must be a regular expression without back-references: \\1 is not in RE2's syntax\n" +
				"/properties/c/pattern must be a valid regular expression (RE2 syntax): missing closing ] at \"[\""},
		{`{"required":[],"patternProperties":{"(?!x)":{}},"properties":{"q":{}}}`,
			"/patternProperties/(?!x) has a name that is not allowed: it must be a regular expression without lookaround: (?! is not in RE2's syntax"},
		{`{"$ref":"file:///etc/passwd"}`, `/$ref refers to another document, which is never loaded: put that schema under "$defs"`},
		{`{"properties":{"a":{"$ref":"other.json#/x"}}}`, `/properties/a/$ref refers to another document, which is never loaded: put that schema under "$defs"`},
		{`{"properties":{"a":{"$ref":"http://169.254.169.254/latest"}}}`, `/properties/a/$ref refers to another document, which is never loaded: put that schema under "$defs"`},
		{`{"$schema":"https://example.com/dialect"}`, `/$schema is an unknown dialect: leave it out or use "https://json-schema.org/draft/2020-12/schema"`},
		{`{"properties":{"a":{"$ref":"#/$defs/no"}}}`, `/properties/a/$ref refers to a part of the schema that doesn't exist`},
		{`{"properties":{"a":{"$ref":"#no"}}}`, `/properties/a/$ref refers to a part of the schema that doesn't exist`},
		{`{"$ref":"#"}`, ` refers back to itself without going into a part of the value: break the circle`},
		{`{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"$ref":"#/$defs/b"}]},"b":{"not":{"$ref":"#/$defs/a"}}}}`,
			`/$defs/b/not refers back to itself without going into a part of the value: break the circle`},
		{`{"minimum":1e999999}`, `/minimum must be a number of at most 1000 digits`},
	} {
		s, faults := schema.Compile([]byte(c.schema))
		require.Nil(t, s, c.schema)
		require.Equal(t, c.want, lines(faults), c.schema)
	}
}

func TestSourceLimits(t *testing.T) {
	sized := func(n int) string {
		const frame = `{"description":""}`
		return strings.Replace(frame, `""`, `"`+strings.Repeat("x", n-len(frame))+`"`, 1)
	}
	nested := func(n int) string { return strings.Repeat(`{"not":`, n-1) + `{}` + strings.Repeat(`}`, n-1) }
	wide := func(n int) string { return `{"allOf":[` + strings.Repeat(`true,`, n-2) + `true]}` }
	for _, c := range []struct {
		name   string
		source func(int) string
		limit  int
		want   string
	}{
		{"bytes", sized, schema.MaxBytes, " is a schema of more than 256 KiB: make it smaller"},
		{"depth", nested, schema.MaxDepth, " is nested more than 100 levels deep: use $ref and $defs"},
		{"parts", wide, schema.MaxSchemas, " has more than 5000 parts: make it smaller"},
	} {
		for _, n := range []int{c.limit - 1, c.limit} {
			_, faults := schema.Compile([]byte(c.source(n)))
			require.Empty(t, faults, "%s %d", c.name, n)
		}
		_, faults := schema.Compile([]byte(c.source(c.limit + 1)))
		require.Equal(t, c.want, lines(faults), c.name)
	}
}

// Schemas and values that would take the validator exponential time or memory.
func TestExplosions(t *testing.T) {
	const tooLong = " must be shorter or simpler: checking it against the schema takes too long"
	var doubling strings.Builder
	doubling.WriteString(`{"$ref":"#/$defs/a0","$defs":{`)
	for i := range 40 {
		fmt.Fprintf(&doubling, `"a%d":{"allOf":[{"$ref":"#/$defs/a%d"},{"$ref":"#/$defs/a%d"}]},`, i, i+1, i+1)
	}
	doubling.WriteString(`"a40":{}}}`)
	require.Equal(t, tooLong, lines(compile(t, doubling.String()).Validate(int64(1))))

	expression := compile(t, `{"oneOf":[{"properties":{"l":{"$ref":"#"}},"required":["x"]},{"properties":{"l":{"$ref":"#"}},"required":["y"]}]}`)
	require.Equal(t, tooLong, lines(expression.Validate(decode(t, strings.Repeat(`{"l":`, 60)+`1`+strings.Repeat(`}`, 60)))))
	require.NotEqual(t, tooLong, lines(expression.Validate(decode(t, `{"l":{"l":{"l":1}}}`))))

	// Values made to collide in the validator's hash.
	unique := compile(t, `{"uniqueItems":true}`)
	require.Equal(t, tooLong, lines(unique.Validate(decode(t, `[`+strings.Repeat(`["a"],`, 30_000)+`1]`))))
	require.Empty(t, unique.Validate(decode(t, `[["a"],["b"],{"c":1}]`)))

	// An author's long pattern on a caller's long text.
	slow := compile(t, `{"pattern":"(`+strings.Repeat("a?", 20_000)+`)$"}`)
	require.Equal(t, tooLong, lines(slow.Validate(strings.Repeat("a", 1<<20))))

	number := compile(t, `{"properties":{"n":{"minimum":1,"multipleOf":0.1}}}`)
	for text, want := range map[string]string{
		`{"n":1e1000}`: ok, `{"n":1e1001}`: "/n must be a number of at most 1000 digits",
		`{"n":1e99999999999999999999}`:            "/n must be a number of at most 1000 digits",
		`{"n":` + strings.Repeat("9", 999) + `}`:  ok,
		`{"n":` + strings.Repeat("9", 1000) + `}`: ok,
		`{"n":` + strings.Repeat("9", 1001) + `}`: "/n must be a number of at most 1000 digits",
	} {
		require.Equal(t, want, lines(number.Validate(decode(t, text))), "%.20s", text)
	}

	// Defaults that make objects with defaults.
	var growing strings.Builder
	growing.WriteString(`{"$ref":"#/$defs/a0","$defs":{`)
	for i := range 40 {
		fmt.Fprintf(&growing, `"a%d":{"default":{},"properties":{"x":{"$ref":"#/$defs/a%d"},"y":{"$ref":"#/$defs/a%d"}}},`, i, i+1, i+1)
	}
	growing.WriteString(`"a40":{}}}`)
	_, changed := compile(t, growing.String()).WithDefaults(map[string]any{})
	require.True(t, changed)
}

func TestFaultsAreBounded(t *testing.T) {
	s := compile(t, `{"items":{"type":"string"},"additionalProperties":false}`)
	for n, want := range map[int]int{49: 49, 50: 50, 51: 50, 5000: 50} {
		faults := s.Validate(decode(t, `[`+strings.Repeat(`1,`, n-1)+`1]`))
		require.Len(t, faults, want)
		require.Equal(t, "/0", faults[0].Field)
		require.Equal(t, fmt.Sprintf("/%d", want-1), faults[want-1].Field)
		require.Less(t, len(schema.Message(faults)), 460)
	}
	faults := s.Validate(map[string]any{strings.Repeat("é", 10_000): true})
	require.Len(t, faults, 1)
	require.Less(t, len(faults[0].Field), 510)
}

func TestMessage(t *testing.T) {
	f := func(field, message string) errclass.FieldError {
		return errclass.FieldError{Field: field, Message: message}
	}
	for _, c := range []struct {
		faults []errclass.FieldError
		want   string
	}{
		{nil, "Validation failed"},
		{[]errclass.FieldError{f("/quantity", "is required")}, "Validation failed: quantity is required"},
		{[]errclass.FieldError{f("", "must be object")}, "Validation failed: parameters must be object"},
		{[]errclass.FieldError{f("/quantity", "is required"), f("/items/2/price", "must be number")},
			"Validation failed: quantity is required; items[2].price must be number"},
		{[]errclass.FieldError{f("/a~1b/c d/x-y", "is required")}, `Validation failed: ["a/b"]["c d"].x-y is required`},
		{[]errclass.FieldError{f("/0", "is required")}, `Validation failed: [0] is required`},
		{[]errclass.FieldError{f("/a\nb", "is\nodd")}, `Validation failed: ["a\nb"] is odd`},
	} {
		require.Equal(t, c.want, schema.Message(c.faults))
	}
	var many []errclass.FieldError
	for i := range 50 {
		many = append(many, f(fmt.Sprintf("/field%02d", i), "is required"))
	}
	message := schema.Message(many)
	require.Regexp(t, `^Validation failed: field00 is required; .*; field17 is required; and 32 more$`, message)
	require.NotContains(t, schema.Message(many[:18]), "more")
}

func TestConcurrentUse(t *testing.T) {
	s := compile(t, `{"properties":{"a":{"default":1,"$ref":"#/$defs/x"},"b":{"anyOf":[{"type":"string"},{"type":"null"}]}},"$defs":{"x":{"type":"integer"}},"additionalProperties":false}`)
	v := decode(t, `{"b":5,"c":1}`)
	want := "/b must be string or null\n/c is not allowed"
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got := lines(s.Validate(v)); got != want {
					t.Errorf("got %s", got)
				}
				s.WithDefaults(v)
			}
		})
	}
	wg.Wait()
}
