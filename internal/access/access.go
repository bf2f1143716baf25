// Package access tells who calls: it checks API keys and JSON Web Tokens, says what
// their owner may do, and slows down an address that guesses.
//
// Start with [New] and [Authenticator.Authenticate]; [NewKey] makes an API key.
package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

// Options configures an [Authenticator]. The zero value lets nobody in.
type Options struct {
	// Keys finds API keys. Nil: no API key holds.
	Keys Keys
	// JWT says which tokens hold. Its zero value: none.
	JWT JWTOptions
	// Failures is how many credentials that don't hold an address may send at once,
	// and regain within a minute. Of IPv6, an address is its /64. Beyond that, it gets
	// 429 for them, and for what a guess could be: an HS256 token whose subject had none
	// that held there within the last hour. API keys and tokens of the JWKS, which nobody
	// guesses, hold on. Defaults to 20; negative is an error.
	Failures int
	// Now is the clock. Defaults to time.Now.
	Now func() time.Time
	// Logger receives why a credential doesn't hold (debug), and what is wrong with
	// a JWKS (warn); never a credential. Nil is silent.
	Logger *slog.Logger
}

const (
	defaultFailures = 20
	// maxFailures bounds Options.Failures: more is no brake.
	maxFailures = 1_000_000
)

// Authenticator checks credentials. It is safe for concurrent use.
type Authenticator struct {
	keys   Keys
	tokens *tokens // nil: no token holds
	brake  *brake
	now    func() time.Time
	log    *slog.Logger
}

// New checks the options. The keys of a JWKS file are read, those of a URL are asked
// for: that an endpoint is down keeps no service from starting. ctx bounds only New.
// Call [Authenticator.Close] in the end.
func New(ctx context.Context, opts Options) (*Authenticator, error) {
	if opts.Failures < 0 || opts.Failures > maxFailures {
		return nil, fmt.Errorf("access: Failures must be 0 (for %d) to %d, not %d", defaultFailures, maxFailures, opts.Failures)
	}
	if opts.Failures == 0 {
		opts.Failures = defaultFailures
	}
	clock := opts.Now
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	tokens, err := newTokens(ctx, opts.JWT, opts.Now, opts.Logger)
	if err != nil {
		return nil, fmt.Errorf("access: %w", err)
	}
	return &Authenticator{
		keys: opts.Keys, tokens: tokens, brake: newBrake(opts.Failures, clock), now: opts.Now, log: opts.Logger,
	}, nil
}

// Close ends what reads the JWKS. What was read stays valid.
func (a *Authenticator) Close() error {
	a.brake.close()
	if a.tokens != nil {
		a.tokens.close()
	}
	return nil
}

// Authenticate tells who sent a request with these headers from address: by
// "Authorization: Bearer" with an API key or a token, or by X-API-Key. The error is
// an [*errclass.APIError]: 401, the same for every credential that doesn't hold; 429;
// or 503 for a token before the keys to check it with were ever read.
func (a *Authenticator) Authenticate(ctx context.Context, header http.Header, address netip.Addr) (*Principal, error) {
	c, err := credentialOf(header)
	if err != nil {
		return nil, err
	}
	from := neighbourhood(address)
	if a.brake.wait(from, a.now()) > 0 { // it is checked with the keys at hand, and makes nobody wait for others
		over, cancel := context.WithCancel(ctx)
		cancel()
		ctx = over
	}
	p, err := a.principal(ctx, c)
	if err == nil {
		if wait := a.brake.held(from, p, a.now()); wait > 0 {
			return nil, a.braked(wait)
		}
		return p, nil
	}
	a.log.DebugContext(ctx, "credential refused", slog.String("address", address.String()), slog.String("reason", err.Error()))
	if errors.Is(err, errNoKeys) {
		return nil, unavailable(err)
	}
	if wait := a.brake.failed(from, a.now()); wait > 0 {
		return nil, a.braked(wait)
	}
	e := errclass.NewAPIError(errclass.CodeUnauthorized, "Invalid or expired token")
	e.Cause = err
	return nil, e
}

func (a *Authenticator) principal(ctx context.Context, c credential) (*Principal, error) {
	if c.isKey {
		return a.ofKey(c)
	}
	if a.tokens == nil {
		return nil, errors.New("tokens are not configured")
	}
	return a.tokens.verify(ctx, c.secret)
}

func (a *Authenticator) braked(wait time.Duration) error {
	e := errclass.RateLimited(wait)
	e.RateLimit = a.brake.failures
	return e
}

func unavailable(cause error) error {
	e := errclass.NewAPIError(errclass.CodeUnavailable, "Tokens cannot be checked at the moment. Retry after %d seconds.",
		errclass.RetrySeconds(renewEvery))
	e.RetryAfter, e.Cause = renewEvery, cause
	return e
}
