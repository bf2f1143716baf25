package example_test

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/runner"
)

// TestSchemaKnowsTheVocabulary guards that a new class, reason or code can be
// expected by an example.
func TestSchemaKnowsTheVocabulary(t *testing.T) {
	var schema struct {
		Defs struct {
			Class  struct{ Enum []errclass.Class }
			Reason struct{ Enum []errclass.Reason }
			Code   struct{ Enum []errclass.Code }
		} `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(runner.DefinitionSchema(), &schema))
	require.ElementsMatch(t, errclass.Classes(), schema.Defs.Class.Enum)
	require.ElementsMatch(t, errclass.Reasons(), schema.Defs.Reason.Enum)
	require.True(t, slices.Contains(schema.Defs.Code.Enum, errclass.CodeBadRequest))
}

// TestBrokenDefinitions loads testdata/broken: every file has faults, and each
// fault says where.
func TestBrokenDefinitions(t *testing.T) {
	files, err := filepath.Glob("../../testdata/broken/*")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 10)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			err := check(file)
			var invalid *errclass.APIError
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, errclass.CodeValidation, invalid.Code)
			require.NotEmpty(t, invalid.Fields)
			for _, fault := range invalid.Fields {
				t.Log(fault.Field, fault.Message)
				require.Regexp(t, `^`+filepath.Base(file)+`(:\d+){1,2}: `, fault.Message)
			}
		})
	}
}

func check(file string) error {
	defs, err := runner.Load(file)
	if err != nil {
		return err
	}
	_, err = runner.New(runner.Options{Tools: defs})
	return err
}
