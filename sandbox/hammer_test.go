package sandbox_test

import (
	"context"
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

// TestHammer runs many executions at once, each of which spoils its realm and
// looks for what others left.
func TestHammer(t *testing.T) {
	const peers, rounds = 16, 200
	source := sandbox.Source{Name: "hammer.js", Code: `
		if (globalThis.mine !== undefined || [].stolen !== undefined || Math.mine !== undefined) throw new Error("leak");
		globalThis.mine = parameters.id; Array.prototype.stolen = parameters.id; Math.mine = parameters.id;
		console.log(parameters.id);
		const echoed = await tools.invoke("echo", { id: parameters.id });
		return [mine, [].stolen, Math.mine, echoed.id];`}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		var wg sync.WaitGroup
		start := make(chan struct{})
		faults := make(chan error, peers)
		for peer := range peers {
			wg.Go(func() {
				<-start
				for round := range rounds {
					if err := hammerOnce(pool, source, peer*rounds+round); err != nil {
						faults <- err
						return
					}
				}
			})
		}
		close(start)
		wg.Wait()
		close(faults)
		for err := range faults {
			require.NoError(t, err)
		}
		require.Zero(t, pool.Abandoned())
	})
}

func hammerOnce(pool *sandbox.Pool, source sandbox.Source, id int) error {
	result, err := pool.Run(context.Background(), sandbox.Job{
		Source: source, Parameters: fmt.Appendf(nil, `{"id":%d}`, id),
		Invoke: func(_ context.Context, _ string, parameters []byte) ([]byte, error) { return parameters, nil },
	})
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("[%d,%d,%d,%d]", id, id, id, id); string(result.Value) != want {
		return fmt.Errorf("%s instead of %s", result.Value, want)
	}
	if len(result.Logs) != 1 || result.Logs[0].Message != fmt.Sprint(id) {
		return fmt.Errorf("logs of another execution: %v", result.Logs)
	}
	return nil
}

// FuzzRun feeds arbitrary source: Check and Run must come back in bounded time,
// with a classified error or with a value, and the program must not have got out
// of the function it stands in.
func FuzzRun(f *testing.F) {
	for _, seed := range []string{
		"return 1", "throw 1", "await null", "export default () => 1", "const a: number = 1; return a",
		"}); globalThis.out = 1; (async function () {", "return `${`${1}`}`", "import 'x'", "//# sourceMappingURL=file:///etc/passwd",
		"for (;;) {}", "return '\\u{10FFFF}'", "<!--", "#!x", "\xff", "\x00", "\u2028", "eval('1')", "return 1n", "@a class A {}", "a => {", "/*", "'", "`", "(a=(b=1)=>1)=>1",
		"return {toJSON: 1}", "return tools", "new Promise(() => {})", "setTimeout(() => { throw 1 })", "using x = null", "label: for (;;) break label",
	} {
		f.Add(seed, "code")
		f.Add(seed, "code.ts")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		if len(text) > 2000 { // the engine's own excesses are not what this is about
			return
		}
		pool, err := sandbox.New(sandbox.Options{Isolation: sandbox.Inline}) // where the fuzzer sees what is covered
		require.NoError(t, err)
		defer func() { _ = pool.Close() }()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		checked := classified(t, pool.Check(ctx, sandbox.Source{Name: name, Code: text}))
		result, err := pool.Run(ctx, named(name, text))
		failure := classified(t, err)
		require.Less(t, time.Since(start), bound)
		if checked != nil && checked.Reason == errclass.SyntaxError && failure.Class == errclass.SandboxError {
			require.Equal(t, errclass.SyntaxError, failure.Reason)
		}
		if failure == nil {
			require.NotEmpty(t, result.Value)
		}
	})
}

func classified(t *testing.T, err error) *errclass.Error {
	if err == nil {
		return nil
	}
	var failure *errclass.Error
	require.True(t, errors.As(err, &failure), "%T", err)
	require.True(t, failure.Class.Valid())
	require.NotContains(t, failure.Detail, "goja")
	require.NotContains(t, failure.Detail, "0xc0")
	require.False(t, strings.Contains(failure.Detail, "tool_") && strings.Contains(failure.Detail, "_require"), failure.Detail)
	return failure
}
