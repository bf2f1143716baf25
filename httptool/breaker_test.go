package httptool_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

// quick is a transport with breakers that open for the given time.
func quick(t testing.TB, openFor time.Duration, conns int, entries ...string) *httptool.Transport {
	t.Helper()
	rt, err := httptool.QuickTransport(httptool.Policy{Allow: entries}, openFor, 100*time.Millisecond, conns)
	require.NoError(t, err)
	t.Cleanup(rt.CloseIdleConnections)
	return rt
}

// failure runs a tool once and returns how it failed, nil for a success.
func failure(ctx context.Context, tool *httptool.Tool, rt http.RoundTripper) *errclass.Error {
	_, err := tool.Run(ctx, rt, httptool.Input{})
	if err == nil {
		return nil
	}
	return errclass.Classify(err)
}

// What counts against an upstream opens its breaker at the sixth request, and
// nothing else does.
func TestBreakerCounts(t *testing.T) {
	within := func(d time.Duration) func(testing.TB) (context.Context, func()) {
		return func(t testing.TB) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			return ctx, cancel
		}
	}
	goesAway := func(t testing.TB) (context.Context, func()) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(150*time.Millisecond, cancel)
		return ctx, cancel
	}
	waitEnds := func(t testing.TB) (context.Context, func()) {
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(200*time.Millisecond, func() { cancel(context.DeadlineExceeded) })
		return ctx, func() { cancel(nil) }
	}
	for _, tc := range []struct {
		name    string
		serve   func(net.Conn)
		ctx     func(testing.TB) (context.Context, func())
		counts  bool
		timeout int
	}{
		{"reset", resets(""), nil, true, 0},
		{"500", says(answer("500 X", "", "")), nil, true, 0},
		{"503", says(answer("503 X", "", "")), nil, true, 0},
		{"body cut short", says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1"), nil, true, 0},
		{"no headers within the tool's timeout", stalls(""), nil, true, 200},
		{"no headers within the caller's deadline", stalls(""), within(200 * time.Millisecond), true, 0},
		{"body that stalls", stalls("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1"), nil, true, 200},
		{"no headers within a stream's longest wait", stalls(""), waitEnds, true, 0},
		{"nothing more within a stream's longest wait", stalls("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1"), waitEnds, true, 0},
		{"impatient caller", stalls(""), within(10 * time.Millisecond), false, 0},
		{"impatient reader", stalls("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1"), within(10 * time.Millisecond), false, 0},
		{"steady body that the caller's deadline cuts", func(c net.Conn) {
			for io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"); ; time.Sleep(5 * time.Millisecond) {
				if _, err := io.WriteString(c, " "); err != nil {
					return
				}
			}
		}, within(300 * time.Millisecond), false, 0},
		{"caller who goes away", stalls(""), goesAway, false, 0},
		{"404", says(answer("404 X", "", "")), nil, false, 0},
		{"429", says(answer("429 X", "", "")), nil, false, 0},
		{"501", says(answer("501 X", "", "")), nil, false, 0},
		{"HTML", says(answer("200 OK", jsonType, "<html>")), nil, false, 0},
		{"too large", says(answer("200 OK", jsonType, strings.Repeat(" ", 2000))), nil, false, 0},
		{"success", says(answer("200 OK", jsonType, "1")), nil, false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			address := raw(t, func(c net.Conn) { asked.Add(1); tc.serve(c) })
			rt := quick(t, time.Minute, 100, address)
			tool := compile(t, httptool.Config{URL: "http://" + address, Timeout: tc.timeout, MaxResponseBytes: 1000})
			var last *errclass.Error
			for range 7 {
				ctx, cancel := t.Context(), func() {}
				if tc.ctx != nil {
					ctx, cancel = tc.ctx(t)
				}
				last = failure(ctx, tool, rt)
				cancel()
			}
			if !tc.counts {
				require.EqualValues(t, 7, asked.Load())
				require.Empty(t, rt.Breakers())
				return
			}
			require.EqualValues(t, 5, asked.Load())
			require.Equal(t, errclass.ConnectionRefused, last.Class)
			require.Equal(t, errclass.CircuitOpen, last.Reason)
			require.Regexp(t, `^circuit open for 127\.0\.0\.1:\d+, retry in 1m0s$`, last.Detail)
			require.True(t, last.Retryable)
			require.InDelta(t, time.Minute, last.RetryAfter, float64(10*time.Second))
			require.Equal(t, address, last.Upstream.Host)
			require.Len(t, rt.Breakers(), 1)
			require.Equal(t, "open", rt.Breakers()[0].State)
			require.Equal(t, "http://"+address, rt.Breakers()[0].Origin)
			require.InDelta(t, time.Minute, rt.Breakers()[0].RetryAfter, float64(10*time.Second))
		})
	}
}

