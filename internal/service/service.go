// Package service answers HTTP requests with a [runner.Runner]: it executes
// tools, shows their definitions and says whether it is alive and ready.
//
// Start with [New]. [Server.Handler] is the API for a server of your own;
// [Listen] and [Server.Serve] are the standalone service, which drains
// gracefully when its context ends. The routes stand in routes.go, the way of an
// execution in execute.go.
//
// Every byte sent as an error is one of two documents: [errclass.Outcome] for a
// tool that ran and failed (status 200), [errclass.APIError] for everything else.
// With [Server.Serve] that holds also for what net/http answers by itself before
// any handler runs; see [wireError].
package service

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/access"
	"github.com/almyty-inc/toolrun/internal/catalog"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/runner"
)

// Defaults of [Options].
const (
	DefaultBodyBytes         = 2 << 20
	DefaultDrainTimeout      = 30 * time.Second
	DefaultReadHeaderTimeout = 10 * time.Second
	DefaultReadTimeout       = 30 * time.Second
	DefaultWriteTimeout      = time.Minute
	DefaultIdleTimeout       = 2 * time.Minute
	DefaultConnections       = 4096
)

// headerBytes bounds the header section of a request, as net/http counts it:
// with 4 KiB of slop.
const headerBytes = 64 << 10

// Options configures a [Server]. Only Runner is required. A zero duration or
// size takes its default; a negative one is refused by [New].
type Options struct {
	// Runner executes the tools. [Server.Serve] closes it when it drains.
	Runner *runner.Runner

	// Access tells who calls. Nil: everybody may do everything, so that the service
	// listens on loopback only.
	Access *access.Authenticator
	// TrustedProxies are the peers whose X-Forwarded-For is believed. What they say
	// matters to the brake for guessed credentials only.
	TrustedProxies []netip.Prefix

	// Executions, Definitions, Keys and Rates are what is shared with other nodes and
	// survives this one. What is nil has no routes; rate limits are then those of the
	// runner itself.
	Executions  *queue.Executions
	Definitions *queue.Definitions
	Keys        *queue.Keys
	Rates       *queue.Rates
	// ForgetSynchronous leaves executions whose caller waits for them, and sends no
	// idempotency key, out of Executions.
	ForgetSynchronous bool
	// OrganizationRate is how many requests a minute an organization may make. Zero:
	// without limit.
	OrganizationRate int
	// Remote, where not nil, runs synchronous executions on workers elsewhere; Runner
	// then only checks them.
	Remote Remote
	// WebhookSecret is what the organizations' secrets are made from. Empty: webhooks
	// are refused.
	WebhookSecret []byte

	// Metrics answers GET /metrics. Nil: there is no such route.
	Metrics http.Handler
	// Middleware wraps all routes, for traces. It may be nil.
	Middleware func(http.Handler) http.Handler
	// Rejected, where not nil, is told the code of each request that is turned away where
	// the runner's observer doesn't see it.
	Rejected func(errclass.Code)
	// Traceparent is the trace of a context, for executions that run elsewhere. It may be nil.
	Traceparent func(context.Context) string
	// Missing lists what keeps the service from being ready, for GET /readyz. It may be nil.
	Missing func() []string
	// Broken lists definitions that can't be used, for GET /readyz?verbose. It may be nil.
	Broken func() []catalog.Broken

	// TLS, where not nil, is what [Server.Serve] speaks TLS with.
	TLS *tls.Config

	// Logger receives a line a request (debug), faults of ours (error) and
	// start and end of a drain (info). It gets no query and no parameters. Nil is
	// silent.
	Logger *slog.Logger

	// BodyBytes bounds the body of a request. Defaults to 2 MiB. The runner
	// bounds the parameters in it further.
	BodyBytes int64

	// DrainTimeout is how long executions in flight may go on once Serve's
	// context has ended, before they are cancelled. Defaults to 30 s.
	DrainTimeout time.Duration

	// The rest concerns connections, thus Serve only.

	// ReadHeaderTimeout bounds how long a request's header section may take.
	// Defaults to 10 s.
	ReadHeaderTimeout time.Duration
	// ReadTimeout bounds how long a whole request may take to arrive. Defaults to
	// 30 s; can't be shorter than ReadHeaderTimeout.
	ReadTimeout time.Duration
	// WriteTimeout bounds how long the client may take to accept what one write
	// sends: a small answer whole, a large one in two parts. It doesn't run
	// while a tool does. Defaults to 1 min.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection is kept between requests, unless its place
	// is needed; see Connections. Defaults to 2 min.
	IdleTimeout time.Duration
	// Connections bounds how many are open at once. For a further client the one that
	// has been idle for longest is closed; where none is, it waits to be accepted.
	// Defaults to 4096.
	Connections int

	// Hosts are names, without port, that a request's Host header may give
	// besides localhost and loopback addresses, where there is no Access: nothing
	// else keeps a web page whose name was pointed at this machine (DNS
	// rebinding) from running tools.
	Hosts []string
}

