package httptool

import (
	"math/rand/v2"
	"net/http"
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
		wait := backoff(retry)
		if failure.RetryAfter > 0 {
			wait = failure.RetryAfter
		}
		failure.Stopped = c.stops(req, failure, retry, wait, time.Since(began))
		if failure.Stopped != "" {
			return nil, failure
		}
		if ended := c.sleep(wait, failure.Upstream.Host); ended != nil {
			return nil, ended
		}
	}
}

// stops says why there is no further attempt; empty where there is one.
func (c *call) stops(req *request, e *errclass.Error, retry int, wait, took time.Duration) errclass.Stopped {
	switch {
	case e.Class == errclass.Cancelled:
		return errclass.StoppedCancelled
	case c.parent.Err() != nil:
		return errclass.StoppedDeadline
	case !worthRepeating(e) || !req.idempotent():
		return errclass.StoppedNotRetryable
	case retry >= c.tool.retries:
		return errclass.StoppedMaxAttempts
	case wait > longestWait:
		return errclass.StoppedNotRetryable
	}
	// An attempt that takes as long as this one did must fit in.
	if deadline, ok := c.parent.Deadline(); ok && time.Until(deadline) <= wait+took {
		return errclass.StoppedDeadline
	}
	return ""
}

func worthRepeating(e *errclass.Error) bool {
	switch e.Class {
	case errclass.ConnectionRefused, errclass.Timeout:
		return e.Retryable
	case errclass.HTTPError:
		switch e.Upstream.Status {
		case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
	}
	return false
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