// A port that refuses opens the breaker as well; no connection is tried then.
func TestBreakerRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	rt := quick(t, time.Minute, 100, address)
	tool := compile(t, httptool.Config{URL: "http://" + address})
	for range 5 {
		require.Equal(t, errclass.Refused, failure(t.Context(), tool, rt).Reason)
	}
	require.Equal(t, errclass.CircuitOpen, failure(t.Context(), tool, rt).Reason)
}

// Where others succeed, five failures in a row are no reason.
func TestBreakerNeedsHalf(t *testing.T) {
	var n atomic.Int64
	s, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) > 20 {
			w.WriteHeader(500)
		}
	})
	rt := quick(t, time.Minute, 100, s.Listener.Addr().String())
	tool := compile(t, httptool.Config{URL: s.URL})
	for i := range 20 {
		require.Nil(t, failure(t.Context(), tool, rt), i)
	}
	for i := range 20 {
		require.Equal(t, errclass.HTTPError, failure(t.Context(), tool, rt).Class, i)
	}
	require.Equal(t, errclass.CircuitOpen, failure(t.Context(), tool, rt).Reason)
}

// After its time an open breaker lets one request through, and its outcome decides.
func TestBreakerHalfOpen(t *testing.T) {
	var healthy atomic.Bool
	var asked atomic.Int64
	hold := make(chan struct{})
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path == "/held" {
			<-hold
		}
		if !healthy.Load() {
			w.WriteHeader(503)
		}
	})
	rt := quick(t, 300*time.Millisecond, 100, s.Listener.Addr().String())
	tool, held := compile(t, httptool.Config{URL: s.URL}), compile(t, httptool.Config{URL: s.URL + "/held"})
	open := func() { require.Equal(t, errclass.CircuitOpen, failure(t.Context(), tool, rt).Reason) }
	for range 5 {
		require.Equal(t, errclass.HTTPError, failure(t.Context(), tool, rt).Class)
	}
	open()
	require.Eventually(t, func() bool { return len(rt.Breakers()) == 1 && rt.Breakers()[0].State == "half-open" }, 5*time.Second, 10*time.Millisecond)
	before := asked.Load()
	require.Equal(t, errclass.HTTPError, failure(t.Context(), tool, rt).Class, "the one that is let through")
	open()
	require.EqualValues(t, before+1, asked.Load())

	healthy.Store(true)
	require.Eventually(t, func() bool { return rt.Breakers()[0].State == "half-open" }, 5*time.Second, 10*time.Millisecond)
	probe := make(chan *errclass.Error, 1)
	before = asked.Load()
	go func() { probe <- failure(t.Context(), held, rt) }()
	require.Eventually(t, func() bool { return asked.Load() == before+1 }, 5*time.Second, time.Millisecond)
	e := failure(t.Context(), tool, rt)
	require.Equal(t, errclass.CircuitOpen, e.Reason)
	require.Contains(t, e.Detail, "retry in 1s")
	close(hold)
	require.Nil(t, <-probe)
	require.Nil(t, failure(t.Context(), tool, rt))
	require.Empty(t, rt.Breakers())
}

