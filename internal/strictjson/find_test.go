package strictjson_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

func TestFind(t *testing.T) {
	steps := func(s ...any) []any { return s }
	for _, tc := range []struct {
		text  string
		steps []any
		want  string // empty: not found
	}{
		{` {"a" : 1}`, nil, `{"a" : 1}`},
		{`{"a":{"b":[1,{"c":"x"}]}}`, steps("a", "b", 1, "c"), `"x"`},
		{`{"a":[10,20]}`, steps("a", "1"), `20`},
		{`{"a":{"1":"one"}}`, steps("a", "1"), `"one"`},
		{`{"a":{"1":"one"}}`, steps("a", 1), ``},
		{`{"a":null}`, steps("a"), `null`},
		{`{"\u0061":1}`, steps("a"), `1`},
		{`{"":1}`, steps(""), `1`},
		{`[[1],[2]]`, steps(1), `[2]`},
		{`[[1],[2]]`, steps(2), ``},
		{`[1]`, steps("a"), ``},
		{`"text"`, steps("a"), ``},
		{`{"a":1}`, steps("A"), ``},
		{`{"a":1}`, steps("a", "b"), ``},
	} {
		part, found, err := strictjson.Find([]byte(tc.text), tc.steps)
		require.NoError(t, err)
		require.Equal(t, tc.want != "", found, "%s %v", tc.text, tc.steps)
		require.Equal(t, tc.want, string(part))
	}
	for _, text := range []string{``, `{`, `{"a":1,"a":2}`, `{"a":1} x`, `{"a":1,"b":[01]}`, `{"a":1,"b":"` + "\xff" + `"}`, `{"b":{"c":1,"c":2},"a":1}`} {
		_, decodeErr := strictjson.Decode([]byte(text))
		_, found, err := strictjson.Find([]byte(text), steps("a"))
		require.False(t, found)
		require.Equal(t, decodeErr, err, text)
	}
}
