package errclass

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/sony/gobreaker/v2"
)

// ladder holds the rungs in the order in which they are tried on one chain. A
// rung returns nil for what it doesn't know.
var ladder = [...]func(*chain) *Error{
	openBreaker,
	cancelled,
	nameResolution,
	timedOut,
	certificate,
	handshake,
	http2Failure,
	connection,
	httpBreach,
	encoding,
	notJSON,
	badAddress,
	ended,
	byText,
	failedOperation,
}

// chain is one way from an error to a leaf, with what is known of the call.
type chain struct {
	nodes   []error
	request *url.Error   // what http.Client puts around errors before the body
	op      *net.OpError // innermost
	host    string       // as the URL or the certificate names it; may be empty
	body    bool         // a response's body was being read
	cut     bool         // the tree is circular or huge
}

func newChain(nodes []error, body, cut bool) *chain {
	c := &chain{nodes: nodes, body: body, cut: cut}
	for _, n := range nodes {
		switch x := n.(type) {
		case *url.Error:
			if x != nil && c.request == nil {
				c.request = x
				c.host = hostOf(x.URL)
			}
		case *net.OpError:
			if x != nil {
				c.op = x
			}
		}
	}
	return c
}

// hostOf is the host name in a URL, which may be anything.
func hostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return OneLine(u.Hostname(), maxHost)
}

// maxHost is the longest name that DNS knows.
const maxHost = 253

func (c *chain) leaf() error { return c.nodes[len(c.nodes)-1] }

// target is how a detail names the other side.
func (c *chain) target() string {
	if c.host == "" {
		return "the target"
	}
	return c.host
}

// is reports whether any node is target.
func (c *chain) is(target error) bool {
	for i, n := range c.nodes {
		if n == target {
			return true
		}
		if c.callable(i) && is(n, target) {
			return true
		}
	}
	return false
}

// callable reports whether a method of node i that may look at what the node
// wraps is sure to return: in a circular tree it isn't, and no recover helps
// against a stack overflow.
func (c *chain) callable(i int) bool {
	if c.cut {
		return false
	}
	switch c.nodes[i].(type) {
	case *url.Error, *net.OpError: // only pass on what a deeper node says itself
		return false
	}
	return true
}

func pointer[T any](c *chain) *T {
	for _, n := range c.nodes {
		if p, ok := any(n).(*T); ok && p != nil {
			return p
		}
	}
	return nil
}

func value[T error](c *chain) (v T, ok bool) {
	for _, n := range c.nodes {
		if v, ok := n.(T); ok {
			return v, true
		}
	}
	return v, false
}

// inBody reports whether the failure came after the response's header section.
// http.Client wraps what happens before in a url.Error and nothing after; where
// there is no client, the operation tells.
func (c *chain) inBody() bool {
	if c.body {
		return true
	}
	return c.request == nil && (c.op == nil || c.op.Op == "read")
}

// typeName names the type of err, seen through one pointer that isn't nil. It is
// how types that net/http doesn't export are told apart.
func typeName(err error) (pkg, name string) {
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		if reflect.ValueOf(err).IsNil() {
			return "", ""
		}
		t = t.Elem()
	}
	return t.PkgPath(), t.Name()
}

// broken is a connection that ended when it shouldn't.
func (c *chain) broken() *Error {
	if c.inBody() {
		return Newf(InvalidResponse, Truncated, "the answer of %s ended early", c.target())
	}
	return Newf(ConnectionRefused, Reset, "%s closed the connection before it answered", c.target())
}

func openBreaker(c *chain) *Error {
	if !c.is(gobreaker.ErrOpenState) && !c.is(gobreaker.ErrTooManyRequests) {
		return nil
	}
	return Newf(ConnectionRefused, CircuitOpen, "%s failed repeatedly and is not called for a while", c.target())
}

func cancelled(c *chain) *Error {
	if !c.is(context.Canceled) {
		return nil
	}
	return New(Cancelled, CallerCancelled, "")
}

