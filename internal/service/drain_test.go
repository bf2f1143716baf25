package service_test

import (
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/runner"
)

const unavailable = `{"success":false,"message":"The service is shutting down. Try again.","error":"SERVICE_UNAVAILABLE","statusCode":503}`

// What runs when the drain begins is finished and answered; what comes later is
// told to try again, on a listener that stays open until then.
func TestDrainFinishesWhatRuns(t *testing.T) {
	upstream := newGate(t)
	s := serve(t, upstream.tool(t), service.Options{})
	const inFlight = 8
	answers := make(chan string, inFlight)
	for range inFlight {
		go func() {
			response, body, err := s.try("POST", "/tools/wait/execute", "", "")
			if err != nil {
				body = err.Error()
			} else if !response.Close {
				body = "the connection stays open"
			}
			answers <- settled(body)
		}()
	}
	for range inFlight {
		await1(t, upstream.arrived)
	}
	s.stop()
	for { // until the drain has begun
		response, body := s.do(t, "GET", "/readyz", "", "")
		if response.StatusCode == http.StatusOK {
			continue
		}
		require.Equal(t, unavailable, body)
		require.Equal(t, "1", response.Header.Get("Retry-After"))
		require.True(t, response.Close)
		break
	}
	response, body := s.do(t, "POST", "/tools/wait/execute", "application/json", "{}")
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.Equal(t, unavailable, body)
	require.Equal(t, "1", response.Header.Get("Retry-After"))
	requireDocumentHeader(t, response)
	response, _ = s.do(t, "GET", "/healthz", "", "")
	require.Equal(t, http.StatusOK, response.StatusCode)
	select {
	case <-s.done:
		require.FailNow(t, "Serve returned before the executions ended")
	default:
	}

	upstream.open()
	for range inFlight {
		require.Equal(t, success(`"opened"`), <-answers)
	}
	require.NoError(t, s.shutDown(t))
	require.Zero(t, s.runner.Running())
	_, err := net.Dial("tcp", s.addr)
	require.Error(t, err, "the port is closed")
}

// What outlasts the drain is cancelled, and its callers are told.
func TestDrainCutsOffWhatRunsOn(t *testing.T) {
	for name, begin := range map[string]func(s *standalone){
		"by its timeout": func(s *standalone) { s.stop() },
		"in a hurry":     func(s *standalone) { s.stop(); s.server.Hurry(); s.server.Hurry() },
	} {
		t.Run(name, func(t *testing.T) {
			upstream := newGate(t)
			settings := service.Options{DrainTimeout: time.Hour}
			if name == "by its timeout" {
				settings.DrainTimeout = 10 * time.Millisecond
			}
			s := serve(t, upstream.tool(t), settings)
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					response, body, err := s.try("POST", "/tools/wait/execute?details=true", "", "")
					if err != nil {
						t.Error(err)
						return
					}
					if class := response.Header.Get("X-Tool-Error-Class"); class != "cancelled" {
						t.Errorf("class %q: %s", class, body)
					}
					if reason := response.Header.Get("X-Tool-Error-Reason"); reason != "shutdown" {
						t.Errorf("reason %q: %s", reason, body)
					}
				})
			}
			for range 3 {
				await1(t, upstream.arrived)
			}
			begin(s)
			await(t, s.done)
			require.ErrorContains(t, s.err, "cancelled 3 executions")
			wg.Wait()
			require.Zero(t, s.runner.Running())
		})
	}
}

// Connections without a request don't hold up a drain, whatever they have sent.
func TestDrainDoesNotWaitForIdleConnections(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	silent, half, kept := s.dial(t), s.dial(t), s.dial(t)
	half.send(t, "GET /healthz HTT")
	kept.send(t, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	kept.answer(t, "GET")
	start := time.Now()
	require.NoError(t, s.shutDown(t))
	require.Less(t, time.Since(start), 4*time.Second, "Serve waited for connections that owe nothing")
	for _, w := range []*wire{silent, half, kept} {
		w.ended(t)
	}
}

// A request whose body is still on its way when the drain begins is answered if
// it comes in time.
func TestDrainAnswersARequestOnItsWay(t *testing.T) {
	upstream := newGate(t)
	s := serve(t, upstream.tool(t), service.Options{})
	running := make(chan string, 1)
	go func() {
		_, body, _ := s.try("POST", "/tools/wait/execute", "", "")
		running <- body
	}()
	await1(t, upstream.arrived)
	w := s.dial(t)
	w.send(t, "POST /tools/wait/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	response, err := http.ReadResponse(w.in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusContinue, response.StatusCode) // now the handler waits for the body
	s.stop()
	for { // until the drain has begun
		if response, _ := s.do(t, "GET", "/readyz", "", ""); response.StatusCode != http.StatusOK {
			break
		}
	}
	w.send(t, "{}")
	response, body := w.answer(t, "POST")
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.Equal(t, unavailable, body)
	upstream.open()
	require.Equal(t, success(`"opened"`), settled(<-running))
	require.NoError(t, s.shutDown(t))
}

// A request whose body doesn't come is answered when the drain begins.
func TestDrainAnswersARequestWithoutItsBody(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	w := s.dial(t)
	w.send(t, executeLine+"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
	response, err := http.ReadResponse(w.in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusContinue, response.StatusCode) // now the handler waits for the body
	began := time.Now()
	require.NoError(t, s.shutDown(t))
	require.Less(t, time.Since(began), 4*time.Second)
	response, body := w.answer(t, "POST")
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.Equal(t, unavailable, body)
	requireDocumentHeader(t, response)
	w.ended(t)
}

func TestServeWorksOnce(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	require.NoError(t, s.shutDown(t))
	l, err := service.Listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	require.ErrorContains(t, s.server.Serve(t.Context(), l), "Serve can be called once")
}

// A listener that breaks ends the service, and the runner with it.
func TestServeReportsABrokenListener(t *testing.T) {
	r, err := runner.New(plainTools(t))
	require.NoError(t, err)
	server, err := service.New(service.Options{Runner: r})
	require.NoError(t, err)
	l, err := service.Listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.ErrorContains(t, server.Serve(t.Context(), l), "the listener failed")
	_, err = r.Execute(t.Context(), runner.Request{Tool: "echo"})
	require.ErrorContains(t, err, "shutting down")
}

func await1(t testing.TB, signal <-chan struct{}) {
	t.Helper()
	select {
	case <-signal:
	case <-time.After(patience):
		require.FailNow(t, "waited too long")
	}
}
