//go:build linux

// The walls that this file holds programs against are Linux's.

package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

const (
	// hostileMemoryMB is the cap of a hostile program, and hostHeadroom what the
	// host may grow by beyond it (DESIGN.md).
	hostileMemoryMB = 64
	hostHeadroom    = 32 << 20
	// hostileSourceBytes lets sources in that are large enough to hurt.
	hostileSourceBytes = 4 << 20
	// noise is what a busy machine may add to timeout and grace.
	noise     = 2 * time.Second
	raceNoise = 10 * time.Second
	grace     = 50 * time.Millisecond
)

// hostile is one program of the corpus.
type hostile struct {
	name string // archive/file
	job  sandbox.Job
	// ends are the reasons that it may end with; "value" stands for any value.
	ends []string
	// value, where set, is what it must return.
	value string
}

// corpus reads testdata/hostile and adds what is too large to stand in a file.
func corpus(t testing.TB) []hostile {
	t.Helper()
	paths, err := filepath.Glob("testdata/hostile/*.txtar")
	require.NoError(t, err)
	var programs []hostile
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		require.NoError(t, err)
		require.NotEmpty(t, archive.Comment, "%s must say what it covers", path)
		theme := strings.TrimSuffix(filepath.Base(path), ".txtar")
		for _, file := range archive.Files {
			text := string(file.Data)
			head, _, _ := strings.Cut(text, "\n")
			expect, ok := strings.CutPrefix(head, "// expect: ")
			require.True(t, ok, "%s: %s has no expectation", path, file.Name)
			programs = append(programs, newHostile(t, theme+"/"+file.Name, text, expect))
		}
	}
	for _, g := range generated {
		programs = append(programs, newHostile(t, "generated/"+g.name, "// generated\n"+g.code(), g.expect))
	}
	return programs
}

func newHostile(t testing.TB, name, text, expect string) hostile {
	t.Helper()
	h := hostile{name: name, job: named(filepath.Base(name), text)}
	h.job.Limits = sandbox.Limits{MemoryMB: hostileMemoryMB, Invokes: 50, SourceBytes: hostileSourceBytes}
	h.job.Parameters, h.job.Credentials = []byte(`{"mark":"of the hostile one"}`), []byte(`{"token":"of the hostile one"}`)
	h.job.Invoke = func(_ context.Context, tool string, parameters []byte) ([]byte, error) {
		if tool == "fails" {
			return nil, errclass.New(errclass.HTTPError, errclass.NotFound, "no such thing")
		}
		return parameters, nil
	}
	if value, ok := strings.CutPrefix(expect, "value "); ok {
		h.value = value
		return h
	}
	h.ends = strings.Split(expect, "|")
	for _, end := range h.ends {
		require.True(t, end == "value" || errclass.Reason(end).Valid(), "%s: %q is no reason", name, end)
	}
	return h
}

// fault says what is wrong with how a program has ended; also are ends that the
// circumstances add.
func (h *hostile) fault(result *sandbox.Result, err error, also ...errclass.Reason) error {
	if err == nil {
		if h.value != "" && string(result.Value) != h.value {
			return fmt.Errorf("%s: %.200s instead of %s", h.name, result.Value, h.value)
		}
		if h.value == "" && !slices.Contains(h.ends, "value") {
			return fmt.Errorf("%s: the value %.200s instead of %v", h.name, result.Value, h.ends)
		}
		return nil
	}
	var failure *errclass.Error
	if !errors.As(err, &failure) {
		return fmt.Errorf("%s: %T %w", h.name, err, err)
	}
	if failure.Class != errclass.SandboxError && failure.Class != errclass.Timeout && !slices.Contains(h.ends, string(failure.Reason)) {
		return fmt.Errorf("%s: class %s: %w", h.name, failure.Class, err)
	}
	if !slices.Contains(h.ends, string(failure.Reason)) && !slices.Contains(also, failure.Reason) {
		return fmt.Errorf("%s: reason %s instead of %s%v: %w (%v)", h.name, failure.Reason, h.value, h.ends, err, errors.Unwrap(failure))
	}
	return nil
}

