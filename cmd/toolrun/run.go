package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/example"
	"github.com/almyty-inc/toolrun/runner"
)

// runFlags are the flags of "toolrun run".
type runFlags struct {
	common
	tools   string
	params  string
	pairs   []string
	timeout milliseconds
	details bool
	stream  bool
}

func runCommand(c console) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run TOOL",
		Short: "Run a tool once and print the outcome as one JSON document",
		Long: `Run a tool once and print the outcome as one JSON document on stdout; what the
tool logs goes to stderr, and with --stream so does the answer of an llm tool as it
comes. TOOL is a definition file, a bare .js, .ts or .mjs
file, or the name of a tool below --tools.

Exit status: 0 success, 1 the tool failed, 2 the request was rejected or the
command line is wrong.`,
		Example: `  toolrun run price.yaml -p quantity=120
  toolrun run weather --tools tools/ --params '{"city":"Bern"}' --env-file .env
  toolrun run internal-api.yaml --allow 10.0.0.7:8080 --details`,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) == 0:
				return errors.New("TOOL is missing: toolrun run TOOL")
			case len(args) > 1:
				return fmt.Errorf("one TOOL at a time: %q is one too many", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0], c) },
	}
	flags := cmd.Flags()
	f.register(flags)
	flags.StringVar(&f.tools, "tools", "", "directory to find TOOL, and the tools that it invokes, in")
	flags.StringVar(&f.params, "params", "", "parameters: JSON, @FILE, or - for stdin")
	flags.StringArrayVarP(&f.pairs, "param", "p", nil, "one `key=value`, over those of --params; may be given more than once. A value is JSON, or text where it is none or the tool's schema takes only text; 'zip=\"12345\"' is always text")
	flags.Var(&f.timeout, "timeout", "shorten the time limit, which is the definition's timeout or else 30s (5s, 250ms, or milliseconds)")
	flags.BoolVar(&f.stream, "stream", false, "print the answer of an llm tool to stderr as it comes; the document follows as ever")
	flags.BoolVar(&f.details, "details", false, "print all that is known about the outcome")
	return cmd
}

func (f *runFlags) run(cmd *cobra.Command, name string, c console) error {
	opts, err := f.options()
	if err != nil {
		return err
	}
	id, err := f.load(name, &opts)
	if err != nil {
		return reject(c, err)
	}
	r, err := runner.New(opts)
	if err != nil {
		return reject(c, err)
	}
	defer func() { _ = r.Close(cmd.Context()) }() // nothing runs any more
	def, err := r.Tool("", id)
	if err != nil {
		return reject(c, err)
	}
	parameters, err := f.parameters(def.Parameters, c.in)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	request := runner.Request{Tool: id, Parameters: parameters, Timeout: time.Duration(f.timeout)}
	answer := &live{to: c.err}
	if f.stream {
		request.Stream = answer.add
	}
	result, err := r.Execute(ctx, request)
	answer.end()
	if err != nil {
		return reject(c, err)
	}
	return f.print(result, c)
}

func (f *runFlags) print(result *runner.Result, c console) error {
	for _, line := range result.Logs {
		fmt.Fprintf(c.err, "[%s] %s\n", line.Level, example.Printable(line.Message))
	}
	if result.LogsTruncated {
		fmt.Fprintln(c.err, "[…] further log lines were dropped at the limit")
	}
	document, err := result.JSON(f.details)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s\n", document)
	if result.Failure != nil {
		return exit(exitFailed)
	}
	return nil
}

// reject prints a request that was turned away; any other error is the command
// line's.
func reject(c console, err error) error {
	turnedAway, ok := errors.AsType[*errclass.APIError](err)
	if !ok {
		return err
	}
	document, err := json.Marshal(turnedAway)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s\n", document)
	return exit(exitRejected)
}

// load adds the named tool, those around it and their providers to opts and
// returns the tool's id.
func (f *runFlags) load(name string, opts *runner.Options) (id string, err error) {
	var paths []string
	if f.tools != "" {
		if opts.Tools, err = runner.Load(f.tools); err != nil {
			return "", ofFlag("--tools", err)
		}
		paths = append(paths, f.tools)
	}
	id = name
	if looksLikeFile(name) {
		defs, err := runner.Load(name)
		if err != nil {
			return "", notFound(name, err)
		}
		if len(defs) != 1 {
			return "", fmt.Errorf("%s holds %d tools: name one of them and give the directory as --tools", name, len(defs))
		}
		id = toolID(defs[0])
		opts.Tools = slices.DeleteFunc(opts.Tools, func(d *runner.Definition) bool { return toolID(d) == id })
		opts.Tools = append(opts.Tools, defs[0])
		paths = append([]string{name}, paths...)
	} else if f.tools == "" {
		return "", fmt.Errorf("to run a tool by its name, give its directory: toolrun run %s --tools DIR", name)
	}
	opts.Providers, err = f.loadProviders(paths...)
	return id, err
}

// ofFlag names the flag that an error of the file system comes from; faults of
// what the files say name those.
func ofFlag(name string, err error) error {
	if _, invalid := errors.AsType[*errclass.APIError](err); err == nil || invalid {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// looksLikeFile tells a path from the name of a tool, which has neither dots nor
// separators.
func looksLikeFile(name string) bool { return strings.ContainsAny(name, `./\`) }

func notFound(name string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return errclass.NewAPIError(errclass.CodeNotFound, "Tool not found: there is no file %s", filepath.ToSlash(name))
	}
	return err
}

func toolID(d *runner.Definition) string {
	if d.ID != "" {
		return d.ID
	}
	return d.Name
}
