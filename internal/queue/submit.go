package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/runner"
)

const (
	// maxWebhookURL bounds the address of a webhook, which is kept in a header, where
	// JSON may write six bytes for one.
	maxWebhookURL = 1000
	// recordsAhead is how many records of synchronous executions may wait for NATS.
	recordsAhead = 1024
	// recordsUnacknowledged bounds those of them that are with NATS.
	recordsUnacknowledged = 256
)

// Submission asks for an asynchronous execution. Its tool and parameters should have
// been checked and the rate been spent.
type Submission struct {
	ID                 string // empty: a new one
	Organization, Tool string
	Type               runner.Type
	Parameters         json.RawMessage
	Timeout            time.Duration
	// IdempotencyKey makes equal requests one execution; Fingerprint is a hash of what
	// must be equal.
	IdempotencyKey, Fingerprint string
	Webhook                     string // where the outcome is sent; may be empty
	Traceparent                 string
	Caller                      string
}

// job is a submission on its way to a worker.
type job struct {
	ID           string          `json:"id"`
	Organization string          `json:"org,omitempty"`
	Tool         string          `json:"tool"`
	Type         runner.Type     `json:"type,omitempty"`
	Parameters   json.RawMessage `json:"parameters,omitempty"`
	TimeoutMs    int64           `json:"timeoutMs,omitempty"`
	Webhook      string          `json:"webhook,omitempty"`
	Traceparent  string          `json:"traceparent,omitempty"`
	Caller       string          `json:"caller,omitempty"`
	Created      int64           `json:"created"`
}

func (j *job) record() *record {
	r := &record{
		ID: j.ID, Organization: j.Organization, Tool: j.Tool, Type: j.Type, State: Queued, Created: j.Created, Caller: j.Caller,
	}
	if j.Webhook != "" {
		r.Webhook = &webhook{URL: j.Webhook, Delivery: Delivery{State: "pending"}}
	}
	return r
}

// Submit accepts an execution: when it returns without an error, there will be an
// outcome. replayed says that the idempotency key was used for it before. The error may
// be ErrKeyReused, ErrForgotten, ErrQueueFull, an [*errclass.APIError] of a submission
// that can't be sent, or NATS's; after one of NATS's it may still run.
func (x *Executions) Submit(ctx context.Context, s Submission) (execution Execution, replayed bool, err error) {
	if s.ID == "" {
		s.ID = newID()
	}
	if !validID(s.ID) {
		return Execution{}, false, errors.New("queue: Submission.ID is no id")
	}
	if len(s.Webhook) > maxWebhookURL {
		return Execution{}, false, errclass.NewAPIError(errclass.CodeBadRequest, "The webhook's address is longer than %d bytes: send a shorter one", maxWebhookURL)
	}
	j := &job{
		ID: s.ID, Organization: s.Organization, Tool: s.Tool, Type: s.Type, Parameters: s.Parameters, TimeoutMs: milliseconds(s.Timeout),
		Webhook: s.Webhook, Traceparent: s.Traceparent, Caller: s.Caller, Created: now(),
	}
	if s.IdempotencyKey == "" {
		execution, err = x.accept(ctx, j, nil)
		return execution, false, err
	}
	return x.submitOnce(ctx, j, s)
}

// milliseconds rounds up: a timeout of less than one is no unlimited one.
func milliseconds(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString()
	}
	return id.String()
}

// submitOnce is Submit with an idempotency key. Whoever finds the entry of another
// request finishes what that one began, which does nothing where it has been done.
func (x *Executions) submitOnce(ctx context.Context, j *job, s Submission) (Execution, bool, error) {
	e, err := x.reserve(ctx, s)
	if err != nil {
		return Execution{}, false, err
	}
	if e.Fingerprint != s.Fingerprint {
		return Execution{}, false, ErrKeyReused
	}
	replayed := e.ID != j.ID
	j.ID = e.ID
	if !replayed {
		execution, err := x.accept(ctx, j, e)
		return execution, false, err
	}
	r, err := x.recall(ctx, j.Organization, e)
	if err == nil {
		return r.execution(), true, nil
	}
	if !errors.Is(err, ErrNotFound) {
		return Execution{}, true, err
	}
	execution, err := x.accept(ctx, j, e)
	return execution, true, err
}

