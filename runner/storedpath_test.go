package runner_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/runner"
)

// A parameter at the start of a path follows the linked API's base URL, however it
// is written: the API's headers, which may hold its key, go nowhere else.
func TestStoredPathOfParameter(t *testing.T) {
	api := record(t, "1")
	elsewhere := record(t, "1")
	for _, path := range []string{"{id}", "{{id}}", "{{ id }}"} {
		def := parse(t, "name: a\ntype: api\nparameters: {properties: {id: {type: string}}}\napi: {baseUrl: '"+api.URL+"', headers: {X-Key: k-91a77}}\nhttpConfig: {path: '"+path+"'}")
		run := newRunner(t, runner.Options{
			Tools:  []*runner.Definition{def},
			Egress: policy(strings.TrimPrefix(api.URL, "http://"), strings.TrimPrefix(elsewhere.URL, "http://")),
		})
		result := execute(t, run, runner.Request{Tool: "a", Parameters: []byte(`{"id":"` + elsewhere.URL + `/x"}`)})
		require.Nil(t, result.Failure, path)
		require.Empty(t, elsewhere.sent, path)
	}
	require.Equal(t, 3, strings.Count(api.sent, "X-Key: k-91a77"))
}
