package queue

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/runner"
)

// Defaults of [ExecutionsOptions].
const (
	DefaultAge            = 7 * 24 * time.Hour
	DefaultBytes          = 1 << 30
	DefaultLease          = 10 * time.Second
	DefaultIdempotencyAge = 24 * time.Hour
	DefaultQueueLimit     = 100_000
)

const (
	executionsStream  = "toolrun_executions"
	jobsStream        = "toolrun_jobs"
	webhooksStream    = "toolrun_webhooks"
	idempotencyBucket = "toolrun_idempotency"
	jobsSubjects      = "toolrun.jobs."     // and the lane, and the organization's token
	webhooksSubjects  = "toolrun.webhooks." // and the lane

	// recordHeader holds a record without its outcome, so that lists need no payloads.
	recordHeader = "Toolrun-Execution"
	// reservedJobs bounds the bytes of waiting jobs in memory, where a stream's bound is
	// set aside.
	reservedJobs = 256 << 20
	// headRoom is what a message needs beside its payload.
	headRoom = 8 << 10
	// publishTry bounds one attempt to publish; patience all of them, where the caller
	// sets no deadline.
	publishTry      = 5 * time.Second
	publishPatience = 30 * time.Second
)

// Errors of [Executions].
var (
	ErrEnded     = errors.New("queue: the execution has ended already")
	ErrKeyReused = errors.New("queue: the idempotency key was used for another request")
	ErrForgotten = errors.New("queue: the outcome of the request with this idempotency key is no longer kept")
	ErrQueueFull = errors.New("queue: too many executions wait already")
	// errChanged: the record was changed by somebody else.
	errChanged = errors.New("queue: the record has changed")
)

// codeStoreFailed is the server's word for a stream that is full, among others.
const codeStoreFailed jetstream.ErrorCode = 10077

// ExecutionsOptions configures [Engine.Executions]. What is zero takes its default.
type ExecutionsOptions struct {
	// Age and Bytes bound how long, and how many bytes of, executions are kept; the
	// oldest go first. They default to 7 days and 1 GiB.
	Age   time.Duration
	Bytes int64
	// Lease is how long a job is its worker's without a sign of life. Defaults to 10 s.
	Lease time.Duration
	// IdempotencyAge is how long idempotency keys hold. Defaults to 24 h.
	IdempotencyAge time.Duration
	// Queue is how many jobs may wait, three quarters of them of one organization, and
	// within Bytes where there is no cluster. Defaults to 100,000.
	Queue int
}

// Executions are what was asked to run, what runs, and what has ended. It is safe for
// concurrent use. Close it when done.
type Executions struct {
	engine  *Engine
	opts    ExecutionsOptions
	records jetstream.Stream
	jobs    jetstream.Stream
	hooks   jetstream.Stream
	keys    jetstream.KeyValue
	span    atomic.Pointer[span]

	recording chan *nats.Msg // records of synchronous executions on their way
	dropped   atomic.Uint64
	faults    atomic.Uint64
	closing   sync.Mutex
	closed    bool
	recorder  sync.WaitGroup
}

// Executions sets up the streams. Nodes of one cluster should agree on the options.
func (e *Engine) Executions(ctx context.Context, opts ExecutionsOptions) (*Executions, error) {
	setDefault(&opts.Age, DefaultAge)
	setDefault(&opts.Bytes, DefaultBytes)
	setDefault(&opts.Lease, DefaultLease)
	setDefault(&opts.IdempotencyAge, DefaultIdempotencyAge)
	setDefault(&opts.Queue, DefaultQueueLimit)
	if opts.Age < 0 || opts.Bytes < 0 || opts.Lease < 0 || opts.IdempotencyAge < 0 || opts.Queue < 0 {
		return nil, errors.New("queue: an option of the executions is negative; leave it zero for the default")
	}
	x := &Executions{engine: e, opts: opts, recording: make(chan *nats.Msg, recordsAhead)}
	if err := x.setUp(ctx); err != nil {
		return nil, err
	}
	x.recorder.Go(x.recordAll)
	return x, nil
}

