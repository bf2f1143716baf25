package example

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

// maxRequestBytes bounds the body of a request that is compared.
const maxRequestBytes = 16 << 20

// exchangeHeader tells the stub's server which exchange a connection is for.
const exchangeHeader = "X-Toolrun-Exchange"

// router is the one transport of all stubbed examples. It leads each request to
// the stub of the example that it belongs to, which its context names.
type router struct{}

type stubKey struct{}

func withStub(ctx context.Context, s *stub) context.Context {
	return context.WithValue(ctx, stubKey{}, s)
}

// RoundTrip implements [http.RoundTripper].
func (router) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	s, ok := req.Context().Value(stubKey{}).(*stub)
	if !ok {
		return nil, errors.New("example: a request without its execution's context")
	}
	return s.roundTrip(req)
}

// stub plays the upstream of one example.
type stub struct {
	exchanges []exchange
	cancel    context.CancelFunc // ends the example as its caller would
	listener  net.Listener
	server    *http.Server
	closed    chan struct{} // closed by stop: nothing is waited for any more
	running   sync.WaitGroup

	mu       sync.Mutex
	taken    int
	stopped  bool
	problems []string
}

func newStub(exchanges []exchange, cancel context.CancelFunc) (*stub, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &stub{exchanges: exchanges, cancel: cancel, listener: listener, closed: make(chan struct{})}
	s.server = &http.Server{
		Handler: http.HandlerFunc(s.answer), ReadHeaderTimeout: DefaultTimeout,
		ErrorLog: log.New(io.Discard, "", 0),
	}
	s.running.Go(func() { _ = s.server.Serve(listener) }) // ends by Close
	return s, nil
}

// stop ends the server and everything that it does, and returns what went
// otherwise than the exchanges say.
func (s *stub) stop() []string {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	close(s.closed)
	_ = s.server.Close()
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken < len(s.exchanges) {
		s.problems = append(s.problems, fmt.Sprintf("upstream: expected %s, got %d", requests(len(s.exchanges)), s.taken))
	}
	return s.problems
}

// roundTrip takes the next exchange for a request, compares the two and sends
// the request on its way.
func (s *stub) roundTrip(req *http.Request) (*http.Response, error) {
	body, err := readBody(req)
	if err != nil {
		return nil, err
	}
	i, ok := s.take(req, body)
	if !ok {
		return nil, errclass.Newf(errclass.ConfigurationError, errclass.BadDefinition,
			"the example's upstream has no answer for request %d", i+1)
	}
	address := s.listener.Addr().String()
	switch s.exchanges[i].Fault {
	case faultPanic:
		panic("the example's upstream has the fault " + faultPanic)
	case faultRefused:
		closed, release, err := closedPort(address)
		if err != nil {
			return nil, err
		}
		defer release()
		address = closed
	}
	out := req.Clone(req.Context())
	out.URL.Scheme = "http"
	out.Header.Set(exchangeHeader, strconv.Itoa(i))
	out.Host = host(req)
	if req.Body != nil {
		out.Body = io.NopCloser(bytes.NewReader(body))
	}
	return carrier(address).RoundTrip(out)
}

// take notes a request and returns the number of its exchange; false if all
// exchanges are used up.
func (s *stub) take(req *http.Request, body []byte) (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.taken
	s.taken++
	if i >= len(s.exchanges) {
		s.problems = append(s.problems, fmt.Sprintf("upstream: expected %s, got one more: %s %s",
			requests(len(s.exchanges)), req.Method, req.URL.EscapedPath()))
		return i, false
	}
	for _, p := range s.exchanges[i].Request.problems(req, body) {
		s.problems = append(s.problems, fmt.Sprintf("upstream/%d%s", i, p))
	}
	return i, true
}

func requests(n int) string {
	if n == 1 {
		return "1 request"
	}
	return fmt.Sprintf("%d requests", n)
}

func readBody(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(req.Body, maxRequestBytes+1))
	if err == nil && len(body) > maxRequestBytes {
		err = fmt.Errorf("example: a request's body exceeds %d bytes", maxRequestBytes)
	}
	return body, err
}

// carrier sends one request to address, whatever its URL says, over a
// connection of its own.
func carrier(address string) http.RoundTripper {
	return &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		},
	}
}

// closedPort returns an address that refuses connections until release is
// called. It is the near end of a connection: nobody listens there, and nobody
// else can come to, as with a port that is merely free.
func closedPort(listening string) (address string, release func(), err error) {
	conn, err := net.Dial("tcp", listening)
	if err != nil {
		return "", nil, err
	}
	return conn.LocalAddr().String(), func() { _ = conn.Close() }, nil
}

// answer is the handler of the stub's server.
func (s *stub) answer(w http.ResponseWriter, r *http.Request) {
	if !s.begin() {
		return
	}
	defer s.running.Done()
	i, err := strconv.Atoi(r.Header.Get(exchangeHeader))
	if err != nil || i < 0 || i >= len(s.exchanges) {
		w.WriteHeader(http.StatusMisdirectedRequest) // not one of our own requests
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	x := &s.exchanges[i]
	if !s.hold(r.Context(), time.Duration(x.Delay)*time.Millisecond) {
		return
	}
	switch x.Fault {
	case faultReset:
		reset(w)
	case faultCancel:
		s.cancel()
		s.hold(r.Context(), DefaultTimeout)
	default:
		x.write(w)
	}
}

// begin counts a request in, unless the stub has stopped.
func (s *stub) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.running.Add(1)
	return true
}

// hold waits and reports whether anybody still wants the answer.
func (s *stub) hold(ctx context.Context, delay time.Duration) bool {
	if delay == 0 {
		return true
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.closed:
	}
	return false
}

// reset ends the connection with a TCP reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// write sends the exchange's answer.
func (x *exchange) write(w http.ResponseWriter) {
	body, mediaType := x.content()
	if mediaType != "" {
		w.Header().Set("Content-Type", mediaType)
	}
	for name, value := range x.Headers {
		w.Header().Set(name, value)
	}
	if x.Fault == faultTruncated {
		// The server closes a connection whose body stays short of its length.
		w.Header().Set("Content-Length", strconv.Itoa(max(len(body), 2)))
		body = body[:len(body)/2]
	}
	if x.Status != 0 {
		w.WriteHeader(x.Status)
	}
	_, _ = w.Write(body)
}
