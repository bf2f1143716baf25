package example_test

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/example"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/llmtool/anthropic"
	"github.com/almyty-inc/toolrun/llmtool/google"
	"github.com/almyty-inc/toolrun/runner"
)

var dialects = []llmtool.Dialect{anthropic.Dialect(), google.Dialect()}

// TestFixtures runs the tools that ship with the repository: they document it.
func TestFixtures(t *testing.T) {
	for _, test := range []struct {
		dir   string
		tools int
	}{{"tools", 22}, {"tour", 3}, {"stored", 6}} {
		t.Run(test.dir, func(t *testing.T) {
			dir := filepath.Join("../../testdata", test.dir)
			defs, err := runner.Load(dir)
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(defs), test.tools)
			providers, err := runner.LoadProviders(filepath.Join(dir, "providers.yaml"), dialects...)
			require.NoError(t, err)
			summary, err := example.Run(t.Context(), defs, example.Options{Providers: providers, Dialects: dialects}, func(o example.Outcome) {
				for _, p := range o.Problems {
					t.Errorf("%s/%s: %s", o.Tool, o.Example, p)
				}
			})
			require.NoError(t, err)
			require.Empty(t, summary.Untested)
			for _, def := range defs {
				require.NotEmpty(t, def.Description, def.Name)
				require.LessOrEqual(t, len(def.Examples), 4, def.Name)
			}
		})
	}
}

// TestFixturesCoverEveryClass guards that each class is documented by an example.
func TestFixturesCoverEveryClass(t *testing.T) {
	defs, err := runner.Load("../../testdata/tools")
	require.NoError(t, err)
	covered := map[errclass.Class][]string{}
	for _, def := range defs {
		for _, e := range def.Examples {
			if class := expectedClass(e.ExpectedError); class != "" {
				covered[class] = append(covered[class], def.Name+"/"+e.Name)
			}
		}
	}
	for _, class := range errclass.Classes() {
		require.NotEmpty(t, covered[class], class)
	}
}

func expectedClass(raw json.RawMessage) (class errclass.Class) {
	if json.Unmarshal(raw, &class) == nil {
		return class
	}
	var failure struct{ Class errclass.Class }
	_ = json.Unmarshal(raw, &failure) // none expected
	return failure.Class
}
