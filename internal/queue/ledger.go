package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ledger is a bucket whose reads see every write before them, and that takes several writes
// at once or none of them. Buckets as the client makes them are read from any copy.
type ledger struct {
	engine *Engine
	kv     jetstream.KeyValue
	stream jetstream.Stream
	prefix string // of the subjects
}

// ledger makes the bucket or opens it.
func (e *Engine) ledger(ctx context.Context, bucket string, history int64) (*ledger, error) {
	l := &ledger{engine: e, prefix: "$KV." + bucket + "."}
	s, err := e.stream(ctx, jetstream.StreamConfig{
		Name: "KV_" + bucket, Subjects: []string{l.prefix + ">"}, MaxMsgsPerSubject: history,
		Discard: jetstream.DiscardNew, AllowRollup: true, DenyDelete: true, AllowAtomicPublish: true,
	})
	if err != nil {
		return nil, err
	}
	if !s.CachedInfo().Config.AllowAtomicPublish { // an older server overlooks it
		return nil, e.tooOld()
	}
	l.stream = s
	if l.kv, err = e.js.KeyValue(ctx, bucket); err != nil {
		return nil, fmt.Errorf("queue: can't open %s: %w", bucket, err)
	}
	return l, nil
}

// get returns what a key holds and its revision, which a key that was removed has, too.
func (l *ledger) get(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	msg, err := l.stream.GetLastMsgForSubject(ctx, l.prefix+key)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("queue: can't read: %w", err)
	}
	if msg.Header.Get("KV-Operation") != "" {
		return nil, msg.Sequence, nil
	}
	return msg.Data, msg.Sequence, nil
}

// write is one of a commit: it puts a value, or with none removes the key and its history.
// The key must be at a revision.
type write struct {
	key      string
	value    []byte
	revision uint64
}

// errConflict says that a key was at another revision.
var errConflict = errors.New("queue: others write the same all the time")

// conflictPause spreads those who write the same.
const conflictPause = 5 * time.Millisecond

// commit does all writes in their order, or none: then the error is errConflict if a
// key was at another revision. It returns the revision of the last write; each one before it is
// one less.
//
// A server that dies in a commit may keep only the first of its writes, so the order has to
// leave something that can be told from a whole one.
func (l *ledger) commit(ctx context.Context, writes ...write) (uint64, error) {
	for {
		revision, err := l.tryCommit(ctx, writes)
		switch {
		case err == nil:
			return revision, nil
		case isCode(err, codeWrongRevision, codeWrongRevisionConstant):
			return 0, errConflict
		case !isCode(err, codeRevisionBusy, codeBatchIncomplete, codeBatchesInFlight) || !pause(ctx, conflictPause):
			return 0, fmt.Errorf("queue: can't write: %w", err)
		}
	}
}

func (l *ledger) tryCommit(ctx context.Context, writes []write) (uint64, error) {
	batch := uuid.NewString()
	for i, w := range writes {
		msg := l.message(w)
		if len(writes) > 1 { // a single write is whole by itself, and many times as fast
			msg.Header.Set("Nats-Batch-Id", batch)
			msg.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
			if i == len(writes)-1 {
				msg.Header.Set("Nats-Batch-Commit", "1")
			}
		}
		if i == len(writes)-1 {
			return l.engine.publish(ctx, msg)
		}
		if err := l.engine.conn.PublishMsg(msg); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("nothing to write")
}

func (l *ledger) message(w write) *nats.Msg {
	msg := nats.NewMsg(l.prefix + w.key)
	msg.Data = w.value
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(w.revision, 10))
	if w.value == nil {
		msg.Header.Set("KV-Operation", "PURGE")
		msg.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	}
	return msg
}

// publish sends a message to a stream and returns its sequence there. Unlike that of the
// client it asks once.
func (e *Engine) publish(ctx context.Context, msg *nats.Msg) (uint64, error) {
	answer, err := e.conn.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return 0, err
	}
	var ack struct {
		Error    *jetstream.APIError `json:"error"`
		Sequence uint64              `json:"seq"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return 0, fmt.Errorf("the answer of the NATS server can't be read: %w", err)
	}
	if ack.Error != nil {
		return 0, ack.Error
	}
	return ack.Sequence, nil
}

func (e *Engine) tooOld() error {
	return fmt.Errorf("queue: NATS server %s is too old: version 2.12 or later is needed", e.conn.ConnectedServerVersion())
}
