// Package runner runs tools: it turns definitions into checked tools and
// executes them under hard limits, so that every failure comes back as one
// structured error.
//
// Start with [Load] or a [Definition] of your own, hand it to [New] and call
// [Runner.Execute]:
//
//	defs, err := runner.Load("tools/")
//	r, err := runner.New(runner.Options{Tools: defs})
//	result, err := r.Execute(ctx, runner.Request{Tool: "price", Parameters: params})
//
// A tool that ran and failed is a [Result] with a Failure; a request that was
// turned away is an [errclass.APIError]. The way of an execution stands in
// execute.go, top to bottom.
package runner

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/redact"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/sandbox"
)

// Defaults of [Options].
const (
	DefaultTimeout        = 30 * time.Second
	DefaultMaxTimeout     = 10 * time.Minute
	DefaultConcurrency    = 256
	DefaultQueue          = 2048
	DefaultParameterBytes = 1 << 20
	DefaultCacheBytes     = 64 << 20
)

// Options configures a [Runner]. The zero value runs JavaScript tools that
// reach nothing: no network, no environment, no credentials, no provider.
type Options struct {
	// Tools are the definitions to serve, each by its id and its name. Two of one
	// organization can't share either. They must not be changed afterwards.
	Tools []*Definition

	// Providers are the LLM providers that llm tools name by id.
	Providers []llmtool.Provider

	// Dialects are the APIs that providers may speak besides OpenAI's and what
	// imitates it, as the packages llmtool/anthropic and llmtool/google have them.
	Dialects []llmtool.Dialect

	// Egress opens the network, for HTTP tools and LLM providers alike. The
	// zero value reaches nothing.
	Egress httptool.Policy

	// Transport, where not nil, carries all requests in place of the guarded
	// one that Egress describes. It is meant for tests: nothing guards it.
	Transport http.RoundTripper

	// Env and Credentials are what expressions may read as env.NAME and
	// credentials.NAME; javascript tools see credentials only. Every value of
	// at least 4 characters is kept out of errors, logs and details.
	Env         map[string]string
	Credentials map[string]any

	// Sandbox configures how JavaScript runs. By default that is in child processes,
	// for which main has to begin with [sandbox.Init].
	Sandbox sandbox.Options

	// DefaultTimeout bounds executions of tools that set no timeout of their
	// own. Defaults to 30 s.
	DefaultTimeout time.Duration
	// MaxTimeout bounds every execution, whatever definition and request say.
	// Defaults to 10 minutes; can't be shorter than DefaultTimeout.
	MaxTimeout time.Duration

	// Concurrency is how many executions run at once; nested ones run in the
	// slot of the outermost. Defaults to 256.
	Concurrency int
	// Queue is how many more may wait for a slot; beyond it requests are turned
	// away with 503. Defaults to 2048; negative means none.
	Queue int

	// ParameterBytes bounds a request's parameters. Defaults to 1 MiB.
	ParameterBytes int
	// CacheBytes bounds all cached results together. Defaults to 64 MiB.
	CacheBytes int

	// Logger receives one line an execution (debug for a success, info for a
	// failure, error for a fault of ours). Nil is silent.
	Logger *slog.Logger
}

// Runner executes tools. It is safe for concurrent use.
type Runner struct {
	opts     Options
	tools    map[toolKey]*tool
	order    []*tool
	pool     *sandbox.Pool
	carrier  http.RoundTripper
	guarded  *httptool.Transport // nil with Options.Transport
	clients  *llmtool.Clients
	redactor *redact.Redactor // of what every execution keeps; see [secrets]
	log      *slog.Logger
	slots    slots
	cache    *resultCache
	flights  flights
	rates    *rateLimits

	life     context.Context
	kill     context.CancelCauseFunc // ends what still runs at the hard stop
	mu       sync.Mutex              // guards the start of an execution against Close
	closed   bool
	inflight sync.WaitGroup
	running  atomic.Int64
}

type toolKey struct{ organization, id string }

