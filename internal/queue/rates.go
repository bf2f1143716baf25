package queue

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	ratesBucket = "toolrun_rates"
	// maxRatePer is the longest period of a limit.
	maxRatePer = 24 * time.Hour
	// rateKeys bounds for how many keys a node remembers the state; for those used longest
	// ago it asks NATS again.
	rateKeys = 100_000
	// ratePatience bounds how long a request waits for NATS. When that doesn't answer, it is
	// left alone for rateOutage.
	ratePatience = 500 * time.Millisecond
	rateOutage   = time.Second
	// rateContention bounds how long nodes may overtake this one.
	rateContention = 5 * time.Second
)

// Limit is N requests in a period, that many at once.
type Limit struct {
	N   int
	Per time.Duration
}

// RateState is how one limit stands after a request: the one that refused it, or the one with
// the least left.
type RateState struct {
	Limit     int
	Remaining int
	// Reset is when all of the limit is there again.
	Reset time.Duration
	// RetryAfter is positive when the request was refused: when there is one again.
	RetryAfter time.Duration
}

// Rates counts requests over all nodes. It goes by the nodes' clocks, so these have to agree: one
// that is ahead lets through what the time between them is worth.
//
// A key's state is, for each of its limits, the time at which that is unused again (GCRA).
// It is written by compare-and-set, so that no request is counted twice or forgotten, and
// vanishes at that time. A node writes once for all requests that wait for the same key.
// When NATS doesn't answer, each node counts for itself, from what it knew.
type Rates struct {
	engine *Engine
	stream jetstream.Stream
	prefix string
	now    func() time.Time
	keys   *otter.Cache[string, *rate]
	down   atomic.Int64 // NATS isn't asked before, in Unix nanoseconds of the real clock
}

// rate is what a node knows of a key. Who sets busy may use the last two fields.
type rate struct {
	mu      sync.Mutex
	busy    bool
	waiting []*spending

	full     fullTimes
	revision uint64
}

// fullTimes tells by a limit's period, when the limit is unused again.
type fullTimes map[time.Duration]time.Time

type spending struct {
	limits []Limit
	state  chan RateState
}

// Rates opens the store.
func (e *Engine) Rates(ctx context.Context) (*Rates, error) {
	r := &Rates{engine: e, prefix: "$KV." + ratesBucket + ".", now: time.Now}
	var err error
	r.stream, err = e.stream(ctx, jetstream.StreamConfig{
		Name: "KV_" + ratesBucket, Subjects: []string{r.prefix + ">"}, MaxMsgsPerSubject: 1, Storage: jetstream.MemoryStorage,
		Discard: jetstream.DiscardNew, AllowRollup: true, DenyDelete: true, AllowMsgTTL: true, MaxAge: maxRatePer,
	})
	if err != nil {
		return nil, err
	}
	if !r.stream.CachedInfo().Config.AllowMsgTTL { // an older server overlooks it
		return nil, e.tooOld()
	}
	r.keys, err = otter.New(&otter.Options[string, *rate]{MaximumSize: rateKeys})
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	return r, nil
}

// Spend takes one request from all limits of a key, or from none if one of them refuses. A limit
// without requests is none. The error is ctx's, or says that a limit makes no sense.
func (r *Rates) Spend(ctx context.Context, key string, limits []Limit) (RateState, error) {
	limits, err := effective(limits)
	if err != nil || len(limits) == 0 {
		return RateState{}, err
	}
	s := &spending{limits: limits, state: make(chan RateState, 1)}
	k, _ := r.keys.ComputeIfAbsent(key, func() (*rate, bool) { return &rate{}, false })
	if k.enqueue(s) {
		if err := r.engine.spawn(func() { r.serve(key, k) }); err != nil {
			return RateState{}, err
		}
	}
	select {
	case state := <-s.state:
		return state, nil
	case <-ctx.Done():
		return RateState{}, ctx.Err()
	}
}

// effective leaves out limits that are none, and the wider one of two of a period.
func effective(limits []Limit) (kept []Limit, err error) {
	for _, l := range limits {
		if l.N <= 0 {
			continue
		}
		if l.Per < time.Millisecond || l.Per > maxRatePer {
			return nil, fmt.Errorf("queue: a limit's period is 1 ms to %v, not %v", maxRatePer, l.Per)
		}
		i := slices.IndexFunc(kept, func(k Limit) bool { return k.Per == l.Per })
		if i < 0 {
			kept = append(kept, l)
			continue
		}
		kept[i].N = min(kept[i].N, l.N)
	}
	return kept, nil
}

// enqueue tells whether the caller has to have the queue served.
func (k *rate) enqueue(s *spending) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting = append(k.waiting, s)
	serve := !k.busy
	k.busy = true
	return serve
}

func (k *rate) dequeue() []*spending {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := k.waiting
	k.waiting = nil
	k.busy = len(all) > 0
	return all
}

