package llmtool_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
)

// readRequest takes a request's header section off a raw connection.
func readRequest(conn net.Conn) {
	r := bufio.NewReader(conn)
	if req, err := http.ReadRequest(r); err == nil {
		_, _ = io.Copy(io.Discard, req.Body)
	}
}

// hangUp closes a connection with a reset.
func hangUp(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	conn.Close()
}

func TestConnectionFaults(t *testing.T) {
	t.Parallel()
	const refused = "http://127.0.0.1:1" // a port that was given back may be another test's by now
	tlsServer := httptest.NewUnstartedServer(http.NotFoundHandler())
	tlsServer.Config.ErrorLog = log.New(io.Discard, "", 0)
	tlsServer.StartTLS()
	t.Cleanup(tlsServer.Close)
	write := func(text string, end func(net.Conn)) func(net.Conn) {
		return func(conn net.Conn) {
			readRequest(conn)
			_, _ = io.WriteString(conn, text)
			end(conn)
		}
	}
	nothing := func(net.Conn) {}
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for _, c := range []struct {
		name   string
		url    string
		class  Class
		reason Reason
		status int
	}{
		{"refused", refused, ConnectionRefused, Refused, 0},
		{"closed before an answer", raw(t, write("", nothing)), ConnectionRefused, Reset, 0},
		{"reset before an answer", raw(t, write("", hangUp)), ConnectionRefused, Reset, 0},
		{"tls untrusted", tlsServer.URL, ConnectionRefused, TLSUntrusted, 0},
		{"https to http", strings.Replace(raw(t, write("HTTP/1.1 400 Bad Request\r\n\r\n", nothing)), "http:", "https:", 1), ConnectionRefused, Protocol, 0},
		{"not http", raw(t, write("SSH-2.0-OpenSSH_9\r\n", nothing)), InvalidResponse, Malformed, 0},
		{"cut by length", raw(t, write(head+"Content-Length: 100\r\n\r\n{\"choi", nothing)), InvalidResponse, Truncated, 200},
		{"cut in chunks", raw(t, write(head+"Transfer-Encoding: chunked\r\n\r\n5\r\n{\"cho\r\n", nothing)), InvalidResponse, Truncated, 200},
		{"reset in the body", raw(t, write(head+"Content-Length: 100\r\n\r\n{\"choi", hangUp)), InvalidResponse, Truncated, 200},
		{"broken chunk", raw(t, write(head+"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", nothing)), InvalidResponse, BadEncoding, 200},
		{"101", raw(t, write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello", nothing)), InvalidResponse, Malformed, 101},
		{"broken gzip of a 429", raw(t, write("HTTP/1.1 429 X\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\nnot-gzip-at-", nothing)), LLMError, RateLimit, 429},
		{"401 without its body", raw(t, write("HTTP/1.1 401 X\r\nContent-Length: 100\r\n\r\n", nothing)), LLMError, Auth, 401},
		{"401 with half its body", raw(t, write("HTTP/1.1 401 X\r\nContent-Length: 100\r\n\r\n{\"error\":", hangUp)), LLMError, Auth, 401},
		{"500 in broken chunks", raw(t, write("HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n", nothing)), LLMError, ServerError, 500},
		{"broken gzip", raw(t, write(head+"Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\nnot-gzip-at-", nothing)), InvalidResponse, BadEncoding, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, e := run(t, llmtool.Config{}, clients(t, provider(c.url)))
			require.NotNil(t, e)
			require.Equal(t, c.class, e.Class, "%v", e.Cause)
			require.Equal(t, c.reason, e.Reason, "%v", e.Cause)
			require.Equal(t, c.status, e.Upstream.Status)
			require.Equal(t, "main", e.Upstream.Provider)
			require.Equal(t, 1, e.Attempts)
			require.NotContains(t, e.Error(), "/chat/completions")
		})
	}
}

// stall answers the header section or not, then waits for the client to go.
func stall(t *testing.T, head string) string {
	return raw(t, func(conn net.Conn) {
		readRequest(conn)
		_, _ = io.WriteString(conn, head)
		_, _ = io.Copy(io.Discard, conn)
	})
}

const stalledBody = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"choi"

func TestTimeoutsNameTheirOwner(t *testing.T) {
	boom := Newf(SandboxError, OutputLimit, "said by the cause")
	for _, c := range []struct {
		name           string
		head           string
		provider, tool int
		ctx            time.Duration
		cause          error
		class          Class
		reason         Reason
		detail         string
	}{
		{"provider", "", 50, 0, 0, nil, Timeout, PhaseHeaders, "no answer from provider main after 50ms (limit: the provider's timeout)"},
		{"provider in the body", stalledBody, 50, 0, 0, nil, Timeout, PhaseBody, "the answer of provider main stopped midway after 50ms (limit: the provider's timeout)"},
		{"provider in the body of a 401", strings.Replace(stalledBody, "200 OK", "401 X", 1), 50, 0, 0, nil, LLMError, Auth, "401 Unauthorized"},
		{"tool", "", 10_000, 50, 0, nil, Timeout, PhaseHeaders, "no answer from provider main after 50ms (limit: the tool's request timeout)"},
		{"tool shorter than context", "", 10_000, 50, time.Minute, nil, Timeout, PhaseHeaders, "no answer from provider main after 50ms (limit: the tool's request timeout)"},
		{"provider shorter than tool", "", 50, 10_000, 0, nil, Timeout, PhaseHeaders, "no answer from provider main after 50ms (limit: the provider's timeout)"},
		{"context", "", 10_000, 10_000, 50 * time.Millisecond, nil, Timeout, PhaseHeaders, "no answer from provider main"},
		{"context in the body", stalledBody, 0, 0, 50 * time.Millisecond, nil, Timeout, PhaseBody, "the answer of provider main stopped midway"},
		{"context in the body of a 401", strings.Replace(stalledBody, "200 OK", "401 X", 1), 0, 0, 50 * time.Millisecond, nil, Timeout, PhaseBody, "the answer of provider main stopped midway"},
		{"cause", "", 0, 0, 50 * time.Millisecond, boom, SandboxError, OutputLimit, "said by the cause"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := provider("http://provider.test")
				p.Timeout = c.provider
				ctx := t.Context()
				if c.ctx > 0 {
					var stop context.CancelFunc
					ctx, stop = context.WithTimeoutCause(ctx, c.ctx, c.cause)
					defer stop()
				}
				_, e := runCtx(t, ctx, llmtool.Config{Timeout: c.tool}, clientsThrough(t, silent(c.head), p))
				require.Equal(t, c.class, e.Class)
				require.Equal(t, c.reason, e.Reason)
				require.Equal(t, c.detail, e.Detail)
				if c.class == Timeout {
					require.ErrorIs(t, e, context.DeadlineExceeded)
				}
				if c.class == LLMError {
					require.Equal(t, 401, e.Upstream.Status)
				}
				if strings.Contains(c.detail, "50ms") {
					require.Equal(t, 50*time.Millisecond, e.Limit)
				}
			})
		})
	}
}

