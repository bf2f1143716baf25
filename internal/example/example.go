// Package example runs the examples of tool definitions: it is what "toolrun
// test" does. An example is documentation and test at once: an input, what the
// tool must answer or how it must fail, and what its upstream says meanwhile.
//
// Start with [Run]. Each example with an upstream gets a real HTTP server on
// loopback, to which every request of the tool is led whatever host its URL
// names, so that refused, reset and truncated connections are what they are in
// production. An example without one goes through the guarded transport.
package example

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/redact"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/runner"
	"github.com/almyty-inc/toolrun/sandbox"
)

// DefaultTimeout bounds one example.
const DefaultTimeout = 30 * time.Second

// Options configures [Run]. The zero value runs examples that need nothing but
// their own upstreams.
type Options struct {
	// Env and Credentials are what expressions may read. For examples with an
	// upstream, each name that a tool reads and that is absent here gets a
	// made-up value: "test-API_KEY" for API_KEY, and for names that end in URL
	// or HOST one that can stand there, "https://crm-url.test" for CRM_URL and
	// "crm-host.test" for CRM_HOST.
	Env         map[string]string
	Credentials map[string]any
	// Egress is what examples without an upstream may reach.
	Egress httptool.Policy
	// Providers are the LLM providers that tools name by id.
	Providers []llmtool.Provider
	// Dialects are those that the providers need: see [runner.Options].
	Dialects []llmtool.Dialect
	// Sandbox configures how JavaScript runs.
	Sandbox sandbox.Options
	// Parallel is how many examples run at once. Defaults to GOMAXPROCS.
	Parallel int
	// Timeout bounds each example. Defaults to 30 s.
	Timeout time.Duration
	// Logger receives what the runner logs. Nil is silent.
	Logger *slog.Logger
}

// Outcome is an example that ran.
type Outcome struct {
	Tool    string
	Type    runner.Type
	Example string
	Passed  bool
	// Input is the example's input in JSON; {} where it gives none. The values
	// of [Options.Env] and [Options.Credentials] are redacted in it, and so they
	// are in all that follows: outcomes end up in the logs and archives of CI.
	Input json.RawMessage
	// Document is what a caller gets: the outcome, or the API error.
	Document []byte
	// Problems say what differs from the expectations, one line each. They are
	// empty for an example that passed.
	Problems []string
	Duration time.Duration
	// Logs is what the tool wrote to its console.
	Logs []errclass.LogLine
}

// Summary counts what ran.
type Summary struct {
	Passed, Failed int
	// Untested are the ids of definitions without examples.
	Untested []string
	Duration time.Duration
}

// Run runs the examples of defs and calls report for each one, in the order of
// the definitions and from the calling goroutine. Examples don't share rate
// limits or caches. Definitions that can't run are an [*errclass.APIError] (422)
// and nothing is reported; when ctx ends, Run stops and returns its error beside
// what is counted so far.
func Run(ctx context.Context, defs []*runner.Definition, opts Options, report func(Outcome)) (Summary, error) {
	start := time.Now()
	var summary Summary
	cases, err := plan(defs)
	if err != nil {
		return summary, err
	}
	stage, err := openStage(defs, opts, cases)
	if err != nil {
		return summary, err
	}
	defer stage.close()

	for _, def := range defs {
		if len(def.Examples) == 0 {
			summary.Untested = append(summary.Untested, id(def))
		}
	}
	wait := stage.runAll(ctx, cases, opts.Parallel)
	defer wait()
	for _, c := range cases {
		outcome, ok := <-c.done
		if !ok {
			summary.Duration = time.Since(start)
			return summary, context.Cause(ctx)
		}
		if outcome.Passed {
			summary.Passed++
		} else {
			summary.Failed++
		}
		report(outcome)
	}
	summary.Duration = time.Since(start)
	return summary, nil
}

// Check reports what the definition's schema can't see of its examples, as an
// [*errclass.APIError] (422): patterns that don't compile and expectations that
// exclude each other. [Run] checks the same.
func Check(defs []*runner.Definition) error {
	_, err := plan(defs)
	return err
}

// example is one example that is ready to run.
type example struct {
	def       *runner.Definition
	name      string
	input     json.RawMessage
	expect    expectation
	exchanges []exchange // nil without an upstream
	number    int
	done      chan Outcome // holds the outcome; closed without one if Run was stopped
}

// plan reads the examples of all definitions and reports all their faults.
func plan(defs []*runner.Definition) ([]*example, error) {
	var cases []*example
	var faults []errclass.FieldError
	for _, def := range defs {
		for i, written := range def.Examples {
			c := &example{
				def: def, name: written.Name, input: written.Input,
				number: len(cases), done: make(chan Outcome, 1),
			}
			if len(c.input) == 0 {
				c.input = json.RawMessage("{}")
			}
			var err error
			if c.expect, err = readExpectation(written); err != nil {
				faults = append(faults, fault(def, i, err))
			}
			if c.exchanges, err = readExchanges(written.Upstream); err != nil {
				faults = append(faults, fault(def, i, err))
			}
			cases = append(cases, c)
		}
	}
	if len(faults) == 0 {
		return cases, nil
	}
	e := errclass.NewAPIError(errclass.CodeValidation, "Invalid definition: %s %s", faults[0].Field, faults[0].Message)
	e.Fields = faults
	return nil, e
}