// Remote runs tools on other machines: a [queue.Engine].
type Remote interface {
	ExecuteRemote(ctx context.Context, req runner.Request, details bool) (*queue.Outcome, error)
}

// Server is the HTTP API of one runner. It is safe for concurrent use.
type Server struct {
	opts    Options
	runner  *runner.Runner
	log     *slog.Logger
	handler http.Handler

	serving  atomic.Bool
	draining atomic.Bool
	active   atomic.Int64 // connections between a request's header and the end of its answer
	cut      atomic.Int64 // executions that the drain cancelled
	hurry    chan struct{}

	arriving    context.Context // ends when the drain begins: bodies on their way are given up
	stopArrival context.CancelFunc
	hurried     sync.Once
	crowd       crowd
	stopped     context.Context // ends when the drain is over: followers are sent away
	stop        context.CancelFunc
}

// New checks the options and returns a server. It opens nothing.
func New(opts Options) (*Server, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	s := &Server{
		opts: opts, runner: opts.Runner, log: opts.Logger,
		hurry: make(chan struct{}),
		crowd: crowd{most: max(1, opts.Connections*3/4), there: make(map[string]int)},
	}
	s.arriving, s.stopArrival = context.WithCancel(context.Background())
	s.stopped, s.stop = context.WithCancel(context.Background())
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if s.handler, err = s.routes(); err != nil {
		return nil, err
	}
	return s, nil
}

// Handler is the API without the listener's part: for a server of your own,
// whose timeouts, connections and Host names are then yours to mind.
func (s *Server) Handler() http.Handler { return s.handler }

func (o *Options) setDefaults() error {
	if o.Runner == nil {
		return errors.New("service: Options.Runner is missing")
	}
	for _, d := range []struct {
		name  string
		field *time.Duration
		value time.Duration
	}{
		{"DrainTimeout", &o.DrainTimeout, DefaultDrainTimeout},
		{"ReadHeaderTimeout", &o.ReadHeaderTimeout, DefaultReadHeaderTimeout},
		{"ReadTimeout", &o.ReadTimeout, max(DefaultReadTimeout, o.ReadHeaderTimeout)},
		{"WriteTimeout", &o.WriteTimeout, DefaultWriteTimeout},
		{"IdleTimeout", &o.IdleTimeout, DefaultIdleTimeout},
	} {
		if err := setDefault(d.name, d.field, d.value); err != nil {
			return err
		}
	}
	if o.ReadTimeout < o.ReadHeaderTimeout {
		return errors.New("service: Options.ReadTimeout is shorter than ReadHeaderTimeout")
	}
	for _, host := range o.Hosts {
		_, err := netip.ParseAddr(host)
		if host == "" || err != nil && strings.ContainsAny(host, ":/*[] ") {
			return fmt.Errorf("service: Options.Hosts (--host): %q is not a name: write it as the Host header has it, without scheme and port", host)
		}
	}
	if o.OrganizationRate < 0 {
		return errors.New("service: Options.OrganizationRate is negative; leave it zero for none")
	}
	return errors.Join(
		setDefault("BodyBytes", &o.BodyBytes, DefaultBodyBytes),
		setDefault("Connections", &o.Connections, DefaultConnections),
	)
}

func setDefault[T ~int | ~int64](name string, field *T, value T) error {
	if *field < 0 {
		return fmt.Errorf("service: Options.%s is negative; leave it zero for the default", name)
	}
	if *field == 0 {
		*field = value
	}
	return nil
}