// Find returns the execution that a submission's idempotency key stands for already. The
// error is ErrNotFound where Submit has something to do, else as Submit's.
func (x *Executions) Find(ctx context.Context, s Submission) (Execution, error) {
	e, err := x.readEntry(ctx, entryKey(s))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Execution{}, ErrNotFound
	}
	if err != nil {
		return Execution{}, err
	}
	if e.Fingerprint != s.Fingerprint {
		return Execution{}, ErrKeyReused
	}
	r, err := x.recall(ctx, s.Organization, e)
	if err != nil {
		return Execution{}, err
	}
	return r.execution(), nil
}

// entry is what is known of an idempotency key.
type entry struct {
	Fingerprint string `json:"fingerprint"`
	ID          string `json:"id"`
	// Accepted says that job and record have been made: where there is no record any
	// more, retention took it, and the tool must not run again.
	Accepted bool `json:"accepted,omitempty"`

	key      string
	revision uint64
	made     time.Time
}

// recallPatience bounds how long a record is looked for that was there once.
const recallPatience = 2 * time.Second

// recall reads the record that an entry stands for. The error is ErrNotFound where it was
// not made yet, ErrForgotten where it is gone. A server that has just become the leader may
// not have caught up with what others have confirmed: it isn't believed at once.
func (x *Executions) recall(ctx context.Context, organization string, e *entry) (*record, error) {
	for end := time.Now().Add(recallPatience); ; {
		r, err := x.load(ctx, organization, e.ID, true)
		if err == nil {
			return x.endOrphan(ctx, r), nil
		}
		if !errors.Is(err, ErrNotFound) {
			return nil, err
		}
		if !e.Accepted {
			return nil, x.neverKept(ctx, e)
		}
		if x.engine.replicas() == 1 || time.Now().After(end) {
			return nil, ErrForgotten
		}
		if !sleep(ctx, 50*time.Millisecond) {
			return nil, ctx.Err()
		}
	}
}

// neverKept is ErrNotFound where the record of an entry that nobody marked wasn't made.
// Its submitter may also have died before the mark, and retention have taken the record:
// where that can be, the error is ErrForgotten, for the tool must not run again.
func (x *Executions) neverKept(ctx context.Context, e *entry) error {
	info, err := x.records.Info(ctx)
	if err != nil {
		return err
	}
	s := info.State
	written := s.LastTime.After(e.made)
	taken := s.Msgs == 0 || s.FirstTime.After(e.made) // all from before, or changed since
	short := int64(s.Bytes) >= x.opts.Bytes/2 || time.Since(e.made) > x.opts.Age
	if written && taken && short {
		return ErrForgotten
	}
	return ErrNotFound
}

// reserve binds the key to the submission, or returns to what it is bound already.
func (x *Executions) reserve(ctx context.Context, s Submission) (*entry, error) {
	mine := &entry{Fingerprint: s.Fingerprint, ID: s.ID, key: entryKey(s)}
	ctx, cancel := context.WithTimeout(ctx, publishPatience)
	defer cancel()
	for {
		try, stop := context.WithTimeout(ctx, publishTry)
		found, err := x.reserveOnce(try, mine)
		stop()
		if err == nil {
			return found, nil
		}
		// A replica may not know yet what the leader has.
		if !passes(err) && !errors.Is(err, jetstream.ErrKeyNotFound) || !sleep(ctx, 20*time.Millisecond) {
			return nil, err
		}
	}
}

func (x *Executions) reserveOnce(ctx context.Context, mine *entry) (*entry, error) {
	revision, err := x.keys.Create(ctx, mine.key, encode(mine))
	if err == nil {
		mine.revision = revision
		return mine, nil
	}
	if !errors.Is(err, jetstream.ErrKeyExists) && !isCode(err, jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return nil, err
	}
	return x.readEntry(ctx, mine.key)
}

// entryKey is where what is known of a submission's idempotency key is kept.
func entryKey(s Submission) string {
	sum := sha256.Sum256([]byte(token(s.Organization) + "\x00" + s.IdempotencyKey))
	return hex.EncodeToString(sum[:])
}

func (x *Executions) readEntry(ctx context.Context, key string) (*entry, error) {
	kept, err := x.keys.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	found := &entry{key: key, revision: kept.Revision(), made: kept.Created()}
	if err := json.Unmarshal(kept.Value(), found); err != nil {
		return nil, fmt.Errorf("queue: an idempotency entry is damaged: %w", err)
	}
	return found, nil
}