// nameResolution tells the resolver that gave up by itself, which makes the
// target unreachable, from the deadline that passed meanwhile.
func nameResolution(c *chain) *Error {
	dns := pointer[net.DNSError](c)
	if dns == nil {
		return nil
	}
	name := OneLine(strings.TrimSuffix(dns.Name, "."), maxHost)
	var e *Error
	switch {
	case c.is(context.DeadlineExceeded):
		e = Newf(Timeout, PhaseDNS, "host %s was not resolved in time", name)
	case dns.IsNotFound:
		e = Newf(ConnectionRefused, DNSNotFound, "host %s not found", name)
	case dns.IsTimeout:
		e = Newf(ConnectionRefused, DNSTemporary, "no name server answered for host %s", name)
	default:
		e = Newf(ConnectionRefused, DNSTemporary, "host %s could not be resolved", name)
	}
	e.Upstream.Host = c.host
	if c.host == "" {
		e.Upstream.Host = name
	}
	return e
}

func timedOut(c *chain) *Error {
	if !c.timeout() {
		return nil
	}
	pkg, name := typeName(c.leaf())
	fromHTTP := pkg == "net/http"
	dialing := c.op != nil && c.op.Op != "read" && c.op.Op != "write"
	switch {
	case fromHTTP && name == "tlsHandshakeTimeoutError":
		return Newf(Timeout, PhaseTLS, "the TLS handshake with %s did not finish", c.target())
	case dialing:
		return Newf(Timeout, PhaseConnect, "no connection to %s", c.target())
	case c.body, fromHTTP && c.request == nil && strings.HasSuffix(textOf(c.leaf()), "while reading body)"):
		return Newf(Timeout, PhaseBody, "the answer of %s did not arrive in full", c.target())
	case c.request != nil, fromHTTP:
		return Newf(Timeout, PhaseHeaders, "no response headers from %s", c.target())
	case c.op != nil && c.op.Op == "read":
		return Newf(Timeout, PhaseBody, "the answer of %s did not arrive in full", c.target())
	case c.is(context.DeadlineExceeded):
		return New(Timeout, Deadline, "")
	}
	return New(Timeout, UpstreamTimeout, "")
}

func (c *chain) timeout() bool {
	if c.is(context.DeadlineExceeded) {
		return true
	}
	for i, n := range c.nodes {
		if c.callable(i) && saysTimeout(n) {
			return true
		}
	}
	return false
}

func certificate(c *chain) *Error {
	if e, ok := value[x509.HostnameError](c); ok {
		if c.host == "" {
			c.host = OneLine(e.Host, maxHost)
		}
		return Newf(ConnectionRefused, TLSHostname, "the certificate of %s is for another name", c.target())
	}
	if e, ok := value[x509.CertificateInvalidError](c); ok && e.Reason == x509.Expired {
		if e.Cert != nil && time.Now().Before(e.Cert.NotBefore) {
			return Newf(ConnectionRefused, TLSExpired, "the certificate of %s is not valid yet", c.target())
		}
		return Newf(ConnectionRefused, TLSExpired, "the certificate of %s has expired", c.target())
	}
	if e, ok := value[x509.UnknownAuthorityError](c); ok {
		if e.Cert != nil && len(e.Cert.RawIssuer) > 0 && string(e.Cert.RawIssuer) == string(e.Cert.RawSubject) {
			return Newf(ConnectionRefused, TLSUntrusted, "the certificate of %s is self-signed", c.target())
		}
		return Newf(ConnectionRefused, TLSUntrusted, "the certificate of %s is not signed by a trusted authority", c.target())
	}
	if pointer[tls.CertificateVerificationError](c) != nil || c.fromPackage("crypto/x509") {
		return Newf(ConnectionRefused, TLSUntrusted, "the certificate of %s is not trusted", c.target())
	}
	return nil
}

