package runner

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
)

const (
	// maxDepth bounds how deeply tools call each other.
	maxDepth = 8
	// maxInvocations bounds the nested executions of one request, at all depths
	// together: at a depth of 8 even a few calls each would be a flood.
	maxInvocations = 100
)

// invocations adds up the nested executions of one request.
type invocations struct {
	count atomic.Int64
	usage usage
}

// usage is what the LLM tools of one request consumed together.
type usage struct {
	mu    sync.Mutex
	total *llmtool.Usage
}

// add counts what one execution consumed. It returns that, and for the outermost
// execution, at depth 0, the sum with all nested ones.
func (u *usage) add(used *llmtool.Usage, depth int) *llmtool.Usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case used == nil:
	case u.total == nil:
		first := *used
		u.total = &first
	default:
		u.total.PromptTokens += used.PromptTokens
		u.total.CompletionTokens += used.CompletionTokens
		u.total.TotalTokens += used.TotalTokens
		u.total.EstimatedCost = sum(u.total.EstimatedCost, used.EstimatedCost)
	}
	if depth > 0 {
		return used
	}
	return u.total
}

// sum is unknown where one of the costs is: a sum that leaves one out would lie.
func sum(a, b *float64) *float64 {
	if a == nil || b == nil {
		return nil
	}
	total := *a + *b
	return &total
}

// invoke runs another tool of the same organization for a tool's code, under
// the same deadline, with the same credentials, in the same slot.
func (x *execution) invoke(ctx context.Context, id string, parameters []byte) ([]byte, error) {
	if x.depth+1 > maxDepth {
		return nil, errclass.Newf(errclass.SandboxError, errclass.InvokeLimit, "tools call each other more than %d deep", maxDepth)
	}
	if x.invoked.count.Add(1) > maxInvocations {
		return nil, errclass.Newf(errclass.SandboxError, errclass.InvokeLimit, "one execution may invoke %d tools", maxInvocations)
	}
	nested := &execution{
		runner: x.runner, id: newID(), organization: x.organization, start: time.Now(),
		credentials: x.credentials, secrets: x.secrets, invoked: x.invoked, depth: x.depth + 1,
	}
	result, err := nested.execute(ctx, id, parameters)
	if err != nil {
		return nil, turnedAway(err)
	}
	if result.Failure != nil {
		return nil, result.Failure
	}
	return result.Value, nil
}

// turnedAway is a nested request that never became an execution, as the code
// that made it sees it: its own mistake, or a limit worth waiting for.
func turnedAway(err error) error {
	var api *errclass.APIError
	if !errors.As(err, &api) {
		return err
	}
	e := errclass.New(errclass.SandboxError, errclass.Exception, api.Message).WithCause(err)
	if api.Code == errclass.CodeRateLimited || api.Code == errclass.CodeUnavailable {
		e.Reason, e.Retryable, e.RetryAfter = errclass.RateLimit, true, api.RetryAfter
		e.Hint = "Wait, then try again."
	}
	return e
}
