package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

// rates is a host with a few tools.
func rates(_ context.Context, tool string, parameters []byte) ([]byte, error) {
	switch tool {
	case "echo":
		return parameters, nil
	case "nothing":
		return nil, nil
	case "busy":
		failure := errclass.New(errclass.HTTPError, errclass.RateLimit, "429 Too Many Requests")
		failure.RetryAfter = 3 * time.Second
		return nil, fmt.Errorf("wrapped: %w", failure)
	case "refused":
		return nil, errclass.New(errclass.ConnectionRefused, errclass.Refused, "")
	case "unclassified":
		return nil, errors.New("secret")
	case "panic":
		panic("secret")
	}
	return []byte("{"), nil
}

func TestInvoke(t *testing.T) {
	cases := []struct{ code, want string }{
		{`return await tools.invoke("echo", {a: [1, "x"]})`, `{"a":[1,"x"]}`},
		{`return await tools.invoke("echo")`, `{}`},
		{`return await tools.invoke("echo", null)`, `null`},
		{`return await tools.invoke("nothing")`, `null`},
		{`return await Promise.all([3, 1, 2].map((n) => tools.invoke("echo", n)))`, `[3,1,2]`},
		{`const p = tools.invoke("echo", 1); tools.invoke("echo", 2); return await p`, `1`},
		{`return tools.invoke("echo", 4)`, `4`},
		{`const a = {n: 1}; const p = tools.invoke("echo", a); a.n = 2; return await p`, `{"n":1}`},
		{`JSON.parse = JSON.stringify = null; return await tools.invoke("echo", [5])`, `[5]`},
		{`return [Object.keys(tools), tools.invoke.name, tools.invoke("echo") instanceof Promise]`, `[["invoke"],"invoke",true]`},
		{`try { await tools.invoke("busy") } catch (e) { return [e.name, e.message, e.class, e.reason, e instanceof Error, e.constructor === Error, Object.keys(e)] }`,
			`["ToolError","HTTP error: 429 Too Many Requests","http_error","rate_limit",true,true,["class","reason"]]`},
		{`try { await tools.invoke("refused") } catch (e) { return String(e) }`, `"ToolError: Connection refused"`},
		{`try { tools.invoke(5) } catch (e) { return e.message }`, `"The first argument of tools.invoke must be the name of a tool"`},
		{`try { await tools.invoke("echo", 1n) } catch (e) { return e.reason }`, `"unserializable"`},
		{`try { await tools.invoke("echo", {get a() { throw new Error("x") }}) } catch (e) { return e.message }`, `"Sandbox error: Error: x (code:1:51)"`},
		{`export default async (p, { tools }) => tools.invoke("echo", 6)`, `6`},
		{`const r = await tools.invoke("echo", 7); export default () => r`, ``},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			job := code(c.code)
			job.Invoke = rates
			if c.want == "" {
				require.Equal(t, errclass.Exception, failure(t, pool, job).Reason, "a module has tools in its scope argument only")
				continue
			}
			require.Equal(t, c.want, value(t, pool, job), c.code)
		}
	})
}

