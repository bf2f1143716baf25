package errclass_test

import (
	"compress/flate"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"syscall"
	"testing"

	"github.com/sony/gobreaker/v2"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/almyty-inc/toolrun/errclass"
)

func TestClassifyNil(t *testing.T) {
	t.Parallel()
	require.Nil(t, errclass.Classify(nil))
	require.Nil(t, errclass.ClassifyBody(nil))
}

// Built by hand, because no loopback makes them; the shapes are net's.
func dialError(errno syscall.Errno) error {
	addr := &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 443}
	return &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: os.NewSyscallError("connect", errno)}
}

func requested(err error) error {
	return &url.Error{Op: "Get", URL: "https://user:***@api.example.com:8443/v1/things?token=" + secret, Err: err}
}

func goAway(code http2.ErrCode, debug string) error {
	//lint:ignore SA1019 clients of golang.org/x/net still return it
	return http2.GoAwayError{ErrCode: code, DebugData: debug}
}

func readError(err error) error { return &net.OpError{Op: "read", Net: "tcp", Err: err} }

func TestClassifyShapes(t *testing.T) {
	t.Parallel()
	var ( // named as in a tree
		refused  = requested(dialError(syscall.ECONNREFUSED))
		unread   = io.ErrUnexpectedEOF
		deadline = requested(context.DeadlineExceeded)
		cancel   = requested(context.Canceled)
		known    = errclass.New(errclass.HTTPError, errclass.NotFound, "404 Not Found")
		knownOut = errclass.New(errclass.Timeout, errclass.PhaseBody, "no body")
		knownEnd = errclass.New(errclass.Cancelled, errclass.Shutdown, "")
		unknown  = errors.New("no idea " + secret)
	)
	tests := []struct {
		name   string
		err    error
		reason errclass.Reason
		detail string
		host   string
	}{
		{"no route to host", requested(dialError(syscall.EHOSTUNREACH)), errclass.Unreachable, "no route to api.example.com", "api.example.com"},
		{"no route to network", dialError(syscall.ENETUNREACH), errclass.Unreachable, "no route to the target", ""},
		{"firewall says no", requested(dialError(syscall.EACCES)), errclass.Unreachable, "no connection to api.example.com", "api.example.com"},
		{"kernel gives up connecting", requested(dialError(syscall.ETIMEDOUT)), errclass.PhaseConnect, "no connection to api.example.com", "api.example.com"},
		{"kernel gives up reading", readError(os.NewSyscallError("read", syscall.ETIMEDOUT)), errclass.PhaseBody, "the answer of the target did not arrive in full", ""},
		{"write into a closed pipe", requested(&net.OpError{Op: "write", Err: syscall.EPIPE}), errclass.Reset, "api.example.com closed the connection before it answered", "api.example.com"},
		{"bare errno", syscall.ECONNREFUSED, errclass.Refused, "", ""},
		{"bare reset", syscall.ECONNRESET, errclass.Truncated, "the answer of the target ended early", ""},
		{"no descriptors left", requested(dialError(syscall.EMFILE)), errclass.Unclassified, "", "api.example.com"},
		{"read deadline", readError(os.ErrDeadlineExceeded), errclass.PhaseBody, "the answer of the target did not arrive in full", ""},
		{"timeout of no known make", timeoutError{}, errclass.UpstreamTimeout, "", ""},
		{"read fails in an unknown way", readError(unknown), errclass.Truncated, "the answer of the target ended early", ""},
		{"closed on this side", requested(readError(net.ErrClosed)), errclass.Reset, closedHere, "api.example.com"},
		{"pipe closed on this side", io.ErrClosedPipe, errclass.Truncated, closedHere, ""},
		{"request body read after close", http.ErrBodyReadAfterClose, errclass.Truncated, closedHere, ""},
		{"end of file", io.EOF, errclass.Truncated, "the answer of the target ended early", ""},
		{"name with a dot at its end", &net.DNSError{Name: "api.example.com.", IsNotFound: true}, errclass.DNSNotFound, "host api.example.com not found", "api.example.com"},
		{"breaker inside a request", requested(gobreaker.ErrOpenState), errclass.CircuitOpen, "api.example.com failed repeatedly and is not called for a while", "api.example.com"},
		{"certificate without a request", x509.HostnameError{Certificate: &x509.Certificate{}, Host: "api.example.com"}, errclass.TLSHostname, "the certificate of api.example.com is for another name", "api.example.com"},
		{"no system roots", requested(x509.SystemRootsError{}), errclass.TLSUntrusted, "the certificate of api.example.com is not trusted", "api.example.com"},
		{"unverified for an unknown reason", requested(&tls.CertificateVerificationError{Err: unknown}), errclass.TLSUntrusted, "the certificate of api.example.com is not trusted", "api.example.com"},
		{"exported alert", requested(tls.AlertError(40)), errclass.TLSHandshake, "the TLS handshake with api.example.com failed: handshake failure", "api.example.com"},
		{"client hello rejected", requested(&tls.ECHRejectionError{}), errclass.TLSHandshake, "the TLS handshake with api.example.com failed", "api.example.com"},
		{"x/net stream error", requested(http2.StreamError{StreamID: 1, Code: http2.ErrCodeEnhanceYourCalm}), errclass.Reset, "api.example.com ended the request with ENHANCE_YOUR_CALM", "api.example.com"},
		{"x/net stream error of this side", requested(http2.StreamError{StreamID: 1, Code: http2.ErrCodeCancel, Cause: unknown}), errclass.Malformed, "the answer breaks the rules of HTTP/2", "api.example.com"},
		{"x/net connection error", requested(http2.ConnectionError(http2.ErrCodeFlowControl)), errclass.Malformed, "the answer breaks the rules of HTTP/2", "api.example.com"},
		{"x/net GOAWAY", goAway(http2.ErrCodeNo, secret), errclass.Truncated, "the answer of the target ended early", ""},
		{"inflate fails inside", flate.InternalError(secret), errclass.BadEncoding, "the compression of the answer of the target is broken", ""},
		{"x/net GOAWAY with a code of its own", http2.StreamError{Code: 99}, errclass.Truncated, "the target broke off its answer with 0x63", ""},
		{"JSON of another shape", &json.UnmarshalTypeError{Value: secret, Field: secret}, errclass.NotJSON, "the JSON has another shape than expected", ""},
		{"unknown", unknown, errclass.Unclassified, "", ""},
		{"unknown inside a request", requested(unknown), errclass.Unclassified, "", "api.example.com"},
		{"URL that is none", &url.Error{Op: "Get", URL: "http://[::1/" + secret, Err: io.EOF}, errclass.Reset, "the target closed the connection before it answered", ""},
		{"words of an upstream are no evidence", fmt.Errorf("upstream said: %q", "tls: connection refused: malformed HTTP response"), errclass.Unclassified, "", ""},
		{"words of a query are no evidence", requested(errors.New("https://h/?q=tls:%20expired")), errclass.Unclassified, "", "api.example.com"},

		{"classified", known, errclass.NotFound, "404 Not Found", ""},
		{"classified within a request", requested(known), errclass.NotFound, "404 Not Found", ""},
		{"classified around another", errclass.New(errclass.LLMError, errclass.Overloaded, "").WithCause(known), errclass.Overloaded, "", ""},
		{"classified beats a fault", errors.Join(refused, known), errclass.NotFound, "404 Not Found", ""},
		{"classified fault beats a classified timeout", errors.Join(knownEnd, knownOut, known), errclass.NotFound, "404 Not Found", ""},
		{"classified cancellation beats a classified timeout", errors.Join(knownOut, knownEnd), errclass.Shutdown, "", ""},
		{"the first of equals", errors.Join(refused, requested(dialError(syscall.EHOSTUNREACH))), errclass.Refused, "", "api.example.com"},
		{"fault beats cancellation", errors.Join(cancel, refused), errclass.Refused, "", "api.example.com"},
		{"fault beats timeout", errors.Join(deadline, refused), errclass.Refused, "", "api.example.com"},
		{"cancellation beats timeout", errors.Join(deadline, cancel), errclass.CallerCancelled, "", "api.example.com"},
		{"timeout beats an end", errors.Join(unread, deadline), errclass.PhaseHeaders, "no response headers from api.example.com", "api.example.com"},
		{"an end beats the unknown", errors.Join(unknown, unread), errclass.Truncated, "the answer of the target ended early", ""},
		{"each branch has its own request", errors.Join(requested(unknown), io.ErrUnexpectedEOF), errclass.Truncated, "the answer of the target ended early", ""},
		{"several with %w", fmt.Errorf("attempt 3: %w, after %w", context.DeadlineExceeded, refused), errclass.Refused, "", "api.example.com"},
		{"joined, wrapped and joined", errors.Join(unknown, fmt.Errorf("a: %w", errors.Join(unknown, fmt.Errorf("b: %w", refused)))), errclass.Refused, "", "api.example.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := errclass.Classify(tt.err)
			require.Equal(t, []any{tt.reason, tt.detail, tt.host}, []any{e.Reason, e.Detail, e.Upstream.Host})
			requirePresentable(t, e)
		})
	}
}

