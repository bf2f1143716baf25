package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

// network answers by path: /echo with the request, /status/N with that status.
func network(ctx context.Context, req *sandbox.FetchRequest) (*sandbox.FetchResponse, error) {
	var status int
	path := strings.TrimPrefix(req.URL, "http://h")
	switch {
	case path == "/refused":
		return nil, fmt.Errorf("wrapped: %w", errclass.New(errclass.ConnectionRefused, errclass.Refused, ""))
	case path == "/blocked":
		return nil, errclass.New(errclass.RequestBlocked, errclass.Blocked, "the egress policy does not allow h")
	case path == "/slow":
		<-ctx.Done()
		return nil, ctx.Err()
	case path == "/busy":
		failure := errclass.New(errclass.Timeout, errclass.PhaseHeaders, "no response headers from h after 5s")
		failure.RetryAfter = 3 * time.Second
		return nil, failure
	case path == "/panic":
		panic("secret")
	case path == "/unclassified":
		return nil, errors.New("secret")
	case path == "/nothing":
		return nil, nil
	case path == "/moved":
		return &sandbox.FetchResponse{Status: 200, URL: "http://h/there", Redirected: true, Body: []byte("x")}, nil
	case path == "/headers":
		return &sandbox.FetchResponse{Status: 200, Header: [][2]string{{"Set-Cookie", "a"}, {"X-A", "1"}, {"Set-Cookie", "b"}, {"X-A", "é"}, {"bad name", "x"}}}, nil
	case strings.HasPrefix(path, "/status/"):
		_, _ = fmt.Sscanf(path, "/status/%d", &status)
		return &sandbox.FetchResponse{Status: status, StatusText: "Text", Body: []byte(`{"a":1}`)}, nil
	}
	body, err := json.Marshal(req)
	return &sandbox.FetchResponse{Status: 200, StatusText: "OK", Header: [][2]string{{"Content-Type", "application/json"}}, Body: body}, err
}