func setDefault[T ~int | ~int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func (x *Executions) setUp(ctx context.Context) (err error) {
	x.records, err = x.engine.stream(ctx, jetstream.StreamConfig{
		Name: executionsStream, Subjects: []string{"toolrun.x.*.*"}, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardOld,
		MaxAge: x.opts.Age, MaxBytes: x.opts.Bytes, AllowDirect: true, Duplicates: min(x.opts.Age, 2*time.Minute),
	})
	if err != nil {
		return err
	}
	waiting := x.opts.Bytes
	switch {
	case x.engine.opts.URL != "": // a cluster would set it aside; its accounts have limits
		waiting = 0
	case x.engine.storage() == jetstream.MemoryStorage:
		waiting = min(waiting, reservedJobs)
	}
	x.jobs, err = x.engine.stream(ctx, jetstream.StreamConfig{
		MaxBytes: waiting, Name: jobsStream, Subjects: []string{jobsSubjects + "*.*"}, Retention: jetstream.WorkQueuePolicy,
		MaxMsgs: int64(x.opts.Queue), Discard: jetstream.DiscardNew,
		MaxMsgsPerSubject: max(1, int64(x.opts.Queue)*3/4), DiscardNewPerSubject: true,
	})
	if err != nil {
		return err
	}
	x.hooks, err = x.engine.stream(ctx, jetstream.StreamConfig{
		Name: webhooksStream, Subjects: []string{webhooksSubjects + "*"}, Retention: jetstream.WorkQueuePolicy,
		MaxAge: x.opts.Age, // as the records that they tell of
	})
	if err != nil {
		return err
	}
	x.keys, err = x.engine.bucket(ctx, jetstream.KeyValueConfig{Bucket: idempotencyBucket, TTL: x.opts.IdempotencyAge})
	return err
}

// State is how far an execution is.
type State string

// The states.
const (
	Queued  State = "queued"
	Running State = "running"
	Done    State = "done"
)

// Execution is one execution as callers see it.
type Execution struct {
	ID, Organization, Tool        string
	Type                          runner.Type
	State                         State
	CreatedAt, StartedAt, EndedAt time.Time
	// Attempts is how often it was begun.
	Attempts int
	// Worker is who runs or ran it, for the operator.
	Worker string
	// Class and Reason are empty after a success.
	Class  errclass.Class
	Reason errclass.Reason
	// Outcome is nil until it is done, and in lists.
	Outcome *Outcome
	// Webhook is nil where none was asked for.
	Webhook *Delivery
}

// Delivery is how far an execution's webhook is.
type Delivery struct {
	State    string `json:"state"` // pending, delivered or failed
	Attempts int    `json:"attempts"`
	Status   int    `json:"status,omitempty"` // the last answer's
	Error    string `json:"error,omitempty"`  // why the last attempt failed, and what to do
}

// MarshalJSON is [Execution.JSON] without details.
func (x Execution) MarshalJSON() ([]byte, error) { return x.JSON(false) }

// JSON is the execution's document, with the outcome's details for who asked for them.
func (x Execution) JSON(details bool) ([]byte, error) {
	var outcome json.RawMessage
	if x.Outcome != nil {
		outcome = x.Outcome.Document
		if details {
			outcome = x.Outcome.Details
		}
	}
	return json.Marshal(struct {
		ID           string          `json:"id"`
		Organization string          `json:"organization,omitempty"`
		Tool         string          `json:"tool"`
		Type         runner.Type     `json:"type,omitempty"`
		State        State           `json:"state"`
		CreatedAt    string          `json:"createdAt,omitempty"`
		StartedAt    string          `json:"startedAt,omitempty"`
		EndedAt      string          `json:"endedAt,omitempty"`
		Attempts     int             `json:"attempts"`
		Class        errclass.Class  `json:"class,omitempty"`
		Reason       errclass.Reason `json:"reason,omitempty"`
		Outcome      json.RawMessage `json:"outcome,omitempty"`
		Webhook      *Delivery       `json:"webhook,omitempty"`
	}{x.ID, x.Organization, x.Tool, x.Type, x.State, stamp(x.CreatedAt), stamp(x.StartedAt), stamp(x.EndedAt),
		x.Attempts, x.Class, x.Reason, outcome, x.Webhook})
}

// stamp is RFC 3339 with milliseconds; empty for no time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z07:00")
}

// record is an execution as it is kept. All but outcome is in the header.
type record struct {
	ID           string          `json:"id"`
	Organization string          `json:"org,omitempty"`
	Tool         string          `json:"tool"`
	Type         runner.Type     `json:"type,omitempty"`
	State        State           `json:"state"`
	Created      int64           `json:"created,omitempty"` // milliseconds of the epoch
	Started      int64           `json:"started,omitempty"`
	Ended        int64           `json:"ended,omitempty"`
	Attempts     int             `json:"attempts,omitempty"`
	Worker       string          `json:"worker,omitempty"`
	Caller       string          `json:"caller,omitempty"`
	Job          uint64          `json:"job,omitempty"`    // the job message's sequence
	By           string          `json:"by,omitempty"`     // the worker whose outcome it is
	Cancel       bool            `json:"cancel,omitempty"` // somebody wants it to end
	Class        errclass.Class  `json:"class,omitempty"`
	Reason       errclass.Reason `json:"reason,omitempty"`
	Retryable    bool            `json:"retryable,omitempty"`
	RetryAfterMs int64           `json:"retryAfterMs,omitempty"`
	Webhook      *webhook        `json:"webhook,omitempty"`
	Shape        shape           `json:"shape,omitzero"`

	outcome  *Outcome
	revision uint64 // sequence of the message; 0: not kept yet
}

