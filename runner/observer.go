package runner

import (
	"context"

	"github.com/almyty-inc/toolrun/sandbox"
)

// Observer watches executions, for metrics and traces. It is called from many
// goroutines at once, and is waited for.
type Observer interface {
	// Begin is called when the tool of a request was found, for nested executions
	// too. The execution goes on under the context that it returns, and ends with a
	// call of the function: with its result, or with the [*errclass.APIError] that
	// turned it away.
	Begin(ctx context.Context, e Execution) (context.Context, func(*Result, error))
}

// Execution is what an [Observer] is told of one.
type Execution struct {
	ID, Organization string
	Tool             string // its id
	Type             Type
	Depth            int // 0 for the outermost
}

// observe tells the observer of an execution, if there is one.
func (x *execution) observe(ctx context.Context) (context.Context, func(*Result, error)) {
	if x.runner.opts.Observer == nil {
		return ctx, func(*Result, error) {}
	}
	return x.runner.opts.Observer.Begin(ctx, Execution{
		ID: x.id, Organization: x.organization, Tool: x.tool.def.id(), Type: x.tool.def.Type, Depth: x.depth,
	})
}

// Stats is what a runner holds at a moment.
type Stats struct {
	Running int // executions in flight, waiting ones included and nested ones not
	Waiting int // those that wait for a slot
	Sandbox sandbox.Stats
}

// Stats returns what the runner holds right now.
func (r *Runner) Stats() Stats {
	s := Stats{Running: r.Running(), Waiting: r.slots.queue.Waiting()}
	if pool := r.pool.Load(); pool != nil {
		s.Sandbox = pool.Stats()
	}
	return s
}
