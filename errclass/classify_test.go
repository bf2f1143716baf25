package errclass_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/http2"

	"github.com/almyty-inc/toolrun/errclass"
)

// fault is something that goes wrong for real, and what it must be called.
type fault struct {
	name   string
	make   func(t *testing.T) error
	class  errclass.Class
	reason errclass.Reason
	retry  bool
	detail string
}

const (
	refusedClass = errclass.ConnectionRefused
	timeout      = errclass.Timeout
	invalid      = errclass.InvalidResponse
	cancelled    = errclass.Cancelled
	config       = errclass.ConfigurationError
)

const (
	okHeader    = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	chunked     = okHeader + "Transfer-Encoding: chunked\r\n\r\n"
	ended       = "the answer of the target ended early"
	badChunks   = "the chunked encoding of the answer is broken"
	badTrailer  = "the trailer of the answer is cut short or too long"
	badStatus   = "the answer's status line is not valid HTTP"
	closedHere  = "the connection was closed before the answer was read to its end"
	early       = "127.0.0.1 closed the connection before it answered"
	tooMuchHead = "the header section of the answer is too large"
)

// raw requests a server that answers with these bytes and closes.
func raw(response string) func(*testing.T) error {
	return func(t *testing.T) error { return get(t, "http://"+answering(t, response), call{decode: true}) }
}

func withLength(body string) string {
	return fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", okHeader, len(body), body)
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// gzipFault requests a gzip body that spoil has had in its hands.
func gzipFault(spoil func(body []byte) []byte) func(*testing.T) error {
	return func(t *testing.T) error {
		body := spoil(gzipped(t, strings.Repeat(`{"a":1}`, 1000)))
		return get(t, "http://"+answering(t, fmt.Sprintf("%sContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", okHeader, len(body), body)), call{})
	}
}

func namedBy(code dnsmessage.RCode) func(*testing.T) error {
	return func(t *testing.T) error {
		return get(t, "http://api.example.com", call{transport: resolving(resolverAt(t, nameServer(t, code, false), nil))})
	}
}

func http2Fault(answer func(*http2Peer)) func(*testing.T) error {
	return func(t *testing.T) error { return getHTTP2(t, call{}, answer) }
}

// bare requests a URL that no server ever sees.
func bare(url string, c call) func(*testing.T) error {
	return func(t *testing.T) error { return get(t, url, c) }
}

var connectionFaults = []fault{
	{"refused port", func(t *testing.T) error { return get(t, "http://"+closedPort(t, "tcp"), call{}) }, refusedClass, errclass.Refused, true, ""},
	{"refused proxy", func(t *testing.T) error { return proxied(t, closedPort(t, "tcp")) }, refusedClass, errclass.Refused, true, ""},
	{"reset before a byte", func(t *testing.T) error { return get(t, "http://"+resetting(t, ""), call{}) }, refusedClass, errclass.Reset, true, early},
	{"closed before a byte", raw(""), refusedClass, errclass.Reset, true, early},
	{"closed before the request was sent", func(t *testing.T) (err error) {
		addr := serveTCP(t, func(net.Conn) {})
		for range 100 { // until net/http sees it in time
			if err = get(t, "http://"+addr, call{}); strings.Contains(err.Error(), "server closed idle connection") {
				break
			}
		}
		return err
	}, refusedClass, errclass.Reset, true, early},
	{"closed within the header section", raw(okHeader), refusedClass, errclass.Reset, true, early},
	{"name doesn't exist", namedBy(dnsmessage.RCodeNameError), refusedClass, errclass.DNSNotFound, false, "host api.example.com not found"},
	{"resolver fails", namedBy(dnsmessage.RCodeServerFailure), refusedClass, errclass.DNSTemporary, true, "host api.example.com could not be resolved"},
	{"resolver refuses", namedBy(dnsmessage.RCodeRefused), refusedClass, errclass.DNSTemporary, true, "host api.example.com could not be resolved"},
	{"resolver is down", func(t *testing.T) error {
		return get(t, "http://api.example.com", call{transport: resolving(resolverAt(t, closedPort(t, "udp"), nil))})
	}, refusedClass, errclass.DNSTemporary, true, "host api.example.com could not be resolved"},
	{"resolver doesn't answer", func(t *testing.T) error {
		return get(t, "http://api.example.com", call{transport: resolving(resolverAt(t, nameServer(t, 0, true), hurry))})
	}, refusedClass, errclass.DNSTemporary, true, "no name server answered for host api.example.com"},
	{"deadline while resolving", func(t *testing.T) error {
		tr := resolving(resolverAt(t, nameServer(t, 0, true), nil))
		dial := tr.DialContext
		tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			return dial(ctx, network, addr)
		}
		return get(t, "http://api.example.com", call{transport: tr})
	}, timeout, errclass.PhaseDNS, true, "host api.example.com was not resolved in time"},
}