// webhook is a record's webhook.
type webhook struct {
	Delivery
	URL  string `json:"url"`
	Next int64  `json:"next,omitempty"` // not before this millisecond
}

func (r *record) execution() Execution {
	x := Execution{
		ID: r.ID, Organization: r.Organization, Tool: r.Tool, Type: r.Type, State: r.State,
		CreatedAt: moment(r.Created), StartedAt: moment(r.Started), EndedAt: moment(r.Ended),
		Attempts: r.Attempts, Worker: r.Worker, Class: r.Class, Reason: r.Reason, Outcome: r.outcome,
	}
	if r.Webhook != nil {
		delivery := r.Webhook.Delivery
		x.Webhook = &delivery
	}
	return x
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

func now() int64 { return time.Now().UnixMilli() }

// end makes the record a finished one.
func (r *record) end(o Outcome) {
	r.State, r.Ended = Done, now()
	r.Class, r.Reason, r.Retryable, r.RetryAfterMs = o.Class, o.Reason, o.Retryable, o.RetryAfterMs
	r.outcome = &o
}

// age is how long ago the execution was accepted.
func (r *record) age() time.Duration { return time.Since(moment(r.Created)) }

// message is the record as it is stored.
func (r *record) message() (*nats.Msg, error) {
	m := &nats.Msg{Subject: subjectOf("x", r.Organization, r.ID), Header: nats.Header{}}
	r.Shape = shape{}
	if r.outcome != nil {
		m.Data, r.Shape = r.outcome.pack()
	}
	head, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	m.Header[recordHeader] = []string{string(head)}
	return m, nil
}

// readRecord is the reverse of [record.message].
func readRecord(header nats.Header, data []byte, revision uint64) (*record, error) {
	r := &record{revision: revision}
	if err := json.Unmarshal([]byte(header.Get(recordHeader)), r); err != nil {
		return nil, fmt.Errorf("queue: a record is damaged: %w", err)
	}
	if r.State != Done || data == nil {
		return r, nil
	}
	r.outcome = &Outcome{ExecutionID: r.ID, Class: r.Class, Reason: r.Reason, Retryable: r.Retryable, RetryAfterMs: r.RetryAfterMs}
	return r, r.outcome.unpack(data, r.Shape)
}

// subjectOf is where messages of a kind about one execution go: x records, e events.
func subjectOf(kind, organization, id string) string {
	return "toolrun." + kind + "." + token(organization) + "." + id
}

// validID tells ids that may stand in a subject.
var validID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`).MatchString

// load reads a record. A replica that answers may be a moment behind; fresh asks the
// leader, who isn't.
func (x *Executions) load(ctx context.Context, organization, id string, fresh bool) (*record, error) {
	if !validID(id) {
		return nil, ErrNotFound
	}
	subject := subjectOf("x", organization, id)
	if fresh {
		return x.loadFresh(ctx, subject)
	}
	m, err := x.records.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return readRecord(m.Header, m.Data, m.Sequence)
}

func (x *Executions) loadFresh(ctx context.Context, subject string) (*record, error) {
	ctx, cancel := context.WithTimeout(ctx, publishTry)
	defer cancel()
	question, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return nil, err
	}
	reply, err := x.engine.conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+executionsStream, question)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Message *struct {
			Seq  uint64 `json:"seq"`
			Hdrs string `json:"hdrs"`
			Data []byte `json:"data"`
		} `json:"message"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, fmt.Errorf("queue: an answer of the NATS server can't be read: %w", err)
	}
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, ErrNotFound
	case answer.Error != nil:
		return nil, answer.Error
	case answer.Message == nil:
		return nil, errors.New("queue: the NATS server answered without a message")
	}
	raw, err := base64.StdEncoding.DecodeString(answer.Message.Hdrs)
	if err != nil {
		return nil, fmt.Errorf("queue: a record is damaged: %w", err)
	}
	header, err := nats.DecodeHeadersMsg(raw)
	if err != nil {
		return nil, fmt.Errorf("queue: a record is damaged: %w", err)
	}
	return readRecord(header, answer.Message.Data, answer.Message.Seq)
}

// save writes the record if nobody else has since it was read; else errChanged.
// After errChanged it may be this very record that is kept: an acknowledgement can be
// lost. Whoever cares compares.
func (x *Executions) save(ctx context.Context, r *record) error {
	m, err := r.message()
	if err != nil {
		return err
	}
	ack, err := x.publish(ctx, m, jetstream.WithExpectLastSequencePerSubject(r.revision))
	if isCode(err, jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return errChanged
	}
	if err != nil {
		return err
	}
	r.revision = ack.Sequence
	return nil
}

