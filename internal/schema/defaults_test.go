package schema_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

func TestWithDefaults(t *testing.T) {
	for _, c := range []struct{ schema, value, want string }{
		{`{"properties":{"a":{"default":1},"b":{}}}`, `{}`, `{"a":1}`},
		{`{"properties":{"a":{"default":1}}}`, `{"a":null}`, ``}, // null is a value
		{`{"properties":{"a":{"default":null}}}`, `{}`, `{"a":null}`},
		{`{"properties":{"a":{"default":1}}}`, `[]`, ``},
		{`{"properties":{"a":{"default":1}}}`, `5`, ``},
		{`{"default":{"a":1}}`, `{}`, ``}, // the value itself is there
		{`true`, `{}`, ``},
		{`{"properties":{"o":{"properties":{"x":{"default":2}}}}}`, `{}`, ``},
		{`{"properties":{"o":{"properties":{"x":{"default":2}}}}}`, `{"o":{}}`, `{"o":{"x":2}}`},
		{`{"properties":{"o":{"default":{},"properties":{"x":{"default":[3]}}}}}`, `{}`, `{"o":{"x":[3]}}`},
		{`{"properties":{"o":{"default":{"x":1},"properties":{"x":{"default":2},"y":{"default":3}}}}}`, `{}`, `{"o":{"x":1,"y":3}}`},
		{`{"items":{"properties":{"q":{"default":true}}}}`, `[{},{"q":0},5]`, `[{"q":true},{"q":0},5]`},
		{`{"prefixItems":[{"properties":{"q":{"default":1}}}],"items":{"properties":{"q":{"default":2}}}}`, `[{},{}]`, `[{"q":1},{"q":2}]`},
		{`{"properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"default":"x"}}}`, `{}`, `{"a":"x"}`},
		{`{"properties":{"a":{"$ref":"#/$defs/a","default":"own"}},"$defs":{"a":{"default":"x"}}}`, `{}`, `{"a":"own"}`},
		{`{"$ref":"#/$defs/a","$defs":{"a":{"properties":{"z":{"default":0}}}}}`, `{}`, `{"z":0}`},
		{`{"allOf":[{"properties":{"a":{"default":1}}},{"properties":{"a":{"default":2},"b":{"default":3}}}]}`, `{}`, `{"a":1,"b":3}`},
		{`{"properties":{"a":{"allOf":[{"default":1}]}}}`, `{}`, `{"a":1}`},
		{`{"anyOf":[{"properties":{"a":{"default":1}}}],"oneOf":[{"properties":{"a":{"default":1}}}]}`, `{}`, ``},
		{`{"if":true,"then":{"properties":{"a":{"default":1}}},"not":{"properties":{"a":{"default":1}}}}`, `{}`, ``},
		{`{"properties":{"child":{"$ref":"#"},"n":{"default":1}}}`, `{"child":{"child":{}}}`, `{"child":{"child":{"n":1},"n":1},"n":1}`},
		{`{"properties":{"s":{"$ref":"https://json-schema.org/draft/2020-12/schema"}}}`, `{"s":{}}`, ``}, // not ours to fill
		{`{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"properties":{"q":{"default":1}}}],"additionalItems":{"properties":{"q":{"default":2}}}}`,
			`[{},{}]`, `[{"q":1},{"q":2}]`},
	} {
		s := compile(t, c.schema)
		v := decode(t, c.value)
		got, changed := s.WithDefaults(v)
		require.Equal(t, decode(t, c.value), v, "the input changed: %s", c.schema)
		require.Equal(t, c.want != "", changed, "%s on %s", c.schema, c.value)
		if c.want == "" {
			c.want = c.value
		}
		text, err := strictjson.Marshal(got)
		require.NoError(t, err)
		require.Equal(t, c.want, string(text), "%s on %s", c.schema, c.value)
	}
}

