package errclass

import (
	"context"
	"fmt"
	"time"
)

// Error is a classified failure of an execution. Make one with [New] or
// [Classify]. An Error is not safe for concurrent mutation; once returned it is
// only read.
type Error struct {
	Class  Class
	Reason Reason
	Origin Origin

	// Detail is what the caller can act on beyond the class's title: one line,
	// free of secrets and of anything about the host. Empty where the title
	// says it all.
	Detail string

	// Retryable reports whether the same request may succeed later.
	Retryable bool
	// RetryAfter is how long to wait before that; zero where unknown.
	RetryAfter time.Duration

	// Attempts counts the requests made; zero where there is no such notion.
	Attempts int
	// Stopped says why there was no further attempt.
	Stopped Stopped

	// Limit is the time that ran out, for a [Timeout]; zero where unknown.
	Limit time.Duration

	// Upstream describes who answered, as far as somebody did.
	Upstream Upstream

	// Hint is one sentence saying what to do; [New] fills it by reason.
	Hint string

	// Stack holds the tool's own frames, innermost first.
	Stack []string

	// Cause is the error beneath, for the log only: its text may hold secrets.
	Cause error
}

// Upstream is the other side of a failed call.
type Upstream struct {
	Host      string `json:"host,omitempty"`
	Provider  string `json:"provider,omitempty"`
	Status    int    `json:"status,omitempty"` // HTTP status
	Code      string `json:"code,omitempty"`   // the upstream's own error code
	RequestID string `json:"requestId,omitempty"`
}

// Stopped says why no further attempt was made.
type Stopped string

// The values of [Stopped].
const (
	StoppedNotRetryable Stopped = "not_retryable"
	StoppedMaxAttempts  Stopped = "max_attempts"
	StoppedDeadline     Stopped = "deadline"
	StoppedCancelled    Stopped = "cancelled"
)

// New returns an error of the given class and reason, with origin,
// retryability and hint as the reason implies. Detail is made one line.
func New(class Class, reason Reason, detail string) *Error {
	t := traits[reason]
	return &Error{
		Class: class, Reason: reason, Detail: OneLine(detail, maxDetail),
		Origin: t.origin, Retryable: t.retryable, Hint: t.hint,
	}
}

// Newf is [New] with a formatted detail.
func Newf(class Class, reason Reason, format string, args ...any) *Error {
	return New(class, reason, fmt.Sprintf(format, args...))
}

// WithCause sets the error beneath and returns e.
func (e *Error) WithCause(err error) *Error {
	e.Cause = err
	return e
}

// FromPanic classifies the value of a recovered panic. The value stays in
// [Error.Cause], for the log.
func FromPanic(value any) *Error {
	return New(InternalError, Panic, "").WithCause(&panicError{value})
}

type panicError struct{ value any }

func (p *panicError) Error() string {
	if err, ok := p.value.(error); ok {
		return "panic: " + textOf(err)
	}
	return fmt.Sprintf("panic: %v", p.value) // fmt recovers from a panicking String method
}

// Error is the message without the "Tool execution failed: " of the outcome.
func (e *Error) Error() string {
	if e == nil {
		return InternalError.Title()
	}
	if e.Detail == "" {
		return e.Class.Title()
	}
	return e.Class.Title() + ": " + e.Detail
}

// Unwrap returns [Error.Cause].
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Cause
}

// Is makes errors.Is(err, context.DeadlineExceeded) hold for every [Timeout]
// and errors.Is(err, context.Canceled) for every [Cancelled], whatever the
// cause.
func (e *Error) Is(target error) bool {
	if e == nil {
		return false
	}
	switch target {
	case context.DeadlineExceeded:
		return e.Class == Timeout
	case context.Canceled:
		return e.Class == Cancelled
	}
	return false
}