func TestFetch(t *testing.T) {
	const echo = `const echo = async (...a) => { const r = await (await fetch(...a)).json(); if (r.body) r.body = atob(r.body); return r }; `
	cases := []struct{ code, want string }{
		{`return echo("http://h/")`, `{"method":"GET","url":"http://h/","redirect":"follow"}`},
		{`return echo(new URL("HTTP://H:80/a b?c#d"), {method: "patch"})`, `{"method":"patch","url":"http://h/a%20b?c","redirect":"follow"}`},
		{`return echo("http://h/", {method: "post", body: "é", headers: {"X-A": "1"}, redirect: "manual"})`,
			`{"method":"POST","url":"http://h/","header":[["x-a","1"],["content-type","text/plain;charset=UTF-8"]],"body":"Ã©","redirect":"manual"}`},
		{`return echo(new Request("http://h/", {method: "PUT", body: new Uint8Array([65])}), {headers: [["b", "2"]]})`,
			`{"method":"PUT","url":"http://h/","header":[["b","2"]],"body":"A","redirect":"follow"}`},
		{`return echo("http://h/", {method: "POST", body: JSON.stringify({a: 1}), headers: {"content-type": "application/json"}})`,
			`{"method":"POST","url":"http://h/","header":[["content-type","application/json"]],"body":"{\"a\":1}","redirect":"follow"}`},
		{`const r = await echo("http://h/", {method: "POST", body: new URLSearchParams({a: "b c"})}); return [r.header[0][1], r.body]`, `["application/x-www-form-urlencoded;charset=UTF-8","a=b+c"]`},
		{`const f = new FormData(); f.set("a", "1"); const r = await echo("http://h/", {method: "POST", body: f}), b = r.header[0][1].split("=")[1]; return r.body.replaceAll(b, "B")`,
			`"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--B--\r\n"`},
		{`const r = await fetch("http://h/status/404"); return [r.status, r.ok, r.statusText, r.type, r.url, r.redirected, await r.json()]`, `[404,false,"Text","basic","http://h/status/404",false,{"a":1}]`},
		{`const r = await fetch("http://h/moved#x"); return [r.url, r.redirected]`, `["http://h/there",true]`},
		{`const r = await fetch("http://h/status/200#x"); return r.url`, `"http://h/status/200"`},
		{`const r = await fetch("http://h/status/204"); return [r.body, await r.text()]`, `[null,""]`},
		{`const r = await fetch("http://h/status/200", {method: "HEAD"}); return [r.body, await r.text()]`, `[null,""]`},
		{`const r = await fetch("http://h/headers"); return [[...r.headers], r.headers.getSetCookie()]`, `[[["set-cookie","a"],["set-cookie","b"],["x-a","1, é"]],["a","b"]]`},
		{`const r = await fetch("http://h/headers"); try { r.headers.set("a", "b") } catch (e) { return e.name }`, `"TypeError"`},
		{`const r = await fetch("http://h/status/200"), c = r.clone(); return [c.url, c.type, await r.text() === await c.text()]`, `["http://h/status/200","basic",true]`},
		{`const r = new Request("http://h/", {method: "POST", body: "x"}); await fetch(r); try { await fetch(r) } catch (e) { return [r.bodyUsed, e.name] }`, `[true,"TypeError"]`},
		{`return Promise.all([1, 2, 3].map(async (n) => (await (await fetch("http://h/" + n)).json()).url))`, `["http://h/1","http://h/2","http://h/3"]`},
		{`fetch("http://h/slow"); return 1`, `1`},

		{`try { await fetch("http://h/refused") } catch (e) { return [e.constructor === TypeError, e.message, e.cause.message, e.cause.class, e.cause.reason, Object.keys(e)] }`,
			`[true,"fetch failed: Connection refused","Connection refused","connection_refused","refused",[]]`},
		{`try { await fetch("http://h/blocked") } catch (e) { return e.message }`, `"fetch failed: Request blocked: the egress policy does not allow h"`},
		{`try { await fetch("http://h/unclassified") } catch (e) { return e.message }`, `"fetch failed: Internal error"`},
		{`try { await fetch("http://h/panic") } catch (e) { return e.message }`, `"fetch failed: Internal error"`},
		{`try { await fetch("http://h/nothing") } catch (e) { return e.cause.class }`, `"internal_error"`},

		{`const c = new AbortController(), p = fetch("http://h/slow", {signal: c.signal}); setTimeout(() => c.abort("why"), 1); try { await p } catch (e) { return e }`, `"why"`},
		{`try { await fetch("http://h/slow", {signal: AbortSignal.timeout(1)}) } catch (e) { return e.name }`, `"TimeoutError"`},
		{`const r = new Request("http://h/slow", {signal: AbortSignal.timeout(1)}); try { await fetch(r) } catch (e) { return [e.name, r.signal.aborted] }`, `["TimeoutError",true]`},
		{`const c = new AbortController(), r = await fetch("http://h/status/200", {signal: c.signal}); c.abort(); return r.text()`, `"{\"a\":1}"`},
		{`Promise.prototype.then = null; TypeError = null; try { await fetch("http://h/refused") } catch (e) { return e.name }`, `"TypeError"`},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			job := code(echo + c.code)
			job.Fetch = network
			require.Equal(t, c.want, value(t, pool, job), c.code)
		}
	})
}