func TestDefaultsWithinThemselvesEnd(t *testing.T) {
	s := compile(t, `{"properties":{"c":{"$ref":"#/$defs/n"}},"$defs":{"n":{"default":{},"properties":{"c":{"$ref":"#/$defs/n"}}}}}`)
	got, changed := s.WithDefaults(map[string]any{})
	require.True(t, changed)
	text, err := strictjson.Marshal(got)
	require.NoError(t, err)
	require.Less(t, len(text), 100)
}

func TestCheckDefaults(t *testing.T) {
	for _, c := range []struct{ schema, want string }{
		{`{"properties":{"a":{"type":"integer","default":1},"b":{"default":"x"}}}`, ""},
		{`{"properties":{"a":{"type":"integer","default":"x"}}}`, "/properties/a/default breaks its own schema: must be integer"},
		{`{"properties":{"a":{"type":"string","default":null}}}`, "/properties/a/default breaks its own schema: must be string"},
		{`{"properties":{"a~/b":{"enum":["x"],"default":"y"}}}`, "/properties/a~0~1b/default breaks its own schema: must be "},
		{`{"properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"type":"integer","default":"x"}}}`, "/properties/a has a default that breaks its schema: must be integer"},
		{`{"properties":{"a":{"$ref":"#/$defs/a","default":"x"}},"$defs":{"a":{"type":"integer","default":5}}}`, "/properties/a/default breaks its own schema: must be integer"},
		{`{"properties":{"o":{"default":{},"required":["x"],"properties":{"x":{"default":1}}}}}`, ""},
		{`{"properties":{"o":{"default":{},"required":["x"],"properties":{"x":{}}}}}`, "/properties/o/default breaks its own schema: x is required"},
		{`{"items":{"properties":{"q":{"type":"string","default":2}}}}`, "/items/properties/q/default breaks its own schema: must be string"},
		{`{"prefixItems":[{"properties":{"q":{"maximum":1,"default":2}}}]}`, "/prefixItems/0/properties/q/default breaks its own schema: must be "},
		{`{"allOf":[{"properties":{"a":{"type":"string","default":2}}}]}`, "/allOf/0/properties/a/default breaks its own schema: must be string"},
		{`{"anyOf":[{"properties":{"a":{"type":"string","default":2}}}]}`, ""}, // never filled in
		{`{"type":"string","default":5}`, ""},                                                    // nor this
		{`{"properties":{"a":{"default":{},"properties":{"a":{"$ref":"#/properties/a"}}}}}`, ""}, // within itself
		{`{"$schema":"http://json-schema.org/draft-07/schema#","items":[{"properties":{"q":{"type":"null","default":1}}}]}`, "/items/0/properties/q/default breaks its own schema: must be null"},
	} {
		var got string
		for _, f := range compile(t, c.schema).CheckDefaults() {
			got += f.Field + " " + f.Message
		}
		require.Contains(t, got, c.want, c.schema)
		require.Equal(t, c.want == "", got == "", "%s: %s", c.schema, got)
	}
}

func TestTakesObjects(t *testing.T) {
	for schema, want := range map[string]bool{
		`true`: true, `{}`: true, `{"type":"object"}`: true, `{"type":["object","null"]}`: true, `{"$ref":"#/$defs/o","$defs":{"o":{"type":"object"}}}`: true,
		`{"type":"array"}`: false, `{"type":["string","null"]}`: false, `{"$ref":"#/$defs/o","$defs":{"o":{"type":"array"}}}`: false,
	} {
		require.Equal(t, want, compile(t, schema).TakesObjects(), schema)
	}
}

func TestDefaultsAreNotShared(t *testing.T) {
	s := compile(t, `{"properties":{"a":{"default":{"list":[1]}}}}`)
	first, _ := s.WithDefaults(map[string]any{})
	first.(map[string]any)["a"].(map[string]any)["list"].([]any)[0] = "changed"
	second, _ := s.WithDefaults(map[string]any(nil))
	require.Equal(t, decode(t, `{"a":{"list":[1]}}`), second)
}
