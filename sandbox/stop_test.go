package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

// bound is how long a program with a short deadline may take to come back: the
// grace is 50 ms, the rest is for a slow machine.
const bound = 10 * time.Second

// TestDeadline holds programs that never end; each must be stopped, and the
// error must say where it was. (A loop with nothing in it has no place of its own
// in the compiled program: the nearest one before it is named.)
func TestDeadline(t *testing.T) {
	const limit = 60 * time.Millisecond
	cases := []struct{ code, where string }{
		{"while (true) {}", "at code:1:"},
		{"\n\nfor (;;) [parameters].length", "at code:3:"},
		{"const f = () => {\n  for (;;) [1].length\n}\nf()", "at code:2:"},
		{"let x: number = 1;\nwhile (x) {}", "at code:2:"},
		{"export default () => {\n  for (;;) [1].length\n}", "at code:2:"},
		{"await null;\nfor (;;) [1].length", "at code:2:"},
		{"for (;;) await null", "at code:1:"},
		{"for (;;) try { for (;;) {} } catch {} finally { for (;;) {} }", "at code:1:"},
		{"const f = () => queueMicrotask(f); f()\nawait new Promise(() => {})", ""},
		{"const f = () => Promise.resolve().then(f); f()\nawait new Promise(() => {})", ""},
		{"setTimeout(() => {\n  for (;;) [1].length\n}, 1); await new Promise(() => {})", "at code:2:"},
		{"setInterval(() => {}, 1); await new Promise(() => {})", ""},
		{"await new Promise((r) => setTimeout(r, 1e6))", "while waiting for a timer"},
		{"return {toJSON() {\n for (;;) [1].length }}", "at code:2:"},
		{"return {get x() {\n for (;;) [1].length }}", "at code:2:"},
		{"throw {toJSON() {\n for (;;) [1].length }}", "at code:2:"},
		{"const e = new Error(); Object.defineProperty(e, 'message', {get() {\n for (;;) [1].length }}); throw e", "at code:2:"},
		{"console.log({toJSON() {\n for (;;) [1].length }})", "at code:2:"},
		{"eval('for (;;) {}')", "at code:1:"},
		{"new Function('for (;;) {}')()", "at code:1:"},
		{"[1, 2].sort(() => { for (;;) {} })", "at code:1:"},
		{"'x'.replace(/x/, () => { for (;;) {} })", "at code:1:"},
		{"new Proxy({}, {get() { for (;;) {} }}).x", "at code:1:"},
		{"for (const x of {[Symbol.iterator]() { return {next() { return {} }, return() { for (;;) {} }} }}) for (;;) {}", "at code:1:"},
		{"function* g() { try { for (;;) yield 1 } finally { for (;;) {} } } for (const x of g()) {}", "at code:1:"},
		{"class A { static { for (;;) {} } }", "at code:1:"},
		{"await {then() { for (;;) {} }}", "at code:1:"},
		{"Promise.reject({toJSON() { for (;;) {} }}); for (;;) {}", "at code:1:"},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			t.Run(c.code, func(t *testing.T) {
				// Compiled beforehand, so that the deadline meets the program.
				require.NoError(t, pool.Check(t.Context(), sandbox.Source{Code: c.code}))
				var got *errclass.Error
				// A starved machine may let the program miss its grace; then nobody
				// knows where it was. Or it had no child to give in time.
				for attempt := 0; attempt == 0 || attempt < 10 && (!strings.Contains(got.Detail, c.where) || got.Reason == errclass.Queue); attempt++ {
					start := time.Now()
					_, got = runFor(t, pool, code(c.code), limit)
					require.NotNil(t, got)
					require.Less(t, time.Since(start), bound)
					require.Equal(t, errclass.Timeout, got.Class, got)
					require.ErrorIs(t, got, context.DeadlineExceeded)
				}
				require.Equal(t, errclass.Deadline, got.Reason)
				require.Contains(t, got.Detail, c.where)
				require.True(t, strings.HasPrefix(got.Detail, "execution exceeded "), got.Detail)
				require.Positive(t, got.Limit)
			})
		}
		require.Equal(t, "2", value(t, pool, code("return 1 + 1")), "the pool lives on")
	})
}

// TestDeadlineInsideBuiltins holds programs that compute inside one built-in
// function, which goja doesn't interrupt. Each ends by itself within seconds.
func TestDeadlineInsideBuiltins(t *testing.T) {
	programs := []string{
		`return "x".repeat(1e6).split("").length`,
		`return Array.prototype.indexOf.call({length: 2e6}, 1)`,
		`return (3n ** 60000n).toString().length`,
		`return /(x+x+)+y(?=z)/.test("x".repeat(16))`,
		`return new Array(1e5).fill(0).map(String).join("").length`,
		`return JSON.parse("[" + "0,".repeat(1e5) + "0]").length`,
		`return 1` + strings.Repeat("+1", 1000),
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, program := range programs {
			start := time.Now()
			_, got := runFor(t, pool, code(program), 5*time.Millisecond)
			require.Less(t, time.Since(start), bound)
			if got != nil { // a fast machine may be through
				require.Equal(t, errclass.Timeout, got.Class, got)
			}
		}
		closeEventually(t, pool)
		require.Zero(t, pool.Abandoned())
	})
}

