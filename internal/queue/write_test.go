package queue_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/queue"
)

// The store refuses an outcome at first: it is kept for when it does take it.
func TestOutcomeRefused(t *testing.T) {
	t.Parallel()
	log := &lines{}
	e := open(t, queue.Options{Logger: slog.New(slog.NewTextHandler(log, nil))})
	x := executions(t, e, queue.ExecutionsOptions{Lease: 200 * time.Millisecond})
	f := newTools()
	work(t, x, queue.WorkerOptions{Runner: f})
	hold := func(p plan) string {
		id := submit(t, x, queue.Submission{Tool: "hold", Parameters: parameters(t, p)}).ID
		require.Equal(t, id, <-f.entered)
		return id
	}
	t.Run("for a while", func(t *testing.T) {
		id := hold(plan{})
		require.NoError(t, x.Records(t.Context(), func(cfg *jetstream.StreamConfig) { cfg.Discard, cfg.MaxBytes = jetstream.DiscardNew, 1 }))
		f.release <- struct{}{}
		becomes(t, "it is tried", func() bool { return strings.Contains(log.String(), "a record can't be written yet") })
		require.NoError(t, x.Records(t.Context(), func(cfg *jetstream.StreamConfig) {
			cfg.Discard, cfg.MaxBytes = jetstream.DiscardOld, queue.DefaultBytes
		}))
		require.Empty(t, wait(t, x, id).Class)
	})
	t.Run("the store is made anew", func(t *testing.T) {
		id := hold(plan{})
		require.NoError(t, x.Records(t.Context(), nil))
		f.release <- struct{}{}
		becomes(t, "it is kept", func() bool {
			e, err := x.Get(t.Context(), "acme", id)
			return err == nil && e.State == queue.Done && e.Class == ""
		})
	})
	t.Run("for its size", func(t *testing.T) {
		id := hold(plan{Size: 8 << 10})
		require.NoError(t, x.Records(t.Context(), func(cfg *jetstream.StreamConfig) { cfg.MaxMsgSize = 4 << 10 }))
		f.release <- struct{}{}
		done := wait(t, x, id)
		require.Equal(t, []any{errclass.InternalError, errclass.Unclassified}, []any{done.Class, done.Reason})
		require.Contains(t, string(done.Outcome.Document), id)
	})
	empties(t, x)
	require.EqualValues(t, 3, f.runs.Load())
}
