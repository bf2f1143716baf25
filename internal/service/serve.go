package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	// answerGrace bounds how long the last answers may take to leave.
	answerGrace = 5 * time.Second
	// answerPoll is how often that is looked at.
	answerPoll = 5 * time.Millisecond
)

// Serve answers requests on l until ctx ends, then drains: readyz and new
// executions answer 503 while the listener stays open, executions in flight go
// on for [Options.DrainTimeout], what still runs then is cancelled and answered
// with its outcome (reason "shutdown"). It closes l and the runner, so a server
// serves once.
//
// It returns nil after a drain that cut nothing off, else an error that says
// how much. Where l breaks it drains too and returns l's error.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if err := s.checkListener(l); err != nil {
		return err
	}
	if s.serving.Swap(true) {
		return errors.New("service: Serve can be called once; make another server")
	}
	bound := newBoundListener(l, s.opts.TLS, s.opts.Connections, s.opts.WriteTimeout)
	server := s.httpServer(ctx)
	server.ConnState = func(nc net.Conn, state http.ConnState) {
		c := nc.(*connection)
		s.trackActive(c, state)
		bound.track(c, state)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(bound) }()

	var broken error
	select {
	case err := <-served:
		broken = fmt.Errorf("service: the listener failed: %w", err)
		served <- err
	case <-ctx.Done():
	}
	drained := s.drain()
	s.stop()
	bound.Close()
	unanswered := s.awaitAnswers()
	server.Close()
	<-served
	s.log.Info("drained", slog.Int64("cut", s.cut.Load()))
	return errors.Join(broken, drained, s.cutOff(), unanswered)
}

// Hurry ends the patience of a drain, also of one yet to come: executions in
// flight are cancelled at once. It is for a second signal.
func (s *Server) Hurry() { s.hurried.Do(func() { close(s.hurry) }) }

func (s *Server) httpServer(ctx context.Context) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:   s.guardHost(s.handler),
		Protocols: protocols,
		// The end of ctx is the start of a drain; executions outlast it.
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: s.opts.ReadHeaderTimeout,
		ReadTimeout:       s.opts.ReadTimeout,
		IdleTimeout:       s.opts.IdleTimeout,
		MaxHeaderBytes:    headerBytes,
		// "OPTIONS *" gets a documented answer too.
		DisableGeneralOptionsHandler: true,
	}
}

// drain takes no further execution and waits for those in flight, the hard way
// in the end.
func (s *Server) drain() error {
	s.draining.Store(true)
	s.stopArrival()
	s.log.Info("draining", slog.Int("running", s.runner.Running()), slog.Duration("timeout", s.opts.DrainTimeout))
	patience, cancel := context.WithTimeout(context.Background(), s.opts.DrainTimeout)
	defer cancel()
	go func() {
		select {
		case <-s.hurry:
			cancel()
		case <-patience.Done():
		}
	}()
	return s.runner.Close(patience)
}

// awaitAnswers lets answers leave that are ready by now.
func (s *Server) awaitAnswers() error {
	deadline := time.After(answerGrace)
	poll := time.NewTicker(answerPoll)
	defer poll.Stop()
	for s.active.Load() > 0 {
		select {
		case <-poll.C:
		case <-deadline:
			return fmt.Errorf("service: closed %d connections with unfinished requests", s.active.Load())
		}
	}
	return nil
}

// cutOff is what the drain had to cancel; nil for nothing.
func (s *Server) cutOff() error {
	if n := s.cut.Load(); n > 0 {
		return fmt.Errorf("service: cancelled %d executions that outlasted the drain", n)
	}
	return nil
}
