package httptool

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/almyty-inc/toolrun/errclass"
)

// The breakers' numbers; see [Transport].
const (
	tripAfter     = 5                // failures in a row that open a breaker,
	countedFor    = 30 * time.Second // if at least half of the requests of that time failed
	openFor       = 15 * time.Second
	patient       = time.Second // a deadline that came sooner says nothing about the upstream
	maxBreakers   = 4096
	forgottenIdle = time.Minute // since the last request, when room is made for others
)

// Breaker is the state of the circuit breaker of an upstream origin, as one
// organization has it.
type Breaker struct {
	Organization string
	Origin       string        // as in https://api.example.com
	State        string        // closed, half-open or open
	RetryAfter   time.Duration // until an open one lets a request through; else 0
}

type organizationKey struct{}

// WithOrganization names on whose behalf requests under ctx are made. Each
// organization has circuit breakers of its own, so that none can close an
// upstream to others, and access tokens of its own.
func WithOrganization(ctx context.Context, organization string) context.Context {
	return context.WithValue(ctx, organizationKey{}, organization)
}

func organizationOf(ctx context.Context) string {
	organization, _ := ctx.Value(organizationKey{}).(string)
	return organization
}

// breakers holds the breakers of a transport.
type breakers struct {
	openFor, patient time.Duration

	mu  sync.Mutex
	all map[breakerKey]*breaker
}

// breakerKey names an origin as the URL does: example.com and example.com:443 have
// a breaker each.
type breakerKey struct{ organization, scheme, host string }

type breaker struct {
	*gobreaker.TwoStepCircuitBreaker[any]
	used   atomic.Int64 // when a request last asked, in nanoseconds of the Unix epoch
	reopen atomic.Int64 // when it will let a request through, once it has opened
}

func newBreakers(n network) *breakers {
	return &breakers{
		openFor: cmp.Or(n.openFor, openFor), patient: cmp.Or(n.patient, patient),
		all: make(map[breakerKey]*breaker),
	}
}

func (s *breakers) of(key breakerKey, now time.Time) *breaker {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, found := s.all[key]
	if !found {
		if len(s.all) >= maxBreakers {
			s.makeRoom(now)
		}
		b = s.fresh()
		s.all[key] = b
	}
	b.used.Store(now.UnixNano())
	return b
}

// makeRoom forgets breakers that nobody asked lately, and where that is too few,
// any that are closed: what they counted is lost, which errs on the open side.
func (s *breakers) makeRoom(now time.Time) {
	for key, b := range s.all {
		if now.Sub(time.Unix(0, b.used.Load())) > forgottenIdle {
			delete(s.all, key)
		}
	}
	for key, b := range s.all {
		if len(s.all) <= maxBreakers*3/4 {
			return
		}
		if b.State() == gobreaker.StateClosed {
			delete(s.all, key)
		}
	}
	for key := range s.all {
		if len(s.all) <= maxBreakers*3/4 {
			return
		}
		delete(s.all, key)
	}
}

func (s *breakers) fresh() *breaker {
	b := &breaker{}
	b.TwoStepCircuitBreaker = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		Interval:     countedFor,
		BucketPeriod: countedFor / 6,
		Timeout:      s.openFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.ConsecutiveFailures >= tripAfter && c.TotalFailures*2 >= c.TotalFailures+c.TotalSuccesses
		},
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				b.reopen.Store(time.Now().Add(s.openFor).UnixNano())
			}
		},
		IsExcluded: func(err error) bool { return err == errNoVerdict },
	})
	return b
}

// list returns the breakers that aren't closed, sorted.
func (s *breakers) list() []Breaker {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Breaker
	for key, b := range s.all {
		state := b.State()
		if state == gobreaker.StateClosed {
			continue
		}
		shown := Breaker{Organization: key.organization, Origin: originOf(&url.URL{Scheme: key.scheme, Host: key.host}), State: state.String()}
		if state == gobreaker.StateOpen {
			shown.RetryAfter = max(time.Unix(0, b.reopen.Load()).Sub(now), 0)
		}
		found = append(found, shown)
	}
	slices.SortFunc(found, func(a, b Breaker) int {
		return cmp.Or(strings.Compare(a.Origin, b.Origin), strings.Compare(a.Organization, b.Organization))
	})
	return found
}

