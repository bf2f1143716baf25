package service_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/runner"
)

// What net/http answers by itself comes in the documented shape too, and is
// whole on the wire although the client may still be sending.
func TestErrorsBeforeAnyHandlerAreDocumented(t *testing.T) {
	s := serve(t, runner.Options{}, service.Options{})
	malformed := func(why string) string {
		message := "Malformed HTTP request"
		if why != "" {
			message += ": " + why
		}
		return `{"success":false,"message":"` + message + `","error":"BAD_REQUEST","statusCode":400}`
	}
	refusal := func(status, message string) string {
		return `{"success":false,"message":"` + message + `","error":"BAD_REQUEST","statusCode":` + status + `}`
	}
	const (
		host  = "Host: localhost\r\n"
		large = "The request line and header exceed 65536 bytes"
		te    = "Unsupported transfer encoding: send Content-Length or Transfer-Encoding: chunked"
		proto = "Unsupported protocol version: use HTTP/1.1"
		exp   = "Unsupported Expect header: only 100-continue is understood"
	)
	for _, c := range []struct {
		name, request string
		status        int
		body          string
	}{
		{"no request line", "hello\r\n\r\n", 400, malformed("")},
		{"HTTP/0.9", "GET /healthz\r\n\r\n", 400, malformed("")},
		{"TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, malformed("")},
		{"method with space", "G ET /healthz HTTP/1.1\r\n" + host + "\r\n", 400, malformed("")},
		{"method with brace", "G{T /healthz HTTP/1.1\r\n" + host + "\r\n", 400, malformed("")},
		{"bad version", "GET /healthz HTTP/x.1\r\n" + host + "\r\n", 400, malformed("")},
		{"bad escape in the path", "GET /%zz HTTP/1.1\r\n" + host + "\r\n", 400, malformed("")},
		{"control character in the path", "GET /\x01 HTTP/1.1\r\n" + host + "\r\n", 400, malformed("")},
		{"header without colon", "GET /healthz HTTP/1.1\r\n" + host + "nonsense\r\n\r\n", 400, malformed("")},
		{"space before the colon", "GET /healthz HTTP/1.1\r\n" + host + "Name : x\r\n\r\n", 400, malformed("invalid header name")},
		{"folded first header", "GET /healthz HTTP/1.1\r\n X: y\r\n\r\n", 400, malformed("")},
		{"NUL in a header", "GET /healthz HTTP/1.1\r\n" + host + "X: a\x00b\r\n\r\n", 400, malformed("")},
		{"DEL in a header", "GET /healthz HTTP/1.1\r\n" + host + "X: a\x7fb\r\n\r\n", 400, malformed("")},
		{"no Host", "GET /healthz HTTP/1.1\r\n\r\n", 400, malformed("missing required Host header")},
		{"two Hosts", "GET /healthz HTTP/1.1\r\n" + host + host + "\r\n", 400, malformed("")},
		{"bad Host", "GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n", 400, malformed("malformed Host header")},
		{"two lengths", "POST /healthz HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, malformed("")},
		{"bad length", "POST /healthz HTTP/1.1\r\n" + host + "Content-Length: -1\r\n\r\n", 400, malformed("")},
		{"huge length", "POST /healthz HTTP/1.1\r\n" + host + "Content-Length: 99999999999999999999\r\n\r\n", 400, malformed("")},
		{"unknown transfer encoding", "POST /healthz HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n", 501, refusal("501", te)},
		{"two transfer encodings", "POST /healthz HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", 501, refusal("501", te)},
		{"HTTP/2.0 line", "GET /healthz HTTP/2.0\r\n" + host + "\r\n", 505, refusal("505", proto)},
		{"HTTP/3.0 line", "GET /healthz HTTP/3.0\r\n" + host + "\r\n", 505, refusal("505", proto)},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, refusal("505", proto)},
		{"header too large", "GET /healthz HTTP/1.1\r\n" + host + "X: " + strings.Repeat("x", 80<<10) + "\r\n\r\n", 431, refusal("431", large)},
		{"path too long", "GET /" + strings.Repeat("x", 200<<10) + " HTTP/1.1\r\n" + host + "\r\n", 431, refusal("431", large)},
		{"endless header", "GET /healthz HTTP/1.1\r\n" + host + strings.Repeat("X: y\r\n", 20<<10), 431, refusal("431", large)},
		{"unknown expectation", "POST /healthz HTTP/1.1\r\n" + host + "Expect: the moon\r\nContent-Length: 2\r\n\r\n{}", 417, refusal("417", exp)},
		{"unknown expectation, HTTP/1.0", "POST /healthz HTTP/1.0\r\n" + host + "Expect: the moon\r\nContent-Length: 2\r\n\r\n{}", 417, refusal("417", exp)},
		{"unknown expectation of GET", "GET /healthz HTTP/1.1\r\n" + host + "Expect: the moon\r\n\r\n", 417, refusal("417", exp)},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := s.dial(t)
			go w.Write([]byte(c.request)) // the service may answer and close before it has read all
			response, body := w.answer(t, "GET")
			require.Equal(t, c.status, response.StatusCode)
			require.Equal(t, c.body, body)
			requireDocumentHeader(t, response)
			require.True(t, response.Close, "must announce that it closes")
			w.ended(t)
		})
	}
}

func TestAnswerToHeadOfUnknownExpectationHasNoBody(t *testing.T) {
	s := serve(t, runner.Options{}, service.Options{})
	w := s.dial(t)
	w.send(t, "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nExpect: the moon\r\n\r\n")
	response, body := w.answer(t, "HEAD")
	require.Equal(t, http.StatusExpectationFailed, response.StatusCode)
	require.Empty(t, body)
	requireDocumentHeader(t, response)
	w.ended(t)
}

// A malformed request after good ones on the same connection.
func TestErrorBeforeHandlerOnKeptConnection(t *testing.T) {
	s := serve(t, runner.Options{}, service.Options{})
	w := s.dial(t)
	for range 3 {
		w.send(t, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
		response, body := w.answer(t, "GET")
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.Equal(t, `{"success":true,"data":{"status":"ok"}}`, body)
	}
	w.send(t, "BREAK\r\n\r\n")
	response, _ := w.answer(t, "GET")
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
	requireDocumentHeader(t, response)
	w.ended(t)
}

// A malformed request that was sent right behind a good one was there in time.
func TestMalformedPipelinedRequestIsNotLate(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	for range 20 {
		w := s.dial(t)
		w.send(t, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nBAD\r\n\r\n")
		response, _ := w.answer(t, "GET")
		require.Equal(t, http.StatusOK, response.StatusCode)
		response, body := w.answer(t, "GET")
		require.Equal(t, http.StatusBadRequest, response.StatusCode, body)
		requireDocumentHeader(t, response)
		w.ended(t)
	}
}

func requireDocumentHeader(t testing.TB, response *http.Response) {
	t.Helper()
	require.Equal(t, "application/json; charset=utf-8", response.Header.Get("Content-Type"))
	require.Equal(t, "nosniff", response.Header.Get("X-Content-Type-Options"))
	require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
	require.NotEmpty(t, response.Header.Get("Date"))
	require.GreaterOrEqual(t, response.ContentLength, int64(0), "must have a Content-Length")
}
