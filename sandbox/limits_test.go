package sandbox_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/redact"
	"github.com/almyty-inc/toolrun/sandbox"
)

// TestLimits hits every limit one below, at, and one above.
func TestLimits(t *testing.T) {
	const limit = 100
	filled := func(n int) string { return strings.Repeat("x", n) }
	echo := func(_ context.Context, _ string, parameters []byte) ([]byte, error) { return parameters, nil }
	answers := func(body string) func(context.Context, *sandbox.FetchRequest) (*sandbox.FetchResponse, error) {
		return func(context.Context, *sandbox.FetchRequest) (*sandbox.FetchResponse, error) {
			return &sandbox.FetchResponse{Status: 200, Body: []byte(body)}, nil
		}
	}
	cases := []struct {
		title  string
		limits sandbox.Limits
		job    func(n int) sandbox.Job
		reason errclass.Reason
		detail string
	}{
		{"result, a text", sandbox.Limits{OutputBytes: limit},
			func(n int) sandbox.Job { return code(fmt.Sprintf("return 'x'.repeat(%d)", n-2)) },
			errclass.OutputLimit, "more than 100 bytes in the result"},
		{"result, an object", sandbox.Limits{OutputBytes: limit},
			func(n int) sandbox.Job { return code(fmt.Sprintf("return ['x'.repeat(%d)]", n-4)) },
			errclass.OutputLimit, "more than 100 bytes in the result"},
		{"result, counted in bytes", sandbox.Limits{OutputBytes: limit},
			func(n int) sandbox.Job { return code(fmt.Sprintf("return 'x'.repeat(%d) + 'é'", n-4)) },
			errclass.OutputLimit, "more than 100 bytes in the result"},
		{"source", sandbox.Limits{SourceBytes: limit},
			func(n int) sandbox.Job { return code("//" + filled(n-2)) },
			errclass.SourceLimit, "more than 100 bytes in the source"},
		{"parameters", sandbox.Limits{ParameterBytes: limit},
			func(n int) sandbox.Job {
				job := code("return 1")
				job.Parameters = []byte(`"` + filled(n-2) + `"`)
				return job
			}, errclass.ParameterLimit, "more than 100 bytes in the parameters"},
		{"credentials", sandbox.Limits{ParameterBytes: limit},
			func(n int) sandbox.Job {
				job := code("return 1")
				job.Credentials = []byte(`"` + filled(n-2) + `"`)
				return job
			}, errclass.ParameterLimit, "more than 100 bytes in the credentials"},
		{"parameters of an invoke", sandbox.Limits{ParameterBytes: limit},
			func(n int) sandbox.Job {
				job := code(fmt.Sprintf("await tools.invoke('echo', 'x'.repeat(%d))", n-2))
				job.Invoke = func(context.Context, string, []byte) ([]byte, error) { return nil, nil }
				return job
			}, errclass.ParameterLimit, `tool "echo": more than 100 bytes in the parameters`},
		{"result of an invoke", sandbox.Limits{ParameterBytes: limit},
			func(n int) sandbox.Job {
				job := code("await tools.invoke('big')")
				job.Invoke = func(context.Context, string, []byte) ([]byte, error) { return []byte(`"` + filled(n-2) + `"`), nil }
				return job
			}, errclass.ParameterLimit, `tool "big": more than 100 bytes in the result`},
		{"invokes", sandbox.Limits{Invokes: limit},
			func(n int) sandbox.Job {
				job := code(fmt.Sprintf("for (let i = 0; i < %d; i++) await tools.invoke('echo', i)", n))
				job.Invoke = echo
				return job
			}, errclass.InvokeLimit, `tool "echo": more than 100 calls of tools.invoke`},
		{"fetches", sandbox.Limits{Fetches: limit},
			func(n int) sandbox.Job {
				job := code(fmt.Sprintf("for (let i = 0; i < %d; i++) await fetch('http://h/')", n))
				job.Fetch = answers("")
				return job
			}, errclass.InvokeLimit, "more than 100 calls of fetch"},
		{"body of a fetch", sandbox.Limits{ParameterBytes: limit},
			func(n int) sandbox.Job {
				job := code(fmt.Sprintf("await fetch('http://h/', {method: 'POST', body: 'é' + 'x'.repeat(%d)})", n-2))
				job.Fetch = answers("")
				return job
			}, errclass.ParameterLimit, "more than 100 bytes in the request's body"},
		{"response to a fetch", sandbox.Limits{ParameterBytes: limit},
			func(n int) sandbox.Job {
				job := code("await fetch('http://h/')")
				job.Fetch = answers(filled(n))
				return job
			}, errclass.ParameterLimit, "more than 100 bytes in the response's body"},
		{"call depth", sandbox.Limits{CallDepth: limit},
			// The tool's own function counts, too.
			func(n int) sandbox.Job {
				return code(fmt.Sprintf("const f = (n) => n > 1 ? 1 + f(n - 1) : 1; return f(%d)", n-1))
			}, errclass.StackOverflow, "calls are nested more than 100 deep (code:1:31)"},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			for _, over := range []int{-1, 0, 1} {
				t.Run(fmt.Sprintf("%s%+d", c.title, over), func(t *testing.T) {
					job := c.job(limit + over)
					job.Limits = c.limits
					_, got := run(t, pool, job)
					if over <= 0 {
						require.Nil(t, got)
						return
					}
					require.NotNil(t, got)
					require.Equal(t, errclass.SandboxError, got.Class)
					require.Equal(t, c.reason, got.Reason)
					require.Equal(t, c.detail, got.Detail)
				})
			}
		}
	})
}

