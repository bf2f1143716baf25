package queue

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/almyty-inc/toolrun/errclass"
)

const (
	defaultListLimit = 50
	maxListLimit     = 500
	// scanBudget bounds the records that one page looks at.
	scanBudget = 10_000
	// firstWindow and maxWindow bound the sequences that are read at once.
	firstWindow = 512
	maxWindow   = 1 << 20
	// maxWindowRecords is how many records one window may bring.
	maxWindowRecords = 2048
	listBatch        = 512
)

// ErrCursor says that a cursor is none of ours.
var ErrCursor = errors.New("queue: the cursor is not one that a list returned")

// Filter picks executions. What is zero picks all.
type Filter struct {
	Tool         string
	Class        errclass.Class // Success: those without one
	State        State
	Since, Until time.Time // of acceptance: Since <= t < Until
	Cursor       string
	Limit        int // 50 by default, at most 500
}

// Success is a [Filter.Class]: it picks executions that are done and didn't fail.
const Success errclass.Class = "success"

// List returns executions, those that changed last first, without outcomes. next is the
// cursor of the following page, empty on the last one; a page may be short of its limit
// and have a next one, where few records match.
func (x *Executions) List(ctx context.Context, organization string, f Filter) (page []Execution, next string, err error) {
	if f.Limit <= 0 {
		f.Limit = defaultListLimit
	}
	f.Limit = min(f.Limit, maxListLimit)
	info, err := x.records.Info(ctx)
	if err != nil {
		return nil, "", err
	}
	l := &lister{x: x, subject: "toolrun.x." + token(organization) + ".*", filter: f, first: info.State.FirstSeq, high: info.State.LastSeq}
	if f.Cursor != "" {
		if l.high, err = strconv.ParseUint(f.Cursor, 36, 64); err != nil {
			return nil, "", ErrCursor
		}
		l.high = min(l.high, info.State.LastSeq)
	}
	if err := l.walk(ctx); err != nil {
		return nil, "", err
	}
	if l.high >= l.first && l.high > 0 {
		next = strconv.FormatUint(l.high, 36)
	}
	return l.page, next, nil
}

// lister walks back through the records of one organization.
type lister struct {
	x           *Executions
	subject     string
	filter      Filter
	first, high uint64 // what is left to look at, both included
	page        []Execution
	seen        int
}

func (l *lister) walk(ctx context.Context) error {
	for window := uint64(firstWindow); l.high >= l.first && l.high > 0; {
		low := l.first
		if l.high-l.first >= window {
			low = l.high - window + 1
		}
		records, tooMany, err := l.read(ctx, low)
		if err != nil {
			return err
		}
		if tooMany {
			window = max(window/4, firstWindow)
			continue
		}
		if l.collect(records, low) {
			return nil
		}
		if len(records) < maxWindowRecords/4 {
			window = min(4*window, maxWindow)
		}
	}
	return nil
}

// collect adds what matches, newest first, and reports whether the page is complete.
func (l *lister) collect(records []*record, low uint64) (complete bool) {
	for _, r := range slices.Backward(records) {
		l.seen++
		if !l.filter.matches(r) {
			continue
		}
		l.page = append(l.page, r.execution())
		if len(l.page) == l.filter.Limit {
			l.high = r.revision - 1
			return true
		}
	}
	l.high = low - 1
	return l.seen >= scanBudget
}

// read returns the records from low to high, in the order of their changes.
func (l *lister) read(ctx context.Context, low uint64) (records []*record, tooMany bool, err error) {
	js := l.x.engine.js
	c, err := js.CreateConsumer(ctx, executionsStream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(low, 1), FilterSubject: l.subject, HeadersOnly: true,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: 5 * time.Second,
	})
	if err != nil {
		return nil, false, err
	}
	info := c.CachedInfo()
	defer js.DeleteConsumer(context.WithoutCancel(ctx), executionsStream, info.Name)
	for pending := info.NumPending; pending > 0; {
		batch, err := c.FetchNoWait(int(min(pending, listBatch)))
		if err != nil {
			return nil, false, err
		}
		got, beyond := 0, false
		for m := range batch.Messages() { // to its end, or the fetch goes on for a while
			got++
			if beyond {
				continue
			}
			meta, err := m.Metadata()
			if err != nil {
				return nil, false, err
			}
			pending = meta.NumPending
			if beyond = meta.Sequence.Stream > l.high; beyond {
				continue
			}
			r, err := readRecord(m.Headers(), nil, meta.Sequence.Stream)
			if err != nil {
				l.x.faults.Add(1)
				continue
			}
			records = append(records, r)
		}
		if beyond {
			return records, false, nil
		}
		if len(records) > maxWindowRecords && l.high-low >= firstWindow {
			return nil, true, nil
		}
		if got > 0 {
			continue
		}
		// Retention took what was pending, or NATS is slow: a list must not lack what is there.
		if info, err = c.Info(ctx); err != nil {
			return nil, false, err
		}
		if pending = info.NumPending; pending > 0 && ctx.Err() != nil {
			return nil, false, context.Cause(ctx)
		}
	}
	return records, false, nil
}

func (f *Filter) matches(r *record) bool {
	created := moment(r.Created)
	switch {
	case f.Tool != "" && r.Tool != f.Tool,
		f.State != "" && r.State != f.State,
		f.Class == Success && (r.State != Done || r.Class != ""),
		f.Class != "" && f.Class != Success && r.Class != f.Class,
		!f.Since.IsZero() && created.Before(f.Since),
		!f.Until.IsZero() && !created.Before(f.Until):
		return false
	}
	return true
}
