package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/almyty-inc/toolrun/internal/example"
	"github.com/almyty-inc/toolrun/runner"
)

// testFlags are the flags of "toolrun test".
type testFlags struct {
	common
	verbose bool
	junit   string
}

func testCommand(c console) *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test [PATH...]",
		Short: "Run the examples of tools and compare what they return",
		Long: `Run every example of the definitions in PATH (a file or a directory, default the
current directory). An example that names an upstream is answered by a stub on
loopback; it needs no network and no secrets.

Exit status: 0 all passed, 1 one failed, 2 a definition or the command line is
wrong.`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args, c) },
	}
	flags := cmd.Flags()
	f.register(flags)
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show input and outcome of each example")
	flags.StringVar(&f.junit, "junit", "", "write a JUnit report to `FILE`")
	return cmd
}

func (f *testFlags) run(cmd *cobra.Command, paths []string, c console) error {
	opts, err := f.options()
	if err != nil {
		return err
	}
	defs, err := runner.Load(orCurrent(paths)...)
	if err != nil {
		return printFaults(c.err, err, exitRejected)
	}
	providers, err := f.loadProviders(orCurrent(paths)...)
	if err != nil {
		return printFaults(c.err, err, exitRejected)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)() // a second signal ends the process at once
	report := &example.Text{W: c.out, Verbose: f.verbose, Color: isTerminal(c.out)}
	junit, err := f.createJUnit()
	if err != nil {
		return err
	}
	defer junit.Close()
	var outcomes []example.Outcome
	summary, err := example.Run(ctx, defs, example.Options{
		Env: opts.Env, Credentials: opts.Credentials, Egress: opts.Egress,
		Sandbox: opts.Sandbox, Providers: providers, Dialects: dialects,
	}, func(o example.Outcome) {
		outcomes = append(outcomes, o)
		report.Report(o)
	})
	interrupted := err != nil && errors.Is(err, context.Cause(ctx))
	if err != nil && !interrupted {
		return printFaults(c.err, err, exitRejected)
	}
	if err := report.Summary(summary); err != nil {
		return err
	}
	if err := writeJUnit(junit, outcomes, summary); err != nil {
		return err
	}
	if interrupted {
		fmt.Fprintln(c.err, "toolrun: interrupted: the examples that are not reported did not run to their end")
	}
	if interrupted || summary.Failed > 0 {
		return exit(exitFailed)
	}
	return nil
}

// createJUnit opens the report before anything runs: after minutes of tests is
// too late to learn that it can't be written. Nil without the flag.
func (f *testFlags) createJUnit() (*os.File, error) {
	if f.junit == "" {
		return nil, nil
	}
	file, err := os.Create(f.junit)
	if err != nil {
		return nil, fmt.Errorf("--junit: %w", err)
	}
	return file, nil
}

func writeJUnit(file *os.File, outcomes []example.Outcome, summary example.Summary) error {
	if file == nil {
		return nil
	}
	if err := errors.Join(example.WriteJUnit(file, outcomes, summary), file.Close()); err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	return nil
}

func orCurrent(paths []string) []string {
	if len(paths) == 0 {
		return []string{"."}
	}
	return paths
}

// isTerminal reports whether w is a terminal that may be given colours
// (https://no-color.org).
func isTerminal(w io.Writer) bool {
	if o, ok := w.(*output); ok {
		w = o.w
	}
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