func TestLogLimit(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		line := func(message string) errclass.LogLine { return errclass.LogLine{Level: "info", Message: message} }
		cases := []struct {
			code      string
			want      []errclass.LogLine
			truncated bool
		}{
			{`console.log("x".repeat(8))`, []errclass.LogLine{line("xxxxxxxx")}, false},
			{`console.log("x".repeat(9))`, []errclass.LogLine{line("xxxxxxxxx")}, false},
			{`console.log("x".repeat(10))`, []errclass.LogLine{line("…")}, true},
			{`console.log("x".repeat(8) + "é")`, []errclass.LogLine{line("…")}, true},
			{`console.log("aé bcdefgh")`, []errclass.LogLine{line("aé…")}, true},
			{`console.log("abcd"); console.log("efgh")`, []errclass.LogLine{line("abcd"), line("efgh")}, false},
			{`console.log("abcd"); console.log("efghi"); console.log("")`, []errclass.LogLine{line("abcd"), line("…")}, true},
			{`console.log("abcd"); console.log("efgh"); console.log("")`, []errclass.LogLine{line("abcd"), line("efgh")}, true},
			{`for (let i = 0; i < 100000; i++) console.log("")`, slicesRepeat(line(""), 10), true},
		}
		for _, c := range cases {
			job := code(c.code)
			job.Limits.LogBytes = 10
			result, failure := run(t, pool, job)
			require.Nil(t, failure, c.code)
			require.Equal(t, c.want, result.Logs, c.code)
			require.Equal(t, c.truncated, result.LogsTruncated, c.code)
		}
	})
}

func slicesRepeat(line errclass.LogLine, n int) []errclass.LogLine {
	lines := make([]errclass.LogLine, n)
	for i := range lines {
		lines[i] = line
	}
	return lines
}

func TestErrorLimit(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for n, want := range map[int]string{
			19: "Error: " + strings.Repeat("x", 19) + " (code:1:7)",
			20: "Error: " + strings.Repeat("x", 20) + " (code:1:7)",
			21: "Error:… (code:1:7)",
		} {
			job := code(fmt.Sprintf("throw new Error('x'.repeat(%d))", n))
			job.Limits.ErrorBytes = len("Error: ") + 20
			require.Equal(t, want, failure(t, pool, job).Detail)
		}
		for _, text := range []string{
			`throw new Error("x".repeat(1e6))`, `throw "x".repeat(1e6)`, `throw {a: "x".repeat(1e6)}`, `throw Symbol("x".repeat(1e6))`,
			`const e = new Error("x"); e.name = "y".repeat(1e6); throw e`, `throw new Error("é".repeat(1e6))`,
		} {
			got := failure(t, pool, code(text))
			require.Less(t, len([]rune(got.Detail)), 2001, text)
			require.Equal(t, strings.Contains(text, "new Error"), strings.Contains(got.Detail, "(code:1:"), "the place survives: %s", got.Detail)
		}
	})
}

