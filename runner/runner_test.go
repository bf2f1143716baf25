package runner_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/runner"
	"github.com/almyty-inc/toolrun/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	goleak.VerifyTestMain(m)
}

// newRunner starts a runner that is closed with the test.
func newRunner(t *testing.T, opts runner.Options) *runner.Runner {
	t.Helper()
	r, err := runner.New(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close(context.Background())) })
	return r
}

// script is a javascript tool.
func script(name, code string) *runner.Definition {
	return &runner.Definition{Name: name, Type: runner.JavaScript, Code: code}
}

// parse is a definition in YAML.
func parse(t *testing.T, yaml string) *runner.Definition {
	t.Helper()
	def, err := runner.Parse("tool.yaml", []byte(yaml))
	require.NoError(t, err)
	return def
}

// execute runs a tool that must become an execution.
func execute(t *testing.T, r *runner.Runner, req runner.Request) *runner.Result {
	t.Helper()
	result, err := r.Execute(t.Context(), req)
	require.NoError(t, err)
	return result
}

// rejection runs a request that must be turned away.
func rejection(t *testing.T, r *runner.Runner, req runner.Request) *errclass.APIError {
	t.Helper()
	result, err := r.Execute(t.Context(), req)
	require.Nil(t, result)
	var rejected *errclass.APIError
	require.ErrorAs(t, err, &rejected)
	return rejected
}

// document is a result as a caller with details gets it.
func document(t *testing.T, result *runner.Result) string {
	t.Helper()
	data, err := result.JSON(true)
	require.NoError(t, err)
	require.True(t, json.Valid(data), "%s", data)
	return string(data)
}

func TestOptionsAreChecked(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts runner.Options
		want string
	}{
		{"negative concurrency", runner.Options{Concurrency: -1}, "Options.Concurrency is negative"},
		{"negative timeout", runner.Options{DefaultTimeout: -1}, "Options.DefaultTimeout is negative"},
		{"maximum below default", runner.Options{DefaultTimeout: 2, MaxTimeout: 1}, "Options.MaxTimeout is shorter than DefaultTimeout"},
		{"policy", runner.Options{Egress: policy("10.0.0.0/99")}, "10.0.0.0/99"},
		{"isolation", runner.Options{Sandbox: isolation("vm")}, "vm"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := runner.New(tc.opts)
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestToolsAreSeenByTheirOrganization(t *testing.T) {
	shared, ours, theirs := script("shared", "return 1"), script("own", "return 'ours'"), script("own", "return 'theirs'")
	ours.Organization, theirs.Organization = "acme", "globex"
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{shared, ours, theirs}})

	require.Equal(t, []*runner.Definition{shared, ours}, r.Tools("acme"))
	require.Equal(t, []*runner.Definition{shared}, r.Tools(""))
	require.JSONEq(t, `"ours"`, string(execute(t, r, runner.Request{Organization: "acme", Tool: "own"}).Value))
	require.JSONEq(t, `"theirs"`, string(execute(t, r, runner.Request{Organization: "globex", Tool: "own"}).Value))
	require.JSONEq(t, `1`, string(execute(t, r, runner.Request{Organization: "globex", Tool: "shared"}).Value))

	unknown := rejection(t, r, runner.Request{Organization: "acme", Tool: "nothing"})
	foreign := rejection(t, r, runner.Request{Organization: "initech", Tool: "own"})
	require.Equal(t, unknown, foreign, "a foreign tool is told from one that doesn't exist")
	require.Equal(t, errclass.CodeNotFound, unknown.Code)
}

func TestOnlyActiveToolsRun(t *testing.T) {
	for status, runs := range map[runner.Status]bool{
		"": true, runner.Active: true, runner.Deprecated: true,
		runner.Inactive: false, runner.Draft: false, runner.Broken: false,
	} {
		def := script("tool", "return 1")
		def.Status = status
		r := newRunner(t, runner.Options{Tools: []*runner.Definition{def}})
		if runs {
			require.Nil(t, execute(t, r, runner.Request{Tool: "tool"}).Failure, "status %q", status)
			continue
		}
		rejected := rejection(t, r, runner.Request{Tool: "tool"})
		require.Equal(t, errclass.CodeConflict, rejected.Code)
		require.Contains(t, rejected.Message, string(status))
	}
}
