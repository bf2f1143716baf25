package queue_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/runner"
)

func TestList(t *testing.T) {
	t.Parallel()
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{})
	work(t, x, queue.WorkerOptions{Runner: newTools()})
	var begun time.Time
	for i := range 30 {
		tool := []string{"echo", "fail", "broken"}[i%3]
		if i == 15 {
			time.Sleep(2 * time.Millisecond) // timestamps are in milliseconds
			begun = time.Now().Truncate(time.Millisecond)
		}
		wait(t, x, submit(t, x, queue.Submission{Tool: tool}).ID)
	}
	e, _, err := x.Submit(t.Context(), queue.Submission{Organization: "other", Tool: "echo"})
	require.NoError(t, err)
	_, err = x.Wait(t.Context(), "other", e.ID)
	require.NoError(t, err)

	count := func(f queue.Filter) (n int) {
		var last time.Time
		for {
			page, next, err := x.List(t.Context(), "acme", f)
			require.NoError(t, err)
			for _, e := range page {
				require.Equal(t, "acme", e.Organization)
				require.Nil(t, e.Outcome)
				require.True(t, last.IsZero() || !e.EndedAt.After(last))
				last = e.EndedAt
			}
			n += len(page)
			if next == "" {
				return n
			}
			require.Len(t, page, max(f.Limit, 1))
			f.Cursor = next
		}
	}
	for _, tt := range []struct {
		filter queue.Filter
		want   int
	}{
		{queue.Filter{}, 30},
		{queue.Filter{Limit: 7}, 30},
		{queue.Filter{Tool: "fail"}, 10},
		{queue.Filter{Class: errclass.HTTPError}, 10},
		{queue.Filter{Class: queue.Success}, 10},
		{queue.Filter{Class: errclass.Timeout}, 0},
		{queue.Filter{State: queue.Done}, 30},
		{queue.Filter{State: queue.Queued}, 0},
		{queue.Filter{Since: begun}, 15},
		{queue.Filter{Until: begun}, 15},
		{queue.Filter{Until: begun, Tool: "echo", Limit: 1}, 5},
	} {
		if tt.filter.Limit == 0 {
			tt.filter.Limit = 100
		}
		require.Equal(t, tt.want, count(tt.filter), "%+v", tt.filter)
	}
	_, _, err = x.List(t.Context(), "acme", queue.Filter{Cursor: "?"})
	require.ErrorIs(t, err, queue.ErrCursor)
	page, next, err := x.List(t.Context(), "nobody", queue.Filter{})
	require.NoError(t, err)
	require.Empty(t, page)
	require.Empty(t, next)
}

// An organization's few records are found among many of another.
func TestListAmongMany(t *testing.T) {
	t.Parallel()
	e := open(t, queue.Options{})
	x, err := e.Executions(t.Context(), queue.ExecutionsOptions{})
	require.NoError(t, err)
	keep := func(organization string, n int) {
		for i := range n {
			x.Record(organization, &runner.Result{ExecutionID: fmt.Sprintf("%d-%d", n, i), Value: json.RawMessage("1")}, runner.HTTP, time.Now())
			for x.Dropped() > 0 {
				t.Fatal("dropped")
			}
			if i%500 == 499 {
				becomes(t, "kept", func() bool {
					_, err := x.Get(t.Context(), organization, fmt.Sprintf("%d-%d", n, i))
					return err == nil
				})
			}
		}
	}
	keep("acme", 3)
	keep("big", 11_000)
	keep("acme", 4)
	require.NoError(t, x.Close())
	page, next, err := x.List(t.Context(), "acme", queue.Filter{Limit: 100})
	require.NoError(t, err)
	require.Len(t, page, 7)
	require.Empty(t, next)

	// A page that finds nothing within its budget says where to go on.
	pages, seen := 0, 0
	for f := (queue.Filter{Tool: "nothing"}); ; pages++ {
		page, next, err := x.List(t.Context(), "big", f)
		require.NoError(t, err)
		seen += len(page)
		if f.Cursor = next; next == "" {
			break
		}
	}
	require.Zero(t, seen)
	require.GreaterOrEqual(t, pages, 1)
	f, all := queue.Filter{Limit: 500}, map[string]bool{}
	for {
		page, next, err := x.List(t.Context(), "big", f)
		require.NoError(t, err)
		for _, e := range page {
			all[e.ID] = true
		}
		if f.Cursor = next; next == "" {
			break
		}
	}
	require.Len(t, all, 11_000)
}
