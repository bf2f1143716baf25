package queue

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/runner"
)

// Every state that a delivered job can meet. The one rule: nothing runs again that
// isn't idempotent and may have begun.
func TestJudge(t *testing.T) {
	t.Parallel()
	const mine, other = 7, 8
	running := func(attempts int) *record { return &record{State: Running, Job: mine, Attempts: attempts} }
	cancelled := running(1)
	cancelled.Cancel = true
	tests := []struct {
		name                         string
		record                       *record
		delivered, idempotent, known bool // known: the worker in the record is gone
		want                         verdict
	}{
		{"no record yet", nil, false, false, false, begin},
		{"no record, delivered before", nil, true, false, false, lost},
		{"no record, delivered before, idempotent", nil, true, true, false, begin},
		{"queued", &record{State: Queued, Job: mine}, false, false, false, begin},
		{"given back", &record{State: Queued, Job: mine}, true, false, false, begin},
		{"queued, of a copy", &record{State: Queued, Job: other}, false, false, false, begin},
		{"done", &record{State: Done, Job: mine}, false, true, false, settle},
		{"done, delivered again", &record{State: Done, Job: mine}, true, true, true, settle},
		{"a copy runs", &record{State: Running, Job: other, Attempts: 1}, true, true, true, later},
		{"somebody had it", running(1), true, true, false, ask},
		{"he is gone", running(1), true, false, true, lost},
		{"he is gone, idempotent", running(1), true, true, true, begin},
		{"the second is gone", running(2), true, true, true, begin},
		{"the third is gone", running(3), true, true, true, lost},
		{"he is gone, cancelled", cancelled, true, true, true, stop},
		{"cancelled, somebody has it", cancelled, true, true, false, ask},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, judge(tt.record, mine, tt.delivered, tt.idempotent, tt.known), tt.name)
	}
}

// An outcome survives being packed, whatever its documents have in common.
func TestOutcomePacking(t *testing.T) {
	t.Parallel()
	ended := func(r *runner.Result) Outcome {
		o, err := OutcomeOf(r)
		require.NoError(t, err)
		return o
	}
	long := make([]errclass.LogLine, 3)
	for i, o := range []Outcome{
		ended(&runner.Result{ExecutionID: "e", Value: []byte(`{"a":{"b":{}}}`)}),
		ended(&runner.Result{ExecutionID: "e", Value: []byte(`"}}}"`), Logs: long}),
		ended(&runner.Result{ExecutionID: "e", Failure: errclass.New(errclass.Timeout, errclass.Deadline, "}}")}),
		{Document: []byte(`{"a":1}`), Details: []byte(`{"b":1}`)},
		{Document: []byte(`{"a":1}`), Details: []byte(`{"a":1}`)},
		{Document: []byte(`1`), Details: []byte(`12`)},
	} {
		payload, s := o.pack()
		var got Outcome
		require.NoError(t, got.unpack(payload, s), i)
		require.Equal(t, string(o.Document), string(got.Document), i)
		require.Equal(t, string(o.Details), string(got.Details), i)
	}
	var o Outcome
	for _, s := range []shape{{Cut: 3}, {Cut: -1}, {Cut: 1, Braces: 65}, {Cut: 1, Braces: -1}} {
		require.Error(t, o.unpack([]byte("{}"), s))
	}
}
