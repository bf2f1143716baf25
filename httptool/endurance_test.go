package httptool_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

// whims are what an upstream may do with a request. One that returns true leaves
// the connection as it should be for the next.
var whims = []func(net.Conn, *http.Request) bool{
	kept(answered("200 OK", jsonType, `{"items":[1,2,3],"next":null,"data":{"items":[1]}}`)),
	kept(answered("200 OK", jsonType+"Content-Encoding: gzip\r\n", zipped(`{"items":["`+strings.Repeat("abc", 3000)+`"]}`))),
	kept(answered("200 OK", jsonType+"Link: </p>; rel=\"next\"\r\n", `{"items":[1],"next":"same"}`)),
	kept(answered("200 OK", "Content-Type: text/html\r\n", "<html><title>Down</title>")),
	kept(answered("200 OK", jsonType, "<html>")),
	kept(answered("200 OK", jsonType, `{"a":1,"a":2}`)),
	kept(answered("200 OK", jsonType, strings.Repeat("[", 5000))),
	kept(answered("200 OK", jsonType, "")),
	kept(answered("200 OK", "Content-Type: application/octet-stream\r\n", "\x00\xff")),
	kept(answered("200 OK", "Content-Type: text/plain; charset=utf-16\r\n", "\xff\xfea\x00")),
	kept(answered("200 OK", jsonType, `{"errors":[{"message":"broken"}],"data":{"items":[]}}`)),
	kept(answered("200 OK", jsonType+"Content-Encoding: gzip\r\n", zipped(strings.Repeat(" ", 3<<20)))),
	kept(answered("200 OK", jsonType+"Content-Encoding: gzip, gzip\r\n", zipped(zipped(strings.Repeat(" ", 3<<20))))),
	kept(answered("200 OK", jsonType+"Content-Encoding: br\r\n", "\x0b\x01\x80[1]\x03")),
	kept(answered("200 OK", jsonType+"Content-Encoding: gzip\r\n", zipped("[1]")[:12])),
	kept(answered("200 OK", jsonType, `"`+strings.Repeat("a", 200<<10)+`"`)), // more than maxResponseBytes
	kept("HTTP/1.1 204 No Content\r\n\r\n"),
	kept("HTTP/1.1 103 Early Hints\r\n\r\n" + answered("200 OK", jsonType, "[1]")),
	kept(answered("206 Partial Content", jsonType, "[1]")),
	kept("HTTP/1.1 304 Not Modified\r\n\r\n"),
	kept(answered("302 Found", "Location: /again\r\n", "")),
	kept(answered("302 Found", "Location: http://169.254.169.254/\r\n", "")),
	kept(answered("302 Found", "Location: file:///etc/passwd\r\n", "")),
	kept(answered("307 Temporary Redirect", "Location: //\x7f\r\n", "")),
	kept(answered("400 Bad Request", "Content-Type: application/problem+json\r\n", `{"title":"no","detail":"really"}`)),
	kept(answered("401 Unauthorized", jsonType, `{"error":{"message":"who?","code":"auth"}}`)),
	kept(answered("404 Not Found", "Content-Type: text/html\r\n", "<html><title>Nothing</title>")),
	kept(answered("429 Too Many Requests", "Retry-After: 0\r\n", "")),
	kept(answered("429 Too Many Requests", "Retry-After: 99999999999999999999\r\n", "")),
	kept(answered("500 Oh", "", strings.Repeat("x", 100<<10))),
	kept(answered("503 Busy", "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n", "")),
	kept(answered("200 OK", jsonType, "[1]") + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), // one more than was asked for
	ended("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1"),
	ended("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"),
	ended("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n"),
	ended("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"),
	ended("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12"),
	ended("HTTP/1.1 999999 Odd\r\n\r\n"),
	ended("HTTP/1.1 200 OK\r\nno colon\r\n\r\n"),
	ended("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 70<<10) + "\r\n\r\n"),
	ended(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20)),
	ended("SSH-2.0-OpenSSH\r\n"),
	ended("\x16\x03\x01\x02\x00"),
	ended(""),
	func(c net.Conn, _ *http.Request) bool { c.(*net.TCPConn).SetLinger(0); return false },
	func(c net.Conn, _ *http.Request) bool {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1")
		c.(*net.TCPConn).SetLinger(0)
		return false
	},
	waits(""), waits("HTTP/1.1 200 OK\r\nCont"), waits("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[1"),
	func(c net.Conn, r *http.Request) bool { // byte by byte, until the other side has had enough
		for i := range 1 << 20 {
			if _, err := c.Write([]byte("HTTP/1.1 200 OK\r\nX: aaaaaaaaaaaa"[min(i, 30) : min(i, 30)+1])); err != nil {
				return false
			}
			time.Sleep(time.Millisecond)
		}
		return false
	},
}

func answered(status, headers, body string) string {
	return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s", status, len(body), headers, body)
}

func kept(text string) func(net.Conn, *http.Request) bool {
	return func(c net.Conn, _ *http.Request) bool { _, err := io.WriteString(c, text); return err == nil }
}

func ended(text string) func(net.Conn, *http.Request) bool {
	return func(c net.Conn, _ *http.Request) bool { io.WriteString(c, text); return false }
}

