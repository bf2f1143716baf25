package httptool_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

// raw serves connections with bytes of the test's own making. The handler gets
// the connection after the request's header section was read.
func raw(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	return listen(t, func(c net.Conn) {
		if _, err := c.Read(make([]byte, 4096)); err == nil {
			handle(c)
		}
	})
}

// listen hands each connection to handle and closes it after that; what is open
// at the test's end is closed then.
func listen(t testing.TB, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

func says(text string) func(net.Conn) {
	return func(c net.Conn) { io.WriteString(c, text) }
}

// stalls says the text and then nothing until the peer leaves.
func stalls(text string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, text)
		io.Copy(io.Discard, c)
	}
}

func resets(text string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, text)
		c.(*net.TCPConn).SetLinger(0)
	}
}

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

func answer(status, headers, body string) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n%s\r\n%s", status, len(body), headers, body)
}

const jsonType = "Content-Type: application/json\r\n"

func TestFaults(t *testing.T) {
	ok := "200 OK"
	gz := jsonType + "Content-Encoding: gzip\r\n"
	for _, tc := range []struct {
		name   string
		serve  func(net.Conn)
		class  errclass.Class
		reason errclass.Reason
		retry  bool
		detail string
	}{
		{"closed before a byte", says(""), errclass.ConnectionRefused, errclass.Reset, true, "127.0.0.1"},
		{"reset before a byte", resets(""), errclass.ConnectionRefused, errclass.Reset, true, ""},
		{"no headers", stalls(""), errclass.Timeout, errclass.PhaseHeaders, true, "no response headers from 127.0.0.1"},
		{"half the headers", stalls("HTTP/1.1 200 OK\r\nContent-"), errclass.Timeout, errclass.PhaseHeaders, true, "after 300ms"},
		{"half the body", stalls("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1"), errclass.Timeout, errclass.PhaseBody, true, "no complete response body from 127.0.0.1"},
		{"stalled error body", stalls("HTTP/1.1 500 X\r\nContent-Length: 10\r\n\r\n[1"), errclass.HTTPError, errclass.ServerError, true, "500 Internal Server Error: [1"},
		{"stalled body of a 401", stalls("HTTP/1.1 401 X\r\nContent-Length: 99\r\n" + jsonType + "\r\n{\"message\":"), errclass.HTTPError, errclass.Auth, false, "401 Unauthorized"},
		{"cut body", says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1"), errclass.InvalidResponse, errclass.Truncated, true, ""},
		{"cut chunked body", says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n"), errclass.InvalidResponse, errclass.Truncated, true, ""},
		{"bad chunk", says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n[1\r\n"), errclass.InvalidResponse, errclass.BadEncoding, false, ""},
		{"no HTTP", says("SSH-2.0-OpenSSH\r\n\r\n"), errclass.InvalidResponse, errclass.Malformed, false, ""},
		{"headers too large", says("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 70<<10) + "\r\n\r\n"), errclass.InvalidResponse, errclass.TooLarge, false, ""},
		{"101", says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), errclass.InvalidResponse, errclass.Malformed, false, "101"},
		{"206", says(answer("206 Partial Content", jsonType, "[1]")), errclass.InvalidResponse, errclass.Truncated, true, ""},
		{"gzip, no header", says(answer(ok, gz, "{}")), errclass.InvalidResponse, errclass.BadEncoding, false, ""},
		{"gzip, broken", says(answer(ok, gz, zipped(`{"a":1}`)[:10]+"\xff\xff\xff\xff")), errclass.InvalidResponse, errclass.BadEncoding, false, ""},
		{"gzip, short but complete", says(answer(ok, gz, zipped(`{"a":1}`)[:14])), errclass.InvalidResponse, errclass.Truncated, true, "ends early"},
		{"gzip, without its checksum", says(answer(ok, gz, zipped(`{"a":1}`)[:len(zipped(`{"a":1}`))-4])), errclass.InvalidResponse, errclass.Truncated, true, "ends early"},
		{"gzip, cut by the connection", says("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n" + gz + "\r\n" + zipped(`{"a":1}`)), errclass.InvalidResponse, errclass.Truncated, true, ""},
		{"gzip bomb", says(answer(ok, gz, zipped(strings.Repeat("0", 1<<20)))), errclass.InvalidResponse, errclass.TooLarge, false, "65536 bytes"},
		{"brotli unasked", says(answer(ok, jsonType+"Content-Encoding: br\r\n", "xx")), errclass.InvalidResponse, errclass.BadEncoding, false, "br"},
		{"too large", says(answer(ok, jsonType, `"`+strings.Repeat("a", 65536)+`"`)), errclass.InvalidResponse, errclass.TooLarge, false, ""},
		{"HTML as JSON", says(answer(ok, jsonType, "<!DOCTYPE html><title>x</title>")), errclass.InvalidResponse, errclass.NotJSON, false, "HTML"},
		{"garbage as JSON", says(answer(ok, jsonType, `{"a":1} x`)), errclass.InvalidResponse, errclass.NotJSON, false, "application/json"},
		{"duplicate names", says(answer(ok, jsonType, `{"a":1,"a":2}`)), errclass.InvalidResponse, errclass.NotJSON, false, ""},
		{"deep JSON", says(answer(ok, jsonType, strings.Repeat("[", 5000)+strings.Repeat("]", 5000))), errclass.InvalidResponse, errclass.NotJSON, false, ""},
		{"UTF-16 as JSON", says(answer(ok, jsonType, "\xff\xfe{\x00}\x00")), errclass.InvalidResponse, errclass.NotJSON, false, ""},
		{"invalid UTF-8 text", says(answer(ok, "Content-Type: text/plain\r\n", "\xff")), errclass.InvalidResponse, errclass.BadEncoding, false, ""},
		{"unknown charset", says(answer(ok, "Content-Type: text/plain; charset=koi8-r\r\n", "x")), errclass.InvalidResponse, errclass.BadEncoding, false, "koi8-r"},
		{"binary", says(answer(ok, "Content-Type: image/png\r\n", "\x89PNG")), errclass.InvalidResponse, errclass.BadEncoding, false, "image/png"},
		{"redirect not followed", says(answer("302 Found", "Location: https://login.example.com/x?token=SEKRET\r\n", "")), errclass.InvalidResponse, errclass.Redirect, false, "https://login.example.com"},
		{"304", says("HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"), errclass.InvalidResponse, errclass.Redirect, false, "304"},
		{"404 message", says(answer("404 Not Found", jsonType, `{"message":"no such order"}`)), errclass.HTTPError, errclass.NotFound, false, "404 Not Found: no such order"},
		{"400 problem+json", says(answer("400 Bad Request", "Content-Type: application/problem+json\r\n", `{"title":"Wrong","detail":"name is short"}`)), errclass.HTTPError, errclass.BadRequest, false, "400 Bad Request: name is short"},
		{"401 oauth", says(answer("401 X", jsonType, `{"error":"invalid_client","error_description":"bad secret"}`)), errclass.HTTPError, errclass.Auth, false, "401 Unauthorized: bad secret"},
		{"403 string error", says(answer("403 X", jsonType, `{"error":"not yours"}`)), errclass.HTTPError, errclass.Permission, false, "403 Forbidden: not yours"},
		{"409 nested", says(answer("409 X", jsonType, `{"error":{"message":"taken"}}`)), errclass.HTTPError, errclass.Conflict, false, "409 Conflict: taken"},
		{"422 list", says(answer("422 X", jsonType, `{"errors":[{"detail":"too long"}]}`)), errclass.HTTPError, errclass.BadRequest, false, "422 Unprocessable Entity: too long"},
		{"429", says(answer("429 X", "Retry-After: 7\r\n"+jsonType, `{"message":"slow down"}`)), errclass.HTTPError, errclass.RateLimit, true, "429 Too Many Requests: slow down"},
		{"500 HTML", says(answer("500 X", "Content-Type: text/html\r\n", "<html><title>Oops &amp; sorry</title><body>x")), errclass.HTTPError, errclass.ServerError, true, "500 Internal Server Error: Oops & sorry"},
		{"500 HTML without title", says(answer("500 X", "Content-Type: text/html\r\n", "<html><body>x")), errclass.HTTPError, errclass.ServerError, true, "500 Internal Server Error"},
		{"502 empty", says(answer("502 X", "", "")), errclass.HTTPError, errclass.ServerError, true, "502 Bad Gateway"},
		{"503 text", says(answer("503 X", "Content-Type: text/plain\r\n", "maintenance\nmore")), errclass.HTTPError, errclass.Overloaded, true, "503 Service Unavailable: maintenance"},
		{"500 cut body", says("HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\nhalf"), errclass.HTTPError, errclass.ServerError, true, "500 Internal Server Error: half"},
		{"501", says(answer("501 X", "", "")), errclass.HTTPError, errclass.ServerError, false, "501"},
		{"unknown status", says(answer("599 X", "", "")), errclass.HTTPError, errclass.ServerError, true, "599"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			addr := raw(t, tc.serve)
			cfg := httptool.Config{URL: "http://" + addr + "/x?token=SEKRET", Timeout: 5000, MaxResponseBytes: 65536}
			if tc.class == errclass.Timeout {
				cfg.Timeout = 300
			}
			began := time.Now()
			resp, err := compile(t, cfg).Run(t.Context(), allow(t, addr), httptool.Input{})
			require.Nil(t, resp)
			var e *errclass.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, tc.class, e.Class, "%v", err)
			require.Equal(t, tc.reason, e.Reason, "%v", err)
			require.Equal(t, tc.retry, e.Retryable, "%v", err)
			require.Contains(t, e.Detail, tc.detail)
			require.NotContains(t, e.Detail, "SEKRET")
			require.Equal(t, 1, e.Attempts)
			require.NotEmpty(t, e.Stopped)
			require.Contains(t, e.Upstream.Host, "127.0.0.1")
			require.Less(t, time.Since(began), 20*time.Second)
			if tc.class == errclass.Timeout {
				require.Equal(t, 300*time.Millisecond, e.Limit)
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
			if tc.class == errclass.HTTPError {
				require.NotZero(t, e.Upstream.Status)
			}
			if tc.name == "429" {
				require.Equal(t, 7*time.Second, e.RetryAfter)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	l.Close()
	_, err = compile(t, httptool.Config{URL: "http://" + addr}).Run(t.Context(), allow(t, addr), httptool.Input{})
	require.Equal(t, "Connection refused", err.Error())
	require.Equal(t, errclass.Refused, errclass.Classify(err).Reason)
}

// Nothing of a request that found no connection was sent: any may be repeated.
func TestUnsentRequestsAreRepeated(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	l.Close()
	rt, err := httptool.LoopbackTransport(httptool.Policy{Public: true}, fakeDNS(t, names{}), nil)
	require.NoError(t, err)
	for _, tc := range []struct {
		url               string
		rt                http.RoundTripper
		retries, attempts int
		stopped           errclass.Stopped
	}{
		{"http://" + addr, allow(t, addr), 0, 1, errclass.StoppedMaxAttempts},
		{"http://" + addr, allow(t, addr), 1, 2, errclass.StoppedMaxAttempts},
		{"http://nowhere.test", rt, 1, 1, errclass.StoppedNotRetryable}, // the name is wrong today and tomorrow
	} {
		_, err := compile(t, httptool.Config{Method: "POST", URL: tc.url, Retries: tc.retries}).Run(t.Context(), tc.rt, httptool.Input{})
		e := errclass.Classify(err)
		require.Equal(t, tc.attempts, e.Attempts, "%v", err)
		require.Equal(t, tc.stopped, e.Stopped)
		require.Equal(t, tc.stopped == errclass.StoppedMaxAttempts, e.Retryable)
	}
}

// What a redirect has led away from was processed, whatever became of the rest.
func TestRedirectedPostIsNotRepeated(t *testing.T) {
	var posts int
	server, rt := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts++
			http.Redirect(w, r, "/done", http.StatusSeeOther)
			return
		}
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := compile(t, httptool.Config{Method: "POST", URL: server.URL, Retries: 2, FollowRedirects: true}).Run(t.Context(), rt, httptool.Input{})
	e := errclass.Classify(err)
	require.Equal(t, errclass.RateLimit, e.Reason, "%v", err)
	require.False(t, e.Retryable)
	require.Equal(t, errclass.StoppedNotRetryable, e.Stopped)
	require.Equal(t, 1, posts)
}

// Where one address of a name is denied and the allowed one fails, that is what
// is reported, in whichever order they are tried.
func TestRefusedByAllowedAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	for _, allowed := range []string{"127.0.0.1", "127.0.0.2"} {
		resolver := fakeDNS(t, names{"two.test": {"127.0.0.1 127.0.0.2"}})
		rt, err := httptool.LoopbackTransport(httptool.Policy{Allow: []string{allowed}}, resolver, nil)
		require.NoError(t, err)
		_, err = compile(t, httptool.Config{URL: "http://two.test:" + port}).Run(t.Context(), rt, httptool.Input{})
		require.Equal(t, errclass.ConnectionRefused, errclass.Classify(err).Class, "%s: %v", allowed, err)
		require.True(t, errclass.Classify(err).Retryable)
	}
}

func TestNames(t *testing.T) {
	rt, err := httptool.LoopbackTransport(httptool.Policy{Public: true}, fakeDNS(t, names{}), nil)
	require.NoError(t, err)
	_, err = compile(t, httptool.Config{URL: "http://nowhere.test/"}).Run(t.Context(), rt, httptool.Input{})
	require.Equal(t, errclass.DNSNotFound, errclass.Classify(err).Reason, "%v", err)
	require.Equal(t, "nowhere.test", errclass.Classify(err).Upstream.Host)

	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	// net's resolver goes on in the background when nobody waits for it any more:
	// end that by closing its connections.
	over, leave := context.WithCancel(t.Context())
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		if over.Err() != nil {
			return nil, over.Err()
		}
		c, err := (&net.Dialer{}).DialContext(ctx, "udp", silent.LocalAddr().String())
		if err == nil {
			context.AfterFunc(over, func() { c.Close() })
		}
		return c, err
	}}
	defer leave()
	rt, err = httptool.LoopbackTransport(httptool.Policy{Public: true}, resolver, nil)
	require.NoError(t, err)
	_, err = compile(t, httptool.Config{URL: "http://slow.test/", Timeout: 100}).Run(t.Context(), rt, httptool.Input{})
	e := errclass.Classify(err)
	require.Equal(t, errclass.PhaseDNS, e.Reason)
	require.Equal(t, "no answer from the resolver about slow.test after 100ms (limit: the tool's request timeout)", e.Detail)
}

func TestTLSPhase(t *testing.T) {
	addr := raw(t, stalls(""))
	_, err := compile(t, httptool.Config{URL: "https://" + addr, Timeout: 200}).Run(t.Context(), allow(t, addr), httptool.Input{})
	require.Equal(t, errclass.PhaseTLS, errclass.Classify(err).Reason, "%v", err)
	plain := raw(t, says("HTTP/1.1 400 Bad Request\r\n\r\n"))
	_, err = compile(t, httptool.Config{URL: "https://" + plain}).Run(t.Context(), allow(t, plain), httptool.Input{})
	require.Equal(t, errclass.Protocol, errclass.Classify(err).Reason, "%v", err)
}

func TestWhoseDeadline(t *testing.T) {
	addr := raw(t, stalls(""))
	tool, rt := compile(t, httptool.Config{URL: "http://" + addr, Timeout: 60000}), allow(t, addr)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := tool.Run(ctx, rt, httptool.Input{})
	e := errclass.Classify(err)
	require.Equal(t, errclass.PhaseHeaders, e.Reason)
	require.Contains(t, e.Detail, "before the deadline")
	require.Zero(t, e.Limit)

	mine := errclass.New(errclass.Timeout, errclass.Deadline, "mine")
	ctx, cancel = context.WithTimeoutCause(t.Context(), 50*time.Millisecond, mine)
	defer cancel()
	_, err = tool.Run(ctx, rt, httptool.Input{})
	require.Same(t, mine, err)

	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(30*time.Millisecond, stop)
	_, err = tool.Run(ctx, rt, httptool.Input{})
	require.Equal(t, errclass.Cancelled, errclass.Classify(err).Class)

	shutdown := errclass.New(errclass.Cancelled, errclass.Shutdown, "")
	cause, halt := context.WithCancelCause(t.Context())
	time.AfterFunc(30*time.Millisecond, func() { halt(shutdown) })
	_, err = tool.Run(cause, rt, httptool.Input{})
	require.Same(t, shutdown, err)
}

func TestEndedContextSendsNothing(t *testing.T) {
	past, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	left, leave := context.WithCancel(t.Context())
	leave()
	for ctx, want := range map[context.Context]errclass.Class{past: errclass.Timeout, left: errclass.Cancelled} {
		_, err := compile(t, httptool.Config{URL: "http://127.0.0.1:1", Retries: 2}).Run(ctx, allow(t), httptool.Input{})
		e := errclass.Classify(err)
		require.Equal(t, want, e.Class)
		require.Zero(t, e.Attempts)
		require.NotEmpty(t, e.Stopped)
	}
}

// script answers requests one after the other; the last answer repeats.
type script struct {
	mu    sync.Mutex
	steps []http.HandlerFunc
	count int
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	step := s.steps[min(s.count, len(s.steps)-1)]
	s.count++
	s.mu.Unlock()
	step(w, r)
}

// served is how many requests came. A dropped one has no answer to order its
// handler before this.
func (s *script) served() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

func status(code int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
	}
}

func drops(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestRetries(t *testing.T) {
	good := status(200)
	for _, tc := range []struct {
		name    string
		method  string
		key     string
		retries int
		steps   []http.HandlerFunc
		sent    int
		stopped errclass.Stopped // empty: success
	}{
		{"second works", "GET", "", 2, []http.HandlerFunc{status(503), good}, 2, ""},
		{"third works", "GET", "", 2, []http.HandlerFunc{status(502), status(504), good}, 3, ""},
		{"dropped connection", "GET", "", 1, []http.HandlerFunc{drops, good}, 2, ""},
		{"put", "PUT", "", 1, []http.HandlerFunc{status(429), good}, 2, ""},
		{"retry-after 0", "GET", "", 1, []http.HandlerFunc{status(429, "Retry-After", "0"), good}, 2, ""},
		{"used up", "GET", "", 1, []http.HandlerFunc{status(503)}, 2, errclass.StoppedMaxAttempts},
		{"none configured", "GET", "", 0, []http.HandlerFunc{status(503)}, 1, errclass.StoppedMaxAttempts},
		{"post", "POST", "", 3, []http.HandlerFunc{status(503)}, 1, errclass.StoppedNotRetryable},
		{"patch", "PATCH", "", 3, []http.HandlerFunc{status(503)}, 1, errclass.StoppedNotRetryable},
		{"post with key", "POST", "k", 1, []http.HandlerFunc{status(503), good}, 2, ""},
		{"post, none configured", "POST", "", 0, []http.HandlerFunc{status(502)}, 1, errclass.StoppedNotRetryable},
		{"post, 500", "POST", "", 1, []http.HandlerFunc{status(500)}, 1, errclass.StoppedNotRetryable},
		{"post, dropped connection", "POST", "", 1, []http.HandlerFunc{drops}, 1, errclass.StoppedNotRetryable},
		{"post, turned away", "POST", "", 1, []http.HandlerFunc{status(429), good}, 2, ""},
		{"post, turned away, none configured", "POST", "", 0, []http.HandlerFunc{status(429)}, 1, errclass.StoppedMaxAttempts},
		{"500", "GET", "", 1, []http.HandlerFunc{status(500), good}, 2, ""},
		{"500, none configured", "GET", "", 0, []http.HandlerFunc{status(500)}, 1, errclass.StoppedMaxAttempts},
		{"404", "GET", "", 3, []http.HandlerFunc{status(404)}, 1, errclass.StoppedNotRetryable},
		{"retry-after beyond the deadline", "GET", "", 3, []http.HandlerFunc{status(503, "Retry-After", "30")}, 1, errclass.StoppedDeadline},
		{"retry-after of a day", "GET", "", 3, []http.HandlerFunc{status(503, "Retry-After", "86400")}, 1, errclass.StoppedDeadline},
		{"not JSON", "GET", "", 3, []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, "{")
		}}, 1, errclass.StoppedNotRetryable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := &script{steps: tc.steps}
			server, rt := serve(t, s.ServeHTTP)
			cfg := httptool.Config{Method: tc.method, URL: server.URL, Retries: tc.retries}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if tc.key != "" {
				cfg.Headers = map[string]any{"idempotency-key": tc.key}
			}
			resp, err := compile(t, cfg).Run(ctx, rt, httptool.Input{})
			require.Equal(t, tc.sent, s.served())
			if tc.stopped == "" {
				require.NoError(t, err)
				require.Equal(t, tc.sent, resp.Attempts)
				return
			}
			e := errclass.Classify(err)
			require.Equal(t, tc.stopped, e.Stopped)
			require.Equal(t, tc.stopped != errclass.StoppedNotRetryable, e.Retryable)
			require.Equal(t, tc.sent, e.Attempts)
		})
	}
}

