package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

func newProcessPool(t testing.TB, o sandbox.Options) *sandbox.Pool {
	t.Helper()
	o.Isolation = sandbox.Process
	return newPool(t, o)
}

// TestInitForgotten runs this program as one whose main doesn't begin with Init.
func TestInitForgotten(t *testing.T) {
	if os.Getenv("SANDBOX_TEST_HELPER") != "" {
		t.Skip("this is the helper")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	helper := exec.Command(self, "-test.run=^TestMain$")
	helper.Env = append(os.Environ(), "SANDBOX_TEST_HELPER=forgets-init")
	out, err := helper.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "sandbox: process isolation needs sandbox.Init() as the first statement of main, and of TestMain in tests\n", string(out))
}

// TestMemoryLimit: the kernel ends what takes too much, in one bite or in many.
func TestMemoryLimit(t *testing.T) {
	pool := newProcessPool(t, sandbox.Options{})
	for _, c := range []struct {
		code string
		mib  int
		want errclass.Reason
	}{
		{`return new ArrayBuffer(2 ** 33).byteLength`, 0, errclass.MemoryLimit},
		{`return "x".repeat(2 ** 29).length`, 0, errclass.MemoryLimit},
		{`let s = "x"; for (;;) s += s`, 0, errclass.MemoryLimit},
		{`const a = []; for (;;) a.push({n: a.length})`, 32, errclass.MemoryLimit},
		{`return new Uint8Array(100 << 20).length`, 64, errclass.MemoryLimit},
		{`return new Uint8Array(100 << 20).length`, 160, ""},
		{`return new Uint8Array(8 << 20).length`, 32, ""},
	} {
		job := code(c.code)
		job.Limits.MemoryMB = c.mib
		result, got := run(t, pool, job)
		if c.want == "" {
			require.Nil(t, got, c.code)
			require.NotEmpty(t, result.Value)
			continue
		}
		require.NotNil(t, got, c.code)
		require.Equal(t, errclass.SandboxError, got.Class)
		require.Equal(t, c.want, got.Reason, "%s: %v: %v", c.code, got, errors.Unwrap(got))
		limit := c.mib
		if limit == 0 {
			limit = 128
		}
		require.Equal(t, fmt.Sprintf("the program needs more than %d MiB of memory", limit), got.Detail)
		require.Equal(t, "2", value(t, pool, code("return 1 + 1")))
	}
}

// TestLogsSurvive whatever ends the program.
func TestLogsSurvive(t *testing.T) {
	pool := newProcessPool(t, sandbox.Options{})
	for program, reason := range map[string]errclass.Reason{
		`return new ArrayBuffer(2 ** 33)`:                           errclass.MemoryLimit,
		`return Array.prototype.indexOf.call({length: 2 ** 53}, 1)`: errclass.Deadline,
		`for (;;) {}`:             errclass.Deadline,
		`throw new Error("stop")`: errclass.Exception,
	} {
		result, got := runFor(t, pool, code(`console.warn("before");`+program), 200*time.Millisecond)
		require.NotNil(t, got, program)
		require.Equal(t, reason, got.Reason, program)
		require.Equal(t, []errclass.LogLine{{Level: "warn", Message: "before"}}, result.Logs, program)
	}
}

// TestNativeDeadline: what no interrupt stops is killed, in bounded time, and the
// next execution doesn't feel it.
func TestNativeDeadline(t *testing.T) {
	const limit = 100 * time.Millisecond
	pool := newProcessPool(t, sandbox.Options{})
	for _, program := range []string{
		`return Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1)`,
		`return /(x+x+)+y(?=z)/.test("x".repeat(40))`,
		`return [].includes.call({length: 2 ** 53 - 1}, 1)`,
		`return (3n ** 40000000n).toString().length`,
	} {
		start := time.Now()
		_, got := runFor(t, pool, code(program), limit)
		require.NotNil(t, got, program)
		require.Equal(t, errclass.Timeout, got.Class, "%s: %v", program, got)
		require.Equal(t, errclass.Deadline, got.Reason)
		require.ErrorIs(t, got, context.DeadlineExceeded)
		require.Regexp(t, `^execution exceeded (9\d|100)ms `, got.Detail)
		require.Less(t, time.Since(start), bound)
		require.Equal(t, "2", value(t, pool, code("return 1 + 1")))
	}
}

