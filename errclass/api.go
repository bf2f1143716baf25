package errclass

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"time"
)

// Code is the machine-readable code of an API error. The values are frozen.
type Code string

// The codes, each with its HTTP status.
const (
	CodeBadRequest           Code = "BAD_REQUEST"            // 400
	CodeUnauthorized         Code = "UNAUTHORIZED"           // 401
	CodeForbidden            Code = "FORBIDDEN"              // 403
	CodeNotFound             Code = "NOT_FOUND"              // 404
	CodeMethodNotAllowed     Code = "METHOD_NOT_ALLOWED"     // 405
	CodeConflict             Code = "CONFLICT"               // 409
	CodePayloadTooLarge      Code = "PAYLOAD_TOO_LARGE"      // 413
	CodeUnsupportedMediaType Code = "UNSUPPORTED_MEDIA_TYPE" // 415
	CodeValidation           Code = "VALIDATION_ERROR"       // 422
	CodeRateLimited          Code = "RATE_LIMITED"           // 429
	CodeInternal             Code = "INTERNAL_ERROR"         // 500
	CodeBadGateway           Code = "BAD_GATEWAY"            // 502
	CodeUnavailable          Code = "SERVICE_UNAVAILABLE"    // 503
)

var statuses = map[Code]int{
	CodeBadRequest:           http.StatusBadRequest,
	CodeUnauthorized:         http.StatusUnauthorized,
	CodeForbidden:            http.StatusForbidden,
	CodeNotFound:             http.StatusNotFound,
	CodeMethodNotAllowed:     http.StatusMethodNotAllowed,
	CodeConflict:             http.StatusConflict,
	CodePayloadTooLarge:      http.StatusRequestEntityTooLarge,
	CodeUnsupportedMediaType: http.StatusUnsupportedMediaType,
	CodeValidation:           http.StatusUnprocessableEntity,
	CodeRateLimited:          http.StatusTooManyRequests,
	CodeInternal:             http.StatusInternalServerError,
	CodeBadGateway:           http.StatusBadGateway,
	CodeUnavailable:          http.StatusServiceUnavailable,
}

// Valid reports whether c is one of the codes.
func (c Code) Valid() bool {
	_, ok := statuses[c]
	return ok
}

// APIError is a request that was turned away before it became an execution.
type APIError struct {
	Code    Code
	Message string
	// Status is the HTTP status; zero stands for the one of Code. It differs
	// only where HTTP itself has a finer one (408, 417, 431).
	Status int
	// Fields lists every fault found, for [CodeValidation] and [CodeBadRequest].
	Fields []FieldError
	// RetryAfter is how long to wait, for [CodeRateLimited] and
	// [CodeUnavailable]; zero where unknown.
	RetryAfter time.Duration
	// RateLimit is how many requests a minute or an hour the limit allows that
	// was exceeded, for [CodeRateLimited]; zero where unknown.
	RateLimit int
	// Cause is the error beneath, for the log only.
	Cause error
}

// FieldError is one fault of a request or definition.
type FieldError struct {
	// NodeID names the node of a definition that has nodes; mostly empty.
	NodeID string `json:"nodeId,omitempty"`
	// Field is a JSON pointer (RFC 6901); empty for the document itself.
	Field   string `json:"field"`
	Message string `json:"message"`
}

// NewAPIError returns an API error with a formatted message.
func NewAPIError(code Code, format string, args ...any) *APIError {
	return &APIError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// RateLimited is the 429 of the error reference; wait is rounded up to whole
// seconds, at least one.
func RateLimited(wait time.Duration) *APIError {
	seconds := RetrySeconds(wait)
	unit := "seconds"
	if seconds == 1 {
		unit = "second"
	}
	return &APIError{
		Code: CodeRateLimited, RetryAfter: wait,
		Message: fmt.Sprintf("Rate limit exceeded. Retry after %d %s.", seconds, unit),
	}
}

// RetrySeconds is a wait as a Retry-After header states it (RFC 9110, section
// 10.2.3): whole seconds, rounded up, at least one.
func RetrySeconds(wait time.Duration) int64 {
	return max(1, int64(math.Ceil(wait.Seconds())))
}

// StatusCode is the HTTP status to answer with: [APIError.Status] where it is a
// 4xx or 5xx, else the one of the code, and 500 for an unknown code.
func (e *APIError) StatusCode() int {
	if e != nil {
		if 400 <= e.Status && e.Status <= 599 {
			return e.Status
		}
		if s, ok := statuses[e.Code]; ok {
			return s
		}
	}
	return http.StatusInternalServerError
}

// Error is the message.
func (e *APIError) Error() string {
	if e == nil {
		return ""
	}
	return e.Message
}

// Unwrap returns [APIError.Cause].
func (e *APIError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Cause
}

// maxFields bounds the list of faults in a document.
const maxFields = 100

// MarshalJSON writes the document of the error reference:
// success, message, error, statusCode and, where there are any, errors.
// The message and each text of a fault are one line of at most 500 characters.
// Of more than 100 faults the first 100 are listed, and one more entry says how
// many others there are.
func (e *APIError) MarshalJSON() ([]byte, error) {
	code := e.Code
	if _, ok := statuses[code]; !ok {
		code = CodeInternal
	}
	return marshal(struct {
		Success    bool         `json:"success"`
		Message    string       `json:"message"`
		Error      Code         `json:"error"`
		StatusCode int          `json:"statusCode"`
		Errors     []FieldError `json:"errors,omitempty"`
	}{false, OneLine(e.Message, maxMessage), code, e.StatusCode(), boundedFields(e.Fields)})
}

func boundedFields(fields []FieldError) []FieldError {
	shown := fields[:min(len(fields), maxFields)]
	out := make([]FieldError, 0, len(shown)+1)
	for _, f := range shown {
		out = append(out, FieldError{
			NodeID:  OneLine(f.NodeID, maxMessage),
			Field:   OneLine(f.Field, maxMessage),
			Message: OneLine(f.Message, maxMessage),
		})
	}
	if more := len(fields) - len(shown); more > 0 {
		out = append(out, FieldError{Message: fmt.Sprintf("and %d more", more)})
	}
	return out
}

// marshal is json.Marshal without the escaping of <, > and &, which only HTML
// needs and people who read an error don't.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}
