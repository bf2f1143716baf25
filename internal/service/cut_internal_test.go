package service

import (
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/runner"
)

// A worker that was stopped, or an outcome of such a one that is kept, made every later
// drain look incomplete.
func TestOnlyTheDrainCuts(t *testing.T) {
	s := &Server{log: slog.New(slog.DiscardHandler)}
	answer := func() {
		s.describe(httptest.NewRecorder(), &runner.Result{Failure: errclass.New(errclass.Cancelled, errclass.Shutdown, "")})
		s.answerOutcome(httptest.NewRecorder(), &queue.Outcome{Class: errclass.Cancelled, Reason: errclass.Shutdown}, false)
	}
	answer()
	require.NoError(t, s.cutOff())
	s.draining.Store(true)
	answer()
	require.EqualError(t, s.cutOff(), "service: cancelled 2 executions that outlasted the drain")
}
