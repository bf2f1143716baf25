package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/runner"
)

func owned(organization, name, code string) *runner.Definition {
	return &runner.Definition{Organization: organization, Name: name, Type: runner.JavaScript, Code: code}
}

// value is what a tool returns, or the code with which its request was turned away.
func value(t testing.TB, r *runner.Runner, organization, tool string) string {
	t.Helper()
	result, err := r.Execute(t.Context(), runner.Request{Organization: organization, Tool: tool})
	if api, ok := errors.AsType[*errclass.APIError](err); ok {
		return string(api.Code)
	}
	require.NoError(t, err)
	require.Nil(t, result.Failure)
	return string(result.Value)
}

func names(defs []*runner.Definition) (found []string) {
	for _, def := range defs {
		found = append(found, def.Name)
	}
	return found
}

func TestPut(t *testing.T) {
	r, err := runner.New(runner.Options{Tools: []*runner.Definition{owned("", "shared", "return 'base'")}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close(context.Background())) })

	require.NoError(t, r.Put(owned("acme", "mine", "return 1")))
	require.NoError(t, r.Put(owned("acme", "also", "return 2")))
	require.Equal(t, []string{"shared", "also", "mine"}, names(r.Tools("acme")))
	require.Equal(t, []string{"shared"}, names(r.Tools("other")))
	require.Equal(t, []string{"1", "NOT_FOUND", "NOT_FOUND"}, []string{value(t, r, "acme", "mine"), value(t, r, "other", "mine"), value(t, r, "", "mine")})

	// In its place, under another name: the old one is free.
	renamed := owned("acme", "renamed", "return 3")
	renamed.ID = "mine"
	require.NoError(t, r.Put(renamed))
	require.Equal(t, []string{"3", "3"}, []string{value(t, r, "acme", "mine"), value(t, r, "acme", "renamed")})
	require.NoError(t, r.Put(owned("acme", "shared", "return 'own'"))) // hides the base's for this organization
	require.Equal(t, []string{`"own"`, `"base"`}, []string{value(t, r, "acme", "shared"), value(t, r, "other", "shared")})

	taken := owned("acme", "renamed", "return 4")
	require.ErrorContains(t, r.Put(taken), "/name is taken")
	require.ErrorContains(t, r.Put(owned("acme", "mine", "return ((")), "doesn't compile")
	require.ErrorContains(t, r.Put(owned("", "x", "return 1")), "Put is for definitions of an organization")
	require.ErrorContains(t, r.Check(owned("acme", "mine", "return ((")), "doesn't compile")
	require.NoError(t, r.Check(owned("acme", "renamed", "return 1"))) // a name is looked at when it is put
	require.Equal(t, "3", value(t, r, "acme", "mine"), "what was refused changed something")

	r.Remove("acme", "mine")
	r.Remove("acme", "mine")
	require.Equal(t, []string{"NOT_FOUND", "NOT_FOUND"}, []string{value(t, r, "acme", "mine"), value(t, r, "acme", "renamed")})
}

// What was checked when it was stored is taken as it is: what is wrong with its source
// shows when it runs.
func TestRestore(t *testing.T) {
	r, err := runner.New(runner.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close(context.Background())) })
	require.NoError(t, r.Restore(owned("acme", "good", "return 1")))
	require.NoError(t, r.Restore(owned("acme", "bad", "return ((")))
	require.ErrorContains(t, r.Restore(owned("acme", "a b", "return 1")), "/name")
	require.Equal(t, "1", value(t, r, "acme", "good"))
	result, err := r.Execute(t.Context(), runner.Request{Organization: "acme", Tool: "bad"})
	require.NoError(t, err)
	require.Equal(t, errclass.SyntaxError, result.Failure.Reason)
}

// A runner that began without JavaScript starts its sandbox when the first comes.
func TestPutOpensTheSandbox(t *testing.T) {
	r, err := runner.New(runner.Options{})
	require.NoError(t, err)
	require.Zero(t, r.Stats().Sandbox.Live)
	require.NoError(t, r.Put(owned("acme", "first", "return 1")))
	require.Equal(t, "1", value(t, r, "acme", "first"))
	require.Positive(t, r.Stats().Sandbox.Live)
	require.NoError(t, r.Close(context.Background()))
	other, err := runner.New(runner.Options{})
	require.NoError(t, err)
	require.NoError(t, other.Close(context.Background()))
	require.ErrorContains(t, other.Put(owned("acme", "late", "return 1")), "shutting down")
}

