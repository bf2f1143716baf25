package errclass

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// messagePrefix starts the "error" field of every failed execution.
const messagePrefix = "Tool execution failed: "

// maxDocument is what a failure document without its logs stays under, in bytes.
const maxDocument = 8 << 10

// Outcome is what an execution returns. Its JSON is
//
//	{"success":true,"data":{"result":…,"duration":12,"status":"success"}}
//	{"success":false,"error":"Tool execution failed: …","duration":5001,"status":"error"}
//
// Duration is written in whole milliseconds.
type Outcome struct {
	// Err is the failure; nil means success.
	Err *Error
	// Result is the JSON text of a success; an empty one is written as null. It
	// is written as it stands and must be valid.
	Result json.RawMessage
	// Usage, where not nil, is written beside the result.
	Usage any
	// Duration is the wall time from the accepted request to the outcome.
	Duration time.Duration
	// Details, where not nil, is written as a further field "details".
	Details *Details
}

// LogLine is one line that a tool wrote to its console.
type LogLine struct {
	Level   string `json:"level"`
	Message string `json:"message"`
}

// Details is what a caller gets who asks for it. A key is absent where its
// value is unknown.
type Details struct {
	Class        Class          `json:"class,omitempty"`
	Reason       Reason         `json:"reason,omitempty"`
	Origin       Origin         `json:"origin,omitempty"`
	Retryable    *bool          `json:"retryable,omitempty"`
	RetryAfterMs int64          `json:"retryAfterMs,omitempty"`
	Attempts     int            `json:"attempts,omitempty"`
	Stopped      Stopped        `json:"stopped,omitempty"`
	Timeout      *TimeoutDetail `json:"timeout,omitempty"`
	Upstream     *Upstream      `json:"upstream,omitempty"`
	Hint         string         `json:"hint,omitempty"`
	ExecutionID  string         `json:"executionId,omitempty"`
	Stack        []string       `json:"stack,omitempty"`
	Logs         []LogLine      `json:"logs,omitempty"`
	Causes       []string       `json:"causes,omitempty"`
	// Tries are the requests that were made, of those that a provider bills; the
	// last 10 of them.
	Tries []Try `json:"tries,omitempty"`
	// Usage is what all of them consumed, where it doesn't stand beside a result.
	Usage     any  `json:"usage,omitempty"`
	Truncated bool `json:"truncated,omitempty"`
}

// Try is one request to a provider. Reason and Error are empty for the one that
// was answered.
type Try struct {
	Provider string `json:"provider,omitempty"`
	Model    string `json:"model,omitempty"`
	Reason   Reason `json:"reason,omitempty"`
	Error    string `json:"error,omitempty"`
	Usage    any    `json:"usage,omitempty"` // what it consumed
}

// TimeoutDetail names the time limit that was hit.
type TimeoutDetail struct {
	Phase   Reason `json:"phase"`
	LimitMs int64  `json:"limitMs,omitempty"`
}

const (
	maxCauses     = 5
	maxTries      = 10
	maxStack      = 10
	maxDetailText = 300 // characters of one cause, frame, hint or upstream field
	maxWord       = 128 // characters of an identifier or a word of a vocabulary
)

// Details returns e as a caller sees it who asked for details. The execution id
// and the logs are the caller's to add. Causes come from classified errors
// beneath e only: the text of any other may hold secrets.
func (e *Error) Details() *Details {
	if e == nil {
		return nil
	}
	retryable := e.Retryable
	d := &Details{
		Class: e.Class, Reason: e.Reason, Origin: e.Origin, Retryable: &retryable,
		RetryAfterMs: milliseconds(e.RetryAfter), Attempts: e.Attempts, Stopped: e.Stopped,
		Hint: e.Hint, Stack: e.Stack, Causes: causes(e),
	}
	if e.Class == Timeout {
		d.Timeout = &TimeoutDetail{Phase: e.Reason, LimitMs: milliseconds(e.Limit)}
	}
	if e.Upstream != (Upstream{}) {
		up := e.Upstream
		d.Upstream = &up
	}
	return d.bounded()
}

// milliseconds rounds up, so that who waits that long doesn't come too early.
func milliseconds(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d-1)/time.Millisecond) + 1
}

// causes lists what classified errors beneath e say, each text once and one more
// than [maxCauses] where there are that many.
func causes(e *Error) []string {
	var texts []string
	for queue := []error{e.Cause}; len(queue) > 0; queue = queue[1:] {
		for _, chain := range flatten(queue[0]).chains {
			inner, ok := chain[len(chain)-1].(*Error)
			if !ok || inner == nil || inner == e {
				continue
			}
			text := inner.Error()
			if text == e.Error() || slices.Contains(texts, text) {
				continue
			}
			if texts = append(texts, text); len(texts) > maxCauses {
				return texts
			}
			queue = append(queue, inner.Cause)
		}
	}
	return texts
}