// innocent walks over everything that a realm has and returns what it has met,
// so that whatever an earlier execution changed there shows.
var innocent = sandbox.Source{Name: "innocent.js", Code: `
	const seen = new Set([globalThis]), queue = [["globalThis", globalThis]];
	const print = [];
	for (let i = 0; i < queue.length; i++) {
		const [path, object] = queue[i];
		const visit = (name, value) => {
			print.push(name, typeof value);
			if (value === null || typeof value !== "object" && typeof value !== "function") print.push(String(value));
			else if (!seen.has(value)) { seen.add(value); queue.push([name, value]) }
		};
		visit(path + ".[[Prototype]]", Object.getPrototypeOf(object));
		if (!Object.isExtensible(object)) print.push("frozen");
		for (const key of Reflect.ownKeys(object)) {
			const d = Object.getOwnPropertyDescriptor(object, key), name = path + "." + String(key);
			print.push(d.writable, d.enumerable, d.configurable);
			if ("value" in d) visit(name, d.value); else { visit(name + " get", d.get); visit(name + " set", d.set) }
		}
	}
	console.log("innocent " + parameters.n);
	return [parameters, credentials, typeof tools, print.join("\n")]`}

// innocence runs the innocent program and checks that the answer is its own and,
// but for that, what it was in an untouched pool.
type innocence struct {
	pool *sandbox.Pool
	mu   sync.Mutex
	runs int
	want string
}

func (i *innocence) fault() error {
	i.mu.Lock()
	i.runs++
	n := i.runs
	i.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	result, err := i.pool.Run(ctx, sandbox.Job{Source: innocent, Parameters: fmt.Appendf(nil, `{"n":%d}`, n)})
	if err != nil {
		return fmt.Errorf("the next innocent one: %w (%v)", err, errors.Unwrap(err))
	}
	print, own := strings.CutPrefix(string(result.Value), fmt.Sprintf(`[{"n":%d},{},"undefined",`, n))
	if !own {
		return fmt.Errorf("the next innocent one has the answer %.200s", result.Value)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.want == "" {
		i.want = print
	}
	if print != i.want {
		at := 0
		for at < min(len(print), len(i.want)) && print[at] == i.want[at] {
			at++
		}
		return fmt.Errorf("the next innocent one's realm has changed: %.200s", print[max(0, at-100):])
	}
	if len(result.Logs) != 1 || result.Logs[0].Message != fmt.Sprintf("innocent %d", n) || result.LogsTruncated {
		return fmt.Errorf("the next innocent one has the logs %v", result.Logs)
	}
	return nil
}

// hostileTimeout is what a program has when it runs alone: enough to show what it
// is about, and little enough for hundreds of them. Under the race detector
// nothing gets far in less.
func hostileTimeout() time.Duration {
	if underRace {
		return 600 * time.Millisecond
	}
	return 120 * time.Millisecond
}

// crowdTimeout is what it has among 50 others.
func crowdTimeout() time.Duration {
	if underRace {
		return 3 * time.Second
	}
	return time.Second
}

// sample is all cases, or under the race detector, where all would take ten minutes,
// every nth: it looks at the host, and for races a few programs do as well as many.
func sample[T any](cases []T, n int) []T {
	if !underRace {
		return cases
	}
	var some []T
	for i := 0; i < len(cases); i += n {
		some = append(some, cases[i])
	}
	return some
}

func slack() time.Duration {
	if underRace {
		return raceNoise
	}
	return noise
}

// TestHostile runs the corpus one program after the other, and after each an
// innocent one.
func TestHostile(t *testing.T) {
	programs := corpus(t)
	require.GreaterOrEqual(t, len(programs), 170)
	requireContained(t, sandbox.Options{}, func(t *testing.T, pool *sandbox.Pool) {
		next := &innocence{pool: pool}
		require.NoError(t, next.fault())
		longest := time.Duration(0)
		for _, h := range sample(programs, 8) {
			t.Run(h.name, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), hostileTimeout())
				defer cancel()
				start := time.Now()
				result, err := pool.Run(ctx, h.job)
				took := time.Since(start)
				longest = max(longest, took)
				fault := h.fault(result, err)
				if fault != nil && errors.Is(err, context.DeadlineExceeded) { // on a starved machine it needs more time to show what it is about
					ctx, cancel := context.WithTimeout(t.Context(), 20*hostileTimeout())
					defer cancel()
					fault = h.fault(pool.Run(ctx, h.job))
				}
				require.NoError(t, fault)
				require.Less(t, took, hostileTimeout()+grace+slack())
				require.NoError(t, next.fault())
				if testing.Verbose() {
					t.Logf("%v %s %v", took.Round(time.Millisecond), result.Value[:min(len(result.Value), 80)], err)
				}
			})
		}
		t.Logf("%d programs, of which the longest took %v more than its timeout", len(programs), max(0, longest-hostileTimeout()))
	})
}

