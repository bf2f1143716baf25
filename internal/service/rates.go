package service

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/runner"
)

// Rates is the [runner.RateStore] that holds limits for all nodes together, and tells
// the answer of the request what is left.
func Rates(shared *queue.Rates) runner.RateStore { return rates{shared} }

type rates struct{ shared *queue.Rates }

// Spend implements [runner.RateStore].
func (s rates) Spend(ctx context.Context, tool, organization string, limit runner.RateLimit) runner.RateState {
	var limits []queue.Limit
	if limit.RequestsPerMinute > 0 {
		limits = append(limits, queue.Limit{N: limit.RequestsPerMinute, Per: time.Minute})
	}
	if limit.RequestsPerHour > 0 {
		limits = append(limits, queue.Limit{N: limit.RequestsPerHour, Per: time.Hour})
	}
	state, err := s.shared.Spend(ctx, "tool\x00"+organization+"\x00"+tool, limits)
	if err != nil { // its caller is gone: the execution ends by itself
		return runner.RateState{}
	}
	if report, ok := ctx.Value(rateReportKey{}).(*rateReport); ok {
		report.add(state)
	}
	return runner.RateState(state)
}

// spend takes one request of what the caller's key and organization may make.
func (s *Server) spend(ctx context.Context, c *call) error {
	if s.opts.Rates == nil {
		return nil
	}
	if key := c.caller.Key; key != nil && key.RequestsPerMinute > 0 {
		if err := s.spendFrom(ctx, c, "key\x00"+key.ID, key.RequestsPerMinute); err != nil {
			return err
		}
	}
	if s.opts.OrganizationRate > 0 && c.organization != "" {
		return s.spendFrom(ctx, c, "organization\x00"+c.organization, s.opts.OrganizationRate)
	}
	return nil
}

func (s *Server) spendFrom(ctx context.Context, c *call, bucket string, perMinute int) error {
	state, err := s.opts.Rates.Spend(ctx, bucket, []queue.Limit{{N: perMinute, Per: time.Minute}})
	if err != nil {
		return err
	}
	c.rates.add(state)
	if state.RetryAfter <= 0 {
		return nil
	}
	e := errclass.RateLimited(state.RetryAfter)
	e.RateLimit = state.Limit
	return e
}

// rateReport says in an answer's header what is left of the limits that the request
// was counted against: of the one with the least.
type rateReport struct {
	mu     sync.Mutex
	header http.Header
	known  bool
	least  int
	closed bool
}

type rateReportKey struct{}

func (r *rateReport) add(state queue.RateState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.known && state.RetryAfter <= 0 && state.Remaining >= r.least {
		return
	}
	r.known, r.least = true, state.Remaining
	r.header.Set("X-RateLimit-Limit", strconv.Itoa(state.Limit))
	r.header.Set("X-RateLimit-Remaining", strconv.Itoa(state.Remaining))
	r.header.Set("X-RateLimit-Reset", strconv.FormatInt(errclass.RetrySeconds(state.Reset), 10))
}

// close ends the report: the header may be on its way, and what the tool calls has
// limits that say nothing of the caller's.
func (r *rateReport) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}
