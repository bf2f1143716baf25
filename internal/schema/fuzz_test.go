package schema_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/schema"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// FuzzCompileValidate takes any schema and any value: nothing panics, faults
// are bounded, and what the schema accepts it accepts again.
func FuzzCompileValidate(f *testing.F) {
	for _, c := range [][2]string{
		{`{"type":"object","properties":{"a":{"type":"integer","default":1}},"required":["a"],"additionalProperties":false}`, `{"b":1}`},
		{`{"anyOf":[{"type":"string","pattern":"^a"},{"items":{"$ref":"#"}},{"const":null}]}`, `[["b"],"a",null]`},
		{`{"$dynamicAnchor":"n","properties":{"c":{"$dynamicRef":"#n"}},"unevaluatedProperties":false}`, `{"c":{"d":1}}`},
		{`{"$schema":"http://json-schema.org/draft-07/schema#","items":[true],"additionalItems":false}`, `[1,2]`},
		{`{"propertyNames":{"pattern":"x"},"patternProperties":{"^x":false},"if":{"required":["x"]},"then":false}`, `{"x":1e400}`},
		{`{"$id":"a","$ref":"#/$defs/b","$defs":{"b":{"$id":"b","$anchor":"x"}}}`, `0.1`},
		{`{"pattern":"(?=x)"}`, `"x"`}, {`{"$ref":"file:///etc/passwd"}`, `1`}, {`{"uniqueItems":true,"contains":{"enum":[1]}}`, `[1,1.0]`},
	} {
		f.Add([]byte(c[0]), []byte(c[1]))
	}
	f.Fuzz(func(t *testing.T, source, value []byte) {
		if len(source) > 4<<10 || len(value) > 4<<10 {
			t.Skip("small is fast, and the limits have their own test")
		}
		s, faults := schema.Compile(source)
		checkFaults(t, faults)
		require.Equal(t, s == nil, len(faults) > 0)
		if s == nil {
			return
		}
		v, err := strictjson.Decode(value)
		if err != nil {
			return
		}
		before, err := strictjson.Marshal(v)
		require.NoError(t, err)
		first := s.Validate(v)
		checkFaults(t, first)
		require.Equal(t, first == nil, s.Validate(v) == nil)
		s.WithDefaults(v)
		after, err := strictjson.Marshal(v)
		require.NoError(t, err)
		require.Equal(t, string(before), string(after), "the value changed")
	})
}

func checkFaults(t *testing.T, faults []errclass.FieldError) {
	t.Helper()
	require.LessOrEqual(t, len(faults), 50)
	for _, f := range faults {
		require.NotEmpty(t, f.Message)
		require.Less(t, len(f.Field), 510)
		require.NotContains(t, f.Message, "toolrun:///")
	}
	require.LessOrEqual(t, len([]rune(schema.Message(faults))), 450)
}
