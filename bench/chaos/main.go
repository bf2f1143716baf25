//go:build unix

// Command chaos shows that an accepted execution has one outcome, whatever dies
// meanwhile. It runs a service of real processes on loopback (three NATS servers, two
// fronts, three workers), submits executions to it, kills and restarts the processes, and
// then counts: outcomes, and what tools did to an upstream of its own.
//
//	go run ./bench/chaos -executions 20000
//
// It prints a summary and exits with 1 when anything was lost, ran or ended twice.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if beNATS() {
		return
	}
	var o options
	flag.IntVar(&o.executions, "executions", 20_000, "how many executions to submit")
	flag.IntVar(&o.clients, "clients", 300, "clients that submit one after the other and wait for each outcome")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of what is submitted, and of who is killed when; the rest is up to the machine")
	flag.DurationVar(&o.lease, "lease", 3*time.Second, "how long a job is its worker's without a sign of life")
	flag.DurationVar(&o.patience, "patience", 20*time.Minute, "how long all may take")
	flag.StringVar(&o.keep, "keep", "", "keep the processes' logs and the servers' files in `DIR`")
	flag.StringVar(&o.toolrun, "toolrun", "", "toolrun `binary` to use; without it, it is built from these sources")
	flag.Parse()
	o.out = os.Stdout

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	violations, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
	}
	if err != nil || violations > 0 {
		os.Exit(1)
	}
}
