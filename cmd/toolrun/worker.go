package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
)

// workerFlags are the flags of "toolrun worker".
type workerFlags struct {
	nodeFlags
	metricsAddr string
}

func workerCommand(c console) *cobra.Command {
	var f workerFlags
	cmd := &cobra.Command{
		Use:   "worker",
		Short: "Run executions for services that share a NATS cluster",
		Long: `Run the asynchronous executions of services that share a NATS cluster, the
synchronous ones of those started with --front, and send webhooks. Give every
worker the tools, providers and secrets that its services have. With --front, what
ran is counted at the workers: --metrics-addr serves it.

SIGTERM or SIGINT drains; a second signal hurries. What a worker that dies was
running is run again where its tool is marked idempotent, else it ends as
internal_error with the reason worker_lost.

Exit status: 0 stopped, 1 broke down, 2 the definitions or the command line are
wrong.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, done, err := f.configure(cmd, c, flagsOf(serveCommand(c)))
			if err != nil || done {
				return err
			}
			return f.run(cmd.Context(), c, log)
		},
	}
	f.nodeFlags.register(cmd.Flags())
	cmd.Flags().StringVar(&f.metricsAddr, "metrics-addr", "", "address to serve /healthz, /readyz and /metrics on, without authentication; without it there are none")
	return cmd
}

func (f *workerFlags) run(ctx context.Context, c console, log *slog.Logger) error {
	if f.nats == "" {
		return errors.New("a worker needs --nats URL: the cluster that it shares with its services")
	}
	n, err := f.open(ctx, c, log)
	if err != nil {
		return err
	}
	ctx, stop := onSignals(ctx, n.hurry)
	defer stop()
	quiet, err := n.operate(ctx, f.metricsAddr)
	if err != nil {
		return errors.Join(err, n.close())
	}
	log.Info("working", slog.Int("tools", n.tools), slog.Int("jobs", f.jobs))
	err = n.work(ctx)
	quiet()
	if err := errors.Join(err, n.close()); err != nil {
		fmt.Fprintln(c.err, "toolrun:", printable(err.Error()))
		return exit(exitFailed)
	}
	log.Info("stopped")
	return nil
}

// hurry ends what runs.
func (n *node) hurry() {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = n.runner.Close(over) // close reports it
}
