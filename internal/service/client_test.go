package service_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/runner"
)

const executeLine = "POST /tools/echo/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

// bodyOf is a valid body of exactly n bytes.
func bodyOf(n int) string {
	const frame = `{"parameters":{"p":""}}`
	return frame[:20] + strings.Repeat("x", n-len(frame)) + frame[20:]
}

func TestBodyLimit(t *testing.T) {
	const limit = 1000
	s := serve(t, plainTools(t), service.Options{BodyBytes: limit})
	tooLarge := refusal(413, "PAYLOAD_TOO_LARGE", "The body exceeds 1000 bytes")
	for _, size := range []int{limit - 1, limit, limit + 1, 2 * limit, 1 << 20} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d bytes, chunked %v", size, chunked), func(t *testing.T) {
				var body io.Reader = strings.NewReader(bodyOf(size))
				if chunked {
					body = struct{ io.Reader }{body}
				}
				request, err := http.NewRequest("POST", s.url+"/tools/echo/execute", body)
				require.NoError(t, err)
				request.Header.Set("Content-Type", "application/json")
				response, err := s.client.Do(request)
				require.NoError(t, err)
				defer response.Body.Close()
				text, err := io.ReadAll(response.Body)
				require.NoError(t, err)
				requireDocumentHeader(t, response)
				if size <= limit {
					require.Equal(t, http.StatusOK, response.StatusCode)
					return
				}
				require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
				require.Equal(t, tooLarge, string(text))
			})
		}
	}
}

// A client that asks first is refused before it sends a large body.
func TestLargeBodyIsRefusedBeforeItIsSent(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	w := s.dial(t)
	w.send(t, executeLine+"Content-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n")
	response, _ := w.answer(t, "POST")
	require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode)
	require.True(t, response.Close)
	w.ended(t)
}

// What is wrong with a request is said before its body is waited for.
func TestRefusalsDoNotWaitForTheBody(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	for _, c := range []struct {
		head   string
		status int
	}{
		{executeLine + "Idempotency-Key: k\r\n", 400},
		{strings.Replace(executeLine, "execute", "execute?detail=1", 1), 400},
		{strings.Replace(executeLine, "application/json", "text/plain", 1), 415},
		{strings.Replace(executeLine, "localhost", "evil.example", 1), 403},
		{"PUT /healthz HTTP/1.1\r\nHost: localhost\r\n", 405},
		{"POST /nope HTTP/1.1\r\nHost: localhost\r\n", 404},
	} {
		for _, length := range []string{"Content-Length: 100\r\n", "Transfer-Encoding: chunked\r\n"} {
			w := s.dial(t)
			began := time.Now()
			w.send(t, c.head+length+"\r\n")
			response, body := w.answer(t, "POST")
			require.Equal(t, c.status, response.StatusCode, body)
			require.Less(t, time.Since(began), 5*time.Second)
			require.True(t, response.Close)
			requireDocumentHeader(t, response)
			require.NoError(t, w.Close())
		}
	}
}

func TestBodiesThatArriveBroken(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	const unreadable = "The body can't be read: its chunks are malformed or the connection broke"
	for _, c := range []struct{ name, request, message string }{
		{"bad chunk size", "Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n", unreadable},
		{"chunk longer than it says", "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n", unreadable},
		{"huge chunk size", "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n", unreadable},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := s.dial(t)
			w.send(t, executeLine+c.request)
			response, body := w.answer(t, "POST")
			require.Equal(t, refusal(400, "BAD_REQUEST", c.message), body)
			requireDocumentHeader(t, response)
			w.ended(t)
		})
	}
	t.Run("shorter than it says", func(t *testing.T) {
		w := s.dial(t)
		w.send(t, executeLine+"Content-Length: 10\r\n\r\n{}")
		require.NoError(t, w.Conn.(interface{ CloseWrite() error }).CloseWrite())
		_, body := w.answer(t, "POST")
		require.Equal(t, refusal(400, "BAD_REQUEST", "The body ended early"), body)
	})
	t.Run("compressed", func(t *testing.T) {
		w := s.dial(t)
		w.send(t, executeLine+"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}")
		response, body := w.answer(t, "POST")
		require.Equal(t, refusal(415, "UNSUPPORTED_MEDIA_TYPE", "Unsupported content encoding: send the body without compression"), body)
		require.Equal(t, "identity", response.Header.Get("Accept-Encoding"))
	})
	t.Run("two types", func(t *testing.T) {
		w := s.dial(t)
		w.send(t, executeLine+"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
		response, _ := w.answer(t, "POST")
		require.Equal(t, http.StatusUnsupportedMediaType, response.StatusCode)
	})
}

