//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

type options struct {
	executions, clients int
	seed                uint64
	lease, patience     time.Duration
	keep, toolrun       string
	out                 io.Writer
}

const workers = 3

// service is all that runs.
type service struct {
	options
	dir      string
	nats     []*natsNode
	natsURL  string
	fronts   []*front
	workers  []*process
	upstream *upstream
	verdict  *verdict
}

// front answers HTTP.
type front struct {
	*process
	url string
}

// run does it all and returns how many violations it found. The error says that it
// couldn't be finished.
func run(ctx context.Context, o options) (violations int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, o.patience, fmt.Errorf("not done after %v", o.patience))
	defer cancel()
	s := &service{options: o, dir: o.keep, verdict: &verdict{killed: make(map[string]time.Time)}}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "toolrun-chaos-*"); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(s.dir)) }()
	}
	if s.dir, err = filepath.Abs(s.dir); err != nil {
		return 0, err
	}
	fmt.Fprintf(s.out, "seed %d\n", o.seed)
	if err := s.prepare(ctx); err != nil {
		return 0, err
	}
	defer s.destroy()
	if err := s.start(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	l := newLoad(s)
	if err := s.underFire(ctx, l.run); err != nil {
		return s.report(l, time.Since(began)), err
	}
	took := time.Since(began)
	if err := errors.Join(l.readAgain(ctx), s.leftovers(ctx)); err != nil {
		return s.report(l, took), err
	}
	err = s.stop(ctx)
	return s.report(l, took), err
}

// prepare makes everything but starts nothing.
func (s *service) prepare(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if s.toolrun == "" {
		s.toolrun = filepath.Join(s.dir, "toolrun")
		build := exec.CommandContext(ctx, "go", "build", "-o", s.toolrun, "github.com/almyty-inc/toolrun/cmd/toolrun")
		if text, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, text)
		}
	}
	if s.upstream, err = newUpstream(); err != nil {
		return err
	}
	if err := writeTools(filepath.Join(s.dir, "tools"), s.upstream.addr); err != nil {
		return err
	}
	ports, err := freePorts(11)
	if err != nil {
		return err
	}
	if s.nats, s.natsURL, err = natsNodes(ports[:9], s.dir); err != nil {
		return err
	}
	for i, port := range ports[9:] {
		args := []string{"serve", "--addr", address(port)}
		if i == 0 { // the other one runs tools, too
			args = append(args, "--front")
		}
		f := &front{url: "http://" + address(port)}
		if f.process, err = s.node(fmt.Sprint("front", i+1), args...); err != nil {
			return err
		}
		f.healthy = func(ctx context.Context) bool { return answers(ctx, f.url+"/readyz", `"ready"`) }
		s.fronts = append(s.fronts, f)
	}
	for i := range workers {
		w, err := s.node(fmt.Sprint("worker", i+1), "worker")
		if err != nil {
			return err
		}
		w.healthy = func(context.Context) bool { return w.says(" msg=working ") }
		s.workers = append(s.workers, w)
	}
	for _, p := range s.all() {
		p.surprise = func(name string, state *os.ProcessState) {
			s.verdict.violation("%s ended by itself: %v", name, state)
		}
	}
	return nil
}

// node is a toolrun process. What it runs tells the upstream which start of it that was.
func (s *service) node(name string, args ...string) (*process, error) {
	env := filepath.Join(s.dir, name+".env")
	p := &process{name: name, path: s.toolrun, log: filepath.Join(s.dir, name+".log")}
	p.args = append(args, "--nats", s.natsURL, "--tools", filepath.Join(s.dir, "tools"), "--lease", s.lease.String(),
		"--allow", s.upstream.addr, "--env-file", env)
	p.env = func(start int) []string {
		if err := os.WriteFile(env, []byte("credentials.worker="+incarnation(name, start)+"\n"), 0o600); err != nil {
			s.verdict.violation("%s: %v", name, err)
		}
		return nil
	}
	return p, nil
}

// says reports whether the log of the latest start holds a text.
func (p *process) says(text string) bool {
	log, err := os.ReadFile(p.log)
	if err != nil {
		return false
	}
	_, latest, _ := strings.Cut(string(log), incarnation(p.name, p.starts)+" starts\n")
	return strings.Contains(latest, text)
}

// all are the processes, in the order they are started.
func (s *service) all() (list []*process) {
	for _, n := range s.nats {
		list = append(list, n.process)
	}
	for _, f := range s.fronts {
		list = append(list, f.process)
	}
	return append(list, s.workers...)
}

func (s *service) start(ctx context.Context) error {
	for _, group := range [][]*process{s.all()[:len(s.nats)], s.all()[len(s.nats):]} {
		for _, p := range group {
			if err := p.start(); err != nil {
				return err
			}
		}
		began := time.Now()
		for _, p := range group {
			if err := p.awaitHealthy(ctx); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s is at work after %.1f s\n", p.name, time.Since(began).Seconds())
		}
	}
	return nil
}

// stop ends all in good order.
func (s *service) stop(ctx context.Context) error {
	var all sync.WaitGroup
	for _, p := range s.all()[len(s.nats):] {
		all.Go(func() {
			if _, err := p.end(ctx, stopSignal); err != nil {
				s.verdict.violation("%v", err)
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// destroy ends what is left.
func (s *service) destroy() {
	var all sync.WaitGroup
	for _, p := range s.all() {
		all.Go(p.destroy)
	}
	all.Wait()
	s.upstream.close()
}
