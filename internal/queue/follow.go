package queue

import (
	"context"
	"encoding/json"
	"strconv"
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

// wireEvent is a log line or a delta on its way. A new state travels as its record.
type wireEvent struct {
	Log   *errclass.LogLine `json:"log,omitempty"`
	Delta *string           `json:"delta,omitempty"`
}

const (
	revisionHeader = "Toolrun-Revision"
	// maxToldOutcome is how many bytes of an outcome are sent along with the news of it.
	// Whoever wants a larger one reads it.
	maxToldOutcome = 32 << 10
)

// tell sends an event to who listens now. It may be lost.
func (x *Executions) tell(organization, id string, e wireEvent) {
	x.engine.conn.Publish(subjectOf("e", organization, id), encode(e))
}

// announce tells a record that has been saved.
func (x *Executions) announce(r *record) {
	m, err := r.message()
	if err != nil {
		return
	}
	m.Subject = subjectOf("e", r.Organization, r.ID)
	m.Header[revisionHeader] = []string{strconv.FormatUint(r.revision, 10)}
	if len(m.Data) > maxToldOutcome {
		m.Data = nil
	}
	x.engine.conn.PublishMsg(m)
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
	revision         uint64
	done             bool
}

func (f *follower) follow(ctx context.Context) error {
	if err := f.read(ctx); err != nil {
		return err
	}
	for i := 0; !f.done; i++ {
		if err := f.listen(ctx, rereads[min(i, len(rereads)-1)]); err != nil {
			return err
		}
		if f.done {
			return nil
		}
		if err := f.read(ctx); err != nil && (ctx.Err() != nil || !passes(err)) {
			return err
		}
	}
	return nil
}

// read tells the record's state if it is a new one.
func (f *follower) read(ctx context.Context) error {
	r, err := f.x.find(ctx, f.organization, f.id)
	if err != nil {
		return err
	}
	return f.see(r)
}

func (f *follower) see(r *record) error {
	if f.done || r.revision < f.revision { // a replica that is behind, or an old message
		return nil
	}
	f.revision = r.revision
	if r.State == Done {
		if err := f.rest(); err != nil {
			return err
		}
		f.done = true
		return f.fn(Event{Kind: OutcomeEvent, Execution: r.execution()})
	}
	if r.State == f.told && r.Attempts == f.attempts {
		return nil
	}
	f.told, f.attempts = r.State, r.Attempts
	return f.fn(Event{Kind: StateEvent, Execution: r.execution()})
}

// rest hands on the logs and deltas that have arrived already, before the outcome.
func (f *follower) rest() error {
	for m := f.sub.arrived(); m != nil; m = f.sub.arrived() {
		if m.Header.Get(recordHeader) != "" {
			continue
		}
		if err := f.takeText(m); err != nil {
			return err
		}
	}
	return nil
}

// listen hands on what comes until the outcome, or until there is something to read.
func (f *follower) listen(ctx context.Context, patience time.Duration) error {
	for end := time.Now().Add(patience); !f.done; {
		m, err := f.sub.next(ctx, time.Until(end))
		if m == nil || err != nil {
			return err
		}
		if m.Header.Get(recordHeader) == "" {
			if err := f.takeText(m); err != nil {
				return err
			}
			continue
		}
		r, err := toldRecord(m)
		if err != nil {
			f.x.faults.Add(1)
			continue
		}
		if r.State == Done && r.outcome == nil { // too large to be told
			return nil
		}
		if err := f.see(r); err != nil {
			return err
		}
	}
	return nil
}

func toldRecord(m *nats.Msg) (*record, error) {
	revision, err := strconv.ParseUint(m.Header.Get(revisionHeader), 10, 64)
	if err != nil {
		return nil, err
	}
	if len(m.Data) == 0 {
		m.Data = nil
	}
	return readRecord(m.Header, m.Data, revision)
}

// takeText hands on a log line or a delta.
func (f *follower) takeText(m *nats.Msg) error {
	var e wireEvent
	if json.Unmarshal(m.Data, &e) != nil {
		f.x.faults.Add(1)
		return nil
	}
	switch {
	case e.Log != nil:
		return f.fn(Event{Kind: LogEvent, Log: *e.Log})
	case e.Delta != nil:
		return f.fn(Event{Kind: DeltaEvent, Delta: *e.Delta})
	}
	return nil
}
