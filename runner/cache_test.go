package runner_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/runner"
)

// heldUpstream answers its status when it is told to, and counts.
type heldUpstream struct {
	hits   atomic.Int64
	status atomic.Int64
	answer chan struct{}
	runner *runner.Runner
}

func newHeldUpstream(t *testing.T, config ...string) *heldUpstream {
	h := &heldUpstream{answer: make(chan struct{})}
	h.status.Store(200)
	s := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		n := h.hits.Add(1)
		select {
		case <-h.answer:
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(h.status.Load()))
		fmt.Fprint(w, n)
	})
	def := parse(t, "name: c\ntype: http\nexecutionConfig: {url: '"+s.URL+"', queryParams: {q: '{{parameters.q}}'}"+strings.Join(config, "")+"}\nconfiguration: {cache: {enabled: true}}\n")
	h.runner = newRunner(t, runner.Options{Tools: []*runner.Definition{def}, Egress: policy(strings.TrimPrefix(s.URL, "http://"))})
	return h
}

// start runs n equal calls and returns their results when all have ended.
func (h *heldUpstream) start(ctx context.Context, t *testing.T, n int, request runner.Request) func() []*runner.Result {
	results := make([]*runner.Result, n)
	request.Tool = "c"
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var err error
			results[i], err = h.runner.Execute(ctx, request)
			require.NoError(t, err)
		})
	}
	return func() []*runner.Result { wg.Wait(); return results }
}

func (h *heldUpstream) await(t *testing.T, hits, running int) {
	require.Eventually(t, func() bool { return h.hits.Load() == int64(hits) && h.runner.Running() == running }, 10*time.Second, time.Millisecond)
	time.Sleep(20 * time.Millisecond) // those that wait for another count as running a little earlier
}

func TestEqualCallsShareOneRequest(t *testing.T) {
	h := newHeldUpstream(t)
	all := h.start(t.Context(), t, 50, runner.Request{})
	other := h.start(t.Context(), t, 1, runner.Request{Organization: "acme"})
	h.await(t, 2, 51)
	close(h.answer)
	cached := 0
	for _, result := range all() {
		require.Nil(t, result.Failure)
		require.Equal(t, all()[0].Value, result.Value)
		if result.Cached {
			cached++
		}
	}
	require.Equal(t, 49, cached)
	require.False(t, other()[0].Cached)
	require.EqualValues(t, 2, h.hits.Load())
}

// A failure of the upstream is that of all who wait, and of nobody who comes later.
func TestEqualCallsShareAFailure(t *testing.T) {
	h := newHeldUpstream(t)
	h.status.Store(404)
	all := h.start(t.Context(), t, 20, runner.Request{})
	h.await(t, 1, 20)
	close(h.answer)
	ids := map[string]bool{}
	for _, result := range all() {
		require.Equal(t, errclass.NotFound, result.Failure.Reason)
		ids[result.ExecutionID] = true
	}
	require.Len(t, ids, 20)
	require.EqualValues(t, 1, h.hits.Load())
	h.status.Store(200)
	require.Nil(t, h.start(t.Context(), t, 1, runner.Request{})()[0].Failure)
	require.EqualValues(t, 2, h.hits.Load())
}

// That the upstream is too slow for the tool is so for all who wait: they don't try
// in turns.
func TestEqualCallsShareATimeout(t *testing.T) {
	h := newHeldUpstream(t, ", timeout: 1000")
	all := h.start(t.Context(), t, 10, runner.Request{})
	h.await(t, 1, 10)
	for _, result := range all() {
		require.Equal(t, errclass.Timeout, result.Failure.Class)
		require.Contains(t, result.Failure.Detail, "the tool's request timeout")
	}
	require.EqualValues(t, 1, h.hits.Load())
}

// A caller who goes away, or whose time is up, takes nobody along.
func TestEqualCallsOutliveTheFirst(t *testing.T) {
	for name, leave := range map[string]func(context.CancelFunc) runner.Request{
		"cancelled": func(cancel context.CancelFunc) runner.Request {
			time.AfterFunc(200*time.Millisecond, cancel)
			return runner.Request{}
		},
		"out of time": func(context.CancelFunc) runner.Request { return runner.Request{Timeout: 200 * time.Millisecond} },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHeldUpstream(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			first := h.start(ctx, t, 1, leave(cancel))
			h.await(t, 1, 1)
			all := h.start(t.Context(), t, 20, runner.Request{})
			require.NotNil(t, first()[0].Failure)
			h.await(t, 2, 20)
			close(h.answer)
			for _, result := range all() {
				require.Nil(t, result.Failure)
				require.Equal(t, "2", string(result.Value))
			}
		})
	}
}

// One who waits for another's request keeps to his own deadline.
func TestEqualCallsKeepTheirDeadline(t *testing.T) {
	h := newHeldUpstream(t)
	first := h.start(t.Context(), t, 1, runner.Request{})
	h.await(t, 1, 1)
	impatient := h.start(t.Context(), t, 1, runner.Request{Timeout: 50 * time.Millisecond})()[0]
	require.Equal(t, errclass.Timeout, impatient.Failure.Class)
	require.Contains(t, impatient.Failure.Detail, "the request's timeout is 50ms")
	close(h.answer)
	require.Nil(t, first()[0].Failure)
}

// A cached tool that invokes itself with the same parameters doesn't wait for itself.
func TestEqualCallsNested(t *testing.T) {
	def := parse(t, "name: js\ntype: javascript\ncode: |\n  try { return 1 + await tools.invoke('js', parameters) } catch { return 1 }\nconfiguration: {cache: {enabled: true}}\n")
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{def}})
	result := execute(t, r, runner.Request{Tool: "js"})
	require.Nil(t, result.Failure)
	require.Equal(t, "9", string(result.Value), "until nesting is too deep")
	require.True(t, execute(t, r, runner.Request{Tool: "js"}).Cached)
}