// A half-open breaker closes when the answer begins, however long its body takes.
func TestBreakerProbeStreams(t *testing.T) {
	var healthy atomic.Bool
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !healthy.Load() {
			w.WriteHeader(500)
			return
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	rt := quick(t, 50*time.Millisecond, 100, s.Listener.Addr().String())
	tool := compile(t, httptool.Config{URL: s.URL})
	for range 5 {
		require.NotNil(t, failure(t.Context(), tool, rt))
	}
	healthy.Store(true)
	require.Eventually(t, func() bool { return rt.Breakers()[0].State == "half-open" }, 5*time.Second, 5*time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", s.URL, nil)
	require.NoError(t, err)
	resp, err := rt.RoundTrip(req)
	require.NoError(t, err)
	require.Empty(t, rt.Breakers())
	cancel()
	require.NoError(t, resp.Body.Close())
}

// One organization's failures close nothing to another.
func TestBreakerOrganizations(t *testing.T) {
	s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken" {
			w.WriteHeader(500)
		}
	})
	rt := quick(t, time.Minute, 100, s.Listener.Addr().String())
	broken, fine := compile(t, httptool.Config{URL: s.URL + "/broken"}), compile(t, httptool.Config{URL: s.URL})
	bad := httptool.WithOrganization(t.Context(), "bad")
	for range 6 {
		require.NotNil(t, failure(bad, broken, rt))
	}
	require.Equal(t, errclass.CircuitOpen, failure(bad, fine, rt).Reason)
	require.Nil(t, failure(httptool.WithOrganization(t.Context(), "good"), fine, rt))
	require.Nil(t, failure(t.Context(), fine, rt))
	require.Equal(t, "bad", rt.Breakers()[0].Organization)
}

// A retry waits for an open breaker only where the deadline leaves the time.
func TestBreakerAndRetries(t *testing.T) {
	s, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	rt := quick(t, 15*time.Second, 100, s.Listener.Addr().String())
	tool := compile(t, httptool.Config{URL: s.URL, Retries: 10})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	start := time.Now()
	e := failure(ctx, tool, rt)
	require.Equal(t, errclass.CircuitOpen, e.Reason)
	require.Equal(t, errclass.StoppedDeadline, e.Stopped)
	require.Equal(t, 6, e.Attempts)
	require.Less(t, time.Since(start), 9*time.Second)
}

func TestBreakersAreBounded(t *testing.T) {
	left := httptool.BreakersLeft(allow(t), 3*httptool.MaxBreakers)
	require.LessOrEqual(t, left, httptool.MaxBreakers)
	require.Greater(t, left, 0)
}

// Connections to all upstreams together are bounded: idle ones make room, and
// where none is, the wait is and says so.
func TestConnectionsInAll(t *testing.T) {
	hold := make(chan struct{})
	var upstreams []*httptest.Server
	var entries []string
	for range 3 {
		s, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/held" {
				w.(http.Flusher).Flush()
				<-hold
			}
		})
		upstreams, entries = append(upstreams, s), append(entries, s.Listener.Addr().String())
	}
	rt := quick(t, time.Minute, 2, entries...)
	for range 2 {
		for _, s := range upstreams {
			require.Nil(t, failure(t.Context(), compile(t, httptool.Config{URL: s.URL}), rt), "idle connections make room")
		}
	}
	var wg sync.WaitGroup
	for _, s := range upstreams[:2] {
		wg.Go(func() { failure(t.Context(), compile(t, httptool.Config{URL: s.URL + "/held"}), rt) })
	}
	require.Eventually(t, func() bool {
		e := failure(t.Context(), compile(t, httptool.Config{URL: upstreams[2].URL}), rt)
		return e != nil && e.Class == errclass.Timeout && e.Reason == errclass.PhaseConnect && strings.Contains(e.Detail, "all 2 that may be open are in use")
	}, 10*time.Second, time.Millisecond)
	close(hold)
	wg.Wait()
	require.Nil(t, failure(t.Context(), compile(t, httptool.Config{URL: upstreams[2].URL}), rt), "room again")
}

// The 257th request to a host waits for one of the 256 connections that may be open.
func TestConnectionsToAHost(t *testing.T) {
	var open atomic.Int64
	address := raw(t, func(c net.Conn) { open.Add(1); stalls("")(c) })
	rt, tool := allow(t, address), compile(t, httptool.Config{URL: "http://" + address})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range 256 {
		wg.Go(func() { failure(ctx, tool, rt) })
	}
	require.Eventually(t, func() bool { return open.Load() == 256 }, 20*time.Second, 10*time.Millisecond)
	late, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer stop()
	e := failure(late, tool, rt)
	require.Equal(t, errclass.Timeout, e.Class)
	require.Equal(t, errclass.PhaseConnect, e.Reason)
	require.Contains(t, e.Detail, "no connection to "+address)
	require.EqualValues(t, 256, open.Load())
}
