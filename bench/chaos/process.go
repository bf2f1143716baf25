//go:build unix

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a child that is started again after each end that it is given.
type process struct {
	name string
	path string
	args []string
	// env is what the n-th start has beside this program's environment.
	env     func(start int) []string
	log     string // file that all starts write to
	healthy func(context.Context) bool

	mu     sync.Mutex
	starts int
	cmd    *exec.Cmd
	ended  chan struct{} // closed when cmd has
	// expected says that the end is our doing.
	expected bool
	// surprise is told of an end that is not.
	surprise func(name string, state *os.ProcessState)
}

// incarnation names one start of a process.
func incarnation(name string, start int) string { return fmt.Sprintf("%s.%d", name, start) }

func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starts++
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	fmt.Fprintf(log, "-- %s %s starts\n", time.Now().Format(time.StampMilli), incarnation(p.name, p.starts))
	cmd := exec.Command(p.path, p.args...)
	cmd.Env = append(os.Environ(), p.env(p.starts)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a signal from the terminal is ours alone
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	p.cmd, p.ended, p.expected = cmd, ended, false
	go func() {
		_ = cmd.Wait() // the state says it
		p.mu.Lock()
		surprised := !p.expected
		p.mu.Unlock()
		if surprised && p.surprise != nil {
			p.surprise(p.name, cmd.ProcessState)
		}
		close(ended)
	}()
	return nil
}

// end sends a signal and waits; it returns which start ended, and how.
func (p *process) end(ctx context.Context, sig syscall.Signal) (name string, err error) {
	p.mu.Lock()
	cmd, ended, name := p.cmd, p.ended, incarnation(p.name, p.starts)
	p.expected = true
	p.mu.Unlock()
	if err := cmd.Process.Signal(sig); err != nil {
		return name, fmt.Errorf("%s: %w", name, err)
	}
	select {
	case <-ended:
	case <-ctx.Done():
		return name, context.Cause(ctx)
	case <-time.After(time.Minute):
		return name, fmt.Errorf("%s: doesn't end with %v", name, sig)
	}
	if sig == syscall.SIGTERM && !cmd.ProcessState.Success() {
		return name, fmt.Errorf("%s: ended with %v on %v", name, cmd.ProcessState, sig)
	}
	return name, nil
}

// destroy ends the process and its own children, for good.
func (p *process) destroy() {
	p.mu.Lock()
	cmd, ended := p.cmd, p.ended
	p.expected = true
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // or nobody is left
	<-ended
}

// awaitHealthy waits until the process does its work.
func (p *process) awaitHealthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, fmt.Errorf("%s doesn't get ready; its log is %s", p.name, p.log))
	defer cancel()
	for !p.healthy(ctx) {
		if !sleep(ctx, 100*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
	return nil
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
