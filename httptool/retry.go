package httptool

import (
	"math/rand/v2"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

const (
	backoffStart = 250 * time.Millisecond
	backoffMost  = 10 * time.Second
	// longestWait is the longest that an upstream's Retry-After holds up an
	// execution; a longer one is for the caller to wait.
	longestWait = time.Minute
)

// try sends a request and repeats it while that is safe, promising and in time.
func (c *call) try(req *request) (*reply, *errclass.Error) {
	for retry := 0; ; retry++ {
		began := time.Now()
		reply, failure := c.attempt(req)
		if failure == nil || c.foreign(failure) {
			return reply, failure
		}
		failure.Attempts = c.attempts
		if c.acted && !req.idempotent() {
			failure.Retryable = false
		}
		wait := backoff(retry)
		if failure.RetryAfter > 0 {
			wait = failure.RetryAfter
		}
		failure.Stopped = c.stops(failure, retry, wait, time.Since(began))
		if failure.Stopped != "" {
			return nil, failure
		}
		if ended := c.sleep(wait, failure.Upstream.Host); ended != nil {
			return nil, ended
		}
	}
}

// stops says why there is no further attempt; empty where there is one. It
// agrees with e.Retryable, which tells the caller whether to come again: "not
// retryable" is said of nothing that is. A request that isn't idempotent loses
// it once the target may have acted on it, whatever the failure: only the target
// knows whether a POST that ended in a 500 or a timeout took effect.
func (c *call) stops(e *errclass.Error, retry int, wait, took time.Duration) errclass.Stopped {
	switch {
	case e.Class == errclass.Cancelled:
		return errclass.StoppedCancelled
	case !e.Retryable:
		return errclass.StoppedNotRetryable
	case c.parent.Err() != nil:
		return errclass.StoppedDeadline
	case retry >= c.tool.retries:
		return errclass.StoppedMaxAttempts
	case wait > longestWait: // no execution is to last that long
		return errclass.StoppedDeadline
	}
	// An attempt that takes as long as this one did must fit in.
	if deadline, ok := c.parent.Deadline(); ok && time.Until(deadline) <= wait+took {
		return errclass.StoppedDeadline
	}
	return ""
}

// unsent reports whether a request failed before anything of it left: it found
// no address, no connection or no breaker that is closed.
func (c *call) unsent(e *errclass.Error) bool {
	switch e.Reason {
	case errclass.Refused, errclass.DNSNotFound, errclass.DNSTemporary, errclass.CircuitOpen:
		return true // none of these arises on a connection that stands
	}
	at := c.phase.at.Load()
	return phaseDNS <= at && at < phaseHeaders
}

// sleep waits, or returns the failure of a context that ended meanwhile.
func (c *call) sleep(wait time.Duration, host string) *errclass.Error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.parent.Done():
		e := c.ended(host)
		if e == nil { // can't be: Done means that there is an error
			e = errclass.Classify(c.parent.Err())
		}
		if !c.foreign(e) {
			e.Attempts, e.Stopped = c.attempts, errclass.StoppedDeadline
			if e.Class == errclass.Cancelled {
				e.Stopped = errclass.StoppedCancelled
			}
		}
		return e
	}
}

// backoff is exponential with full jitter, so that many callers don't come back
// together.
func backoff(retry int) time.Duration {
	return rand.N(min(backoffStart<<min(retry, 10), backoffMost)) + time.Millisecond
}