func (r *Rates) serve(key string, k *rate) {
	for all := k.dequeue(); len(all) > 0; all = k.dequeue() {
		states := r.spend(r.prefix+token(key), k, all)
		for i, s := range all {
			s.state <- states[i]
		}
	}
}

// spend decides on all requests at once, in the order in which they came.
func (r *Rates) spend(subject string, k *rate, all []*spending) []RateState {
	ctx, cancel := context.WithTimeout(r.engine.ctx, rateContention)
	defer cancel()
	for attempt := 0; ; attempt++ {
		now := r.now()
		full := maps.Clone(k.full)
		if full == nil {
			full = make(fullTimes)
		}
		states, accepted := full.spendAll(all, now)
		if !accepted { // others can only have spent more since
			return states
		}
		if ctx.Err() != nil || time.Now().UnixNano() < r.down.Load() {
			k.full = full
			return states
		}
		revision, err := r.put(ctx, subject, full, k.revision, now)
		if err == nil {
			k.full, k.revision = full, revision
			return states
		}
		if isCode(err, codeWrongRevision, codeWrongRevisionConstant, codeRevisionBusy) {
			pause(ctx, rand.N(time.Duration(1+attempt)*time.Millisecond))
			err = r.get(ctx, subject, k)
		}
		if err != nil {
			r.outage(err)
		}
	}
}

func (r *Rates) outage(err error) {
	if r.engine.ctx.Err() == nil {
		r.engine.log.Warn("rate limits are not shared at the moment: NATS doesn't answer", "error", err)
	}
	r.down.Store(time.Now().Add(rateOutage).UnixNano())
}

// put writes the state of a key, which vanishes by itself when it tells nothing any more.
func (r *Rates) put(ctx context.Context, subject string, full fullTimes, revision uint64, now time.Time) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, ratePatience)
	defer cancel()
	msg := nats.NewMsg(subject)
	var last time.Time
	for per, at := range full {
		if !at.After(now) {
			continue
		}
		msg.Data = binary.BigEndian.AppendUint64(msg.Data, uint64(per))
		msg.Data = binary.BigEndian.AppendUint64(msg.Data, uint64(at.UnixNano()))
		if at.After(last) {
			last = at
		}
	}
	ttl := int(last.Sub(now)/time.Second) + 1 // whole seconds are what the server takes
	msg.Header.Set(jetstream.MsgTTLHeader, strconv.Itoa(ttl))
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(revision, 10))
	return r.engine.publish(ctx, msg)
}

// get reads the state of a key. What this node let through while NATS didn't answer still
// counts for it.
func (r *Rates) get(ctx context.Context, subject string, k *rate) error {
	ctx, cancel := context.WithTimeout(ctx, ratePatience)
	defer cancel()
	msg, err := r.stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		k.revision = 0
		return nil
	}
	if err != nil {
		return err
	}
	if k.full == nil {
		k.full = make(fullTimes)
	}
	k.revision = msg.Sequence
	for data := msg.Data; len(data) >= 16; data = data[16:] {
		per := time.Duration(binary.BigEndian.Uint64(data))
		at := time.Unix(0, int64(binary.BigEndian.Uint64(data[8:])))
		if at.After(k.full[per]) {
			k.full[per] = at
		}
	}
	return nil
}

// spendAll spends each request and tells whether one was accepted.
func (f fullTimes) spendAll(all []*spending, now time.Time) (states []RateState, accepted bool) {
	for _, s := range all {
		state := f.spend(s.limits, now)
		accepted = accepted || state.RetryAfter == 0
		states = append(states, state)
	}
	return states, accepted
}

// spend takes one request from all limits or from none.
func (f fullTimes) spend(limits []Limit, now time.Time) (worst RateState) {
	for i, l := range limits {
		state, _ := l.spend(f[l.Per], now)
		if i == 0 || state.worse(worst) {
			worst = state
		}
	}
	if worst.RetryAfter > 0 {
		return worst
	}
	for _, l := range limits {
		_, f[l.Per] = l.spend(f[l.Per], now)
	}
	return worst
}

func (s RateState) worse(than RateState) bool {
	if s.RetryAfter != than.RetryAfter {
		return s.RetryAfter > than.RetryAfter
	}
	return s.Remaining < than.Remaining
}

// spend takes one request from a limit that is unused again at full, and returns when it is
// then. A request is worth the time in which one grows back; rounded up, so that never more
// than N fit in the period.
func (l Limit) spend(full, now time.Time) (RateState, time.Time) {
	each := (l.Per + time.Duration(l.N) - 1) / time.Duration(l.N)
	all := each * time.Duration(l.N)
	used := min(max(full.Sub(now), 0), all) // more, if N or a clock was changed
	if used+each > all {
		return RateState{Limit: l.N, Reset: used, RetryAfter: used + each - all}, full
	}
	used += each
	return RateState{Limit: l.N, Remaining: int((all - used) / each), Reset: used}, now.Add(used)
}