// TestFetchFailureIsTheExecutions pins that the very error of a fetch keeps its
// class when it leaves the program, and that nothing else can claim it.
func TestFetchFailureIsTheExecutions(t *testing.T) {
	cases := []struct {
		code   string
		class  errclass.Class
		reason errclass.Reason
		detail string
	}{
		{"\nawait fetch('http://h/refused')", errclass.ConnectionRefused, errclass.Refused, ""},
		{"return fetch('http://h/blocked')", errclass.RequestBlocked, errclass.Blocked, "the egress policy does not allow h"},
		{"try { await fetch('http://h/busy') } catch (e) { e.message = 'x'; delete e.cause; throw e }", errclass.Timeout, errclass.PhaseHeaders, "no response headers from h after 5s"},
		{"try { await fetch('http://h/busy') } catch (e) { throw e.cause }", errclass.SandboxError, errclass.Exception, "Error: Timeout: no response headers from h after 5s (code:1:18)"},
		{"try { await fetch('http://h/busy') } catch (e) { throw new Error('mine', {cause: e}) }", errclass.SandboxError, errclass.Exception, "Error: mine (code:1:56); cause: TypeError: fetch failed: Timeout: no response headers from h after 5s (code:1:18); cause: Error: Timeout: no response headers from h after 5s (code:1:18)"},
		{"await fetch('http://h/panic')", errclass.InternalError, errclass.Panic, ""},
		{"await fetch('http://h/unclassified')", errclass.InternalError, errclass.Unclassified, ""},
		{"await fetch('http://h/slow', {signal: AbortSignal.timeout(1)})", errclass.SandboxError, errclass.Exception, "TimeoutError: The operation was aborted due to timeout"},
		{"await fetch('nope')", errclass.SandboxError, errclass.Exception, "TypeError: Failed to parse URL from nope (code:1:12)"},
		{"new URL('nope')", errclass.SandboxError, errclass.Exception, "TypeError: Invalid URL (code:1:1)"},
		{"atob('!')", errclass.SandboxError, errclass.Exception, "InvalidCharacterError: The string to be decoded is not correctly encoded. (code:1:5)"},
		{"const t = new EventTarget(); t.addEventListener('a', () => { throw new Error('in a listener') }); t.dispatchEvent(new Event('a')); return 1",
			errclass.SandboxError, errclass.Exception, "Error: in a listener (code:1:68)"},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			job := code(c.code)
			job.Fetch = network
			got := failure(t, pool, job)
			require.Equal(t, c.class, got.Class, "%s: %v", c.code, got)
			require.Equal(t, c.reason, got.Reason, c.code)
			require.Equal(t, c.detail, got.Detail, c.code)
		}
		job := code(cases[0].code)
		job.Fetch = network
		require.Equal(t, []string{"code:2:12"}, failure(t, pool, job).Stack, "where fetch was called")
		job.Source.Code = cases[2].code
		require.Equal(t, 3*time.Second, failure(t, pool, job).RetryAfter)
	})
}

func TestFetchWithoutNetwork(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		require.Equal(t, `["TypeError","fetch failed: Request blocked: the embedder gives no network to this tool"]`,
			value(t, pool, code(`try { await fetch("http://h/") } catch (e) { return [e.name, e.message] }`)))
		require.Equal(t, errclass.RequestBlocked, failure(t, pool, code(`await fetch("http://h/")`)).Class)
	})
}

// TestAbortCancelsTheHost pins that the host hears of an abort, and that the
// program's other fetches don't.
func TestAbortCancelsTheHost(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		cancelled := make(chan string, 2)
		job := code(`const c = new AbortController(), a = fetch("http://h/a", {signal: c.signal}), b = fetch("http://h/b");
			setTimeout(() => c.abort(), 5); try { await a } catch (e) { return [e.name, (await b).status] }`)
		release := make(chan struct{})
		job.Fetch = func(ctx context.Context, req *sandbox.FetchRequest) (*sandbox.FetchResponse, error) {
			if req.URL == "http://h/a" {
				<-ctx.Done()
				cancelled <- "a"
				close(release)
				return nil, ctx.Err()
			}
			<-release
			return &sandbox.FetchResponse{Status: 200}, ctx.Err()
		}
		require.Equal(t, `["AbortError",200]`, value(t, pool, job))
		require.Equal(t, "a", <-cancelled)
	})
}

func TestFetchesRunAtOnceAndEndWithTheRun(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		var all, left sync.WaitGroup
		all.Add(10)
		left.Add(10)
		job := code(`for (let i = 0; i < 10; i++) fetch("http://h/"); await fetch("http://h/now"); return 1`)
		job.Fetch = func(ctx context.Context, req *sandbox.FetchRequest) (*sandbox.FetchResponse, error) {
			if req.URL == "http://h/now" {
				all.Wait() // returns once ten are here
				return &sandbox.FetchResponse{Status: 200}, nil
			}
			all.Done()
			defer left.Done()
			<-ctx.Done()
			return nil, ctx.Err()
		}
		require.Equal(t, "1", value(t, pool, job))
		left.Wait()
	})
}

func TestFetchCarriesTheDeadline(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		job := code(`await fetch("http://h/slow")`)
		job.Fetch = network
		_, got := runFor(t, pool, job, 30*time.Millisecond)
		require.Equal(t, errclass.Timeout, got.Class)
		require.Equal(t, "execution exceeded 30ms while waiting for a response to fetch", got.Detail)
	})
}
