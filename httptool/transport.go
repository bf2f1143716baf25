package httptool

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

// The transport's own limits.
const (
	dialTimeout         = 10 * time.Second // name resolution and connection
	tlsTimeout          = 10 * time.Second
	idleTimeout         = 90 * time.Second
	maxHeaderBytes      = 64 << 10
	maxConns            = 2048
	maxConnsPerHost     = 256
	maxIdleConnsPerHost = 64
	maxIdleConns        = 512
	// maxDials is how many connections a request may open. Where an HTTP/2 server
	// takes leave of each before it answers, net/http opens the next at once: a
	// thousand a second, as long as the request's time lasts. Where a server allows
	// few streams a connection and many requests start together, some need twenty.
	maxDials = 64
)

// Transport is the one door to the network: an [http.RoundTripper] that reaches
// what its [Policy] allows and nothing else. It speaks HTTP/1.1 and HTTP/2 over
// TCP, never through a proxy, and inflates gzip. Resolving and connecting may
// take 10 seconds, and so may the TLS handshake; a response's header section may
// have 64 KiB. At most 256 connections a host, and 2048 in all, are open at a
// time, further requests wait for one. A request opens at most 64.
//
// Each origin has a circuit breaker: it opens after 5 failures in a row that
// speak of a bad upstream (no connection, no answer in time, a body that breaks
// off, a 5xx but 501) if they are half of the last 30 seconds' requests, refuses
// requests for 15 seconds at once ([errclass.CircuitOpen]), and lets one through
// then, which decides. A 4xx, a caller who goes away and a deadline of less than a
// second count for nothing. See [WithOrganization] for whom a breaker is.
//
// A refused request fails with an [*errclass.Error] of class
// [errclass.RequestBlocked], also beneath the errors of an [http.Client]. A
// Transport follows no redirects itself; whoever does sends each hop through it.
//
// A Transport is safe for concurrent use.
type Transport struct {
	policy   *policy
	base     *http.Transport
	breakers *breakers
}

// NewTransport returns a transport for the policy. It fails if an entry of the
// policy can't be read; the error names each such entry.
func NewTransport(p Policy) (*Transport, error) {
	return newTransport(p, network{})
}

// network replaces what a transport takes from its host, for tests.
type network struct {
	resolver  *net.Resolver
	tls       *tls.Config
	connect   func(address string) error // called before an allowed address is dialled
	dialLimit time.Duration
	conns     int           // in all
	openFor   time.Duration // of a breaker
	patient   time.Duration
}

func newTransport(p Policy, n network) (*Transport, error) {
	compiled, err := compilePolicy(p)
	if err != nil {
		return nil, err
	}
	d := &guardedDialer{policy: compiled, network: n}
	base := &http.Transport{
		Proxy:                  nil, // the environment's proxy would be what is dialled and judged
		DialContext:            d.dial,
		TLSClientConfig:        n.tls,
		TLSHandshakeTimeout:    tlsTimeout,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		MaxResponseHeaderBytes: maxHeaderBytes,
		MaxConnsPerHost:        maxConnsPerHost,
		MaxIdleConnsPerHost:    maxIdleConnsPerHost,
		MaxIdleConns:           maxIdleConns,
		IdleConnTimeout:        idleTimeout,
	}
	d.open = connections{slots: make(chan struct{}, cmp.Or(n.conns, maxConns)), makeRoom: base.CloseIdleConnections}
	return &Transport{policy: compiled, base: base, breakers: newBreakers(n)}, nil
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.policy.checkURL(req.URL); err != nil {
		if req.Body != nil {
			req.Body.Close()
		}
		return nil, err
	}
	if _, followed := req.Context().Value(phaseKey{}).(*phase); !followed { // a client of its own, such as a provider's
		req = req.WithContext(new(phase).under(req.Context()))
	}
	begin, traced := req.Context().Value(traceKey{}).(func(*http.Request) func(*http.Response, error))
	if !traced {
		return t.breakers.roundTrip(t.base, plainHost(req))
	}
	req = req.Clone(req.Context())
	end := begin(req)
	resp, err := t.breakers.roundTrip(t.base, plainHost(req))
	end(resp, err)
	return resp, err
}

type traceKey struct{}

// WithTrace has begin called with each request that is sent under ctx, redirects and
// requests for tokens included, when the policy has let it pass. It may set headers
// of it, and return a function for its end: when the header section of the answer is
// there, or there is none.
func WithTrace(ctx context.Context, begin func(*http.Request) (end func(*http.Response, error))) context.Context {
	return context.WithValue(ctx, traceKey{}, begin)
}

// plainHost is the request with a host in other numbers (2130706433, 0x7f.1)
// written as the address that they mean.
func plainHost(req *http.Request) *http.Request {
	host := req.URL.Hostname()
	name, err := normalHost(host)
	if err != nil || name == host {
		return req
	}
	if addr, err := netip.ParseAddr(name); err != nil || !addr.Is4() {
		return req
	}
	plain := req.Clone(req.Context())
	plain.Host, plain.URL.Host = "", name
	if port := req.URL.Port(); port != "" {
		plain.URL.Host = net.JoinHostPort(name, port)
	}
	return plain
}

// Breakers lists the circuit breakers that aren't closed, sorted by origin.
func (t *Transport) Breakers() []Breaker { return t.breakers.list() }