// TestCompilingIsBounded: a source that a parser takes for ever for.
func TestCompilingIsBounded(t *testing.T) {
	pool := newProcessPool(t, sandbox.Options{})
	slow := "return 1" + strings.Repeat("+1", 400_000)
	start := time.Now()
	_, got := runFor(t, pool, code(slow), 100*time.Millisecond)
	require.NotNil(t, got)
	require.Contains(t, []errclass.Reason{errclass.Deadline, errclass.MemoryLimit, errclass.StackOverflow}, got.Reason, got)
	require.Less(t, time.Since(start), bound)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.Error(t, pool.Check(ctx, sandbox.Source{Code: slow}))
	require.NoError(t, pool.Check(t.Context(), sandbox.Source{Code: "return 1"}))
}

// TestCancelFreesTheChild: no slot is held by who went away.
func TestCancelFreesTheChild(t *testing.T) {
	pool := newProcessPool(t, sandbox.Options{Children: 1})
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		job := code(`await tools.invoke("started"); return Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1)`)
		job.Invoke = func(context.Context, string, []byte) ([]byte, error) {
			time.AfterFunc(5*time.Millisecond, cancel)
			return nil, nil
		}
		_, err := pool.Run(ctx, job)
		require.ErrorIs(t, err, context.Canceled)
		var got *errclass.Error
		require.ErrorAs(t, err, &got)
		require.Equal(t, errclass.Cancelled, got.Class)
		require.Equal(t, "2", value(t, pool, code("return 1 + 1")))
	}
}

// occupy runs a job that holds a child until release is called.
func occupy(t *testing.T, pool *sandbox.Pool, organization string) (release func()) {
	t.Helper()
	started, done, end := make(chan struct{}), make(chan struct{}), make(chan struct{})
	job := code(`await tools.invoke("hold"); return 1`)
	job.Organization = organization
	job.Invoke = func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		close(started)
		<-end
		return nil, nil
	}
	go func() {
		defer close(done)
		_, _ = pool.Run(context.Background(), job)
	}()
	<-started
	return func() {
		close(end)
		<-done
	}
}

// TestQueue: waiting, running and being turned away are different outcomes.
func TestQueue(t *testing.T) {
	pool := newProcessPool(t, sandbox.Options{Children: 1, Queue: 1})
	release := occupy(t, pool, "")

	_, got := runFor(t, pool, code("return 1"), 50*time.Millisecond)
	require.NotNil(t, got)
	require.Equal(t, errclass.Timeout, got.Class)
	require.Equal(t, errclass.Queue, got.Reason)
	require.Equal(t, "no free sandbox process", got.Detail)

	waited := make(chan string)
	go func() {
		for { // until it has the one place, which the probes below take for a moment
			result, err := pool.Run(t.Context(), code("return 'waited'"))
			if full := (*errclass.APIError)(nil); !errors.As(err, &full) {
				waited <- string(result.Value)
				return
			}
		}
	}()
	require.Eventually(t, func() bool { // the one place is taken
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := pool.Run(ctx, code("return 1"))
		var full *errclass.APIError
		return errors.As(err, &full) && full.Code == errclass.CodeUnavailable && full.RetryAfter > 0
	}, patience, time.Millisecond)

	nested := code("return 'nested'")
	nested.Depth = 1
	require.Equal(t, `"nested"`, value(t, pool, nested), "what the holder waits for finds a child")

	release()
	require.Equal(t, `"waited"`, <-waited)
}

// TestOrganizationsTakeTurns: a flood of one delays another by a turn.
func TestOrganizationsTakeTurns(t *testing.T) {
	pool := newProcessPool(t, sandbox.Options{Children: 4})
	var releases []func()
	for range 3 {
		releases = append(releases, occupy(t, pool, "flood"))
	}
	job := code("return 2")
	job.Organization = "flood"
	_, got := runFor(t, pool, job, 100*time.Millisecond)
	require.NotNil(t, got, "three of four are its share")
	require.Equal(t, errclass.Queue, got.Reason)
	job.Organization = "other"
	require.Equal(t, "2", value(t, pool, job), "one child is left for others")
	for _, release := range releases {
		release()
	}
}

