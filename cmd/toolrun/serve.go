package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/runner"
)

// serveFlags are the flags of "toolrun serve".
type serveFlags struct {
	common
	addr         string
	tools        string
	hosts        []string
	drainTimeout milliseconds
	logLevel     string
	logFormat    string
}

func serveCommand(c console) *cobra.Command {
	f := serveFlags{drainTimeout: milliseconds(30 * time.Second)}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve tools over HTTP",
		Long: `Serve the tools of a directory over HTTP:

  POST /tools/{id}/execute                       {"parameters":{…}}
  POST /organizations/{org}/tools/{id}/execute   the same for an organization
  GET  /organizations/{org}/tools, /tools/{id}   definitions
  GET  /healthz, /readyz                         liveness, readiness (?verbose lists open circuit breakers)
  GET  /metrics                                  for Prometheus

SIGTERM or SIGINT drains: executions in flight finish, new ones get 503. A second
signal hurries.

Exit status: 0 stopped after a complete drain, 1 cut something off or broke down,
2 the definitions or the command line are wrong.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), c) },
	}
	flags := cmd.Flags()
	f.register(flags)
	flags.StringVar(&f.addr, "addr", "127.0.0.1:8080", "address to listen on; without authentication only loopback")
	flags.StringVar(&f.tools, "tools", "tools", "directory of definitions")
	flags.StringArrayVar(&f.hosts, "host", nil, "`NAME`, without port, that requests may be addressed to besides localhost and loopback addresses; may be given more than once")
	flags.Var(&f.drainTimeout, "drain-timeout", "how long executions in flight may take to finish on a stop")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "text", "text or json")
	return cmd
}

func (f *serveFlags) run(ctx context.Context, c console) error {
	log, err := f.logger(c)
	if err != nil {
		return err
	}
	opts, err := f.options()
	if err != nil {
		return err
	}
	if opts.Tools, err = runner.Load(f.tools); err != nil {
		return printFaults(c.err, ofFlag("--tools", err), exitRejected)
	}
	if opts.Providers, err = f.loadProviders(f.tools); err != nil {
		return printFaults(c.err, err, exitRejected)
	}
	opts.Logger = log
	r, err := runner.New(opts)
	if err != nil {
		return printFaults(c.err, err, exitRejected)
	}
	server, err := service.New(service.Options{
		Runner: r, Logger: log, Hosts: f.hosts, DrainTimeout: time.Duration(f.drainTimeout),
	})
	if err != nil {
		return err
	}
	listener, err := service.Listen(ctx, f.addr)
	if err != nil {
		return err
	}
	log.Info("serving", "addr", listener.Addr().String(), "tools", len(opts.Tools))
	ctx, stop := onSignals(ctx, server.Hurry)
	defer stop()
	if err := server.Serve(ctx, listener); err != nil { // it served, so the command line was right
		fmt.Fprintln(c.err, "toolrun:", printable(err.Error()))
		return exit(exitFailed)
	}
	return nil
}

func (f *serveFlags) logger(c console) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %s: use debug, info, warn or error", f.logLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(c.err, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(c.err, opts)), nil
	}
	return nil, fmt.Errorf("--log-format %s: use text or json", f.logFormat)
}

// onSignals returns a context that ends with the first signal to stop, and
// calls hurry on the second.
func onSignals(ctx context.Context, hurry func()) (_ context.Context, stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		for _, act := range []func(){cancel, hurry} {
			select {
			case <-signals:
				act()
			case <-over:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(over)
		cancel()
	}
}