func TestClassifyKeepsWhatIsClassified(t *testing.T) {
	t.Parallel()
	e := errclass.New(errclass.Timeout, errclass.Queue, "")
	require.Same(t, e, errclass.Classify(e))
	require.Same(t, e, errclass.Classify(fmt.Errorf("a: %w", requested(e))))
	require.Same(t, e, errclass.ClassifyBody(errors.Join(io.EOF, e)))
	require.Same(t, e, errclass.Classify(errclass.Classify(e)))
}

func TestClassifyRepairsWhatCannotBeShown(t *testing.T) {
	t.Parallel()
	bad := &errclass.Error{Class: "no such class", Reason: "no such reason", Detail: "kept"}
	e := errclass.Classify(bad)
	require.Equal(t, []any{errclass.InternalError, errclass.Unclassified, "kept"}, []any{e.Class, e.Reason, e.Detail})
	require.EqualValues(t, "no such class", bad.Class)
	e = errclass.Classify(&errclass.Error{})
	require.Equal(t, []any{errclass.InternalError, errclass.Unclassified}, []any{e.Class, e.Reason})
}

func TestClassifyBody(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err    error
		class  errclass.Class
		reason errclass.Reason
	}{
		{context.DeadlineExceeded, errclass.Timeout, errclass.PhaseBody},
		{requested(context.DeadlineExceeded), errclass.Timeout, errclass.PhaseBody},
		{requested(io.EOF), errclass.InvalidResponse, errclass.Truncated},
		{syscall.ECONNRESET, errclass.InvalidResponse, errclass.Truncated},
		{context.Canceled, errclass.Cancelled, errclass.CallerCancelled},
	}
	for _, tt := range tests {
		e := errclass.ClassifyBody(tt.err)
		require.Equal(t, []any{tt.class, tt.reason}, []any{e.Class, e.Reason}, "%v", tt.err)
	}
}

