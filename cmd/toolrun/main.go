// Command toolrun runs AI-agent tools: JavaScript in a sandbox, HTTP and GraphQL
// requests, prompts to LLM providers. Every failure is one structured error.
//
//	toolrun run TOOL -p key=value
//	toolrun test tools/
//	toolrun serve --tools tools/
//
// Package github.com/almyty-inc/toolrun/runner is the same for Go programs.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/almyty-inc/toolrun/internal/example"
	"github.com/almyty-inc/toolrun/sandbox"
)

// Exit codes.
const (
	exitOK       = 0
	exitFailed   = 1 // the tool, a test or a definition failed
	exitRejected = 2 // the request was rejected or the command line is wrong
)

func main() {
	sandbox.Init()
	// Libraries tell of odd answers through Go's global logger, with the upstream's own bytes.
	log.SetOutput(io.Discard)
	os.Exit(Main())
}

// Main runs the command line of this process and returns its exit code.
func Main() int {
	return run(context.Background(), os.Args[1:], console{os.Stdin, os.Stdout, os.Stderr})
}

// console is what a command talks to.
type console struct {
	in       io.Reader
	out, err io.Writer
}

// output keeps the first error of what is written to stdout: an answer that got
// lost is no success.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if o.err == nil {
		o.err = err
	}
	return n, err
}

// printable makes a text of ours safe for a terminal, line by line: names of
// files and members of definitions may be anything.
func printable(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\t", "    "), "\n")
	for i, line := range lines {
		lines[i] = example.Printable(line)
	}
	return strings.Join(lines, "\n")
}

// exit is an error that says nothing more and sets the exit code.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// helpCommand is cobra's, but an unknown command is an error for it too.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return fmt.Errorf("unknown command %q for %q", rest[0], about.CommandPath())
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

func run(ctx context.Context, args []string, c console) int {
	out := &output{w: c.out}
	c.out = out
	root := &cobra.Command{
		Use:           "toolrun",
		Short:         "Run AI-agent tools under hard limits; every failure is one structured error",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.AddCommand(runCommand(c), testCommand(c), validateCommand(c), importCommand(c), serveCommand(c), workerCommand(c), keysCommand(c), providersCommand(c), versionCommand(c), healthcheckCommand(c))
	root.SetHelpCommand(helpCommand())
	err := root.ExecuteContext(ctx)
	if out.err != nil {
		err = fmt.Errorf("the output is not complete: %w", out.err)
	}
	if code, ok := errors.AsType[exit](err); ok {
		return int(code)
	}
	if err != nil {
		fmt.Fprintln(c.err, "toolrun:", printable(err.Error()))
		return exitRejected
	}
	return exitOK
}
