// Package sandbox runs the JavaScript of tools: one execution, one fresh realm,
// in a child process under hard limits on time, memory, output and nesting, and
// with every failure as an [*errclass.Error].
//
// Put [Init] first in main. Start with [New], which gives a [Pool]; [Pool.Run]
// executes a [Job] and [Pool.Check] only looks whether a [Source] parses. An
// execution goes from the host (pool.go → children.go → run.go → verdict.go) by frames
// (wire.go) to a child (child.go, walled in by harden_linux.go), which does what an
// inline pool does in its own process: execution.go → compile.go → realm.go →
// loop.go → failure.go. What the realm offers beside the language starts in
// globals.go and prelude.go.
//
// A source is the body of an async function with parameters, credentials,
// require and tools in scope, or, where it has a default export, a module whose
// default export is called with (parameters, {credentials, tools}). TypeScript is
// accepted. The realm has the language as goja and esbuild give it and the
// built-ins that they lack, and of the Web APIs: console, timers, queueMicrotask,
// fetch with Headers, Request, Response and FormData, Blob and File, URL and
// URLSearchParams, AbortController and AbortSignal, Event and EventTarget,
// DOMException, TextEncoder and TextDecoder, atob, btoa, structuredClone, crypto
// (random values, digests, HMAC), performance and self. They follow their
// standards; where they don't, the field or the file that makes them says so. Of
// node there are Buffer and a few modules to require (modules.go). It has no file
// or process, and no network but what [Job.Fetch] gives it. What a source imports
// is bundled before it runs, see [Source.Dir].
//
// What a program does that nobody awaits: a promise that rejects without a
// handler leaves the result as it is and a line at level "error" in the logs;
// an exception in a timer, a microtask or an event listener fails the execution.
// Timers and requests that are still pending when the result is known are dropped.
package sandbox

import (
	"context"
	"fmt"

	"github.com/almyty-inc/toolrun/errclass"
)

// Isolation says what stands between a program and its host.
type Isolation string

// Process runs each program in a child process of the same binary: warm, one
// execution at a time, each in a fresh realm. At the deadline the child is asked
// to stop and killed 50 ms later; its memory is capped; it has no files, no
// network, no environment and no other process (see [Pool.Hardening]). It needs
// [Init], and a Unix; the walls are Linux's: elsewhere a child is a process that can
// be killed, and no more.
const Process Isolation = "process"

// Inline runs a program in the host's own process. Its limits are soft: time is
// checked between the instructions of the program only, so a built-in function
// that computes for long runs to its end in a goroutine that [Pool.Run] has
// left behind (see [Pool.Abandoned]), and so does the compiling of a source;
// memory isn't limited; and native recursion without end takes the host down. It
// is for code one trusts.
const Inline Isolation = "inline"

// Options configures a [Pool]. The zero value is usable.
type Options struct {
	// Isolation defaults to [Process].
	Isolation Isolation
	// Children is how many child processes run executions at once, and how many
	// more of each depth of nesting (see [Job.Depth]). They are started when
	// needed. Defaults to two per CPU, at least 8.
	Children int
	// Queue is how many executions may wait for a child; the next one is turned
	// away. Defaults to 128 per child.
	Queue int
	// MayLack names the required layers (see [Layer]) without which the pool
	// starts all the same. Each opens a hole in the sandbox.
	MayLack []string
	// Defaults stand in for the zero fields of [Job.Limits].
	Defaults Limits
}

// Validate names the field that is wrong, if one is. [New] calls it.
func (o Options) Validate() error {
	for _, field := range []struct {
		name  string
		value int
	}{{"Children", o.Children}, {"Queue", o.Queue}} {
		if field.value < 0 {
			return fmt.Errorf("sandbox: Options.%s is %d; it must not be negative", field.name, field.value)
		}
	}
	switch o.Isolation {
	case "", Process, Inline:
	default:
		return fmt.Errorf("sandbox: Options.Isolation %q is unknown; use %q or %q", string(o.Isolation), Process, Inline)
	}
	return o.Defaults.check()
}

// Source is a program as its author wrote it.
type Source struct {
	// Name stands in errors, as in "pricing.ts:3:14". It decides the language:
	// TypeScript when it ends in .ts or .mts, else JavaScript, where TypeScript
	// is tolerated. With Dir it may be a path in that folder; errors show its last
	// element. Defaults to "code".
	Name string
	// Code is the text, in UTF-8.
	Code string
	// Dir is the absolute path of the folder that the source may import from: files
	// by relative paths, packages in node_modules. Nothing outside is read, whatever
	// dots or symbolic links say. The files are read when the source is compiled,
	// 8 MiB of them at most; while the pool keeps what came of it, changes aren't
	// seen. Empty: nothing can be imported.
	Dir string
}

// Job is one execution. Everything in it is bytes, text or a callback.
type Job struct {
	Source Source
	// Parameters and Credentials are JSON texts; empty stands for {}.
	Parameters, Credentials []byte
	Limits                  Limits
	// Organization is on whose behalf the job runs. One that has a name holds at
	// most three quarters of the children, and those that wait take turns.
	Organization string
	// Depth is how many executions this one is nested in through Invoke.
	Depth int
	// Invoke runs another tool for tools.invoke. Its context ends with the
	// execution, at the latest; it must return soon after. It is called from
	// goroutines of its own, several at a time. When nil, tools is undefined.
	Invoke func(ctx context.Context, tool string, parameters []byte) ([]byte, error)
	// Fetch sends a request for fetch, on the same terms as Invoke; its context
	// also ends when the program aborts the request. A response of any status is
	// an answer; an error is a network failure, which the program sees as a
	// TypeError. The request is Fetch's own to keep, the response the program's.
	// When nil, the program reaches no network and fetch says so.
	Fetch func(ctx context.Context, req *FetchRequest) (*FetchResponse, error)
	// Log, where not nil, is called with each line of the log as it comes, as it will
	// stand in [Result.Logs], one call at a time, and is waited for.
	Log func(errclass.LogLine)
	// Axios gives the program the global axios, and require("axios"). It sends its
	// requests with fetch, so it reaches what Fetch reaches.
	Axios bool
}

// Result is what an execution leaves behind.
type Result struct {
	// Value is the result's JSON text; nil after a failure.
	Value []byte
	// Logs is what the program wrote to its console, also before a failure.
	Logs []errclass.LogLine
	// LogsTruncated reports that Limits.LogBytes cut the logs.
	LogsTruncated bool
}
