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
	} {
		t.Run(tc.name, func(t *testing.T) {
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
