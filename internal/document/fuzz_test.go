package document_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/document"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// FuzzParse reads any text as YAML and as JSON: no panic, one-line errors, valid
// JSON, every position within the file, and what is JSON means the same in
// both.
func FuzzParse(f *testing.F) {
	for _, c := range accepted {
		f.Add(c.yaml)
		f.Add(c.json)
	}
	for _, text := range []string{"a: &x [*x]", "a: {{x}}", "? a", "\ta: 1", "a: |9\n x", "{\"a\":1,\"a\":2}", "- |+\n \n- >+\n a\n b"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		asYAML, err := document.Parse("f.yaml", []byte(text))
		check(t, text, asYAML, err)
		asJSON, err := document.Parse("f.json", []byte(text))
		check(t, text, asJSON, err)
		if asYAML != nil && asJSON != nil {
			require.Equal(t, string(asJSON.JSON), string(asYAML.JSON))
		}
	})
}

func check(t *testing.T, text string, d *document.Document, err error) {
	t.Helper()
	if err != nil {
		require.Nil(t, d)
		require.IsType(t, &document.Error{}, err)
		require.NotContains(t, err.Error(), "\n")
		require.Less(t, len(err.Error()), 300)
		return
	}
	require.NoError(t, strictjson.Valid(d.JSON))
	lines := strings.Split(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"), "\n")
	for pointer, at := range d.Positions {
		require.GreaterOrEqual(t, at.Column, 1, pointer)
		require.GreaterOrEqual(t, at.Line, 1, pointer)
		require.LessOrEqual(t, at.Line, len(lines), pointer)
	}
}
