package expression_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/expression"
)

func TestFillLeavesAnEmptyPlaceForWhatIsAbsent(t *testing.T) {
	d := expression.Declared{Parameters: []string{"a", "b"}}
	scope := &expression.Scope{Parameters: map[string]any{"b": map[string]any{"x": int64(1)}}}
	for text, want := range map[string]string{
		"plain":                              "plain",
		"<{{parameters.a}}>":                 "<>",
		"{{parameters.a}}":                   "",
		"{{parameters.a}}-{{parameters.b}}.": `-{"x":1}.`,
	} {
		tmpl, err := expression.Compile(text, d)
		require.NoError(t, err)
		got, err := tmpl.Fill(scope)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	missing, err := expression.Compile("{{env.NOPE}}", d)
	require.NoError(t, err)
	_, err = missing.Fill(scope)
	require.ErrorContains(t, err, "NOPE")
}
