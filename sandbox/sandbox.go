// Package sandbox runs the JavaScript of tools: one execution, one fresh realm,
// with limits on time, output and nesting, and with every failure as an
// [*errclass.Error].
//
// Start with [New], which gives a [Pool]; [Pool.Run] executes a [Job] and
// [Pool.Check] only looks whether a [Source] parses. Inside, an execution goes
// pool.go → execution.go → compile.go → realm.go → loop.go → failure.go.
//
// A source is the body of an async function with parameters, credentials,
// require and tools in scope, or, where it has a default export, a module whose
// default export is called with (parameters, {credentials, tools}). TypeScript is
// accepted. The realm has the language as goja and esbuild give it and the
// built-ins that they lack, console, timers and queueMicrotask; it has no file,
// network or process. What a source imports is bundled before it runs, see
// [Source.Dir].
//
// What a program does that nobody awaits: a promise that rejects without a
// handler leaves the result as it is and a line at level "error" in the logs;
// an exception in a timer or a microtask fails the execution. Timers that are
// still pending when the result is known are dropped.
package sandbox

import (
	"context"

	"github.com/almyty-inc/toolrun/errclass"
)

// Isolation says what stands between a program and its host.
type Isolation string

// Inline runs a program in the host's own process. Its limits are soft: time is
// checked between the instructions of the program only, so a built-in function
// that computes for long runs to its end in a goroutine that [Pool.Run] has
// left behind (see [Pool.Abandoned]), and so does the compiling of a source;
// memory isn't limited; and native recursion without end takes the host down. It
// is for code one trusts.
const Inline Isolation = "inline"

// Options configures a [Pool]. The zero value is usable.
type Options struct {
	// Isolation defaults to [Inline], the only one yet.
	Isolation Isolation
	// Defaults stand in for the zero fields of [Job.Limits].
	Defaults Limits
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
	// Invoke runs another tool for tools.invoke. Its context ends with the
	// execution, at the latest; it must return soon after. It is called from
	// goroutines of its own, several at a time. When nil, tools is undefined.
	Invoke func(ctx context.Context, tool string, parameters []byte) ([]byte, error)
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