// Clients that dawdle are cut off, and meanwhile nobody else waits for them.
func TestSlowClients(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{ReadHeaderTimeout: 200 * time.Millisecond, ReadTimeout: 400 * time.Millisecond})
	var lines, headers, bodies []*wire
	for range 20 {
		w := s.dial(t)
		w.send(t, "POST /tools/echo/exec")
		lines = append(lines, w)
		w = s.dial(t)
		w.send(t, "POST /tools/echo/execute HTTP/1.1\r\nHost: local")
		headers = append(headers, w)
		w = s.dial(t)
		w.send(t, executeLine+"Content-Length: 2\r\n\r\n{")
		bodies = append(bodies, w)
	}
	_, body := s.do(t, "POST", "/tools/echo/execute", "", "")
	require.Equal(t, success("{}"), settled(body))
	for _, w := range lines {
		_, body := w.answer(t, "POST")
		require.Equal(t, refusal(408, "BAD_REQUEST", "The request line and header took too long to arrive"), body)
		w.ended(t)
	}
	for _, w := range headers {
		w.ended(t) // net/http hangs up without a word
	}
	for _, w := range bodies {
		response, body := w.answer(t, "POST")
		require.Equal(t, http.StatusRequestTimeout, response.StatusCode)
		require.Equal(t, refusal(408, "BAD_REQUEST", "The body took longer than 400ms to arrive"), body)
		requireDocumentHeader(t, response)
		w.ended(t)
	}
}

// An execution may take longer than a client may take to send or receive.
func TestReadAndWriteTimeoutsSpareExecutions(t *testing.T) {
	upstream := newGate(t)
	s := serve(t, upstream.tool(t), service.Options{
		ReadHeaderTimeout: 50 * time.Millisecond, ReadTimeout: 50 * time.Millisecond, WriteTimeout: 50 * time.Millisecond,
	})
	w := s.dial(t)
	w.send(t, "POST /tools/wait/execute HTTP/1.1\r\nHost: localhost\r\n\r\n")
	await1(t, upstream.arrived)
	time.AfterFunc(300*time.Millisecond, upstream.open)
	_, body := w.answer(t, "POST")
	require.Equal(t, success(`"opened"`), settled(body))
}

// A client that goes away takes its execution along.
func TestClientThatGoesAwayCancels(t *testing.T) {
	upstream := newGate(t)
	s := serve(t, upstream.tool(t), service.Options{})
	ctx, leave := context.WithCancel(t.Context())
	request, err := http.NewRequestWithContext(ctx, "POST", s.url+"/tools/wait/execute", nil)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		response, err := s.client.Do(request)
		if err == nil {
			response.Body.Close()
		}
		ended <- err
	}()
	await1(t, upstream.arrived)
	leave()
	require.ErrorIs(t, <-ended, context.Canceled)
	await1(t, upstream.gone)
	require.NoError(t, s.shutDown(t))
	require.Zero(t, s.runner.Running())
	require.Equal(t, 1, strings.Count(s.log.String(), "clientGone=true"))
	require.NotContains(t, s.log.String(), "level=ERROR")
}

// A client that closes only its sending half counts as gone, but is told.
func TestHalfClosedClientIsTold(t *testing.T) {
	upstream := newGate(t)
	s := serve(t, upstream.tool(t), service.Options{})
	w := s.dial(t)
	w.send(t, "POST /tools/wait/execute HTTP/1.1\r\nHost: localhost\r\n\r\n")
	await1(t, upstream.arrived)
	require.NoError(t, w.Conn.(interface{ CloseWrite() error }).CloseWrite())
	response, body := w.answer(t, "POST")
	require.Equal(t, "cancelled", response.Header.Get("X-Tool-Error-Class"), body)
	require.Equal(t, "caller", response.Header.Get("X-Tool-Error-Reason"), body)
}

