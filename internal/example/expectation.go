package example

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
	"github.com/almyty-inc/toolrun/runner"
)

// expectation is what an example says about its outcome. Without any, the tool
// must succeed.
type expectation struct {
	output    any
	hasOutput bool
	failure   *failure
}

// failure is an expected error; what is empty may be anything.
type failure struct {
	Class   errclass.Class  `json:"class"`
	Reason  errclass.Reason `json:"reason"`
	Message string          `json:"message"` // the whole text, or a regular expression between slashes
	Code    errclass.Code   `json:"code"`    // of a request that is turned away

	pattern *regexp.Regexp
}

func readExpectation(written runner.Example) (expectation, error) {
	var e expectation
	var err error
	if len(written.ExpectedOutput) > 0 {
		e.hasOutput = true
		if e.output, err = strictjson.Decode(written.ExpectedOutput); err != nil {
			return e, fmt.Errorf("expectedOutput: %w", err)
		}
	}
	if len(written.ExpectedError) > 0 {
		if e.failure, err = readFailure(written.ExpectedError); err != nil {
			return e, fmt.Errorf("expectedError: %w", err)
		}
	}
	return e, nil
}

func readFailure(raw json.RawMessage) (*failure, error) {
	f := &failure{}
	var into any = f
	if strings.HasPrefix(strings.TrimSpace(string(raw)), `"`) {
		into = &f.Class
	}
	if err := strictjson.Unmarshal(raw, into); err != nil {
		return nil, err
	}
	if *f == (failure{}) {
		return nil, errors.New("any failure would pass: give at least one of class, reason, message and code")
	}
	if f.Code != "" && (f.Class != "" || f.Reason != "") {
		return nil, errors.New("code stands for a request that is turned away, class and reason for a tool that fails: give one or the other")
	}
	source, isPattern := between(f.Message, "/")
	if !isPattern {
		return f, nil
	}
	if source == "" {
		return nil, errors.New("message is an empty regular expression, which every message matches: write one between the slashes, or leave message out")
	}
	var err error
	if f.pattern, err = regexp.Compile(source); err != nil {
		return nil, fmt.Errorf("message is not a valid regular expression: %w", err)
	}
	return f, nil
}

// between takes mark off both ends of text.
func between(text, mark string) (string, bool) {
	inner, starts := strings.CutPrefix(text, mark)
	inner, ends := strings.CutSuffix(inner, mark)
	return inner, starts && ends
}

// problems compares what came with what was expected.
func (e expectation) problems(result *runner.Result, err error) []string {
	switch turnedAway := (*errclass.APIError)(nil); {
	case errors.As(err, &turnedAway):
		return e.problemsTurnedAway(turnedAway)
	case result == nil:
		return nil // already reported: there is no document
	case result.Failure != nil:
		return e.problemsFailed(result.Failure)
	case e.failure != nil:
		return []string{"expected " + e.failure.String() + ", but the tool succeeded"}
	case !e.hasOutput:
		return nil
	}
	value, err := strictjson.Decode(result.Value)
	if err != nil {
		return []string{"the result is not valid JSON: " + err.Error()}
	}
	return differences("", e.output, value)
}

func (e expectation) problemsFailed(got *errclass.Error) []string {
	came := fmt.Sprintf("%s (class %s, reason %s)", got.Message(), got.Class, got.Reason)
	f := e.failure
	switch {
	case f == nil:
		return []string{"expected success, got: " + came}
	case f.Code != "":
		return []string{fmt.Sprintf("expected %s, but the tool ran: %s", f, came)}
	}
	var found []string
	if f.Class != "" && f.Class != got.Class || f.Reason != "" && f.Reason != got.Reason {
		found = append(found, fmt.Sprintf("expected %s, got: %s", f, came))
	}
	return append(found, f.messageProblems(got.Message())...)
}

func (e expectation) problemsTurnedAway(got *errclass.APIError) []string {
	came := fmt.Sprintf("%s: %s", got.Code, got.Message)
	f := e.failure
	switch {
	case f == nil:
		return []string{"expected success, but the request was turned away with " + came}
	case f.Class != "" || f.Reason != "":
		return []string{fmt.Sprintf("expected %s, but the request was turned away with %s", f, came)}
	case f.Code != "" && f.Code != got.Code:
		return append([]string{fmt.Sprintf("expected %s, got %s", f, came)}, f.messageProblems(got.Message)...)
	}
	return f.messageProblems(got.Message)
}

func (f *failure) messageProblems(got string) []string {
	switch {
	case f.pattern != nil && !f.pattern.MatchString(got):
		return []string{fmt.Sprintf("message: expected a match of %s, got %q", f.Message, got)}
	case f.pattern == nil && f.Message != "" && f.Message != got:
		return []string{fmt.Sprintf("message: expected %q, got %q", f.Message, got)}
	}
	return nil
}

// String is the expected failure in words.
func (f *failure) String() string {
	switch {
	case f.Code != "":
		return "the request to be turned away with " + string(f.Code)
	case f.Class != "" && f.Reason != "":
		return fmt.Sprintf("class %s, reason %s", f.Class, f.Reason)
	case f.Class != "":
		return "class " + string(f.Class)
	case f.Reason != "":
		return "reason " + string(f.Reason)
	}
	return "a failure"
}
