//go:build unix

package main

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
)

// startNATS starts a server with JetStream in this process.
func startNATS(t *testing.T) *server.Server {
	t.Helper()
	nats, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		JetStreamMaxMemory: 1 << 28, JetStreamMaxStore: 8 << 30,
	})
	require.NoError(t, err)
	nats.Start()
	t.Cleanup(func() {
		nats.Shutdown()
		nats.WaitForShutdown()
	})
	require.True(t, nats.ReadyForConnections(10*time.Second))
	return nats
}

// Two fronts and a worker are one service: what one of them is told, the others know.
func TestFronts(t *testing.T) {
	nats := startNATS(t)
	upstream := newCounter(t)
	shared := []string{"--nats", nats.ClientURL(), "--allow", strings.TrimPrefix(upstream.URL, "http://"), "--tools", toolsOf(t, map[string]string{
		"add":     "type: javascript\ncode: return parameters.a + parameters.b\n",
		"throw":   "type: javascript\ncode: throw new Error('on purpose')\n",
		"call":    "type: http\nexecutionConfig: {url: '" + upstream.URL + "/call'}\n",
		"limited": "type: javascript\ncode: return 1\nconfiguration: {rateLimit: {requestsPerMinute: 20}}\n",
	})}
	admin := keysOf(t, "create", "--nats", nats.ClientURL(), "--organization", "acme", "--role", "admin", "--name", "tests")
	front := append([]string{"serve", "--front", "--auth"}, shared...)
	a, b := startNode(t, front...), startNode(t, front...)
	a.key, b.key = admin, admin

	_, text := a.must(t, 502, "POST", "/tools/add/execute", `{"parameters":{"a":1,"b":2}}`)
	require.Contains(t, text, `"message":"No worker answered: start one with toolrun worker, then try again","error":"BAD_GATEWAY"`)

	worker := startNode(t, append([]string{"worker"}, shared...)...)
	require.Eventually(t, func() bool { // it listens a moment after it says so
		resp, _, err := a.ask("POST", "/tools/add/execute", `{"parameters":{"a":1,"b":2}}`)
		return err == nil && resp.StatusCode == http.StatusOK
	}, time.Minute, 20*time.Millisecond)

	t.Run("synchronous", func(t *testing.T) {
		resp, text := b.must(t, 200, "POST", "/tools/add/execute", `{"parameters":{"a":1,"b":2}}`)
		require.Contains(t, text, `"result":3`)
		id := resp.Header.Get("X-Execution-Id")
		require.Eventually(t, func() bool { // it is kept by the way
			resp, text, err := a.ask("GET", "/executions/"+id, "")
			return err == nil && resp.StatusCode == 200 && strings.Contains(text, `"result":3`)
		}, time.Minute, 20*time.Millisecond)
		resp, text = a.must(t, 200, "POST", "/tools/throw/execute", "{}")
		require.Contains(t, text, "Tool execution failed: Sandbox error: Error: on purpose")
		require.Equal(t, "sandbox_error", resp.Header.Get("X-Tool-Error-Class"))
		a.must(t, 200, "POST", "/tools/call/execute", "{}")
		require.Equal(t, 1, upstream.of("/call"))
	})

	t.Run("events", func(t *testing.T) {
		resp, text := a.must(t, 200, "POST", "/tools/add/execute", `{"parameters":{"a":"x","b":"y"}}`, "Accept", "text/event-stream")
		require.Equal(t, "text/event-stream", strings.Split(resp.Header.Get("Content-Type"), ";")[0])
		require.Contains(t, text, "event: outcome\n")
		require.Contains(t, text, `"result":"xy"`)

		// An execution of one front, followed at the other.
		resp, _ = a.must(t, 202, "POST", "/tools/call/execute?mode=async", "{}")
		id := resp.Header.Get("X-Execution-Id")
		_, text = b.must(t, 200, "GET", "/executions/"+id+"/events", "")
		require.Contains(t, text, "event: state\n")
		var last string
		for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
			if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				last = name
			}
		}
		require.Equal(t, "outcome", last)
	})

	t.Run("revocation", func(t *testing.T) {
		for range 5 {
			_, text := a.must(t, 201, "POST", "/organizations/acme/keys", `{"name":"short-lived","role":"viewer"}`)
			made := dataOf[struct{ ID, Key string }](t, text)
			bearer := []string{"Authorization", "Bearer " + made.Key}
			require.Eventually(t, func() bool {
				resp, _, err := b.ask("GET", "/tools", "", bearer...)
				return err == nil && resp.StatusCode == 200
			}, 10*time.Second, time.Millisecond)
			a.must(t, 200, "DELETE", "/organizations/acme/keys/"+made.ID, "")
			a.must(t, 401, "GET", "/tools", "", bearer...)
			began := time.Now()
			require.Eventually(t, func() bool {
				resp, _, err := b.ask("GET", "/tools", "", bearer...)
				return err == nil && resp.StatusCode == 401
			}, 10*time.Second, time.Millisecond)
			require.Less(t, time.Since(began), 2*time.Second, "the other front believes it no longer")
		}
	})

	t.Run("rate limit", func(t *testing.T) {
		var taken, refused atomic.Int64
		var all sync.WaitGroup
		for i := range 60 {
			all.Go(func() {
				resp, text, err := []*startedNode{a, b}[i%2].ask("POST", "/tools/limited/execute", "{}")
				switch {
				case err != nil:
					t.Error(err)
				case resp.StatusCode == http.StatusOK:
					taken.Add(1)
				case resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") != "" && resp.Header.Get("X-RateLimit-Limit") == "20":
					refused.Add(1)
				default:
					t.Errorf("%d: %s", resp.StatusCode, text)
				}
			})
		}
		began := time.Now()
		all.Wait()
		// One comes back every three seconds.
		more := int64(time.Since(began)/(3*time.Second)) + 1
		require.GreaterOrEqual(t, taken.Load(), int64(20))
		require.LessOrEqual(t, taken.Load(), 20+more)
		require.Equal(t, int64(60), taken.Load()+refused.Load())
	})

	t.Run("definitions", func(t *testing.T) {
		for version := 1; version <= 3; version++ {
			code := fmt.Sprintf(`"code":"return 'version %d'"`, version)
			if version == 1 {
				a.must(t, 201, "POST", "/organizations/acme/tools", `{"name":"greet","type":"javascript",`+code+`}`)
			} else {
				b.must(t, 200, "PATCH", "/organizations/acme/tools/greet", "{"+code+"}")
			}
			for _, n := range []*startedNode{a, b} {
				require.Eventually(t, func() bool { // the worker has to hear of it as well
					resp, text, err := n.ask("POST", "/tools/greet/execute", "{}")
					return err == nil && resp.StatusCode == 200 && strings.Contains(text, fmt.Sprintf(`"result":"version %d"`, version))
				}, 20*time.Second, 10*time.Millisecond)
			}
		}
		a.must(t, 200, "DELETE", "/organizations/acme/tools/greet", "")
		require.Eventually(t, func() bool {
			resp, _, err := b.ask("POST", "/tools/greet/execute", "{}")
			return err == nil && resp.StatusCode == 404
		}, 20*time.Second, 10*time.Millisecond)
	})

	t.Run("the store goes away", func(t *testing.T) {
		worker.kill()
		nats.Shutdown()
		nats.WaitForShutdown()
		for _, path := range []string{"/executions/0194-none", "/executions"} {
			_, text := a.must(t, 503, "GET", path, "")
			require.Contains(t, text, `"message":"The service can't reach its store. Try again."`)
		}
		require.Eventually(t, func() bool {
			resp, _, err := b.ask("GET", "/readyz", "")
			return err == nil && resp.StatusCode == http.StatusServiceUnavailable
		}, 20*time.Second, 20*time.Millisecond)
		b.must(t, 200, "GET", "/healthz", "")
	})
}