// waits says the text and then nothing, until the other side leaves.
func waits(text string) func(net.Conn, *http.Request) bool {
	return func(c net.Conn, _ *http.Request) bool {
		io.WriteString(c, text)
		io.Copy(io.Discard, c)
		return false
	}
}

// moody is an upstream that does the good thing three times in five, and else
// anything. It returns its address and how many connections are open.
func moody(t testing.TB) (string, *atomic.Int64) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	open := new(atomic.Int64)
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			open.Add(1)
			wg.Go(func() {
				defer open.Add(-1)
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					whim := whims[0]
					if rand.N(5) < 2 {
						whim = whims[rand.N(len(whims))]
					}
					if !whim(c, req) {
						return
					}
				}
			})
		}
	})
	return l.Addr().String(), open
}

// Many requests to upstreams that misbehave at random leave nothing behind: every
// failure has a class of its own, and goroutines, connections, descriptors and
// memory are what they were. TOOLRUN_ENDURANCE says how many requests; 200000 take
// some minutes.
func TestEndurance(t *testing.T) {
	total := 4000
	if text := os.Getenv("TOOLRUN_ENDURANCE"); text != "" {
		n, err := strconv.Atoi(text)
		require.NoError(t, err, "TOOLRUN_ENDURANCE is the number of requests")
		total = n
	}
	log.SetOutput(io.Discard) // net/http logs each answer that nobody asked for
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	var entries []string
	var opens []*atomic.Int64
	for range 8 {
		address, open := moody(t)
		entries, opens = append(entries, address), append(opens, open)
	}
	rt := quick(t, 200*time.Millisecond, 300, entries...)
	tools := enduranceTools(t, entries)
	goroutines, descriptors := runtime.NumGoroutine(), openFiles(t)

	counts := map[string]int{}
	var mu sync.Mutex
	var left atomic.Int64
	run := func(n int) {
		left.Store(int64(n))
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				for left.Add(-1) >= 0 {
					outcome := endureOne(t, rt, tools[rand.N(len(tools))])
					mu.Lock()
					counts[outcome]++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
	}
	run(total / 4)
	early := heap()
	run(total - total/4)
	late := heap()

	t.Log(counts)
	require.Zero(t, counts[string(errclass.InternalError)])
	require.Greater(t, counts["success"], total/4)
	for _, class := range []errclass.Class{errclass.ConnectionRefused, errclass.Timeout, errclass.InvalidResponse, errclass.HTTPError, errclass.RequestBlocked, errclass.Cancelled} {
		require.NotZero(t, counts[string(class)], class)
	}
	require.Less(t, late, early+8<<20, "bytes in use after a quarter, and in the end")
	rt.CloseIdleConnections()
	for _, open := range opens {
		settles(t, func() bool { return open.Load() == 0 })
	}
	settles(t, func() bool { return runtime.NumGoroutine() <= goroutines })
	settles(t, func() bool { return openFiles(t) <= descriptors })
}

// settles waits for a condition, without the goroutine of require.Eventually.
func settles(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("never settles; goroutines:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// enduranceTools are tools of many kinds for each upstream.
func enduranceTools(t *testing.T, addresses []string) (tools []*httptool.Tool) {
	for _, address := range addresses {
		base := "http://" + address
		for _, cfg := range []httptool.Config{
			{URL: base + "/plain"},
			{URL: base + "/mapped", ResponseMapping: &httptool.ResponseMapping{DataPath: "items", ErrorPath: "errors"}, Retries: 1},
			{URL: base + "/pages", Pagination: &httptool.Pagination{Type: "link-header", MaxPages: 5}, FollowRedirects: true},
			{URL: base + "/cursor", Pagination: &httptool.Pagination{Type: "cursor", CursorPath: "next", ResultsPath: "items"}},
			{URL: base + "/post", Method: "POST", Body: []byte(`{"a":1}`), FollowRedirects: true},
		} {
			cfg.Timeout, cfg.MaxResponseBytes = 100, 100<<10
			tools = append(tools, compile(t, cfg))
		}
		graphql, faults := httptool.CompileGraphQL(httptool.GraphQLConfig{Endpoint: base + "/graphql", Query: "{items}"}, nil, nil)
		require.Empty(t, faults)
		tools = append(tools, graphql)
	}
	return tools
}

// endureOne runs a tool as an impatient caller would, and returns the class of its
// failure or "success".
func endureOne(t *testing.T, rt http.RoundTripper, tool *httptool.Tool) string {
	ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
	defer cancel()
	if rand.N(50) == 0 {
		time.AfterFunc(time.Duration(rand.N(3000))*time.Microsecond, cancel)
	}
	start := time.Now()
	_, err := tool.Run(ctx, rt, httptool.Input{})
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %s: %v", took, err)
	}
	if err == nil {
		return "success"
	}
	e, ok := err.(*errclass.Error)
	if !ok || e.Class == errclass.InternalError {
		t.Errorf("not classified: %v, its cause %v", err, errors.Unwrap(err))
		return string(errclass.InternalError)
	}
	return string(e.Class)
}

// heap is how many bytes are in use.
func heap() uint64 {
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// openFiles counts this process's descriptors; 0 where the system doesn't tell.
func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if os.IsNotExist(err) {
		return 0
	}
	require.NoError(t, err)
	return len(entries)
}