// TestNothingCarriesOverInAChild from one execution in a child to the next.
func TestNothingCarriesOverInAChild(t *testing.T) {
	pool := newProcessPool(t, sandbox.Options{Children: 1})
	job := code(`globalThis.left = credentials.token; Array.prototype.left = 1; Object.prototype.leftToo = 1; JSON.parse = null;
		setTimeout(() => { globalThis.late = 1 }, 1); Promise.resolve().then(() => { globalThis.later = 1 }); console.log("left"); return 1`)
	job.Credentials = []byte(`{"token":"SEKRET"}`)
	for range 3 {
		require.Equal(t, "1", value(t, pool, job))
		result, got := run(t, pool, code(`return [typeof left, [].left ?? null, ({}).leftToo ?? null, typeof JSON.parse, typeof late, typeof later, Object.keys(credentials)]`))
		require.Nil(t, got)
		require.Equal(t, `["undefined",null,null,"function","undefined","undefined",[]]`, string(result.Value))
		require.Empty(t, result.Logs)
	}
}

// TestCausesCantBeForged: a program may say what it likes.
func TestCausesCantBeForged(t *testing.T) {
	pool := newProcessPool(t, sandbox.Options{})
	for _, text := range []string{
		"fatal error: runtime: out of memory", "fatal error: stack overflow", "runtime: goroutine stack exceeds 67108864-byte limit",
		"signal: killed", "execution exceeded 1s", "sandbox: a frame breaks the protocol",
	} {
		for _, program := range []string{
			`throw %q`, `throw new Error(%q)`, `console.error(%[1]q); throw new Error(%[1]q)`,
			`const e = new Error(%q); e.class = "timeout"; e.reason = "memory_limit"; e.name = "ToolError"; throw e`,
			`throw {class: "timeout", reason: "deadline", message: %q}`, `throw Object.assign(new RangeError(%q), {stack: "fatal error: stack overflow"})`,
		} {
			got := failure(t, pool, code(fmt.Sprintf(program, text)))
			require.Equal(t, errclass.SandboxError, got.Class)
			require.Equal(t, errclass.Exception, got.Reason, "%s %s", program, text)
		}
	}
}

// TestProcessHammer: many at once, failures of every kind among them, and every
// answer is its own.
func TestProcessHammer(t *testing.T) {
	pool := newProcessPool(t, sandbox.Options{Children: 4})
	echo := func(_ context.Context, _ string, parameters []byte) ([]byte, error) { return parameters, nil }
	var wrong atomic.Int64
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 25 {
				n := g*1000 + i
				job := code(`console.log(parameters.n); return [await tools.invoke("echo", parameters.n), parameters.n]`)
				job.Parameters = fmt.Appendf(nil, `{"n":%d}`, n)
				job.Invoke = echo
				switch {
				case i%10 == 3:
					_, _ = pool.Run(t.Context(), code(`return new ArrayBuffer(2 ** 33)`))
				case i%10 == 7:
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Millisecond)
					_, _ = pool.Run(ctx, code(`for (;;) {}`))
					cancel()
				}
				result, err := pool.Run(t.Context(), job)
				if err != nil || string(result.Value) != fmt.Sprintf("[%d,%d]", n, n) || len(result.Logs) != 1 || result.Logs[0].Message != fmt.Sprint(n) {
					wrong.Add(1)
					t.Errorf("%d: %v %v %s %v", n, err, errors.Unwrap(err), result.Value, result.Logs)
				}
			}
		})
	}
	wg.Wait()
	require.Zero(t, wrong.Load())
}

func TestHardening(t *testing.T) {
	pool := newProcessPool(t, sandbox.Options{})
	layers := pool.Hardening()
	require.NotEmpty(t, layers)
	for _, layer := range layers {
		require.Empty(t, layer.Missing, layer.Name)
		require.Equal(t, layer.Name+": active", layer.String())
	}
	require.Empty(t, newPool(t, sandbox.Options{Isolation: sandbox.Inline}).Hardening())
}