func TestReplace(t *testing.T) {
	limited := owned("", "limited", "return 1")
	limited.Configuration.RateLimit.RequestsPerHour = 1
	r, err := runner.New(runner.Options{Tools: []*runner.Definition{limited, owned("", "gone", "return 1")}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close(context.Background())) })
	require.NoError(t, r.Put(owned("acme", "theirs", "return 'theirs'")))
	require.Equal(t, "1", value(t, r, "", "limited"))

	require.NoError(t, r.Replace([]*runner.Definition{limited, owned("", "new", "return 2")}))
	require.Equal(t, []string{"RATE_LIMITED", "2", "NOT_FOUND", `"theirs"`},
		[]string{value(t, r, "", "limited"), value(t, r, "", "new"), value(t, r, "", "gone"), value(t, r, "acme", "theirs")})

	for want, defs := range map[string][]*runner.Definition{
		"/name is taken":  {owned("", "new", "return 3"), owned("", "new", "return 4")},
		"doesn't compile": {owned("", "new", "return 3"), owned("", "bad", "return ((")},
		"is nil":          {nil},
		"has a tool for":  {owned("acme", "theirs", "return 3")},
	} {
		require.ErrorContains(t, r.Replace(defs), want)
		require.Equal(t, []string{"limited", "new"}, names(r.Tools("")))
		require.Equal(t, "2", value(t, r, "", "new"), want)
	}
	require.NoError(t, r.Replace(nil))
	require.Equal(t, []string{"theirs"}, names(r.Tools("acme")))
}

// Definitions come and go while others run.
func TestCatalogHammer(t *testing.T) {
	r, err := runner.New(runner.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close(context.Background())) })
	var wg sync.WaitGroup
	for n := range 4 {
		wg.Go(func() {
			for i := range 30 {
				def := owned("acme", fmt.Sprint("t", n), fmt.Sprintf("return %d", i))
				require.NoError(t, r.Put(def))
				require.Equal(t, fmt.Sprint(i), value(t, r, "acme", def.Name))
				r.Tools("acme")
				if i%3 == 0 {
					r.Remove("acme", def.Name)
				}
			}
		})
	}
	wg.Wait()
	require.Len(t, r.Tools("acme"), 4)
}

func TestAdmit(t *testing.T) {
	def := owned("acme", "price", "return parameters.quantity")
	def.Parameters = json.RawMessage(`{"type":"object","required":["quantity"]}`)
	def.Configuration.RateLimit.RequestsPerMinute = 1
	off := owned("acme", "off", "return 1")
	off.Status = runner.Inactive
	r, err := runner.New(runner.Options{Tools: []*runner.Definition{def, off}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close(context.Background())) })
	request := runner.Request{Organization: "acme", Tool: "price", Parameters: []byte(`{"quantity":7}`)}
	for want, wrong := range map[errclass.Code]runner.Request{
		errclass.CodeNotFound:   {Organization: "other", Tool: "price"},
		errclass.CodeConflict:   {Organization: "acme", Tool: "off"},
		errclass.CodeBadRequest: {Organization: "acme", Tool: "price", Parameters: []byte(`{}`)},
	} {
		_, err := r.Admit(t.Context(), wrong)
		var api *errclass.APIError
		require.ErrorAs(t, err, &api)
		require.Equal(t, want, api.Code)
	}
	admitted, err := r.Admit(t.Context(), request)
	require.NoError(t, err)
	require.Same(t, def, admitted)
	_, err = r.Admit(t.Context(), request)
	require.ErrorContains(t, err, "Rate limit exceeded")

	request.RateSpent, request.ExecutionID = true, "named-before"
	result, err := r.Execute(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, []string{"named-before", "7"}, []string{result.ExecutionID, string(result.Value)})
}