// bounded returns a copy of d in which every text is one line and no list or
// text is longer than documented. Logs stay as they are.
func (d *Details) bounded() *Details {
	b := *d
	b.Class = Class(OneLine(string(d.Class), maxWord))
	b.Reason = Reason(OneLine(string(d.Reason), maxWord))
	b.Origin = Origin(OneLine(string(d.Origin), maxWord))
	b.Stopped = Stopped(OneLine(string(d.Stopped), maxWord))
	b.ExecutionID = OneLine(d.ExecutionID, maxWord)
	b.Hint = OneLine(d.Hint, maxDetailText)
	if d.Timeout != nil {
		b.Timeout = &TimeoutDetail{Phase: Reason(OneLine(string(d.Timeout.Phase), maxWord)), LimitMs: d.Timeout.LimitMs}
	}
	if d.Upstream != nil {
		b.Upstream = &Upstream{
			Host:      OneLine(d.Upstream.Host, maxDetailText),
			Provider:  OneLine(d.Upstream.Provider, maxDetailText),
			Status:    d.Upstream.Status,
			Code:      OneLine(d.Upstream.Code, maxDetailText),
			RequestID: OneLine(d.Upstream.RequestID, maxDetailText),
		}
	}
	b.Stack = b.lines(d.Stack, maxStack)
	b.Causes = b.lines(d.Causes, maxCauses)
	b.Tries = slices.Clone(d.Tries)
	if n := len(d.Tries); n > maxTries {
		b.Tries, b.Truncated = b.Tries[n-maxTries:], true
	}
	for i, t := range b.Tries {
		b.Tries[i] = Try{
			Provider: OneLine(t.Provider, maxWord), Model: OneLine(t.Model, maxWord),
			Reason: Reason(OneLine(string(t.Reason), maxWord)), Error: OneLine(t.Error, maxDetailText), Usage: t.Usage,
		}
	}
	return &b
}

// lines bounds a list of texts and notes in d when something was left out.
func (d *Details) lines(texts []string, limit int) []string {
	if len(texts) > limit {
		texts, d.Truncated = texts[:limit], true
	}
	var out []string
	for _, text := range texts {
		out = append(out, OneLine(text, maxDetailText))
	}
	return out
}

// Message is the "error" field of e's outcome: one line of at most 500
// characters.
func (e *Error) Message() string {
	return OneLine(messagePrefix+e.Error(), maxMessage)
}

// MarshalJSON is [Outcome.AppendJSON] for encoding/json, which reads the whole
// document once more and escapes <, > and & in it.
func (o Outcome) MarshalJSON() ([]byte, error) {
	return o.AppendJSON(nil)
}

// AppendJSON appends the outcome to dst; see [Outcome]. The bytes of a result are
// copied without being looked at. A failure's document without its logs stays
// under 8 KiB, whatever it holds. An error means that a Usage can't be JSON; dst is
// returned as it was.
func (o Outcome) AppendJSON(dst []byte) ([]byte, error) {
	if o.Err == nil {
		return o.appendSuccess(dst)
	}
	return o.appendFailure(dst)
}

func (o Outcome) appendSuccess(dst []byte) ([]byte, error) {
	var usage, details []byte
	var err error
	if o.Usage != nil {
		if usage, err = marshal(o.Usage); err != nil {
			return dst, err
		}
	}
	if o.Details != nil {
		if details, err = o.Details.document(maxDocument); err != nil {
			return dst, err
		}
	}
	result := []byte(o.Result)
	if len(result) == 0 {
		result = []byte("null")
	}
	dst = slices.Grow(dst, len(result)+len(usage)+len(details)+128)
	dst = append(dst, `{"success":true,"data":{"result":`...)
	dst = append(dst, result...)
	dst = o.appendDuration(dst)
	dst = append(dst, `,"status":"success"`...)
	if usage != nil {
		dst = append(dst, `,"usage":`...)
		dst = append(dst, usage...)
	}
	if details != nil {
		dst = append(dst, `,"details":`...)
		dst = append(dst, details...)
	}
	return append(dst, `}}`...), nil
}

func (o Outcome) appendFailure(dst []byte) ([]byte, error) {
	message, err := marshal(o.Err.Message())
	if err != nil {
		return dst, err
	}
	start := len(dst)
	out := append(dst, `{"success":false,"error":`...)
	out = append(out, message...)
	out = o.appendDuration(out)
	out = append(out, `,"status":"error"`...)
	if o.Details != nil {
		const around = len(`,"details":}`)
		details, err := o.Details.document(maxDocument - (len(out) - start) - around)
		if err != nil {
			return dst, err
		}
		out = append(out, `,"details":`...)
		out = append(out, details...)
	}
	return append(out, '}'), nil
}

func (o Outcome) appendDuration(dst []byte) []byte {
	dst = append(dst, `,"duration":`...)
	return strconv.AppendInt(dst, max(0, o.Duration.Milliseconds()), 10)
}

// document is d as JSON, which without its logs is shorter than limit.
func (d *Details) document(limit int) ([]byte, error) {
	b := d.bounded()
	b.Logs = nil
	for {
		doc, err := marshal(b)
		if err != nil {
			return nil, err
		}
		if len(doc) < limit {
			if d.Logs == nil {
				return doc, nil
			}
			b.Logs = d.Logs
			return marshal(b)
		}
		b.shrink()
	}
}

// shrink drops the least needed part of d, in the end all of it.
func (d *Details) shrink() {
	switch {
	case len(d.Causes) > 0:
		d.Causes = d.Causes[:len(d.Causes)-1]
	case len(d.Stack) > 0:
		d.Stack = d.Stack[:len(d.Stack)-1]
	case len(d.Tries) > 0:
		d.Tries = d.Tries[1:]
	case d.Upstream != nil:
		d.Upstream = nil
	default:
		*d = Details{}
	}
	d.Truncated = true
}