// New checks options and every definition and returns a runner. All faults of
// definitions and providers come at once in one [*errclass.APIError] (422); a
// wrong option is an error that names it. Close the runner when done.
func New(opts Options) (*Runner, error) {
	opts.Env, opts.Credentials = maps.Clone(opts.Env), maps.Clone(opts.Credentials)
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	r := &Runner{
		opts:  opts,
		tools: make(map[toolKey]*tool),
		log:   slog.New(slog.DiscardHandler),
		slots: newSlots(opts.Concurrency, opts.Queue),
		cache: newResultCache(opts.CacheBytes),
		rates: newRateLimits(), flights: flights{all: make(map[cacheKey]*flight)},
	}
	r.redactor = redact.New(redact.Collect(opts.Env, opts.Credentials))
	if opts.Logger != nil {
		all := redact.New(redact.Collect(opts.Env, opts.Credentials, literals(opts.Tools)))
		r.log = slog.New(all.Handler(opts.Logger.Handler()))
	}
	r.life, r.kill = context.WithCancelCause(context.Background())
	if err := r.open(); err != nil {
		r.release()
		return nil, err
	}
	return r, nil
}

func (o *Options) setDefaults() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"Concurrency", o.Concurrency}, {"ParameterBytes", o.ParameterBytes}, {"CacheBytes", o.CacheBytes},
		{"DefaultTimeout", int(o.DefaultTimeout)}, {"MaxTimeout", int(o.MaxTimeout)},
	} {
		if f.value < 0 {
			return errors.New("runner: Options." + f.name + " is negative; leave it zero for the default")
		}
	}
	setDefault(&o.DefaultTimeout, DefaultTimeout)
	setDefault(&o.MaxTimeout, max(DefaultMaxTimeout, o.DefaultTimeout))
	setDefault(&o.Concurrency, DefaultConcurrency)
	setDefault(&o.Queue, DefaultQueue)
	setDefault(&o.ParameterBytes, DefaultParameterBytes)
	setDefault(&o.CacheBytes, DefaultCacheBytes)
	if err := o.Sandbox.Validate(); err != nil {
		return err
	}
	if o.MaxTimeout < o.DefaultTimeout {
		return errors.New("runner: Options.MaxTimeout is shorter than DefaultTimeout")
	}
	o.Queue = max(o.Queue, 0)
	return nil
}

func setDefault[T ~int | ~int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// open builds what an execution needs: transport, sandbox, clients, tools.
func (r *Runner) open() error {
	r.carrier = r.opts.Transport
	if r.carrier == nil {
		guarded, err := httptool.NewTransport(r.opts.Egress)
		if err != nil {
			return err
		}
		r.guarded, r.carrier = guarded, guarded
	}
	if slices.ContainsFunc(r.opts.Tools, needsSandbox) {
		pool, err := sandbox.New(r.opts.Sandbox)
		if err != nil {
			return err
		}
		r.pool = pool
	}
	clients, faults := llmtool.NewClients(r.opts.Providers, r.opts.Env, r.opts.Credentials, r.carrier, r.opts.Dialects...)
	r.clients = clients // nil where there are faults
	what := "definition"
	if len(faults) > 0 {
		what = "providers"
	}
	if faults = append(faults, r.addTools()...); len(faults) > 0 {
		return invalid(what, faults)
	}
	return nil
}

// needsSandbox reports whether a tool has JavaScript: a runner without any starts
// no process.
func needsSandbox(def *Definition) bool {
	return def != nil && (def.Type == JavaScript || def.Code != "")
}

// addTools compiles the tools and returns all their faults.
func (r *Runner) addTools() (faults []errclass.FieldError) {
	compiled := r.compileAll()
	for i, def := range r.opts.Tools {
		t := compiled[i]
		if def != nil {
			r.addTool(t)
		}
		faults = append(faults, t.faults...)
	}
	return faults
}

// addTool makes a tool known by its id and its name, which are one namespace.
func (r *Runner) addTool(t *tool) {
	r.order = append(r.order, t)
	for _, called := range []struct{ pointer, word string }{{"/id", t.def.ID}, {"/name", t.def.Name}} {
		if called.word == "" {
			continue
		}
		key := toolKey{t.def.Organization, called.word}
		if other, taken := r.tools[key]; taken && other != t {
			t.fault(called.pointer, "is taken: %s is called %s too", other.place(), called.word)
			continue
		}
		r.tools[key] = t
	}
}

// compileAll compiles the tools on all processors: a directory of thousands is
// ready in seconds.
func (r *Runner) compileAll() []*tool {
	compiled := make([]*tool, len(r.opts.Tools))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(compiled)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(compiled)); i = next.Add(1) - 1 {
				compiled[i] = r.compile(r.opts.Tools[i])
			}
		})
	}
	wg.Wait()
	return compiled
}