// accept publishes the job and then the record. The job comes first: a record without
// one would say "queued" for ever.
func (x *Executions) accept(ctx context.Context, j *job, e *entry) (Execution, error) {
	sequence, err := x.enqueue(ctx, j)
	if err != nil {
		return Execution{}, err
	}
	return x.admit(ctx, j, sequence, e)
}

// enqueue publishes the job. Within minutes, the same job again is no second one.
func (x *Executions) enqueue(ctx context.Context, j *job) (uint64, error) {
	data := encode(j)
	if limit := x.engine.payloadLimit(); len(data) > limit {
		return 0, errclass.NewAPIError(errclass.CodePayloadTooLarge, "The parameters exceed %d bytes, what a message of the NATS server (max_payload) holds", limit)
	}
	m := &nats.Msg{Subject: jobSubject(j.Organization), Data: data, Header: nats.Header{}}
	ack, err := x.publish(ctx, m, jetstream.WithMsgID(messageID(j.Organization, j.ID)))
	if isCode(err, codeStoreFailed) && strings.Contains(err.Error(), "maximum ") { // messages, of one subject or all, or bytes
		return 0, ErrQueueFull
	}
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

func messageID(organization, id string) string { return token(organization) + "." + id }

// admit writes the record, unless a worker has been faster, and marks the key.
func (x *Executions) admit(ctx context.Context, j *job, sequence uint64, e *entry) (Execution, error) {
	r := j.record()
	r.Job = sequence
	if err := x.save(ctx, r); err != nil && !errors.Is(err, errChanged) {
		return Execution{}, err
	}
	if e != nil {
		done := *e
		done.Accepted = true
		// Without the mark the record speaks for itself, as long as it is kept.
		if _, err := x.keys.Update(ctx, e.key, encode(done), e.revision); err != nil && !isCode(err, jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
			x.engine.log.Warn("an idempotency key is not marked as accepted", "error", err)
		}
	}
	return r.execution(), nil
}

// Record keeps a synchronous execution that has ended. It never waits: what NATS is too
// slow for is dropped and counted.
func (x *Executions) Record(organization string, result *runner.Result, kind runner.Type, created time.Time) {
	o, err := outcomeOf(result, kind, x.outcomeLimit())
	if err != nil {
		x.dropped.Add(1)
		return
	}
	x.RecordOutcome(organization, result.Tool, kind, o, created)
}

// RecordOutcome is [Executions.Record] for an execution that ran elsewhere.
func (x *Executions) RecordOutcome(organization, tool string, kind runner.Type, o Outcome, created time.Time) {
	r := &record{
		ID: o.ExecutionID, Organization: organization, Tool: tool, Type: kind, Created: created.UnixMilli(),
		Started: created.UnixMilli(), Attempts: 1,
	}
	r.end(o)
	m, err := r.message()
	if err != nil || !validID(r.ID) {
		x.dropped.Add(1)
		return
	}
	x.closing.Lock()
	defer x.closing.Unlock()
	if x.closed {
		x.dropped.Add(1)
		return
	}
	select {
	case x.recording <- m:
	default:
		x.dropped.Add(1)
	}
}

// recordAll publishes what Record was given, a bounded number at a time.
func (x *Executions) recordAll() {
	flights := make(chan struct{}, recordsUnacknowledged)
	for m := range x.recording {
		flights <- struct{}{}
		future, err := x.engine.js.PublishMsgAsync(m)
		if err != nil {
			x.dropped.Add(1)
			<-flights
			continue
		}
		go x.settle(future, flights)
	}
	for range cap(flights) {
		flights <- struct{}{}
	}
}

func (x *Executions) settle(future jetstream.PubAckFuture, flights chan struct{}) {
	defer func() { <-flights }()
	t := time.NewTimer(publishTry)
	defer t.Stop()
	select {
	case <-future.Ok():
	case <-future.Err():
		x.dropped.Add(1)
	case <-t.C:
		x.dropped.Add(1)
	}
}

// Close waits until what Record was given is kept. It may be called again, and comes
// before the engine's Close.
func (x *Executions) Close() error {
	x.closing.Lock()
	if !x.closed {
		x.closed = true
		close(x.recording)
	}
	x.closing.Unlock()
	x.recorder.Wait()
	return nil
}
