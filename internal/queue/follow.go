package queue

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/almyty-inc/toolrun/errclass"
)

// rereads are the pauses after which a follower looks at the record, whatever it has
// heard: messages can be lost. The last one repeats.
var rereads = []time.Duration{20 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond, time.Second}

// EventKind tells what an [Event] is.
type EventKind string

// The kinds of events.
const (
	StateEvent   EventKind = "state"   // Execution has a new state
	LogEvent     EventKind = "log"     // the tool wrote Log
	DeltaEvent   EventKind = "delta"   // Delta is a piece of a model's answer
	OutcomeEvent EventKind = "outcome" // Execution is done; the last event
)

// Event is what happens to an execution.
type Event struct {
	Kind      EventKind
	Execution Execution
	Log       errclass.LogLine
	Delta     string
}

// wireEvent is an event on its way. Ended and State only say that there is something
// to read.
type wireEvent struct {
	State State             `json:"state,omitempty"`
	Log   *errclass.LogLine `json:"log,omitempty"`
	Delta *string           `json:"delta,omitempty"`
}

// tell sends an event to who listens now. It may be lost.
func (x *Executions) tell(organization, id string, e wireEvent) {
	x.engine.conn.Publish(subjectOf("e", organization, id), encode(e))
}

// announce tells a record's state.
func (x *Executions) announce(r *record) {
	x.tell(r.Organization, r.ID, wireEvent{State: r.State})
}

// Wait returns the execution when it is done.
func (x *Executions) Wait(ctx context.Context, organization, id string) (done Execution, err error) {
	err = x.Follow(ctx, organization, id, func(e Event) error {
		done = e.Execution
		return nil
	})
	return done, err
}

// Follow calls fn with the present state, then with what happens, until the outcome.
// Logs and deltas from before aren't repeated, and may be lost. An error of fn ends it.
func (x *Executions) Follow(ctx context.Context, organization, id string, fn func(Event) error) error {
	if !validID(id) {
		return ErrNotFound
	}
	sub, err := x.engine.subscribe(subjectOf("e", organization, id))
	if err != nil {
		return err
	}
	defer sub.close()
	f := &follower{x: x, organization: organization, id: id, sub: sub, fn: fn}
	return f.follow(ctx)
}

type follower struct {
	x                *Executions
	organization, id string
	sub              *subscription
	fn               func(Event) error
	told             State // the last state that fn was told
	attempts         int
}

func (f *follower) follow(ctx context.Context) error {
	for i := 0; ; {
		done, err := f.read(ctx)
		if done || err != nil {
			return err
		}
		heard, err := f.listen(ctx, rereads[min(i, len(rereads)-1)])
		if err != nil {
			return err
		}
		if !heard {
			i++
		}
	}
}

// read tells the record's state if it is a new one.
func (f *follower) read(ctx context.Context) (done bool, err error) {
	r, err := f.x.find(ctx, f.organization, f.id)
	if err != nil {
		if ctx.Err() == nil && f.told != "" && passes(err) {
			return false, nil
		}
		return false, err
	}
	if r.State == Done {
		if err := f.rest(); err != nil {
			return false, err
		}
		return true, f.fn(Event{Kind: OutcomeEvent, Execution: r.execution()})
	}
	if r.State == f.told && r.Attempts == f.attempts {
		return false, nil
	}
	f.told, f.attempts = r.State, r.Attempts
	return false, f.fn(Event{Kind: StateEvent, Execution: r.execution()})
}

// rest hands on what has arrived already, before the outcome.
func (f *follower) rest() error {
	for {
		m := f.sub.arrived()
		if m == nil {
			return nil
		}
		if _, err := f.take(m); err != nil {
			return err
		}
	}
}

// listen hands on logs and deltas until there is a state to read, or the time is over.
func (f *follower) listen(ctx context.Context, patience time.Duration) (heard bool, err error) {
	for end := time.Now().Add(patience); ; {
		m, err := f.sub.next(ctx, time.Until(end))
		if m == nil || err != nil {
			return false, err
		}
		state, err := f.take(m)
		if state || err != nil {
			return state, err
		}
	}
}

// take hands on one message, or says that it tells of a state.
func (f *follower) take(m *nats.Msg) (state bool, err error) {
	var e wireEvent
	if json.Unmarshal(m.Data, &e) != nil {
		f.x.faults.Add(1)
		return false, nil
	}
	switch {
	case e.Log != nil:
		return false, f.fn(Event{Kind: LogEvent, Log: *e.Log})
	case e.Delta != nil:
		return false, f.fn(Event{Kind: DeltaEvent, Delta: *e.Delta})
	}
	return true, nil
}