// The lines come while the tool runs, without secrets.
func TestLogAsItComes(t *testing.T) {
	told := make(chan errclass.LogLine, 10)
	def := owned("", "talk", "console.log('one', credentials.token); await tools.invoke('quiet', {}); console.warn('two')")
	quiet := owned("", "quiet", "console.log('elsewhere')")
	for _, isolation := range []string{"process", "inline"} {
		opts := runner.Options{Tools: []*runner.Definition{def, quiet}, Credentials: map[string]any{"token": "s3cr3t-t0k3n"}}
		opts.Sandbox.Isolation = "process"
		if isolation == "inline" {
			opts.Sandbox.Isolation = "inline"
		}
		r, err := runner.New(opts)
		require.NoError(t, err)
		result, err := r.Execute(t.Context(), runner.Request{Tool: "talk", Log: func(line errclass.LogLine) { told <- line }})
		require.NoError(t, err)
		require.Nil(t, result.Failure)
		require.Equal(t, []errclass.LogLine{<-told, <-told}, result.Logs)
		require.Equal(t, "one [redacted]", result.Logs[0].Message)
		require.Empty(t, told)
		require.NoError(t, r.Close(context.Background()))
	}
}

// watcher notes what an observer is told.
type watcher struct {
	mu   sync.Mutex
	told []string
}

type watcherKey struct{}

func (w *watcher) Begin(ctx context.Context, e runner.Execution) (context.Context, func(*runner.Result, error)) {
	outer, _ := ctx.Value(watcherKey{}).(string)
	return context.WithValue(ctx, watcherKey{}, e.Tool), func(result *runner.Result, err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		outcome := fmt.Sprint(err)
		if err == nil {
			outcome = "success"
			if result.Failure != nil {
				outcome = string(result.Failure.Reason)
			}
		}
		w.told = append(w.told, fmt.Sprintf("%s in %q at %d, %s of %s: %s", e.Tool, outer, e.Depth, e.Type, e.Organization, outcome))
	}
}

func TestObserver(t *testing.T) {
	w := &watcher{}
	limited := owned("", "limited", "return 1")
	limited.Configuration.RateLimit.RequestsPerHour = 1
	r, err := runner.New(runner.Options{Observer: w, Tools: []*runner.Definition{
		limited, owned("", "outer", "return tools.invoke('limited', {})"), owned("", "throws", "throw 1"),
	}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close(context.Background())) })
	for _, tool := range []string{"outer", "throws", "limited", "unknown"} {
		_, _ = r.Execute(t.Context(), runner.Request{Organization: "acme", Tool: tool})
	}
	require.Equal(t, []string{
		`limited in "outer" at 1, javascript of acme: success`,
		`outer in "" at 0, javascript of acme: success`,
		`throws in "" at 0, javascript of acme: exception`,
		`limited in "" at 0, javascript of acme: Rate limit exceeded. Retry after 3600 seconds.`,
	}, w.told)
}

// What an observer puts into the context reaches the requests of the tool.
func TestTraceReachesUpstream(t *testing.T) {
	var seen []string
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Traceparent"))
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/there", http.StatusFound)
			return
		}
		fmt.Fprint(w, `{}`)
	}))
	defer upstream.Close()
	var ended []int
	ctx := httptool.WithTrace(t.Context(), func(req *http.Request) func(*http.Response, error) {
		req.Header.Set("Traceparent", "00-1-"+req.URL.Path)
		return func(resp *http.Response, err error) {
			require.NoError(t, err)
			ended = append(ended, resp.StatusCode)
		}
	})
	r, err := runner.New(runner.Options{
		Egress: httptool.Policy{Allow: []string{strings.TrimPrefix(upstream.URL, "http://")}},
		Tools: []*runner.Definition{{Name: "get", Type: runner.HTTP, ExecutionConfig: json.RawMessage(`{"followRedirects":true,"url":"` + upstream.URL + `/"}`)},
			{Name: "fetch", Type: runner.JavaScript, Code: `return (await fetch("` + upstream.URL + `/there")).status`}},
	})
	require.NoError(t, err)
	for _, tool := range []string{"get", "fetch"} {
		result, err := r.Execute(ctx, runner.Request{Tool: tool, Timeout: time.Minute})
		require.NoError(t, err)
		require.Nil(t, result.Failure)
	}
	require.Equal(t, []string{"00-1-/", "00-1-/there", "00-1-/there"}, seen)
	require.Equal(t, []int{302, 200, 200}, ended)
	require.NoError(t, r.Close(context.Background()))
	upstream.CloseClientConnections()
}