// publish repeats what a change of leaders or a lost connection may undo. All that is
// published so can be repeated: it has an id or an expected revision.
func (x *Executions) publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, publishPatience)
		defer cancel()
	}
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		try, cancel := context.WithTimeout(ctx, publishTry)
		ack, err := x.engine.js.PublishMsg(try, m, opts...)
		cancel()
		if err == nil || !passes(err) || !sleep(ctx, pause) {
			return ack, err
		}
	}
}

// sleep reports false where ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// outcomeLimit is how many bytes an outcome may take: what a message holds, and no more
// than a good part of the room that there is for all.
func (x *Executions) outcomeLimit() int {
	return max(min(x.engine.payloadLimit(), int(x.opts.Bytes/4)), headRoom)
}

// payloadLimit is how many bytes a message holds beside its header.
func (e *Engine) payloadLimit() int {
	return max(int(e.conn.MaxPayload())-headRoom, headRoom)
}

// Get returns an execution.
func (x *Executions) Get(ctx context.Context, organization, id string) (Execution, error) {
	r, err := x.find(ctx, organization, id)
	if err != nil {
		return Execution{}, err
	}
	return r.execution(), nil
}

// find is load, which doesn't take the word of a replica that there is none, nor that of a
// record whose job is lost.
func (x *Executions) find(ctx context.Context, organization, id string) (*record, error) {
	r, err := x.load(ctx, organization, id, false)
	if errors.Is(err, ErrNotFound) && validID(id) && x.engine.replicas() > 1 {
		r, err = x.load(ctx, organization, id, true)
	}
	if err != nil {
		return nil, err
	}
	return x.endOrphan(ctx, r), nil
}

// Cancel asks for an end. What waits ends at once; what runs ends when its worker
// hears of it. The error is ErrEnded where it has ended, ErrNotFound, or NATS's.
func (x *Executions) Cancel(ctx context.Context, organization, id string) (Execution, error) {
	for fresh := false; ; fresh = true {
		r, err := x.load(ctx, organization, id, fresh || x.engine.replicas() > 1)
		if err != nil {
			return Execution{}, err
		}
		if r.State == Done {
			return r.execution(), ErrEnded
		}
		again := r.Cancel
		r.Cancel = true
		if r.State == Queued {
			r.end(failed(r.ID, r.Tool, errclass.New(errclass.Cancelled, errclass.CallerCancelled, "before it ran"), r.age()))
		}
		if !again || r.State == Done {
			err = x.save(ctx, r)
		}
		if errors.Is(err, errChanged) {
			continue
		}
		if err != nil {
			return Execution{}, err
		}
		if r.State == Done {
			x.announce(r)
			return r.execution(), x.sendWebhook(ctx, r)
		}
		// The worker looks at the record too, only later.
		x.engine.conn.Publish(controlSubject(r.Worker), encode(control{Cancel: runKey(organization, id)}))
		return r.execution(), nil
	}
}

// encode is for our own types, all of which can be JSON.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// Depth is how many jobs wait and how many are with workers.
func (x *Executions) Depth(ctx context.Context) (waiting, running int, err error) {
	info, err := x.jobs.Info(ctx)
	if err != nil {
		return 0, 0, err
	}
	waiting = int(info.State.Msgs)
	for consumers := x.jobs.ListConsumers(ctx); ; {
		c, more := <-consumers.Info()
		if !more {
			return max(waiting-running, 0), running, consumers.Err() // the two were asked one after the other
		}
		running += c.NumAckPending
	}
}

// lanes is in how many queues the organizations' jobs and webhooks stand. Workers take from
// all of them in turn, so that a flood delays those alone whom chance put beside it.
const lanes = 16

// laneOf is where an organization stands.
func laneOf(organization string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(organization))
	return h.Sum32() % lanes
}

// jobSubject is where the jobs of an organization are.
func jobSubject(organization string) string {
	return fmt.Sprintf("%s%x.%s", jobsSubjects, laneOf(organization), token(organization))
}

// webhookSubject is where the webhooks of an organization are.
func webhookSubject(organization string) string {
	return fmt.Sprintf("%s%x", webhooksSubjects, laneOf(organization))
}

func laneSubjects(lane int) string { return fmt.Sprintf("%s%x.*", jobsSubjects, lane) }
func laneConsumer(lane int) string { return fmt.Sprintf("workers-%x", lane) }

// Dropped is how many records of synchronous executions were not kept, because NATS
// was slow. Faults is how many messages made no sense.
func (x *Executions) Dropped() uint64 { return x.dropped.Load() }

// Faults is how many messages couldn't be read.
func (x *Executions) Faults() uint64 { return x.faults.Load() }