func TestUpstreamCodeOfHTTP2(t *testing.T) {
	t.Parallel()
	e := errclass.Classify(requested(goAway(http2.ErrCodeEnhanceYourCalm, secret)))
	require.Equal(t, errclass.Upstream{Host: "api.example.com", Code: "ENHANCE_YOUR_CALM"}, e.Upstream)
}

func TestFromPanic(t *testing.T) {
	t.Parallel()
	values := []any{
		secret, 42, nil, errors.New(secret), panicking{}, (*panicking)(nil), new(runtime.PanicNilError),
		struct{ A any }{panicking{}}, context.Canceled, []int{1}, map[string]any{"a": secret},
	}
	for _, value := range values {
		e := errclass.FromPanic(value)
		require.Equal(t, []any{errclass.InternalError, errclass.Panic, "", false}, []any{e.Class, e.Reason, e.Detail, e.Retryable})
		require.NotEmpty(t, e.Cause.Error())
		require.Same(t, e, errclass.Classify(e))
		requirePresentable(t, e)
	}
	require.Contains(t, errclass.FromPanic(secret).Cause.Error(), secret)
	require.NotErrorIs(t, errclass.FromPanic(context.Canceled), context.Canceled)
}

type timeoutError struct{}

func (timeoutError) Error() string { return "slow" }
func (timeoutError) Timeout() bool { return true }

// panicking has every method that Classify might call, and each panics. Its values
// can't be compared.
type panicking struct{ _ [0]func() }

func (p panicking) Error() string          { panic("Error") }
func (p panicking) String() string         { panic("String") }
func (p panicking) Unwrap() error          { panic("Unwrap") }
func (p panicking) Is(error) bool          { panic("Is") }
func (p panicking) As(any) bool            { panic("As") }
func (p panicking) Timeout() bool          { panic("Timeout") }
func (p panicking) Temporary() bool        { panic("Temporary") }
func (p panicking) Format(fmt.State, rune) { panic("Format") }

// circular wraps itself, and each of its methods asks what it wraps.
type circular struct{ next error }