func TestRedirects(t *testing.T) {
	var seen []string
	var headers http.Header
	other, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen, headers = append(seen, "other "+r.Method+" "+string(body)), r.Header.Clone()
		if back := r.URL.Query().Get("back"); back != "" {
			http.Redirect(w, r, back, http.StatusFound)
		}
	})
	here, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		seen, headers = append(seen, r.Method+" "+string(body)), r.Header.Clone()
		if to := r.URL.Query().Get("to"); to != "" {
			var code int
			fmt.Sscan(r.URL.Query().Get("code"), &code)
			w.Header().Set("Location", to)
			w.WriteHeader(code)
		}
	})
	for _, tc := range []struct {
		name, method, to string
		code             int
		seen             string
		reason           errclass.Reason
	}{
		{"same origin", "GET", "/x", 302, "GET |GET ", ""},
		{"POST 302", "POST", "/x", 302, `POST "b"|GET `, ""},
		{"POST 303", "POST", "/x", 303, `POST "b"|GET `, ""},
		{"PUT 303", "PUT", "/x", 303, `PUT "b"|GET `, ""},
		{"PUT 301", "PUT", "/x", 301, `PUT "b"|PUT "b"`, ""},
		{"POST 307", "POST", "/x", 307, `POST "b"|POST "b"`, ""},
		{"POST 308", "POST", "/x", 308, `POST "b"|POST "b"`, ""},
		{"other origin", "GET", other.URL, 302, "GET |other GET ", ""},
		{"other origin, body left behind", "POST", other.URL, 303, `POST "b"|other GET `, ""},
		{"other origin, POST 307", "POST", other.URL, 307, `POST "b"`, errclass.Redirect},
		{"other origin, POST 308", "POST", other.URL, 308, `POST "b"`, errclass.Redirect},
		{"other origin, PUT 302", "PUT", other.URL, 302, `PUT "b"`, errclass.Redirect},
		{"other origin, GET 307", "GET", other.URL, 307, "GET |other GET ", ""},
		{"there and back", "GET", other.URL + "?back=" + here.URL, 302, "GET |other GET |GET ", ""},
		{"blocked address", "GET", "http://127.0.0.2:1/", 302, "GET ", errclass.Blocked},
		{"metadata", "GET", "http://169.254.169.254/", 302, "GET ", errclass.Blocked},
		{"other scheme", "GET", "file:///etc/passwd", 302, "GET ", errclass.Blocked},
		{"userinfo", "GET", "http://u:p@127.0.0.1/", 302, "GET ", errclass.Blocked},
		{"no location", "GET", " ", 302, "GET ", ""},
		{"300", "GET", "/x", 300, "GET ", errclass.Redirect},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.name == "no location" {
				t.Skip("the server can't send one through this handler")
			}
			seen = nil
			cfg := httptool.Config{
				Method: tc.method, URL: here.URL, FollowRedirects: true, QueryParams: map[string]any{"to": tc.to, "code": tc.code},
				Headers: map[string]any{"X-Key": "secret", "Cookie": "s=1", "Accept-Language": "de"},
			}
			if tc.method != "GET" {
				cfg.Body = []byte(`"b"`)
			}
			rt := allow(t, here.Listener.Addr().String(), other.Listener.Addr().String())
			_, err := compile(t, cfg, &httptool.Auth{Type: "bearer", Config: map[string]any{"token": "t0ken"}}).Run(t.Context(), rt, httptool.Input{})
			require.Equal(t, tc.seen, strings.Join(seen, "|"))
			if tc.reason != "" {
				require.Equal(t, tc.reason, errclass.Classify(err).Reason, "%v", err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "de", headers.Get("Accept-Language"))
			if strings.Contains(tc.seen, "other") {
				require.Empty(t, headers.Get("Authorization")+headers.Get("X-Key")+headers.Get("Cookie"))
			} else {
				require.Equal(t, "Bearer t0ken", headers.Get("Authorization"))
			}
			if strings.HasSuffix(tc.seen, "GET ") {
				require.Empty(t, headers.Get("Content-Type"))
			}
		})
	}
}