func (c *chain) fromPackage(pkg string) bool {
	for _, n := range c.nodes {
		if p, _ := typeName(n); p == pkg {
			return true
		}
	}
	return false
}

// handshake knows crypto/tls's errors. They also arise after the handshake, where
// somebody tampers with the connection.
func handshake(c *chain) *Error {
	record, ok := value[tls.RecordHeaderError](c)
	// http.Client makes the scheme's mismatch of such a record.
	if c.is(http.ErrSchemeMismatch) || ok && string(record.RecordHeader[:]) == "HTTP/" {
		return Newf(ConnectionRefused, Protocol, "%s speaks plain HTTP on this port, not HTTPS", c.target())
	}
	pkg, name := typeName(c.leaf())
	switch {
	case ok && record.Conn != nil: // the first record
		return Newf(ConnectionRefused, Protocol, "%s does not speak TLS on this port", c.target())
	case pkg != "crypto/tls":
		return nil
	case c.body:
		return c.broken()
	case name == "alert" || name == "AlertError":
		// An alert's text is one of a fixed list.
		what := strings.TrimPrefix(textOf(c.leaf()), "tls: ")
		return Newf(ConnectionRefused, TLSHandshake, "the TLS handshake with %s failed: %s", c.target(), what)
	}
	return Newf(ConnectionRefused, TLSHandshake, "the TLS handshake with %s failed", c.target())
}

// http2Failure knows the errors of HTTP/2 by the names of their types: the copy
// of golang.org/x/net/http2 that net/http uses exports none of them, and the
// original would be a dependency for three names.
func http2Failure(c *chain) *Error {
	for _, n := range c.nodes {
		pkg, name := typeName(n)
		switch pkg {
		case "net/http", "net/http/internal/http2", "golang.org/x/net/http2":
		default:
			continue
		}
		v := reflect.ValueOf(n)
		switch name = strings.TrimPrefix(name, "http2"); {
		case name == "StreamError" && v.Kind() == reflect.Struct:
			return c.streamReset(v)
		case name == "GoAwayError" && v.Kind() == reflect.Struct:
			e := c.broken()
			e.Upstream.Code = http2Code(v.FieldByName("ErrCode"))
			return e
		case name == "ConnectionError" && v.Kind() == reflect.Uint32:
			return malformedHTTP2(http2Code(v))
		}
	}
	return nil
}

func (c *chain) streamReset(v reflect.Value) *Error {
	code := http2Code(v.FieldByName("Code"))
	cause, _ := reflect.TypeAssert[error](v.FieldByName("Cause"))
	if resetHere(cause, code) {
		if e := c.meaning(cause); e != nil {
			return e
		}
		return malformedHTTP2(code)
	}
	var e *Error
	switch {
	case code == "HTTP_1_1_REQUIRED":
		e = Newf(ConnectionRefused, Protocol, "%s does not take this request over HTTP/2", c.target())
	case c.inBody():
		e = Newf(InvalidResponse, Truncated, "%s broke off its answer with %s", c.target(), code)
	default:
		e = Newf(ConnectionRefused, Reset, "%s ended the request with %s", c.target(), code)
	}
	e.Upstream.Code = code
	return e
}

// resetHere reports whether the HTTP/2 client reset a stream because of what the
// server sent on it. The client marks what the server reset by the cause.
func resetHere(cause error, code string) bool {
	if cause != nil {
		return textOf(cause) != "received from peer"
	}
	switch code {
	case "PROTOCOL_ERROR", "FLOW_CONTROL_ERROR", "FRAME_SIZE_ERROR", "COMPRESSION_ERROR":
		return true
	}
	return false
}

func malformedHTTP2(code string) *Error {
	e := New(InvalidResponse, Malformed, "the answer breaks the rules of HTTP/2")
	e.Upstream.Code = code
	return e
}

// http2Codes are the names of RFC 9113, section 7.
var http2Codes = [...]string{
	"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
	"FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
	"INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
}