// errNoVerdict stands for what says nothing about the upstream's health;
// errUnhealthy for what says that it is bad.
var (
	errNoVerdict = errors.New("says nothing about the upstream")
	errUnhealthy = errors.New("speaks of a bad upstream")
)

// roundTrip sends a request unless the breaker of its origin is open.
func (s *breakers) roundTrip(rt http.RoundTripper, req *http.Request) (*http.Response, error) {
	organization := organizationOf(req.Context())
	start := time.Now()
	b := s.of(breakerKey{organization, req.URL.Scheme, strings.ToLower(req.URL.Host)}, start)
	done, err := b.Allow()
	if err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, b.refusal(req.URL, start)
	}
	resp, err := rt.RoundTrip(req)
	switch {
	case err != nil:
		done(s.verdict(req.Context(), err, start, false))
	case resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented:
		done(errUnhealthy)
	case b.reopen.Load() != 0 && b.State() == gobreaker.StateHalfOpen: // others wait for this one: the body may be a long stream
		done(nil)
	default:
		resp.Body = &watchedBody{ReadCloser: resp.Body, done: done, breakers: s, ctx: req.Context(), since: start}
	}
	return resp, err
}

// refusal is the error of an open breaker.
func (b *breaker) refusal(u *url.URL, now time.Time) *errclass.Error {
	wait := max(time.Unix(0, b.reopen.Load()).Sub(now), time.Second) // half-open: the one request will tell
	host := hostOf(u)
	e := errclass.Newf(errclass.ConnectionRefused, errclass.CircuitOpen, "circuit open for %s, retry in %s", host, roundedUp(wait))
	e.RetryAfter = wait
	e.Upstream.Host = host
	return e
}

func roundedUp(wait time.Duration) time.Duration {
	return (wait + time.Second - 1).Truncate(time.Second)
}

// verdict is what an error says about the upstream's health. What is exact and
// quick, such as a wrong name or certificate, stays outside: the caller is better
// served by it than by a breaker's refusal.
func (s *breakers) verdict(ctx context.Context, err error, since time.Time, inBody bool) error {
	if p, known := ctx.Value(phaseKey{}).(*phase); known && p.at.Load() == phaseWaiting {
		return errNoVerdict // it found no room for a connection: the upstream was never asked
	}
	if ctx.Err() != nil {
		// Who bounds each wait of a stream can't do so by a deadline, and cancels with
		// a cause that is one.
		late := errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(context.Cause(ctx), context.DeadlineExceeded)
		if late && time.Since(since) >= s.patient {
			return errUnhealthy
		}
		return errNoVerdict
	}
	if inBody {
		return errUnhealthy
	}
	e := errclass.Classify(&url.Error{Op: "request", Err: err})
	switch e.Reason {
	case errclass.Refused, errclass.Reset, errclass.Unreachable, errclass.DNSTemporary,
		errclass.PhaseDNS, errclass.PhaseConnect, errclass.PhaseTLS, errclass.PhaseHeaders, errclass.UpstreamTimeout:
		return errUnhealthy
	}
	return errNoVerdict
}

// watchedBody tells the breaker how reading a body ended: well where its end was
// reached or the reader had enough.
type watchedBody struct {
	io.ReadCloser
	done     func(error)
	breakers *breakers
	ctx      context.Context // of the request
	since    time.Time       // when it was last seen to go on: a steady stream may be cut by any deadline
	once     sync.Once
}

func (w *watchedBody) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if n > 0 {
		w.since = time.Now()
	}
	if err != nil {
		w.end(err)
	}
	return n, err
}

func (w *watchedBody) Close() error {
	w.end(io.EOF)
	return w.ReadCloser.Close()
}

func (w *watchedBody) end(err error) {
	w.once.Do(func() {
		if err == io.EOF {
			w.done(nil)
			return
		}
		w.done(w.breakers.verdict(w.ctx, err, w.since, true))
	})
}