// TestCutsHideSecrets: whatever a limit cuts, redaction finds what is left of a
// secret there, or nothing is.
func TestCutsHideSecrets(t *testing.T) {
	const token = "sk-live-8aF3kQz71Lm"
	redactor := redact.New([]string{token})
	step := 7
	if underRace { // nothing here runs at once
		step = 31
	}
	forms := map[string]string{
		"plain": `credentials.tok`, "escaped": `[...credentials.tok].map((c) => "\\u" + c.charCodeAt().toString(16).padStart(4, "0")).join("")`,
		"hex":    `[...credentials.tok].map((c) => c.charCodeAt().toString(16)).join("")`,
		"base64": `"` + base64.StdEncoding.EncodeToString([]byte(token)) + `"`, "percent": `[...credentials.tok].map((c) => "%" + c.charCodeAt().toString(16)).join("")`,
	}
	sinks := map[string]string{
		"message":   `const e = new Error(text); throw e`,
		"name":      `const e = new Error("x"); e.name = text; throw e`,
		"text":      `throw text`,
		"object":    `throw {text, more: "x"}`,
		"symbol":    `throw Symbol(text)`,
		"rejection": `await Promise.reject(new Error(text))`,
		"nested":    `await tools.invoke(text, {})`,
		"require":   `require(text)`,
		"log":       `console.log(text); throw 1`,
		"log error": `console.log(new Error(text)); throw 1`,
		"log json":  `console.log({text}); throw 1`,
		"log more":  `console.log("%s %d", text, 1, text); throw 1`,
		"log lines": `console.log(text.slice(0, n)); console.log(text.slice(n).trim()); throw 1`,
		"unhandled": `Promise.reject(new Error(text)); throw 1`,
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for form, expression := range forms {
			for sink, statement := range sinks {
				for _, gap := range []string{" ", ""} {
					for n := 225; n < 350; n += step {
						job := code(fmt.Sprintf("const n = %d, text = 'x'.repeat(n) + '%s' + %s; %s", n, gap, expression, statement))
						job.Credentials = []byte(`{"tok":"` + token + `"}`)
						job.Limits.ErrorBytes, job.Limits.LogBytes = 350, 350
						job.Invoke = func(context.Context, string, []byte) ([]byte, error) {
							return nil, errclass.New(errclass.HTTPError, errclass.BadRequest, "no")
						}
						result, got := run(t, pool, job)
						require.NotNil(t, got)
						texts := redactor.String(got.Detail)
						for _, line := range result.Logs {
							texts += "\n" + redactor.String(line.Message)
						}
						// Less than six bytes without a gap before them aren't told from any other text.
						for _, left := range []string{token[:6], "c2stbGl2", "736b2d6c6976", `\\u0073\\u006b\\u002d\\u006c\\u0069\\u0076`, `\u0073\u006b\u002d\u006c\u0069\u0076`, "%73%6b%2d%6c%69%76"} {
							require.NotContains(t, texts, left, "%s to %s at %d", form, sink, n)
						}
						if gap != "" {
							require.NotRegexp(t, `x (s|c2|7|\\|%)`, texts, "%s to %s at %d", form, sink, n)
						}
					}
				}
			}
		}
	})
}

func TestErrorsHaveRoomForRedaction(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		got := failure(t, pool, code(`throw new Error("x".repeat(450) + " the end")`))
		require.Contains(t, got.Detail, "x the end (code:1:7)")
		require.Equal(t, 500, len([]rune(got.Message())))
	})
}

func TestOptions(t *testing.T) {
	_, err := sandbox.New(sandbox.Options{Isolation: "vm"})
	require.EqualError(t, err, `sandbox: Options.Isolation "vm" is unknown; use "process" or "inline"`)
	_, err = sandbox.New(sandbox.Options{Children: -1})
	require.EqualError(t, err, "sandbox: Options.Children is -1; it must not be negative")
	_, err = sandbox.New(sandbox.Options{Queue: -1})
	require.EqualError(t, err, "sandbox: Options.Queue is -1; it must not be negative")
	_, err = sandbox.New(sandbox.Options{Defaults: sandbox.Limits{CallDepth: -1}})
	require.EqualError(t, err, "sandbox: Limits.CallDepth is -1; it must not be negative")

	pool := newPool(t, sandbox.Options{Defaults: sandbox.Limits{OutputBytes: 10}})
	job := code(`return "x".repeat(10)`)
	require.Equal(t, errclass.OutputLimit, failure(t, pool, job).Reason, "the pool's default")
	job.Limits.OutputBytes = 12
	require.Equal(t, `"xxxxxxxxxx"`, value(t, pool, job), "the job's own")
	job.Limits.OutputBytes = -1
	require.Equal(t, errclass.InternalError, failure(t, pool, job).Class, "the embedder's mistake")
	job = code("return 1")
	job.Parameters = []byte(`{"a":`)
	require.Equal(t, errclass.InternalError, failure(t, pool, job).Class, "the embedder's mistake")
}