// CloseIdleConnections closes connections that carry no request right now.
func (t *Transport) CloseIdleConnections() { t.base.CloseIdleConnections() }

// checkURL refuses what needs no name resolution to be refused.
func (p *policy) checkURL(u *url.URL) error {
	host, port, err := inspectURL(u)
	if err != nil {
		return err
	}
	if !p.mayPermit(host, port) {
		return blocked(host, port)
	}
	return nil
}

// inspectURL returns the host and port that a request to u reaches, or an
// [*errclass.Error] where that is not one clear thing.
func inspectURL(u *url.URL) (host string, port uint16, err error) {
	switch {
	case u == nil:
		return "", 0, refuseURL("the request has no URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", 0, refuseURL("only http and https URLs can be called")
	case u.Opaque != "" || u.Host == "":
		return "", 0, refuseURL("the URL has no host")
	case u.User != nil:
		return "", 0, refuseURL("the URL must not hold a user name or password")
	case strings.ContainsFunc(u.Host, isControlOrBackslash):
		return "", 0, refuseURL("the URL's host holds a backslash or a control character")
	}
	host, hostErr := normalHost(u.Hostname())
	if hostErr != nil {
		return "", 0, refuseURL("the URL's host %s", hostErr)
	}
	port, ok := urlPort(u)
	if !ok {
		return "", 0, refuseURL("the URL's port must be a number from 1 to 65535")
	}
	return host, port, nil
}

func urlPort(u *url.URL) (uint16, bool) {
	digits := u.Port()
	if digits != "" {
		return parsePort(digits)
	}
	if u.Scheme == "https" {
		return 443, !strings.HasSuffix(u.Host, ":")
	}
	return 80, !strings.HasSuffix(u.Host, ":")
}

func isControlOrBackslash(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }

// guardedDialer opens connections to what the policy permits.
type guardedDialer struct {
	policy  *policy
	network network
	open    connections
}

// dial resolves and connects; the policy is asked about each address right
// before the connection is opened.
func (d *guardedDialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, digits, err := net.SplitHostPort(address)
	if err != nil {
		return nil, refuseURL("the URL's host is not valid")
	}
	port, ok := parsePort(digits)
	name, err := normalHost(host)
	if !ok || err != nil {
		return nil, refuseURL("the URL's host is not valid")
	}
	phase := phaseOf(ctx)
	if phase.dials.Add(1) > maxDials {
		e := errclass.Newf(errclass.ConnectionRefused, errclass.Reset, "%s closed %d connections before it answered", displayHost(name, port), maxDials)
		e.Upstream.Host = displayHost(name, port)
		return nil, e
	}
	limit := cmp.Or(d.network.dialLimit, dialTimeout)
	if err := d.open.take(ctx, displayHost(name, port), limit); err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(name); err != nil {
		phase.advance(phaseDNS)
	}
	var permitted atomic.Bool // one of the addresses at least
	dialer := net.Dialer{
		Timeout:  limit,
		Resolver: d.network.resolver,
		ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			if !d.permits(name, port, network, address) {
				return blocked(name, port)
			}
			permitted.Store(true)
			phase.advance(phaseConnect)
			if d.network.connect != nil {
				return d.network.connect(address)
			}
			return nil
		},
	}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(dialHost(name, host), digits))
	if err != nil {
		d.open.give()
		return nil, d.explain(ctx, err, displayHost(name, port), limit, permitted.Load())
	}
	return &countedConn{Conn: conn, give: d.open.give}, nil
}

// dialHost keeps the root's dot of a name, which turns off search domains.
func dialHost(name, host string) string {
	if _, err := netip.ParseAddr(name); err != nil && strings.HasSuffix(host, ".") {
		return name + "."
	}
	return name
}

func (d *guardedDialer) permits(name string, port uint16, network, address string) bool {
	if network != "tcp4" && network != "tcp6" {
		return false
	}
	dialled, err := netip.ParseAddrPort(address)
	if err != nil || dialled.Port() != port {
		return false
	}
	return d.policy.permits(newTarget(name, port, dialled.Addr()))
}

// explain names the dialer's own limit where that is what ran out. Of several
// addresses' failures the dialer keeps the first: where that is a denial, and
// another address was permitted, what failed is the connection.
func (d *guardedDialer) explain(ctx context.Context, err error, host string, limit time.Duration, permitted bool) error {
	if ctx.Err() != nil {
		return err
	}
	var denied *errclass.Error
	if errors.As(err, &denied) {
		if denied.Class != errclass.RequestBlocked || !permitted {
			return err
		}
		e := errclass.Newf(errclass.ConnectionRefused, errclass.Unreachable,
			"no connection to those addresses of %s that the egress policy allows", host)
		e.Upstream.Host = host
		return e
	}
	var timeout interface{ Timeout() bool }
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		return err
	}
	phase, detail := errclass.PhaseConnect, "no connection to %s after %s"
	var dns *net.DNSError
	if errors.As(err, &dns) {
		phase, detail = errclass.PhaseDNS, "no answer from the resolver about %s after %s"
	}
	e := errclass.Newf(errclass.Timeout, phase, detail, host, limit).WithCause(err)
	e.Limit = limit
	e.Upstream.Host = host
	return e
}