func (c *circular) Error() string        { return "round " + c.next.Error() }
func (c *circular) Unwrap() error        { return c.next }
func (c *circular) Is(target error) bool { return errors.Is(c.next, target) }
func (c *circular) Timeout() bool {
	t, ok := c.next.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// wide wraps many, the same one or different ones.
type wide []error

func (w wide) Error() string   { return "many" }
func (w wide) Unwrap() []error { return w }

// endless wraps something new each time.
type endless int

func (e endless) Error() string { return "on" }
func (e endless) Unwrap() error { return e + 1 }

func TestClassifyHostileTrees(t *testing.T) {
	t.Parallel()
	round := &circular{}
	round.next = round
	long := &circular{}
	long.next = requested(fmt.Errorf("a: %w", long))
	ring := &url.Error{Op: "Get", URL: "http://api.example.com"}
	ring.Err = ring
	opRing := &net.OpError{Op: "dial"}
	opRing.Err = opRing
	manyRounds := make(wide, 3)
	for i := range manyRounds {
		manyRounds[i] = manyRounds
	}
	deep := error(syscall.ECONNREFUSED)
	for range 200 {
		deep = fmt.Errorf("%w", deep)
	}
	deeper := deep
	for range 100_000 {
		deeper = &circular{deeper}
	}
	own := errclass.New(errclass.Timeout, errclass.Queue, "")
	own.Cause = own

	tests := []struct {
		name   string
		err    error
		reason errclass.Reason
	}{
		{"wraps itself", round, errclass.Unclassified},
		{"wraps itself further down", long, errclass.Unclassified},
		{"url.Error around itself", ring, errclass.Unclassified},
		{"OpError around itself", opRing, errclass.Unreachable},
		{"many that wrap themselves", manyRounds, errclass.Unclassified},
		{"a ring beside a fault", errors.Join(syscall.ECONNREFUSED, round), errclass.Refused},
		{"a ring before a fault", errors.Join(round, syscall.ECONNREFUSED), errclass.Refused},
		{"deep", deep, errclass.Refused},
		{"too deep", deeper, errclass.Unclassified},
		{"wide", append(make(wide, 50), syscall.ECONNREFUSED), errclass.Refused},
		{"wide and unknown", make(wide, 1_000_000), errclass.Unclassified},
		{"endless", endless(0), errclass.Unclassified},
		{"wraps nil", &circular{}, errclass.Unclassified},
		{"wraps nothing", wide{nil, nil}, errclass.Unclassified},
		{"panicking", panicking{}, errclass.Unclassified},
		{"panicking within a request", requested(panicking{}), errclass.Unclassified},
		{"panicking beside a fault", errors.Join(panicking{}, dialError(syscall.ECONNREFUSED)), errclass.Refused},
		{"nil *Error", (*errclass.Error)(nil), errclass.Unclassified},
		{"nil *Error within", fmt.Errorf("a: %w", (*errclass.Error)(nil)), errclass.Unclassified},
		{"nil *OpError", (*net.OpError)(nil), errclass.Unclassified},
		{"nil *DNSError", (*net.DNSError)(nil), errclass.Unclassified},
		{"nil *AddrError", (*net.AddrError)(nil), errclass.Unclassified},
		{"nil *url.Error", (*url.Error)(nil), errclass.Unclassified},
		{"nil *SyntaxError", (*json.SyntaxError)(nil), errclass.Unclassified},
		{"nil *MaxBytesError", (*http.MaxBytesError)(nil), errclass.Unclassified},
		{"nil *CertificateVerificationError", (*tls.CertificateVerificationError)(nil), errclass.Unclassified},
		{"nil *SyscallError", requested((*os.SyscallError)(nil)), errclass.Unclassified},
		{"nil pointer to a value", (*panicking)(nil), errclass.Unclassified},
		{"empty errors", errors.Join(&net.OpError{}, &url.Error{}, &net.DNSError{}, &tls.CertificateVerificationError{}), errclass.Unreachable},
		{"certificate of nobody", x509.UnknownAuthorityError{}, errclass.TLSUntrusted},
		{"expired certificate of nobody", x509.CertificateInvalidError{Reason: x509.Expired}, errclass.TLSExpired},
		{"its own cause", own, errclass.Queue},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := errclass.Classify(tt.err)
			require.Equal(t, tt.reason, e.Reason)
			requirePresentable(t, e)
		})
	}
}