// proxied requests through a proxy, which toolrun itself never uses.
func proxied(t *testing.T, proxy string) error {
	t.Helper()
	return get(t, "https://api.example.com", call{transport: &http.Transport{Proxy: proxyAt(proxy)}})
}

var tlsFaults = []fault{
	{"expired", func(t *testing.T) error {
		return getTLS(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, &tls.Config{}, &tls.Config{})
	}, refusedClass, errclass.TLSExpired, false, "the certificate of 127.0.0.1 has expired"},
	{"not valid yet", func(t *testing.T) error {
		return getTLS(t, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, &tls.Config{}, &tls.Config{})
	}, refusedClass, errclass.TLSExpired, false, "the certificate of 127.0.0.1 is not valid yet"},
	{"wrong host", func(t *testing.T) error {
		return getTLS(t, func(c *x509.Certificate) { c.IPAddresses = nil }, &tls.Config{}, &tls.Config{})
	}, refusedClass, errclass.TLSHostname, false, "the certificate of 127.0.0.1 is for another name"},
	{"wrong name", func(t *testing.T) error {
		return getTLS(t, nil, &tls.Config{}, &tls.Config{ServerName: "internal.example.org"})
	}, refusedClass, errclass.TLSHostname, false, "the certificate of 127.0.0.1 is for another name"},
	{"unknown authority", func(t *testing.T) error {
		cert := newAuthority(t).issue(t, nil)
		addr := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}, func(*tls.Conn) {})
		return get(t, "https://"+addr, call{transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}})
	}, refusedClass, errclass.TLSUntrusted, false, "the certificate of 127.0.0.1 is not signed by a trusted authority"},
	{"self-signed", func(t *testing.T) error {
		cert := (*authority)(nil).issue(t, nil)
		addr := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}, func(*tls.Conn) {})
		return get(t, "https://"+addr, call{transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}})
	}, refusedClass, errclass.TLSUntrusted, false, "the certificate of 127.0.0.1 is self-signed"},
	{"not for servers", func(t *testing.T) error {
		return getTLS(t, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, &tls.Config{}, &tls.Config{})
	}, refusedClass, errclass.TLSUntrusted, false, "the certificate of 127.0.0.1 is not trusted"},
	{"critical extension", func(t *testing.T) error {
		return getTLS(t, func(c *x509.Certificate) { c.ExtraExtensions = criticalExtension }, &tls.Config{}, &tls.Config{})
	}, refusedClass, errclass.TLSUntrusted, false, "the certificate of 127.0.0.1 is not trusted"},
	{"no common version", func(t *testing.T) error {
		return getTLS(t, nil, &tls.Config{MinVersion: tls.VersionTLS13}, &tls.Config{MaxVersion: tls.VersionTLS12})
	}, refusedClass, errclass.TLSHandshake, false, "the TLS handshake with 127.0.0.1 failed: protocol version not supported"},
	{"client certificate wanted", func(t *testing.T) error {
		return getTLS(t, nil, &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}, &tls.Config{})
	}, refusedClass, errclass.TLSHandshake, false, "the TLS handshake with 127.0.0.1 failed: handshake failure"},
	{"server picks an old version", func(t *testing.T) error {
		return getTLS(t, nil, &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, &tls.Config{})
	}, refusedClass, errclass.TLSHandshake, false, "the TLS handshake with 127.0.0.1 failed: protocol version not supported"},
	{"client allows no version", func(t *testing.T) error {
		return getTLS(t, nil, &tls.Config{}, &tls.Config{MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12})
	}, refusedClass, errclass.TLSHandshake, false, "the TLS handshake failed"},
	{"plain HTTP behind https", func(t *testing.T) error {
		addr := serveTCP(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1024))
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn)
		})
		return get(t, "https://"+addr, call{})
	}, refusedClass, errclass.Protocol, false, "127.0.0.1 speaks plain HTTP on this port, not HTTPS"},
	{"plain HTTP behind https, RoundTrip alone", func(t *testing.T) error {
		addr := serveTCP(t, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			_, _ = io.Copy(io.Discard, conn)
		})
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+addr, nil)
		require.NoError(t, err)
		_, err = new(http.Transport).RoundTrip(req) //nolint:bodyclose // fails
		return err
	}, refusedClass, errclass.Protocol, false, "the target speaks plain HTTP on this port, not HTTPS"},
	{"another protocol behind https", func(t *testing.T) error {
		addr := serveTCP(t, func(conn net.Conn) {
			_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.9\r\n")
			_, _ = io.Copy(io.Discard, conn)
		})
		return get(t, "https://"+addr, call{})
	}, refusedClass, errclass.Protocol, false, "127.0.0.1 does not speak TLS on this port"},
	{"TLS behind http", raw("\x15\x03\x01\x00\x02\x02\x46"), refusedClass, errclass.Protocol, false, "the port speaks TLS; the URL must begin with https"},
	{"HTTP/2 only behind http", raw("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00"), refusedClass, errclass.Protocol, false, "the port speaks HTTP/2 only"},
}

