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

	// Rates, where not nil, holds the tools' rate limits in place of the runner
	// itself, for those that hold for several processes together.
	Rates RateStore
	// Observer, where not nil, watches every execution.
	Observer Observer

	// Logger receives one line an execution (debug for a success, info for a
	// failure, error for a fault of ours). Nil is silent.
	Logger *slog.Logger
}

// Runner executes tools. It is safe for concurrent use.
type Runner struct {
	opts     Options
	catalog  catalog
	pool     atomic.Pointer[sandbox.Pool] // nil until there is a tool with JavaScript
	carrier  http.RoundTripper
	guarded  *httptool.Transport // nil with Options.Transport
	clients  *llmtool.Clients
	redactor *redact.Redactor // of what every execution keeps; see [secrets]
	log      *slog.Logger
	slots    slots
	cache    *resultCache
	flights  flights
	rates    RateStore
	local    *rateLimits // rates, where Options has none

	life     context.Context
	kill     context.CancelCauseFunc // ends what still runs at the hard stop
	mu       sync.Mutex              // guards the start of an execution against Close
	closed   bool
	inflight sync.WaitGroup
	running  atomic.Int64
}

// New checks options and every definition and returns a runner. All faults of
// definitions and providers come at once in one [*errclass.APIError] (422); a
// wrong option is an error that names it. Close the runner when done.
func New(opts Options) (*Runner, error) {
	opts.Env, opts.Credentials = maps.Clone(opts.Env), maps.Clone(opts.Credentials)
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	r := &Runner{
		opts:    opts,
		catalog: catalog{tools: make(map[toolKey]*tool), owned: make(map[string]map[string]*tool)},
		log:     slog.New(slog.DiscardHandler),
		slots:   newSlots(opts.Concurrency, opts.Queue),
		cache:   newResultCache(opts.CacheBytes),
		rates:   opts.Rates, flights: flights{all: make(map[cacheKey]*flight)},
	}
	if r.rates == nil {
		r.local = newRateLimits()
		r.rates = r.local
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
	if err := r.openPoolFor(r.opts.Tools); err != nil {
		return err
	}
	clients, faults := llmtool.NewClients(r.opts.Providers, r.opts.Env, r.opts.Credentials, r.carrier, r.opts.Dialects...)
	r.clients = clients // nil where there are faults
	what := "definition"
	if len(faults) > 0 {
		what = "providers"
	}
	base, wrong := r.compileAll(r.opts.Tools)
	if faults = r.catalog.rebase(base, append(faults, wrong...)); len(faults) > 0 {
		return invalid(what, faults)
	}
	return nil
}

// Running is how many executions are in flight, waiting ones included and
// nested ones not.
func (r *Runner) Running() int { return int(r.running.Load()) }

// Transport is what carries the tools' requests: the one door to the network, which
// [Options.Egress] guards.
func (r *Runner) Transport() http.RoundTripper { return r.carrier }

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
	if r.local != nil {
		r.local.buckets.StopAllGoroutines()
	}
	if r.guarded != nil {
		r.guarded.CloseIdleConnections()
	}
	if pool := r.pool.Load(); pool != nil {
		return pool.Close()
	}
	return nil
}

// begin counts an execution in, unless the runner is closed.
func (r *Runner) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return shuttingDown()
	}
	r.inflight.Add(1)
	r.running.Add(1)
	return nil
}

func shuttingDown() *errclass.APIError {
	e := errclass.NewAPIError(errclass.CodeUnavailable, "The service is shutting down. Try again.")
	e.RetryAfter = time.Second
	return e
}

func (r *Runner) end() {
	r.running.Add(-1)
	r.inflight.Done()
}
