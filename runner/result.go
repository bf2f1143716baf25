package runner

import (
	"context"
	"encoding/json"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
)

// Request asks for one execution.
type Request struct {
	// Tool is the id or the name of the tool.
	Tool string
	// Organization is on whose behalf the tool runs. It sees its own tools and
	// those that belong to none, and has rate limits of its own.
	Organization string
	// Parameters is a JSON object; empty stands for {}. The order of its members
	// reaches a javascript tool unless a default of the schema was added.
	Parameters json.RawMessage
	// Credentials are added to [Options.Credentials] for this execution and win
	// over them. They are kept out of errors, logs and details.
	Credentials map[string]any
	// Timeout bounds the execution further; zero leaves it to the definition.
	Timeout time.Duration
	// ExecutionID names the execution; empty makes a new name. Who accepts requests
	// before they run has named them already.
	ExecutionID string
	// RateSpent says that the tool's rate limit was spent when the request was
	// accepted, by [Runner.Admit]. Tools that it invokes spend theirs as ever.
	RateSpent bool
	// Log, where not nil, is called with each line that a javascript tool logs, as it
	// comes, with secrets redacted, one call at a time, and is waited for. Tools that
	// it invokes log elsewhere.
	Log func(errclass.LogLine)
	// Stream, where not nil, is called with each piece of an llm tool's answer as it
	// comes, before Execute returns, and is waited for: it must not block for longer
	// than the answer may take. Secrets are redacted, for which an end may be held
	// back until the next piece. There are no pieces from the cache, from tools that
	// the tool invokes, or of other types. They are the model's raw words, of which
	// the Result may make something else, or a failure.
	Stream func(delta string)
	// Started, where not nil, is called once, when the request has become an
	// execution and has a slot to run in. ctx ends with the execution.
	Started func(ctx context.Context, executionID string)
}

// Result is an execution that ran, whether it succeeded or failed. It is the
// caller's alone.
type Result struct {
	// ExecutionID names the execution in logs.
	ExecutionID string
	// Tool is the id of the tool.
	Tool string
	// Value is the result in JSON; nil after a failure.
	Value json.RawMessage
	// Failure is nil after a success.
	Failure *errclass.Error
	// Usage is what the LLM tool, and those that the tool invoked, consumed, also
	// when it failed; else nil.
	Usage *llmtool.Usage
	// Tries are the requests of an LLM tool, each with its provider and cost.
	Tries []llmtool.Try
	// Duration is the wall time from the accepted request to the outcome.
	Duration time.Duration
	// Logs is what the tool wrote to its console, also when it failed.
	Logs []errclass.LogLine
	// Upstream is who answered an LLM tool last.
	Upstream errclass.Upstream
	// LogsTruncated reports that Logs ends early, at the sandbox's limit.
	LogsTruncated bool
	// Cached reports that the value comes from the cache.
	Cached bool
}

// JSON is the document that callers get; see [errclass.Outcome]. With details
// it says all that is known about the execution.
func (r *Result) JSON(details bool) ([]byte, error) {
	o := errclass.Outcome{Err: r.Failure, Result: r.Value, Duration: r.Duration}
	if r.Usage != nil && r.Failure == nil {
		o.Usage = r.Usage
	}
	if details {
		o.Details = r.details()
	}
	return o.AppendJSON(nil)
}

// MarshalJSON is [Result.JSON] without details.
func (r *Result) MarshalJSON() ([]byte, error) { return r.JSON(false) }

func (r *Result) details() *errclass.Details {
	d := &errclass.Details{}
	if r.Failure != nil {
		d = r.Failure.Details()
		if r.Usage != nil { // a nil pointer is no nil any
			d.Usage = r.Usage
		}
	} else if r.Upstream != (errclass.Upstream{}) {
		d.Upstream = &r.Upstream
	}
	for _, t := range r.Tries {
		try := errclass.Try{Provider: t.Provider, Model: t.Model}
		if t.Err != nil {
			try.Reason, try.Error = t.Err.Reason, t.Err.Error()
		}
		if t.Usage != nil {
			try.Usage = t.Usage
		}
		d.Tries = append(d.Tries, try)
		if r.Failure == nil && t.Model != "" { // it was asked
			d.Attempts++
		}
	}
	d.ExecutionID = r.ExecutionID
	d.Logs = r.Logs
	d.Truncated = d.Truncated || r.LogsTruncated
	return d
}