// A Location that isn't encoded well is followed as it stands.
func TestRedirectToOddLocation(t *testing.T) {
	server, rt := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Location", "/my ä%2Fb?q=a b")
			w.WriteHeader(http.StatusFound)
			return
		}
		io.WriteString(w, r.RequestURI)
	})
	resp, err := compile(t, httptool.Config{URL: server.URL, FollowRedirects: true}).Run(t.Context(), rt, httptool.Input{})
	require.NoError(t, err)
	require.Equal(t, `"/my%20%C3%A4%2Fb?q=a%20b"`, string(resp.Value))
}

func TestRedirectLoop(t *testing.T) {
	s := &script{steps: []http.HandlerFunc{func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) }}}
	server, rt := serve(t, s.ServeHTTP)
	_, err := compile(t, httptool.Config{URL: server.URL, FollowRedirects: true}).Run(t.Context(), rt, httptool.Input{})
	require.Equal(t, errclass.RedirectLoop, errclass.Classify(err).Reason)
	require.Equal(t, 6, s.count)
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// Whatever a foreign transport returns becomes a class.
func TestForeignTransport(t *testing.T) {
	tool := compile(t, httptool.Config{URL: "http://x.test/"})
	open := errclass.New(errclass.ConnectionRefused, errclass.CircuitOpen, "open")
	_, err := tool.Run(t.Context(), failing{fmt.Errorf("wrapped: %w", open)}, httptool.Input{})
	require.Equal(t, errclass.CircuitOpen, errclass.Classify(err).Reason)
	_, err = tool.Run(t.Context(), failing{errors.New("?")}, httptool.Input{})
	require.Equal(t, errclass.InternalError, errclass.Classify(err).Class)
	require.Zero(t, open.Attempts, "somebody else's error was changed")
}