// TestAbandonedExecutionsAreBounded pins that a pool refuses new executions
// when too many old ones can't be stopped.
func TestAbandonedExecutionsAreBounded(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		release := make(chan struct{})
		job := code(`tools.invoke("stuck"); return 1`)
		job.Invoke = func(context.Context, string, []byte) ([]byte, error) {
			<-release
			return nil, nil
		}
		var got *errclass.Error
		for range 10_000 {
			if _, got = run(t, pool, job); got != nil {
				break
			}
		}
		require.NotNil(t, got)
		require.Equal(t, errclass.SandboxError, got.Class)
		require.Equal(t, errclass.EngineFault, got.Reason)
		require.Equal(t, errclass.OriginPlatform, got.Origin)
		require.True(t, got.Retryable)
		require.Equal(t, fmt.Sprintf("%d earlier executions can't be stopped and still compute; try again later", pool.Abandoned()), got.Detail)
		close(release)
		closeEventually(t, pool)
		require.Zero(t, pool.Abandoned())
	})
}

func TestCancel(t *testing.T) {
	programs := []string{
		`tools.invoke("started"); await null; for (;;) {}`,
		`tools.invoke("started"); await new Promise((r) => setTimeout(r, 1e6))`,
		`await tools.invoke("waits")`,
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, program := range programs {
			ctx, cancel := context.WithCancel(t.Context())
			job := code(program)
			job.Invoke = func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
				cancel()
				<-ctx.Done()
				return nil, ctx.Err()
			}
			_, err := pool.Run(ctx, job)
			require.ErrorIs(t, err, context.Canceled, program)
			var got *errclass.Error
			require.True(t, errors.As(err, &got))
			require.Equal(t, errclass.Cancelled, got.Class)
			require.Equal(t, errclass.CallerCancelled, got.Reason)
		}
	})
}

// TestCause pins that a context's cause that is classified is the answer.
func TestCause(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		ctx, cancel := context.WithCancelCause(t.Context())
		job := code(`tools.invoke("x"); for (;;) {}`)
		job.Invoke = func(context.Context, string, []byte) ([]byte, error) {
			cancel(fmt.Errorf("draining: %w", errclass.New(errclass.Cancelled, errclass.Shutdown, "draining")))
			return nil, nil
		}
		_, err := pool.Run(ctx, job)
		var got *errclass.Error
		require.True(t, errors.As(err, &got))
		require.Equal(t, errclass.Shutdown, got.Reason)
		require.Equal(t, "draining", got.Detail)

		require.Equal(t, "1", value(t, pool, code("return 1")), "so that a process is warm")
		due := errclass.New(errclass.Timeout, errclass.Deadline, "the tool's timeout of 30ms has passed")
		ctx2, cancel2 := context.WithTimeoutCause(t.Context(), 30*time.Millisecond, due)
		defer cancel2()
		_, err = pool.Run(ctx2, code("\nfor (;;) [1].length"))
		require.True(t, errors.As(err, &got))
		require.Equal(t, errclass.Timeout, got.Class)
		require.Contains(t, got.Detail, "the tool's timeout of 30ms has passed at code:2:")
	})
}

func TestDoneBeforeItBegins(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		result, err := pool.Run(ctx, code("return 1"))
		require.NotNil(t, result)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, pool.Check(ctx, sandbox.Source{Code: "return 1"}), context.Canceled)

		late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
		defer cancel()
		_, err = pool.Run(late, code("return 1"))
		require.EqualError(t, err, "Timeout: execution exceeded its deadline before it began")
	})
}

func TestClose(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		started := make(chan struct{})
		ended := make(chan error)
		job := code(`tools.invoke("started"); await null; for (;;) {}`)
		job.Invoke = func(context.Context, string, []byte) ([]byte, error) {
			close(started)
			return nil, nil
		}
		go func() {
			_, err := pool.Run(context.Background(), job)
			ended <- err
		}()
		<-started
		closeEventually(t, pool)
		var got *errclass.Error
		require.True(t, errors.As(<-ended, &got))
		require.Equal(t, errclass.Cancelled, got.Class)
		require.Equal(t, errclass.Shutdown, got.Reason)

		require.NoError(t, pool.Close(), "again")
		_, err := pool.Run(t.Context(), code("return 1"))
		require.True(t, errors.As(err, &got))
		require.Equal(t, errclass.Shutdown, got.Reason)
	})
}