var deadlineFaults = []fault{
	{"dialer's timeout", func(t *testing.T) error {
		dialer := &net.Dialer{Deadline: time.Now().Add(-time.Second)}
		return get(t, "http://"+stalling(t, ""), call{transport: &http.Transport{DialContext: dialer.DialContext}})
	}, timeout, errclass.PhaseConnect, true, "no connection to 127.0.0.1"},
	{"deadline at dial", func(t *testing.T) error {
		d := newDeadline(t)
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			d.expire()
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
		}
		return get(t, "http://127.0.0.1:1", call{ctx: d, transport: &http.Transport{DialContext: dial}})
	}, timeout, errclass.PhaseHeaders, true, "no response headers from 127.0.0.1"},
	{"TLS handshake", func(t *testing.T) error {
		return get(t, "https://"+stalling(t, ""), call{transport: &http.Transport{TLSHandshakeTimeout: 20 * time.Millisecond}})
	}, timeout, errclass.PhaseTLS, true, "the TLS handshake with 127.0.0.1 did not finish"},
	{"ctx at headers", func(t *testing.T) error {
		d := newDeadline(t)
		addr := serveTCP(t, func(conn net.Conn) { reply(conn, ""); d.expire(); _, _ = io.Copy(io.Discard, conn) })
		return get(t, "http://"+addr, call{ctx: d})
	}, timeout, errclass.PhaseHeaders, true, "no response headers from 127.0.0.1"},
	{"a real timer at headers", func(t *testing.T) error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		return get(t, "http://"+stalling(t, ""), call{ctx: ctx})
	}, timeout, errclass.PhaseHeaders, true, "no response headers from 127.0.0.1"},
	{"Client.Timeout at headers", func(t *testing.T) error {
		return get(t, "http://"+stalling(t, ""), call{timeout: 30 * time.Millisecond})
	}, timeout, errclass.PhaseHeaders, true, "no response headers from 127.0.0.1"},
	{"ResponseHeaderTimeout", func(t *testing.T) error {
		return get(t, "http://"+stalling(t, ""), call{transport: &http.Transport{ResponseHeaderTimeout: 20 * time.Millisecond}})
	}, timeout, errclass.PhaseHeaders, true, "no response headers from 127.0.0.1"},
	{"RoundTrip alone", func(t *testing.T) error {
		tr := &http.Transport{ResponseHeaderTimeout: 20 * time.Millisecond}
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+stalling(t, ""), nil)
		require.NoError(t, err)
		_, err = tr.RoundTrip(req) //nolint:bodyclose // fails
		return err
	}, timeout, errclass.PhaseHeaders, true, "no response headers from the target"},
	{"HTTP/2 at headers", func(t *testing.T) error {
		return getHTTP2(t, call{transport: &http.Transport{ResponseHeaderTimeout: 20 * time.Millisecond}}, func(*http2Peer) {})
	}, timeout, errclass.PhaseHeaders, true, "no response headers from 127.0.0.1"},
	{"Client.Timeout in the body", func(t *testing.T) error {
		return get(t, "http://"+stalling(t, okHeader+"Content-Length: 9\r\n\r\n{"), call{timeout: time.Second})
	}, timeout, errclass.PhaseBody, true, "the answer of the target did not arrive in full"},
	{"ctx in the body", func(t *testing.T) error {
		d := newDeadline(t)
		return get(t, "http://"+stalling(t, okHeader+"Content-Length: 9\r\n\r\n{"), call{ctx: d, onHeaders: func(*http.Response) { d.expire() }})
	}, timeout, errclass.Deadline, true, ""},
	{"bare deadline", func(*testing.T) error { return context.DeadlineExceeded }, timeout, errclass.Deadline, true, ""},
	{"cause wraps the deadline", func(t *testing.T) error {
		cause := fmt.Errorf("the tool's own 20 ms: %w", context.DeadlineExceeded)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, cause)
		defer cancel()
		return get(t, "http://"+stalling(t, ""), call{ctx: ctx})
	}, timeout, errclass.PhaseHeaders, true, "no response headers from 127.0.0.1"},
	{"cause of its own", func(t *testing.T) error {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, errors.New("own words"))
		defer cancel()
		return get(t, "http://"+stalling(t, ""), call{ctx: ctx})
	}, errclass.InternalError, errclass.Unclassified, false, ""},
	{"caller cancels before headers", func(t *testing.T) error {
		ctx, cancel := context.WithCancel(t.Context())
		addr := serveTCP(t, func(conn net.Conn) { reply(conn, ""); cancel(); _, _ = io.Copy(io.Discard, conn) })
		return get(t, "http://"+addr, call{ctx: ctx})
	}, cancelled, errclass.CallerCancelled, false, ""},
	{"caller cancels in the body", func(t *testing.T) error {
		ctx, cancel := context.WithCancel(t.Context())
		return get(t, "http://"+stalling(t, okHeader+"Content-Length: 9\r\n\r\n{"), call{ctx: ctx, onHeaders: func(*http.Response) { cancel() }})
	}, cancelled, errclass.CallerCancelled, false, ""},
	{"caller cancels the old way", func(t *testing.T) error {
		ch := make(chan struct{})
		addr := serveTCP(t, func(conn net.Conn) { reply(conn, ""); close(ch); _, _ = io.Copy(io.Discard, conn) })
		return get(t, "http://"+addr, call{cancel: ch})
	}, cancelled, errclass.CallerCancelled, false, ""},
	{"caller cancels while resolving", func(t *testing.T) error {
		ctx, cancel := context.WithCancel(t.Context())
		r := resolverAt(t, nameServer(t, 0, true), func(c net.Conn) net.Conn { cancel(); return c })
		_, err := r.LookupIPAddr(ctx, "api.example.com")
		return err
	}, cancelled, errclass.CallerCancelled, false, ""},
}