// TestHostileAtOnce runs the corpus 50 programs at a time. Where so many compute
// for their lives on few processors, any may reach its deadline first.
func TestHostileAtOnce(t *testing.T) {
	const peers = 50
	limit := crowdTimeout()
	programs := sample(corpus(t), 5)
	requireContained(t, sandbox.Options{Children: peers}, func(t *testing.T, pool *sandbox.Pool) {
		next := &innocence{pool: pool}
		require.NoError(t, next.fault())
		queue := make(chan hostile)
		faults := make(chan error, 3*len(programs))
		var peersDone sync.WaitGroup
		for range peers {
			peersDone.Go(func() {
				for h := range queue {
					ctx, cancel := context.WithTimeout(t.Context(), limit)
					start := time.Now()
					result, err := pool.Run(ctx, h.job)
					took := time.Since(start)
					cancel()
					faults <- h.fault(result, err, errclass.Deadline, errclass.Queue)
					faults <- next.fault()
					if took > limit+grace+peers*slack()/10 {
						faults <- fmt.Errorf("%s took %v", h.name, took)
					}
				}
			})
		}
		for _, h := range programs {
			queue <- h
		}
		close(queue)
		peersDone.Wait()
		close(faults)
		var all []error
		for err := range faults {
			all = append(all, err)
		}
		require.NoError(t, errors.Join(all...))
	})
}

// requireContained runs a test on a pool of its own and checks what the host is
// left with: no process, no descriptor, no memory.
func requireContained(t *testing.T, o sandbox.Options, test func(*testing.T, *sandbox.Pool)) {
	t.Helper()
	// Whatever the first pool of a process opens for good.
	closeEventually(t, newPool(t, sandbox.Options{}))
	before := footprintNow(t)
	require.Zero(t, before.children)
	pool, err := sandbox.New(o)
	require.NoError(t, err)
	defer func() { _ = pool.Close() }()
	resident, heap := residentBytes(t), heapBytes()
	test(t, pool)
	most := hostileMemoryMB<<20 + hostHeadroom
	require.Less(t, residentBytes(t)-resident, most, "the host's resident memory has grown")
	require.Less(t, heapBytes()-heap, most/8, "the host's heap has grown")
	start := time.Now()
	require.NoError(t, pool.Close())
	require.Less(t, time.Since(start), slack())
	require.Empty(t, childrenOf(t, os.Getpid()), "of a closed pool")
	requireNothingLeft(t, before)
}

// TestMemoryCapHoldsForOneBite guards the cap against a kernel's habit: where a
// mapping replaces a reserved one, as Go's heap grows, Linux (seen on 6.18) counts
// only the difference in size against RLIMIT_DATA, which is none. One allocation
// as large as it likes then passes, and the next one is refused.
func TestMemoryCapHoldsForOneBite(t *testing.T) {
	warm := code("let n = 0; for (let i = 0; i < 20; i++) n += new Uint8Array(1e6).length; return n")
	for _, mib := range []int{128, 256, 512, 1024} {
		for range 5 {
			pool := newPool(t, sandbox.Options{Children: 1})
			_, got := run(t, pool, warm)
			require.Nil(t, got)
			bite := code(fmt.Sprintf("return new Uint8Array(%d << 20).length", mib))
			warm.Limits.MemoryMB, bite.Limits.MemoryMB = hostileMemoryMB, hostileMemoryMB
			result, got := run(t, pool, bite)
			require.NotNil(t, got, "%s bytes under a cap of %d MiB", result.Value, hostileMemoryMB)
			require.Equal(t, errclass.MemoryLimit, got.Reason, "%v (%v)", got, errors.Unwrap(got))
			require.NoError(t, pool.Close())
		}
	}
}
