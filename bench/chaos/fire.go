//go:build unix

package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"
)

const stopSignal = syscall.SIGTERM

// hunter ends processes of one kind and starts them again.
type hunter struct {
	kind   string
	prey   []*process
	first  time.Duration // until the first end
	pause  span          // between two
	away   span          // how long one is gone
	gently float64       // part of the ends, after the first, that are SIGTERM
	// alone: nobody else may be away or catching up meanwhile.
	alone bool
}

// span is a random time.
type span struct{ from, to time.Duration }

func (s span) pick(r *rand.Rand) time.Duration {
	return s.from + time.Duration(r.Int64N(int64(s.to-s.from)+1))
}

// underFire ends processes while work does its own.
func (s *service) underFire(ctx context.Context, work func(context.Context) error) error {
	hunt, stop := context.WithCancel(ctx)
	defer stop()
	hunters := []hunter{
		{kind: "worker", prey: s.workers, first: 500 * time.Millisecond, pause: span{time.Second, 4 * time.Second}, away: span{0, 2 * time.Second}, gently: 0.2},
		{kind: "front", first: 700 * time.Millisecond, pause: span{4 * time.Second, 10 * time.Second}, away: span{0, 2 * time.Second}, gently: 0.5, alone: true},
		{kind: "nats", first: time.Second, pause: span{5 * time.Second, 15 * time.Second}, away: span{0, 5 * time.Second}, gently: 0.5, alone: true},
	}
	for _, f := range s.fronts {
		hunters[1].prey = append(hunters[1].prey, f.process)
	}
	for _, n := range s.nats {
		hunters[2].prey = append(hunters[2].prey, n.process)
	}
	var hunting sync.WaitGroup
	faults := make([]error, len(hunters))
	for i, h := range hunters {
		random := rand.New(rand.NewPCG(s.seed, uint64(i)))
		hunting.Go(func() { faults[i] = s.hunt(ctx, hunt, h, random) })
	}
	err := work(ctx)
	stop()
	hunting.Wait()
	return errors.Join(append(faults, err)...)
}

// hunt goes on until hunting ends; then all are up again.
func (s *service) hunt(ctx, hunting context.Context, h hunter, random *rand.Rand) error {
	sig := syscall.SIGKILL
	for next := h.first; sleep(hunting, next); next = h.pause.pick(random) {
		p := h.prey[random.IntN(len(h.prey))]
		if err := s.shoot(ctx, h.kind, p, sig); err != nil {
			return err
		}
		sig = syscall.SIGKILL
		if random.Float64() < h.gently {
			sig = stopSignal
		}
		sleep(hunting, h.away.pick(random))
		if err := p.start(); err != nil {
			return err
		}
		if !h.alone {
			continue
		}
		for _, other := range h.prey {
			if err := other.awaitHealthy(ctx); err != nil {
				return err
			}
		}
	}
	for _, p := range h.prey {
		if err := p.awaitHealthy(ctx); err != nil {
			return err
		}
	}
	return nil
}

// shoot ends a process and keeps in mind what was killed.
func (s *service) shoot(ctx context.Context, kind string, p *process, sig syscall.Signal) error {
	if sig == stopSignal && p.healthy(ctx) { // one that only starts may well say so at its end
		s.verdict.ended(kind + " stopped")
		if _, err := p.end(ctx, sig); err != nil {
			s.verdict.violation("%v", err)
		}
		return context.Cause(ctx)
	}
	s.verdict.ended(kind + " killed")
	at := time.Now()
	name, err := p.end(ctx, syscall.SIGKILL)
	if err != nil {
		return err
	}
	s.verdict.kill(name, at)
	return nil
}