var bodyFaults = []fault{
	{"cut short by length", raw(okHeader + "Content-Length: 20\r\n\r\n{\"a\":"), invalid, errclass.Truncated, true, ended},
	{"cut short between chunks", raw(chunked + "5\r\n{\"a\":\r\n"), invalid, errclass.Truncated, true, ended},
	{"cut short within a chunk", raw(chunked + "50\r\n{\"a\":"), invalid, errclass.Truncated, true, ended},
	{"cut short before its trailer", raw(chunked + "0\r\n"), invalid, errclass.Truncated, true, "the answer ended within its trailer"},
	{"cut short within a trailer", raw(chunked + "0\r\nA: b"), invalid, errclass.BadEncoding, false, badTrailer},
	{"reset in the body", func(t *testing.T) error {
		got := make(chan struct{})
		addr := serveTCP(t, func(conn net.Conn) {
			reply(conn, okHeader+"Content-Length: 20\r\n\r\n{")
			<-got
			_ = conn.(*net.TCPConn).SetLinger(0)
		})
		return get(t, "http://"+addr, call{onHeaders: func(*http.Response) { close(got) }})
	}, invalid, errclass.Truncated, true, ended},
	{"broken chunk length", raw(chunked + "ZZ\r\nhello\r\n0\r\n\r\n"), invalid, errclass.BadEncoding, false, badChunks},
	{"no chunk length", raw(chunked + "\r\nhello\r\n0\r\n\r\n"), invalid, errclass.BadEncoding, false, badChunks},
	{"huge chunk length", raw(chunked + "11111111111111111\r\nhello\r\n"), invalid, errclass.BadEncoding, false, badChunks},
	{"chunk without its end", raw(chunked + "5\r\nhelloXX0\r\n\r\n"), invalid, errclass.BadEncoding, false, badChunks},
	{"chunk line with LF alone", raw(chunked + "5\nhello\r\n0\r\n\r\n"), invalid, errclass.BadEncoding, false, badChunks},
	{"chunk line with CR inside", raw(chunked + "5\r;\r\nhello\r\n0\r\n\r\n"), invalid, errclass.BadEncoding, false, badChunks},
	{"chunk line too long", raw(chunked + strings.Repeat("5", 5000) + "\r\n"), invalid, errclass.BadEncoding, false, badChunks},
	{"chunks of nothing but extensions", raw(chunked + strings.Repeat("1;"+strings.Repeat("x", 2000)+"\r\nA\r\n", 50)), invalid, errclass.BadEncoding, false, badChunks},
	{"endless trailer", raw(chunked + "0\r\n" + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 10)), invalid, errclass.BadEncoding, false, badTrailer},
	{"unknown transfer encoding", raw(okHeader + "Transfer-Encoding: rot13\r\n\r\nhello"), invalid, errclass.BadEncoding, false, "the answer's Transfer-Encoding is unknown"},
	{"two transfer encodings", raw(okHeader + "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\nhello"), invalid, errclass.BadEncoding, false, "the answer's Transfer-Encoding is unknown"},
	{"not gzip", gzipFault(func([]byte) []byte { return []byte("this is no gzip, not at all") }), invalid, errclass.BadEncoding, false, "the compression of the answer of the target is broken"},
	{"broken gzip", gzipFault(func(b []byte) []byte { b[10] = 0xff; return b }), invalid, errclass.BadEncoding, false, "the compression of the answer of the target is broken"},
	{"wrong gzip checksum", gzipFault(func(b []byte) []byte { b[len(b)-8] ^= 1; return b }), invalid, errclass.BadEncoding, false, "the compression of the answer of the target is broken"},
	{"gzip cut short", gzipFault(func(b []byte) []byte { return b[:len(b)/2] }), invalid, errclass.Truncated, true, ended},
	{"HTML", raw(withLength("<html>")), invalid, errclass.NotJSON, false, "not valid JSON at byte 1"},
	{"empty", raw(withLength("")), invalid, errclass.NotJSON, false, "not valid JSON at byte 0"},
	{"byte order mark", raw(withLength("\xef\xbb\xbf{}")), invalid, errclass.NotJSON, false, "not valid JSON at byte 1"},
	{"trailing data", raw(withLength(`{"a":1} {"b":2}`)), invalid, errclass.NotJSON, false, "not valid JSON at byte 9"},
	{"nested too deeply", raw(withLength(strings.Repeat("[", 10001))), invalid, errclass.NotJSON, false, "not valid JSON at byte 10001"},
	{"header section over the limit", func(t *testing.T) error {
		addr := answering(t, okHeader+"X-Long: "+strings.Repeat("x", 9000)+"\r\n\r\n")
		return get(t, "http://"+addr, call{transport: &http.Transport{MaxResponseHeaderBytes: 4096}})
	}, invalid, errclass.TooLarge, false, tooMuchHead},
	{"body over the limit", func(t *testing.T) error {
		addr := answering(t, withLength(strings.Repeat(" ", 100)))
		return get(t, "http://"+addr, call{onHeaders: func(res *http.Response) { res.Body = http.MaxBytesReader(nil, res.Body, 64) }})
	}, invalid, errclass.TooLarge, false, "the answer is larger than 64 bytes"},
	{"line over the limit", func(t *testing.T) error {
		var scanned error
		addr := answering(t, withLength(strings.Repeat("x", 100)))
		require.NoError(t, get(t, "http://"+addr, call{onHeaders: func(res *http.Response) {
			lines := bufio.NewScanner(res.Body)
			lines.Buffer(nil, 64)
			lines.Scan()
			scanned = lines.Err()
		}}))
		return scanned
	}, invalid, errclass.TooLarge, false, "a line of the answer is too long"},
	{"body read after it was closed", func(t *testing.T) error {
		addr := answering(t, withLength("{}"))
		return get(t, "http://"+addr, call{onHeaders: func(res *http.Response) { res.Body.Close() }})
	}, invalid, errclass.Truncated, true, closedHere},
	{"no HTTP at all", raw("SSH-2.0-OpenSSH_9.9\r\n\r\n"), invalid, errclass.Malformed, false, badStatus},
	{"closed within the status line", raw("HTTP/1.1 20"), invalid, errclass.Malformed, false, badStatus},
	{"malformed status code", raw("HTTP/1.1 2000 OK\r\n\r\n"), invalid, errclass.Malformed, false, badStatus},
	{"malformed version", raw("HTTP/x.y 200 OK\r\n\r\n"), invalid, errclass.Malformed, false, badStatus},
	{"malformed header line", raw("HTTP/1.1 200 OK\r\nthis is no header SEKRET\r\n\r\n"), invalid, errclass.Malformed, false, "the answer of 127.0.0.1 is not valid HTTP"},
	{"malformed length", raw(okHeader + "Content-Length: many\r\n\r\n{}"), invalid, errclass.Malformed, false, "the answer's Content-Length is not valid"},
	{"empty length", raw(okHeader + "Content-Length: \r\n\r\n{}"), invalid, errclass.Malformed, false, "the answer's Content-Length is not valid"},
	{"two lengths", raw(okHeader + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}"), invalid, errclass.Malformed, false, "the answer has several lengths"},
	{"malformed trailer", raw(chunked + "0\r\nno colon\r\n\r\n"), invalid, errclass.Malformed, false, "the answer of the target is not valid HTTP"},
	{"forbidden trailer", raw(okHeader + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n"), invalid, errclass.Malformed, false, "the answer announces a forbidden trailer"},
	{"redirect loop", raw("HTTP/1.1 302 Found\r\nLocation: /?token=SEKRET\r\n\r\n"), invalid, errclass.RedirectLoop, false, "more than 10 redirects"},
	{"redirect to nowhere", raw("HTTP/1.1 302 Found\r\nLocation: http://[::1?token=SEKRET\r\n\r\n"), invalid, errclass.Malformed, false, "the redirect leads to no valid URL"},
}

var http2Faults = []fault{
	{"GOAWAY with an error", http2Fault(func(p *http2Peer) { _ = p.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, []byte("too_many_pings")) }),
		refusedClass, errclass.Reset, true, early},
	{"GOAWAY, then closed", http2Fault(func(p *http2Peer) {
		_ = p.WriteGoAway(p.stream, http2.ErrCodeInternal, []byte(secret))
		p.conn.Close()
	}), refusedClass, errclass.Reset, true, early},
	{"GOAWAY in the body", http2Fault(func(p *http2Peer) {
		p.headers(false, ":status", "200")
		_ = p.WriteData(p.stream, false, []byte("{"))
		_ = p.WriteGoAway(p.stream, http2.ErrCodeInternal, []byte(secret))
		p.conn.Close()
	}), invalid, errclass.Truncated, true, ended},
	{"graceful GOAWAY, request not repeatable", func(t *testing.T) error {
		body := io.NopCloser(strings.NewReader("{}"))
		return getHTTP2(t, call{method: "POST", body: body}, func(p *http2Peer) {
			_ = p.WriteGoAway(0, http2.ErrCodeNo, nil)
		})
	}, refusedClass, errclass.Reset, true, early},
	{"closed without a word", http2Fault(func(p *http2Peer) { p.conn.Close() }), refusedClass, errclass.Reset, true, early},
	{"stream reset", http2Fault(func(p *http2Peer) { _ = p.WriteRSTStream(p.stream, http2.ErrCodeInternal) }),
		refusedClass, errclass.Reset, true, "127.0.0.1 ended the request with INTERNAL_ERROR"},
	{"stream reset with an unknown code", http2Fault(func(p *http2Peer) { _ = p.WriteRSTStream(p.stream, 0xbeef) }),
		refusedClass, errclass.Reset, true, "127.0.0.1 ended the request with 0xbeef"},
	{"stream reset in the body", http2Fault(func(p *http2Peer) {
		p.headers(false, ":status", "200")
		_ = p.WriteData(p.stream, false, []byte("{"))
		_ = p.WriteRSTStream(p.stream, http2.ErrCodeInternal)
	}), invalid, errclass.Truncated, true, "the target broke off its answer with INTERNAL_ERROR"},
	{"HTTP/1.1 wanted", http2Fault(func(p *http2Peer) { _ = p.WriteRSTStream(p.stream, http2.ErrCodeHTTP11Required) }),
		refusedClass, errclass.Protocol, false, "127.0.0.1 does not take this request over HTTP/2"},
	{"no status", http2Fault(func(p *http2Peer) { p.headers(true, "a", "b") }), invalid, errclass.Malformed, false, "the answer breaks the rules of HTTP/2"},
	{"data before headers", http2Fault(func(p *http2Peer) { _ = p.WriteData(p.stream, true, []byte("{}")) }), invalid, errclass.Malformed, false, "the answer breaks the rules of HTTP/2"},
	{"frame on stream 0", http2Fault(func(p *http2Peer) { _ = p.WriteRawFrame(http2.FrameData, 0, 0, []byte("{}")) }), invalid, errclass.Malformed, false, "the answer breaks the rules of HTTP/2"},
	{"body shorter than its length", http2Fault(func(p *http2Peer) {
		p.headers(false, ":status", "200", "content-length", "20")
		_ = p.WriteData(p.stream, true, []byte("{"))
	}), invalid, errclass.Truncated, true, ended},
	{"body longer than its length", http2Fault(func(p *http2Peer) {
		p.headers(false, ":status", "200", "content-length", "1")
		_ = p.WriteData(p.stream, true, []byte("{}"))
	}), invalid, errclass.Malformed, false, "the answer is longer than its Content-Length"},
	{"header section over the limit", func(t *testing.T) error {
		return getHTTP2(t, call{transport: &http.Transport{MaxResponseHeaderBytes: 1024}}, func(p *http2Peer) {
			fields := []string{":status", "200"}
			for range 12 {
				fields = append(fields, "x-long", strings.Repeat("x", 100))
			}
			p.headers(true, fields...)
		})
	}, invalid, errclass.TooLarge, false, tooMuchHead},
	// Go's HTTP/2 client gives up on the connection and doesn't say why.
	{"header section far over the limit", func(t *testing.T) error {
		return getHTTP2(t, call{transport: &http.Transport{MaxResponseHeaderBytes: 1024}}, func(p *http2Peer) {
			p.headers(true, ":status", "200", "x-long", strings.Repeat("x", 4000))
		})
	}, invalid, errclass.Malformed, false, "the answer breaks the rules of HTTP/2"},
	{"informational answers over the limit", func(t *testing.T) error {
		return getHTTP2(t, call{transport: &http.Transport{MaxResponseHeaderBytes: 1024}}, func(p *http2Peer) {
			for range 10 {
				p.headers(false, ":status", "103", "x-long", strings.Repeat("x", 300))
			}
		})
	}, invalid, errclass.TooLarge, false, tooMuchHead},
	{"frame too large", http2Fault(func(p *http2Peer) { _ = p.WriteRawFrame(http2.FrameData, 0, p.stream, make([]byte, 1<<20)) }),
		invalid, errclass.Malformed, false, "the answer breaks the rules of HTTP/2"},
	{"HTTP/1.1 in an HTTP/2 connection", http2Fault(func(p *http2Peer) { _, _ = io.WriteString(p.conn, okHeader+"Content-Length: 9\r\n\r\n{}") }),
		invalid, errclass.Malformed, false, "the answer breaks the rules of HTTP/2"},
	{"closed before the settings", func(t *testing.T) (err error) {
		ca := newAuthority(t)
		config := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil)}, NextProtos: []string{"h2"}}
		addr := serveTLS(t, config, func(conn *tls.Conn) { conn.NetConn().Close() })
		for range 100 { // until net/http sees it before it sends the request
			tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: ca.pool}}
			if err = get(t, "https://"+addr, call{transport: tr}); strings.Contains(err.Error(), "could not be established") {
				break
			}
		}
		return err
	}, refusedClass, errclass.Reset, true, early},
	{"body read after it was closed", func(t *testing.T) error {
		return getHTTP2(t, call{onHeaders: func(res *http.Response) { res.Body.Close() }}, func(p *http2Peer) {
			p.headers(false, ":status", "200")
		})
	}, invalid, errclass.Truncated, true, closedHere},
	{"no answer to a ping", func(t *testing.T) error {
		tr := &http.Transport{HTTP2: &http.HTTP2Config{SendPingTimeout: 20 * time.Millisecond, PingTimeout: 20 * time.Millisecond}}
		return getHTTP2(t, call{transport: tr}, func(*http2Peer) {})
	}, refusedClass, errclass.Reset, true, early},
}