// Tools lists the definitions that an organization sees, in the order of
// [Options.Tools]. They must not be changed.
func (r *Runner) Tools(organization string) []*Definition {
	var defs []*Definition
	for _, t := range r.order {
		if t.def.Organization == "" || t.def.Organization == organization {
			defs = append(defs, t.written)
		}
	}
	return defs
}

// Tool returns the definition with an id, as an organization sees it. The error
// is a 404 [*errclass.APIError].
func (r *Runner) Tool(organization, id string) (*Definition, error) {
	t, err := r.find(organization, id)
	if err != nil {
		return nil, err
	}
	return t.written, nil
}

// Needs lists the names that a tool reads from Env and Credentials by
// expressions, its provider's included, sorted.
func (r *Runner) Needs(organization, id string) (env, credentials []string, err error) {
	t, err := r.find(organization, id)
	if err != nil {
		return nil, nil, err
	}
	return t.env, t.credentials, nil
}

// Running is how many executions are in flight, waiting ones included and
// nested ones not.
func (r *Runner) Running() int { return int(r.running.Load()) }

// Breakers lists the circuit breakers of upstream origins that aren't closed,
// sorted by origin; none with [Options.Transport].
func (r *Runner) Breakers() []httptool.Breaker {
	if r.guarded == nil {
		return nil
	}
	return r.guarded.Breakers()
}

// CheckProvider asks a provider for a word, as its tools would, and tells what is
// amiss: see [llmtool.Clients.Check]. An empty model means the provider's default.
func (r *Runner) CheckProvider(ctx context.Context, id, model string) llmtool.Check {
	return r.clients.Check(ctx, id, model)
}

// errShutdown ends executions that outlast a soft stop.
var errShutdown = errclass.New(errclass.Cancelled, errclass.Shutdown, "the service is shutting down")

// closeGrace is how long a hard stop waits for executions to notice.
const closeGrace = 5 * time.Second

// Close takes no further execution (they are turned away with 503), waits for
// those in flight until ctx is done, then cancels them and waits a little more.
// It returns an error if some still run after that. Closing again waits again.
func (r *Runner) Close(ctx context.Context) error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()

	done := make(chan struct{})
	go func() {
		r.inflight.Wait()
		close(done)
	}()
	select {
	case <-done:
		return r.release()
	case <-ctx.Done():
	}
	r.kill(errShutdown)
	select {
	case <-done:
		return r.release()
	case <-time.After(closeGrace):
		return errors.Join(errors.New("runner: executions still run after the hard stop"), r.release())
	}
}

// release gives back what open opened; it may be called again.
func (r *Runner) release() error {
	r.kill(errShutdown)
	r.cache.entries.StopAllGoroutines()
	r.rates.buckets.StopAllGoroutines()
	if r.guarded != nil {
		r.guarded.CloseIdleConnections()
	}
	if r.pool == nil {
		return nil
	}
	return r.pool.Close()
}

// begin counts an execution in, unless the runner is closed.
func (r *Runner) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		e := errclass.NewAPIError(errclass.CodeUnavailable, "The service is shutting down. Try again.")
		e.RetryAfter = time.Second
		return e
	}
	r.inflight.Add(1)
	r.running.Add(1)
	return nil
}

func (r *Runner) end() {
	r.running.Add(-1)
	r.inflight.Done()
}