// silent connects, without a network and so under a fake clock, to a server that
// answers head and then nothing.
func silent(head string) *http.Transport {
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			readRequest(server)
			_, _ = io.WriteString(server, head)
			_, _ = io.Copy(io.Discard, server)
		}()
		return client, nil
	}}
}

// A tool's timeout is that of one request: it leaves time for another attempt,
// and for another provider.
func TestTimeoutLeavesTimeForMore(t *testing.T) {
	for _, c := range []struct {
		name      string
		retries   int
		fallbacks []string
		detail    string
		attempts  int
		stopped   Stopped
	}{
		{"retries", 2, nil, "no answer from provider main after 300ms (limit: the tool's request timeout)", 3, StoppedMaxAttempts},
		{"fallback", 0, []string{"second"}, "no answer from provider second after 300ms (limit: the tool's request timeout)", 2, StoppedMaxAttempts},
		{"both", 1, []string{"second"}, "no answer from provider second after 300ms (limit: the tool's request timeout)", 4, StoppedMaxAttempts},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithTimeout(t.Context(), time.Minute)
				defer stop()
				first, second := provider("http://first.test"), provider("http://second.test")
				second.ID = "second"
				cfg := llmtool.Config{Timeout: 300, Retries: c.retries, FallbackProviderIDs: c.fallbacks}
				_, e := runCtx(t, ctx, cfg, clientsThrough(t, silent(""), first, second))
				require.Equal(t, c.detail, e.Detail)
				require.Equal(t, 300*time.Millisecond, e.Limit)
				require.Equal(t, c.attempts, e.Attempts)
				require.Equal(t, c.stopped, e.Stopped)
			})
		})
	}
}

func TestConnectTimeoutIsAPhaseOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{})
		door := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			<-over // a dial outlives its request
			return nil, net.ErrClosed
		}}
		p := provider("http://provider.test")
		p.Timeout = 30
		_, e := run(t, llmtool.Config{}, clientsThrough(t, door, p))
		close(over)
		require.Equal(t, PhaseConnect, e.Reason)
		require.Equal(t, "no connection to provider main after 30ms (limit: the provider's timeout)", e.Detail)
	})
}

func TestCancelIsNeverATimeout(t *testing.T) {
	t.Parallel()
	stopped := New(Cancelled, Shutdown, "the service is stopping")
	for _, c := range []struct {
		name  string
		cause error
		want  Reason
	}{{"caller", nil, CallerCancelled}, {"other cause", errors.New("x"), CallerCancelled}, {"classified cause", stopped, Shutdown}} {
		for _, head := range []string{"", stalledBody} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancelCause(t.Context())
				url := raw(t, func(conn net.Conn) {
					readRequest(conn)
					_, _ = io.WriteString(conn, head)
					cancel(c.cause)
					_, _ = io.Copy(io.Discard, conn)
				})
				_, e := runCtx(t, ctx, llmtool.Config{Retries: 5}, clients(t, provider(url)))
				require.Equal(t, Cancelled, e.Class)
				require.Equal(t, c.want, e.Reason)
				require.Equal(t, 1, e.Attempts)
				require.Equal(t, StoppedCancelled, e.Stopped)
				require.ErrorIs(t, e, context.Canceled)
			})
		}
	}
}

func TestEndedContextSendsNothing(t *testing.T) {
	up := answers(t, says("hello"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, e := runCtx(t, ctx, llmtool.Config{}, clients(t, provider(up.URL)))
	require.Equal(t, Cancelled, e.Class)
	require.Zero(t, e.Attempts)
	require.Empty(t, up.seen())

	late, stop := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer stop()
	_, e = runCtx(t, late, llmtool.Config{}, clients(t, provider(up.URL)))
	require.Equal(t, Timeout, e.Class)
	require.Empty(t, up.seen())
}

func TestEgressRefusalKeepsItsClass(t *testing.T) {
	_, e := run(t, llmtool.Config{}, clientsThrough(t, nil, provider("http://provider.test")))
	require.Equal(t, RequestBlocked, e.Class)
	require.Equal(t, Blocked, e.Reason)
	require.Equal(t, "no network access is configured", e.Detail)
}

func TestSizeOfAnAnswerIsCapped(t *testing.T) {
	t.Parallel()
	const limit = 10 << 20
	for _, c := range []struct {
		size int
		ok   bool
	}{{limit - 1, true}, {limit, true}, {limit + 1, false}} {
		body := says("hi")
		up := answers(t, body+strings.Repeat(" ", c.size-len(body)))
		answer, e := run(t, llmtool.Config{}, clients(t, provider(up.URL)))
		if c.ok {
			require.Nil(t, e)
			require.Equal(t, `"hi"`, string(answer.Value))
			continue
		}
		require.Equal(t, InvalidResponse, e.Class)
		require.Equal(t, TooLarge, e.Reason)
		require.Equal(t, "the answer of provider main exceeds 10 MiB", e.Detail)
	}
}

func TestEndlessErrorBodyIsReadInPart(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(500)
		chunk := []byte(strings.Repeat("x", 8<<10))
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	_, e := run(t, llmtool.Config{}, clients(t, provider(up.URL)))
	require.Equal(t, ServerError, e.Reason)
	require.Less(t, len(e.Detail), 500)
}