var requestFaults = []fault{
	{"URL doesn't parse", bare("http://[::1", call{}), config, errclass.BadDefinition, false, "the URL can't be parsed"},
	{"unknown scheme", bare("ftp://api.example.com", call{}), config, errclass.BadDefinition, false, "the URL must begin with http or https"},
	{"no host", bare("http://", call{}), config, errclass.BadDefinition, false, "the URL names no host"},
	{"invalid header", bare("http://127.0.0.1:1", call{header: http.Header{"A": {"SEKRET\r\n"}}}), config, errclass.BadDefinition, false, "a header of the request is not valid"},
	{"invalid method", bare("http://127.0.0.1:1", call{method: "GET /" + secret}), config, errclass.BadDefinition, false, "the request's method is not valid"},
	{"port too large", bare("http://127.0.0.1:99999", call{}), config, errclass.BadDefinition, false, "the URL's host or port is not valid"},
	{"open breaker", func(t *testing.T) error {
		b := gobreaker.NewCircuitBreaker[any](gobreaker.Settings{ReadyToTrip: func(gobreaker.Counts) bool { return true }})
		_, err := b.Execute(func() (any, error) { return nil, errors.New("down") })
		require.Error(t, err)
		_, err = b.Execute(func() (any, error) { return nil, nil })
		return err
	}, refusedClass, errclass.CircuitOpen, true, "the target failed repeatedly and is not called for a while"},
	{"breaker has its probe", func(t *testing.T) error {
		b := gobreaker.NewCircuitBreaker[any](gobreaker.Settings{Timeout: time.Nanosecond, ReadyToTrip: func(gobreaker.Counts) bool { return true }})
		_, _ = b.Execute(func() (any, error) { return nil, errors.New("down") })
		_, err := b.Execute(func() (any, error) {
			return b.Execute(func() (any, error) { return nil, nil })
		})
		return err
	}, refusedClass, errclass.CircuitOpen, true, "the target failed repeatedly and is not called for a while"},
}

func TestClassifyRealFaults(t *testing.T) {
	t.Parallel()
	groups := map[string][]fault{
		"connection": connectionFaults, "tls": tlsFaults, "deadline": deadlineFaults,
		"body": bodyFaults, "http2": http2Faults, "request": requestFaults,
	}
	for group, faults := range groups {
		for _, f := range faults {
			t.Run(group+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				err := f.make(t)
				require.Error(t, err)
				e := errclass.Classify(err)
				require.Equal(t, []any{f.class, f.reason, f.detail}, []any{e.Class, e.Reason, e.Detail}, "%v", err)
				require.Equal(t, f.retry, e.Retryable)
				require.Equal(t, err, e.Cause)
				requirePresentable(t, e)
				require.Equal(t, f.class == errclass.Timeout, errors.Is(e, context.DeadlineExceeded))
				require.Equal(t, f.class == errclass.Cancelled, errors.Is(e, context.Canceled))

				wrapped := fmt.Errorf("a: %w", fmt.Errorf("b: %w", fmt.Errorf("c: %w", err)))
				again := errclass.Classify(wrapped)
				require.Equal(t, []any{f.class, f.reason, f.detail}, []any{again.Class, again.Reason, again.Detail})
			})
		}
	}
}
