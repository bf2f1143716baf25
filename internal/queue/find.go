package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/almyty-inc/toolrun/runner"
)

// Find returns the execution that a submission's idempotency key stands for already. The
// error is ErrNotFound where Submit has something to do, else as Submit's.
func (x *Executions) Find(ctx context.Context, s Submission) (Execution, error) {
	kept, err := x.keys.Get(ctx, entryKey(s))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Execution{}, ErrNotFound
	}
	if err != nil {
		return Execution{}, err
	}
	var e entry
	if err := json.Unmarshal(kept.Value(), &e); err != nil {
		return Execution{}, fmt.Errorf("queue: an idempotency entry is damaged: %w", err)
	}
	if e.Fingerprint != s.Fingerprint {
		return Execution{}, ErrKeyReused
	}
	r, err := x.recall(ctx, s.Organization, &e)
	if err != nil {
		return Execution{}, err
	}
	return r.execution(), nil
}

// entryKey is where what is known of a submission's idempotency key is kept.
func entryKey(s Submission) string {
	sum := sha256.Sum256([]byte(token(s.Organization) + "\x00" + s.IdempotencyKey))
	return hex.EncodeToString(sum[:])
}

// RecordOutcome is [Executions.Record] for an execution that ran elsewhere.
func (x *Executions) RecordOutcome(organization, tool string, kind runner.Type, o Outcome, created time.Time) {
	r := &record{
		ID: o.ExecutionID, Organization: organization, Tool: tool, Type: kind, Created: created.UnixMilli(),
		Started: created.UnixMilli(), Attempts: 1,
	}
	r.end(o)
	m, err := r.message()
	if err != nil || !validID(o.ExecutionID) {
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
