package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/example"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/runner"
)

func providersCommand(c console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "providers",
		Short: "Work with LLM providers",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q for %q", args[0], "toolrun providers")
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			return errors.New("a command is missing: toolrun providers check")
		},
	}
	cmd.AddCommand(checkCommand(c))
	return cmd
}

// checkFlags are the flags of "toolrun providers check".
type checkFlags struct {
	common
	model   string
	timeout milliseconds
	asJSON  bool
}

func checkCommand(c console) *cobra.Command {
	f := checkFlags{timeout: milliseconds(30 * time.Second)}
	cmd := &cobra.Command{
		Use:   "check [ID...]",
		Short: "Ask each provider for a word: reachable, key taken, model known?",
		Long: `Send one short request to each provider, or to those with an ID given, and
print a line for each: whether something answers at its address, whether it
takes the key and whether it knows the model. Each costs some twenty tokens.

Exit status: 0 all can be used, 1 one can't, 2 the command line or the providers
file is wrong.`,
		Example: `  toolrun providers check --env-file .env
  toolrun providers check --providers providers.yaml --model gpt-4o-mini main`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args, c) },
	}
	flags := cmd.Flags()
	f.registerReach(flags)
	flags.Lookup("providers").Usage = "file of LLM providers, in place of the providers.yaml of the current directory"
	flags.StringVar(&f.model, "model", "", "model to ask for, in place of each provider's own")
	flags.Var(&f.timeout, "timeout", "how long to wait for the answers (5s, 250ms, or milliseconds)")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON array")
	return cmd
}

func (f *checkFlags) run(cmd *cobra.Command, ids []string, c console) error {
	opts, err := f.options()
	if err != nil {
		return err
	}
	if opts.Providers, err = f.loadProviders("."); err != nil {
		return printFaults(c.err, err, exitRejected)
	}
	if ids, err = chosen(opts.Providers, ids); err != nil {
		return err
	}
	r, err := runner.New(opts)
	if err != nil {
		return printFaults(c.err, err, exitRejected)
	}
	defer func() { _ = r.Close(cmd.Context()) }() // nothing runs any more
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(f.timeout))
	defer cancel()
	checks := make([]check, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() { checks[i] = checkProvider(ctx, r, id, f.model) })
	}
	wg.Wait()
	return f.print(checks, c)
}

// chosen are the ids to check: all, or those given.
func chosen(providers []llmtool.Provider, given []string) ([]string, error) {
	var all []string
	for _, p := range providers {
		all = append(all, p.ID)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no providers.yaml here: name a file with --providers")
	}
	for _, id := range given {
		if !slices.Contains(all, id) {
			return nil, fmt.Errorf("there is no provider %q; there are: %s", id, strings.Join(all, ", "))
		}
	}
	if len(given) > 0 {
		return given, nil
	}
	return all, nil
}

// check is a line of the report.
type check struct {
	Provider   string          `json:"provider"`
	Type       string          `json:"type"`
	Host       string          `json:"host"`
	Model      string          `json:"model,omitempty"`
	OK         bool            `json:"ok"`
	Reachable  llmtool.Verdict `json:"reachable"`
	Key        llmtool.Verdict `json:"key"`
	ModelKnown llmtool.Verdict `json:"modelKnown"`
	DurationMs int64           `json:"durationMs"`
	Class      errclass.Class  `json:"class,omitempty"`
	Reason     errclass.Reason `json:"reason,omitempty"`
	Error      string          `json:"error,omitempty"`
	Hint       string          `json:"hint,omitempty"`
}

func checkProvider(ctx context.Context, r *runner.Runner, id, model string) check {
	start := time.Now()
	k := r.CheckProvider(ctx, id, model)
	line := check{
		Provider: k.Provider, Type: k.Type, Host: k.Host, Model: k.Model, OK: k.Err == nil,
		Reachable: k.Reachable, Key: k.Key, ModelKnown: k.ModelKnown, DurationMs: time.Since(start).Milliseconds(),
	}
	if k.Err != nil {
		line.Class, line.Reason, line.Error, line.Hint = k.Err.Class, k.Err.Reason, k.Err.Error(), k.Err.Hint
	}
	return line
}

func (f *checkFlags) print(checks []check, c console) error {
	failed := slices.ContainsFunc(checks, func(k check) bool { return !k.OK })
	if f.asJSON {
		out := json.NewEncoder(c.out)
		out.SetEscapeHTML(false)
		out.SetIndent("", "  ")
		if err := out.Encode(checks); err != nil {
			return err
		}
	} else {
		for _, k := range checks {
			fmt.Fprintln(c.out, example.Printable(k.String()))
		}
	}
	if failed {
		return exit(exitFailed)
	}
	return nil
}

func (k check) String() string {
	state, why := "ok    ", ""
	if !k.OK {
		state, why = "FAILED", ": "+k.Error
	}
	model := ""
	if k.Model != "" {
		model = " (" + k.Model + ")"
	}
	return fmt.Sprintf("%s %s at %s: reachable %s, key %s, model %s%s, %d ms%s",
		state, k.Provider, k.Host, k.Reachable, k.Key, k.ModelKnown, model, k.DurationMs, why)
}