// One connection serves good and bad requests alike, in their order, also when
// they come all at once.
func TestPipelinedRequests(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	w := s.dial(t)
	var all strings.Builder
	var want []string
	for i := range 10 {
		for _, c := range []struct{ request, answer string }{
			{fmt.Sprintf("%sContent-Length: %d\r\n\r\n{\"parameters\":{\"i\":%d}}", executeLine, 24, i), success(fmt.Sprintf(`{"i":%d}`, i))},
			{executeLine + "Content-Length: 3\r\n\r\n{,}", ""},
			{"GET /nope HTTP/1.1\r\nHost: localhost\r\n\r\n", refusal(404, "NOT_FOUND", "Route not found")},
			{"PUT /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", refusal(405, "METHOD_NOT_ALLOWED", "Method not allowed: use GET or HEAD")},
		} {
			all.WriteString(strings.Replace(c.request, "Content-Length: 24", fmt.Sprintf("Content-Length: %d", len(fmt.Sprintf(`{"parameters":{"i":%d}}`, i))), 1))
			want = append(want, c.answer)
		}
	}
	go io.WriteString(w.Conn, all.String())
	for _, answer := range want {
		response, body := w.answer(t, "POST")
		requireDocumentHeader(t, response)
		if answer == "" {
			require.Equal(t, http.StatusBadRequest, response.StatusCode)
			continue
		}
		require.Equal(t, answer, settled(body))
	}
}

const healthRequest = healthLine + "\r\n"

// Beyond the bound clients wait for their turn; nobody is lost.
func TestConnectionsAreBounded(t *testing.T) {
	upstream := newGate(t)
	s := serve(t, upstream.tool(t), service.Options{Connections: 2})
	first, second, third := s.dial(t), s.dial(t), s.dial(t)
	for _, w := range []*wire{first, second} {
		w.send(t, "POST /tools/wait/execute HTTP/1.1\r\nHost: localhost\r\n\r\n")
		await1(t, upstream.arrived)
	}
	third.send(t, healthRequest)
	require.NoError(t, third.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := third.in.ReadByte()
	require.Error(t, err, "the third connection has to wait")
	require.NoError(t, first.Close())
	require.NoError(t, third.SetReadDeadline(time.Now().Add(patience)))
	response, _ := third.answer(t, "GET")
	require.Equal(t, http.StatusOK, response.StatusCode)
}

// Connections that are only held keep nobody out: an idle one makes room, never one that
// owes an answer or has yet to ask.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	for _, secured := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", secured), func(t *testing.T) {
			upstream := newGate(t)
			settings := service.Options{Connections: 3}
			if secured {
				settings.TLS = certified(t)
			}
			s := serve(t, upstream.tool(t), settings)
			s.trust(secured)
			busy, idle, fresh, late := s.dial(t), s.dial(t), s.dial(t), s.dial(t)
			busy.send(t, "POST /tools/wait/execute HTTP/1.1\r\nHost: localhost\r\n\r\n")
			await1(t, upstream.arrived)
			for _, w := range []*wire{idle, late, fresh} {
				w.send(t, healthRequest)
				response, _ := w.answer(t, "GET")
				require.Equal(t, http.StatusOK, response.StatusCode)
			}
			idle.ended(t)
			upstream.open()
			_, body := busy.answer(t, "POST")
			require.Equal(t, success(`"opened"`), settled(body))
		})
	}
}

// Those that never say anything make room when a header would have had to be there.
func TestConnectionsThatNeverSpeakMakeRoom(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{Connections: 2, ReadHeaderTimeout: 250 * time.Millisecond})
	silent := []*wire{s.dial(t), s.dial(t)}
	late := s.dial(t)
	late.send(t, healthRequest)
	response, _ := late.answer(t, "GET")
	require.Equal(t, http.StatusOK, response.StatusCode)
	for _, w := range silent {
		w.ended(t)
	}
}

// A client that doesn't read can't keep a connection for ever.
func TestClientThatDoesNotRead(t *testing.T) {
	large := &runner.Definition{Name: "large", Type: runner.JavaScript, Code: "return 1", Description: strings.Repeat("x", 1<<20)}
	s := serve(t, runner.Options{Tools: []*runner.Definition{large}}, service.Options{WriteTimeout: 100 * time.Millisecond})
	w := s.dial(t)
	var err error
	for err == nil { // until the buffers between us are full and the service gives up
		_, err = io.WriteString(w.Conn, "GET /tools/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the service still holds the connection")
}
