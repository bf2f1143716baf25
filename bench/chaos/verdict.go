//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// verdict collects what went wrong, and what is needed to tell.
type verdict struct {
	mu         sync.Mutex
	violations []string
	killed     map[string]time.Time // starts of processes, and when they were killed
	counts     map[string]int       // ends, by kind
}

func (v *verdict) violation(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.violations = append(v.violations, fmt.Sprintf(format, args...))
}

func (v *verdict) kill(name string, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.killed[name] = at
}

func (v *verdict) ended(kind string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.counts == nil {
		v.counts = make(map[string]int)
	}
	v.counts[kind]++
}

// ends says how often what was ended.
func (v *verdict) ends() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return list(v.counts)
}

func list(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}

// toolKilledIn reports whether a process that runs tools was killed in a time. The
// clock of records has milliseconds.
func (v *verdict) toolKilledIn(from, to time.Time) bool {
	for name, at := range v.killed {
		if !strings.HasPrefix(name, "nats") && at.After(from.Add(-time.Second)) && at.Before(to.Add(time.Second)) {
			return true
		}
	}
	return false
}

// leftovers waits until no job is left: each was acknowledged by who ended it.
func (s *service) leftovers(ctx context.Context) error {
	conn, err := nats.Connect(s.natsURL)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		return err
	}
	var left uint64
	for range 60 {
		stream, err := js.Stream(ctx, "toolrun_jobs")
		if err != nil {
			return err
		}
		if left = stream.CachedInfo().State.Msgs; left == 0 {
			return nil
		}
		if !sleep(ctx, s.lease/10) {
			return context.Cause(ctx)
		}
	}
	s.verdict.violation("%d jobs are left in the queue, though all executions are done", left)
	return nil
}

// judge holds an execution against what may be.
func (v *verdict) judge(e *execution, calls []call) (class string, attempts int) {
	if e.id == "" || e.document == nil {
		v.violation("%s: execution %q has no outcome", e.call, e.id)
		return "none", 0
	}
	var x shown
	if err := json.Unmarshal(e.document, &x); err != nil {
		v.violation("%s: %v: %s", e.call, err, e.document)
		return "none", 0
	}
	d := x.Data
	fail := func(what string) {
		v.violation("%s (%s): %s\n  %s\n  calls %v", e.call, e.tool.name, what, e.document, v.tell(calls))
	}
	lost := d.Class == "internal_error" && d.Reason == "worker_lost"
	switch {
	case lost && e.tool.idempotent && d.Attempts < 3:
		fail("its worker was lost, and it was not run again")
	case lost && !v.toolKilledIn(d.StartedAt, d.EndedAt):
		fail("its worker is said to be lost, but none was killed")
	case lost && len(calls) > 0 && v.killed[calls[len(calls)-1].worker].IsZero():
		fail("its worker is said to be lost, but was not killed")
	case !lost && d.Class != e.tool.class:
		fail("it should have ended with another class")
	case d.Class == "" && !strings.Contains(string(d.Outcome), `"call":"`+e.call+`"`):
		fail("its result is another one's")
	case e.tool.counted && !lost && len(calls) == 0:
		fail("it never ran")
	case !e.tool.idempotent && d.Attempts > 1, e.tool.counted && len(calls) > d.Attempts:
		fail("it was run too often")
	case d.Attempts > 1 && !v.toolKilledIn(d.CreatedAt, d.StartedAt):
		fail("it was run again, but no worker was killed")
	}
	v.judgeCalls(e, calls, fail)
	if lost {
		return "worker_lost", d.Attempts
	}
	if d.Class == "" {
		return "success", d.Attempts
	}
	return d.Class, d.Attempts
}

// judgeCalls looks at the upstream's view: a run is followed by another one only where
// its worker was killed.
func (v *verdict) judgeCalls(e *execution, calls []call, fail func(string)) {
	if len(calls) > 1 && !e.tool.idempotent {
		fail("the upstream was called twice")
		return
	}
	for i, c := range calls {
		if i == len(calls)-1 {
			return
		}
		if at, killed := v.killed[c.worker]; !killed || at.Before(c.at.Add(-time.Second)) {
			fail("it was run again, though the worker of call " + fmt.Sprint(i+1) + " was not killed")
		}
	}
}

func (v *verdict) tell(calls []call) (list []string) {
	for _, c := range calls {
		list = append(list, fmt.Sprintf("%s at %s (killed %v)", c.worker, c.at.UTC().Format(time.StampMilli), v.killed[c.worker].UTC().Format(time.StampMilli)))
	}
	return list
}

const maxShown = 20

// report prints the summary and returns how many violations there are.
func (s *service) report(l *load, took time.Duration) int {
	v := s.verdict
	classes, reruns, upstreamCalls, abandoned := make(map[string]int), 0, 0, 0
	for _, e := range l.all {
		calls := s.upstream.of(e.call)
		upstreamCalls += len(calls)
		class, attempts := v.judge(e, calls)
		classes[class]++
		reruns += max(attempts-1, 0)
		for _, call := range e.abandoned {
			abandoned++
			if calls := s.upstream.of(call); len(calls) > 1 && !e.tool.idempotent {
				v.violation("%s: a submission without an answer ran %d times", call, len(calls))
			}
		}
	}
	for _, kind := range []string{"worker killed", "front", "nats"} {
		if !strings.Contains(v.ends(), kind) {
			v.violation("nothing is shown: no %s; try more executions", kind)
		}
	}
	fmt.Fprintf(s.out, "\nexecutions   %d in %.1f s, %.0f a second, lease %v\n", len(l.all), took.Seconds(), float64(len(l.all))/took.Seconds(), s.lease)
	fmt.Fprintf(s.out, "outcomes     %s\n", list(classes))
	fmt.Fprintf(s.out, "run again    %d; calls of the upstream %d; tries without a key and an answer %d\n", reruns, upstreamCalls, abandoned)
	fmt.Fprintf(s.out, "submissions  %s\n", list(l.answers))
	fmt.Fprintf(s.out, "ends         %s\n", v.ends())
	fmt.Fprintf(s.out, "violations   %d\n", len(v.violations))
	for i, text := range v.violations {
		if i == maxShown {
			fmt.Fprintf(s.out, "… and %d more\n", len(v.violations)-maxShown)
			break
		}
		fmt.Fprintf(s.out, "- %s\n", text)
	}
	return len(v.violations)
}