func http2Code(v reflect.Value) string {
	if !v.IsValid() || !v.CanUint() {
		return ""
	}
	if n := v.Uint(); n < uint64(len(http2Codes)) {
		return http2Codes[n]
	}
	return "0x" + strconv.FormatUint(v.Uint(), 16)
}

// connection knows the system's word on a socket.
func connection(c *chain) *Error {
	errno, ok := value[syscall.Errno](c)
	if !ok {
		return nil
	}
	switch errno {
	case syscall.ECONNREFUSED:
		return New(ConnectionRefused, Refused, "")
	case syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE:
		return c.broken()
	case syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN, syscall.EADDRNOTAVAIL:
		return Newf(ConnectionRefused, Unreachable, "no route to %s", c.target())
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS:
		return New(InternalError, Unclassified, "") // this host is at its end, not the target
	}
	return nil
}

// httpBreach knows the errors that net/http and bufio export.
func httpBreach(c *chain) *Error {
	if tooLarge := pointer[http.MaxBytesError](c); tooLarge != nil {
		return Newf(InvalidResponse, TooLarge, "the answer is larger than %d bytes", tooLarge.Limit)
	}
	if c.is(bufio.ErrTooLong) {
		return New(InvalidResponse, TooLarge, "a line of the answer is too long")
	}
	if _, ok := value[textproto.ProtocolError](c); ok {
		return Newf(InvalidResponse, Malformed, "the answer of %s is not valid HTTP", c.target())
	}
	if c.is(http.ErrLineTooLong) {
		return New(InvalidResponse, BadEncoding, brokenChunks)
	}
	return nil
}

func encoding(c *chain) *Error {
	_, corrupt := value[flate.CorruptInputError](c)
	_, internal := value[flate.InternalError](c)
	if corrupt || internal || c.is(gzip.ErrHeader) || c.is(gzip.ErrChecksum) ||
		c.is(zlib.ErrHeader) || c.is(zlib.ErrChecksum) || c.is(zlib.ErrDictionary) {
		return Newf(InvalidResponse, BadEncoding, "the compression of the answer of %s is broken", c.target())
	}
	return nil
}

func notJSON(c *chain) *Error {
	if syntax := pointer[json.SyntaxError](c); syntax != nil {
		return Newf(InvalidResponse, NotJSON, "not valid JSON at byte %d", syntax.Offset)
	}
	if pointer[json.UnmarshalTypeError](c) != nil {
		return New(InvalidResponse, NotJSON, "the JSON has another shape than expected")
	}
	return nil
}

func badAddress(c *chain) *Error {
	if c.request != nil && c.request.Op == "parse" {
		return New(ConfigurationError, BadDefinition, "the URL can't be parsed")
	}
	if pointer[net.AddrError](c) != nil || pointer[net.ParseError](c) != nil {
		return New(ConfigurationError, BadDefinition, "the URL's host or port is not valid")
	}
	return nil
}

// ended knows connections and bodies that are over without a word why.
func ended(c *chain) *Error {
	switch {
	case c.is(io.EOF), c.is(io.ErrUnexpectedEOF):
		return c.broken()
	case c.is(net.ErrClosed), c.is(io.ErrClosedPipe), c.is(http.ErrBodyReadAfterClose):
		return c.closedHere()
	}
	return nil
}

// closedHere is a connection or body that was closed on this side.
func (c *chain) closedHere() *Error {
	e := c.broken()
	e.Origin = OriginPlatform
	e.Detail = "the connection was closed before the answer was read to its end"
	return e
}

// failedOperation is for network operations that failed in a way nobody knows.
func failedOperation(c *chain) *Error {
	if c.op == nil {
		return nil
	}
	switch c.op.Op {
	case "read", "write":
		return c.broken()
	}
	return Newf(ConnectionRefused, Unreachable, "no connection to %s", c.target())
}