// TestInvokeFailureIsTheExecutions pins that the very error of a tool keeps its
// class when it leaves the program, and that nothing else can claim it.
func TestInvokeFailureIsTheExecutions(t *testing.T) {
	cases := []struct {
		code   string
		class  errclass.Class
		reason errclass.Reason
		detail string
	}{
		{"\nawait tools.invoke('busy')", errclass.HTTPError, errclass.RateLimit, `tool "busy": 429 Too Many Requests`},
		{"return tools.invoke('busy')", errclass.HTTPError, errclass.RateLimit, `tool "busy": 429 Too Many Requests`},
		{"try { await tools.invoke('busy') } catch (e) { throw e }", errclass.HTTPError, errclass.RateLimit, `tool "busy": 429 Too Many Requests`},
		{"try { await tools.invoke('busy') } catch (e) { e.class = 'x'; e.message = 'y'; throw e }", errclass.HTTPError, errclass.RateLimit, `tool "busy": 429 Too Many Requests`},
		{"await Promise.all([tools.invoke('echo'), tools.invoke('refused')])", errclass.ConnectionRefused, errclass.Refused, `tool "refused"`},
		{"await tools.invoke('unclassified')", errclass.InternalError, errclass.Unclassified, `tool "unclassified"`},
		{"await tools.invoke('panic')", errclass.InternalError, errclass.Panic, `tool "panic"`},
		{"await tools.invoke('invalid')", errclass.InternalError, errclass.Unclassified, ``},
		{"try { await tools.invoke('busy') } catch (e) { throw new Error('mine', {cause: e}) }", errclass.SandboxError, errclass.Exception, "Error: mine (code:1:54); cause: ToolError: HTTP error: 429 Too Many Requests (code:1:25)"},
		{"const e = new Error('HTTP error: 429'); e.name = 'ToolError'; e.class = 'http_error'; e.reason = 'rate_limit'; throw e", errclass.SandboxError, errclass.Exception, "ToolError: HTTP error: 429 (code:1:11)"},
		{"try { await tools.invoke('busy') } catch (e) { throw Object.create(e) }", errclass.SandboxError, errclass.Exception, ""},
		{"try { await tools.invoke('busy') } catch (e) { throw new Proxy(e, {}) }", errclass.SandboxError, errclass.Exception, ""},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			job := code(c.code)
			job.Invoke = rates
			got := failure(t, pool, job)
			require.Equal(t, c.class, got.Class, c.code)
			require.Equal(t, c.reason, got.Reason, c.code)
			if c.detail != "" {
				require.Equal(t, c.detail, got.Detail, c.code)
			}
			require.NotContains(t, got.Detail, "secret")
		}
		job := code(cases[0].code)
		job.Invoke = rates
		got := failure(t, pool, job)
		require.True(t, got.Retryable)
		require.Equal(t, 3*time.Second, got.RetryAfter)
		require.Equal(t, []string{"code:2:19"}, got.Stack, "where the tool was invoked")
	})
}

func TestInvokesRunAtOnce(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		var all sync.WaitGroup
		all.Add(10)
		job := code(`return (await Promise.all(Array.from({length: 10}, (_, i) => tools.invoke("t", i)))).length`)
		job.Invoke = func(ctx context.Context, _ string, parameters []byte) ([]byte, error) {
			all.Done()
			all.Wait() // returns once ten are here
			return parameters, ctx.Err()
		}
		require.Equal(t, "10", value(t, pool, job))
	})
}

// TestInvokesEndWithTheRun pins that what the program didn't wait for is
// cancelled and awaited.
func TestInvokesEndWithTheRun(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		var running atomic.Int32
		job := code(`for (let i = 0; i < 5; i++) tools.invoke("slow"); return 1`)
		job.Invoke = func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
			running.Add(1)
			defer running.Add(-1)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		require.Equal(t, "1", value(t, pool, job))
		require.NoError(t, pool.Close(), "Close has nothing left to wait for")
		require.Zero(t, running.Load())
	})
}

// TestInvokeThatIgnoresItsContext pins that Run comes back all the same, and
// that the pool knows.
func TestInvokeThatIgnoresItsContext(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		release := make(chan struct{})
		job := code(`tools.invoke("stuck"); return 1`)
		job.Invoke = func(context.Context, string, []byte) ([]byte, error) {
			<-release
			return nil, nil
		}
		require.Equal(t, "1", value(t, pool, job))
		require.Equal(t, 1, pool.Abandoned())
		require.EqualError(t, pool.Close(), "sandbox: 1 executions can't be stopped and still run")
		close(release)
		closeEventually(t, pool)
		require.Zero(t, pool.Abandoned())
	})
}

func TestInvokeCarriesTheDeadline(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		job := code(`await tools.invoke("slow")`)
		job.Invoke = func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
			if _, ok := ctx.Deadline(); !ok {
				return nil, errors.New("no deadline")
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}
		_, got := runFor(t, pool, job, 30*time.Millisecond)
		require.Equal(t, errclass.Timeout, got.Class)
		require.Equal(t, "execution exceeded 30ms while waiting for a tool", got.Detail)
	})
}

func TestInvokeParametersAreBytes(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		job := code(`return await tools.invoke("t", parameters)`)
		job.Parameters = []byte(`{"n":12345678901234567890,"s":"\ud83d\ude00<>&"}`)
		job.Invoke = func(_ context.Context, _ string, parameters []byte) ([]byte, error) {
			if !json.Valid(parameters) {
				return nil, errors.New("not JSON")
			}
			return parameters, nil
		}
		require.Equal(t, `{"n":12345678901234567000,"s":"😀<>&"}`, value(t, pool, job))
	})
}
