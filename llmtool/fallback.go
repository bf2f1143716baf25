package llmtool

import (
	"context"
	"slices"

	"github.com/almyty-inc/toolrun/errclass"
)

// Try is one request to a provider, or a provider that couldn't be asked.
type Try struct {
	Provider string
	// Model is as the provider names it, or as it was asked for where it didn't
	// answer; empty where it couldn't be asked.
	Model string
	// Usage is what the request consumed; nil where the provider didn't say.
	Usage *Usage
	// Err is why it came to nothing, a schema that was missed included; nil for
	// the answer that counts.
	Err *errclass.Error
}

// elsewhere reports whether another provider may do better. It may not where the
// request is at fault, or where somebody has to mend a key or a definition: that
// would stay hidden, and be paid for elsewhere.
func (t *Tool) elsewhere(ctx context.Context, e *errclass.Error) bool {
	if ctx.Err() != nil {
		return false
	}
	switch e.Class {
	case errclass.ConnectionRefused, errclass.Timeout: // an open breaker is a connection refused
		return true
	case errclass.InvalidResponse: // the answer broke off on its way; one that maxTokens cut isn't retryable
		return e.Retryable && e.Reason == errclass.Truncated
	case errclass.LLMError:
		return slices.Contains([]errclass.Reason{
			errclass.Overloaded, errclass.RateLimit, errclass.Quota, errclass.ServerError,
		}, e.Reason) || slices.Contains(t.fallbackOn, e.Reason)
	}
	return false
}

// decisive picks the failure of a run from those of its providers: the last that
// may pass by itself, since then the run may succeed later, or the last.
func decisive(ctx context.Context, failures []*errclass.Error) *errclass.Error {
	last := len(failures) - 1
	if ctx.Err() != nil {
		return failures[last]
	}
	for i := last; i >= 0; i-- {
		if failures[i].Retryable {
			return failures[i]
		}
	}
	return failures[last]
}
