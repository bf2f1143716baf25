package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/runner"
)

// Outcome is how an execution ended, as it is kept and sent between machines.
type Outcome struct {
	ExecutionID  string
	Class        errclass.Class // empty after a success
	Reason       errclass.Reason
	Retryable    bool
	RetryAfterMs int64
	// Document is what callers get, Details the same for those who ask for details.
	Document, Details json.RawMessage
}

// OutcomeOf renders a result.
func OutcomeOf(result *runner.Result) (Outcome, error) {
	o := Outcome{ExecutionID: result.ExecutionID}
	if f := result.Failure; f != nil {
		o.Class, o.Reason, o.Retryable = f.Class, f.Reason, f.Retryable
		o.RetryAfterMs = int64((f.RetryAfter + time.Millisecond - 1) / time.Millisecond)
	}
	var err error
	if o.Document, err = result.JSON(false); err != nil {
		return o, err
	}
	o.Details, err = result.JSON(true)
	return o, err
}

// outcomeOf renders a result that has to fit into limit bytes. Logs give way first; a
// result that is still too large becomes the failure that says so.
func outcomeOf(result *runner.Result, kind runner.Type, limit int) (Outcome, error) {
	o, err := OutcomeOf(result)
	if err != nil || o.size() <= limit {
		return o, err
	}
	short := *result
	if short.Logs != nil {
		short.Logs, short.LogsTruncated = nil, true
		if o, err = OutcomeOf(&short); err != nil || o.size() <= limit {
			return o, err
		}
	}
	short.Value = nil
	short.Failure = tooLarge(kind, len(o.Document), limit)
	return OutcomeOf(&short)
}

// tooLarge is the failure of a tool whose result can't be kept.
func tooLarge(kind runner.Type, size, limit int) *errclass.Error {
	detail := fmt.Sprintf("the result takes %d bytes, and a message of the NATS server (max_payload) holds %d", size, limit)
	if kind == runner.JavaScript || kind == "" {
		return errclass.New(errclass.SandboxError, errclass.OutputLimit, detail)
	}
	return errclass.New(errclass.InvalidResponse, errclass.TooLarge, detail)
}

// failed renders a failure that no run of the tool came to.
func failed(id, tool string, failure *errclass.Error, duration time.Duration) Outcome {
	o, err := OutcomeOf(&runner.Result{ExecutionID: id, Tool: tool, Failure: failure, Duration: max(duration, 0)})
	if err != nil { // only a Usage can't be JSON, and there is none
		panic(err)
	}
	return o
}

// size is at least what the outcome takes in a message.
func (o *Outcome) size() int { return max(len(o.Details), len(o.Document)) + 64 }

// shape says how an outcome's two documents lie in one payload: they mostly have all
// but an end in common, and a result may be large.
type shape struct {
	// Cut is how much of the payload the plain document begins with; Braces close it.
	// Without Braces it is the whole beginning, and the details follow it.
	Cut    int `json:"cut,omitempty"`
	Braces int `json:"braces,omitempty"`
}

// pack joins the documents.
func (o *Outcome) pack() ([]byte, shape) {
	common := bytes.TrimRight(o.Document, "}")
	if braces := len(o.Document) - len(common); braces > 0 && bytes.HasPrefix(o.Details, common) {
		return o.Details, shape{len(common), braces}
	}
	return slices.Concat(o.Document, o.Details), shape{Cut: len(o.Document)}
}

// unpack is the reverse of [Outcome.pack].
func (o *Outcome) unpack(payload []byte, s shape) error {
	if s.Cut < 0 || s.Cut > len(payload) || s.Braces < 0 || s.Braces > 64 {
		return fmt.Errorf("queue: an outcome of %d bytes is damaged", len(payload))
	}
	if s.Braces == 0 {
		o.Document, o.Details = payload[:s.Cut:s.Cut], payload[s.Cut:]
		return nil
	}
	o.Document = append(payload[:s.Cut:s.Cut], bytes.Repeat([]byte("}"), s.Braces)...)
	o.Details = payload
	return nil
}