func fault(def *runner.Definition, i int, err error) errclass.FieldError {
	return errclass.FieldError{Field: fmt.Sprintf("/examples/%d", i), Message: id(def) + ": " + err.Error()}
}

// id is what requests name a tool by.
func id(def *runner.Definition) string {
	if def.ID != "" {
		return def.ID
	}
	return def.Name
}

// stage holds what the examples share.
type stage struct {
	guarded  *runner.Runner // for examples without an upstream
	stubbed  *runner.Runner // for the others; nil where there are none
	redactor *redact.Redactor
	timeout  time.Duration
}

func openStage(defs []*runner.Definition, opts Options, cases []*example) (*stage, error) {
	s := &stage{redactor: redact.New(redact.Collect(opts.Env, opts.Credentials)), timeout: opts.Timeout}
	if s.timeout == 0 {
		s.timeout = DefaultTimeout
	}
	configuration := runner.Options{
		Tools: defs, Providers: opts.Providers, Dialects: opts.Dialects, Egress: opts.Egress, Sandbox: opts.Sandbox,
		Env: opts.Env, Credentials: opts.Credentials, Logger: opts.Logger,
	}
	var err error
	if s.guarded, err = runner.New(configuration); err != nil {
		return nil, err
	}
	for _, c := range cases {
		if c.exchanges == nil {
			continue
		}
		configuration.Env, configuration.Credentials = placeholders(s.guarded, defs, opts)
		configuration.Transport = router{}
		if s.stubbed, err = runner.New(configuration); err != nil {
			s.close()
			return nil, err
		}
		break
	}
	return s, nil
}

func (s *stage) close() {
	// Every execution is over: there is nothing to wait for.
	for _, r := range []*runner.Runner{s.guarded, s.stubbed} {
		if r != nil {
			_ = r.Close(context.Background())
		}
	}
}

// runAll starts the examples and returns how to wait for what still runs.
func (s *stage) runAll(ctx context.Context, cases []*example, parallel int) (wait func()) {
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(parallel, len(cases)) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(cases)); i = next.Add(1) - 1 {
				s.runOne(ctx, cases[i])
			}
		})
	}
	return workers.Wait
}

func (s *stage) runOne(ctx context.Context, c *example) {
	defer close(c.done)
	if ctx.Err() != nil {
		return
	}
	outcome := s.run(ctx, c)
	if ctx.Err() != nil {
		return // it was stopped, which says nothing about the tool
	}
	c.done <- outcome
}

// run is the way of one example.
func (s *stage) run(ctx context.Context, c *example) Outcome {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	outcome := Outcome{Tool: id(c.def), Type: c.def.Type, Example: c.name, Input: c.input}
	r := s.guarded
	var upstream *stub
	if c.exchanges != nil {
		r = s.stubbed
		var err error
		if upstream, err = newStub(c.exchanges, cancel); err != nil {
			outcome.Problems = []string{"the stub upstream can't start: " + err.Error()}
			return outcome
		}
		ctx = withStub(ctx, upstream)
	}
	start := time.Now()
	result, err := r.Execute(ctx, runner.Request{Tool: outcome.Tool, Organization: c.organization(), Parameters: c.input})
	outcome.Duration = time.Since(start)
	if upstream != nil {
		outcome.Problems = upstream.stop()
	}
	outcome.record(result, err)
	outcome.Problems = append(outcome.Problems, c.expect.problems(result, err)...)
	outcome.Passed = len(outcome.Problems) == 0
	outcome.redact(s.redactor)
	return outcome
}

// redact takes the secrets out of what is shown, once all is compared.
func (o *Outcome) redact(r *redact.Redactor) {
	for i, p := range o.Problems {
		o.Problems[i] = r.String(p)
	}
	for i, l := range o.Logs {
		o.Logs[i].Message = r.String(l.Message)
	}
	o.Input = json.RawMessage(r.String(string(o.Input)))
	o.Document = []byte(r.String(string(o.Document)))
}

// organization is one that no other example uses, so that examples share
// neither rate limits nor cached results.
func (c *example) organization() string {
	if c.def.Organization != "" {
		return c.def.Organization
	}
	return fmt.Sprintf("example-%d", c.number)
}

// record keeps what a caller would have got.
func (o *Outcome) record(result *runner.Result, err error) {
	var document []byte
	var broken error
	var turnedAway *errclass.APIError
	switch {
	case result != nil:
		o.Logs = result.Logs
		document, broken = result.JSON(false)
	case errors.As(err, &turnedAway):
		document, broken = turnedAway.MarshalJSON()
	default:
		broken = err
	}
	if broken != nil {
		o.Problems = append(o.Problems, "there is no document: "+broken.Error())
	}
	o.Document = document
}
