package errclass_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
)

// requirePresentable checks what holds for everything a caller is ever shown.
func requirePresentable(t *testing.T, e *errclass.Error) {
	t.Helper()
	require.True(t, e.Class.Valid(), "class %q", e.Class)
	require.True(t, e.Reason.Valid(), "reason %q", e.Reason)
	requireMessage(t, e.Message(), e.Class)
	require.NotContains(t, e.Message(), secret)

	doc := requireFailureDocument(t, errclass.Outcome{Err: e, Details: e.Details()})
	require.NotContains(t, string(doc), secret)
}

func requireMessage(t *testing.T, message string, class errclass.Class) {
	t.Helper()
	require.True(t, strings.HasPrefix(message, "Tool execution failed: "+class.Title()), message)
	require.LessOrEqual(t, utf8.RuneCountInString(message), 500)
	require.True(t, utf8.ValidString(message))
	require.False(t, strings.ContainsFunc(message, unicode.IsControl), message)
}

// requireFailureDocument checks a failure's document without its logs.
func requireFailureDocument(t *testing.T, o errclass.Outcome) []byte {
	t.Helper()
	doc, err := o.AppendJSON(nil)
	require.NoError(t, err)
	require.Less(t, len(doc), 8<<10)
	require.True(t, json.Valid(doc), "%s", doc)
	require.True(t, utf8.Valid(doc))
	return doc
}

func TestOutcomeGolden(t *testing.T) {
	t.Parallel()
	usage := struct {
		PromptTokens int `json:"promptTokens"`
	}{7}
	full := errclass.New(errclass.Timeout, errclass.PhaseHeaders, "no response headers from api.example.com")
	full.RetryAfter, full.Attempts, full.Stopped, full.Limit = 1500*time.Microsecond, 3, errclass.StoppedDeadline, 5*time.Second
	full.Upstream = errclass.Upstream{Host: "api.example.com", Provider: "main", Status: 504, Code: "slow", RequestID: "r1"}
	full.Stack = []string{"inner (code:1:2)", "outer (code:3:4)"}
	full.Cause = fmt.Errorf("token=%s: %w", secret, errclass.New(errclass.HTTPError, errclass.ServerError, "502 Bad Gateway"))
	fullDetails := full.Details()
	fullDetails.ExecutionID, fullDetails.Logs = "x1", []errclass.LogLine{{Level: "info", Message: "<a&b>\n"}}

	tests := []struct {
		name    string
		outcome errclass.Outcome
		want    string
	}{
		{"success", errclass.Outcome{Result: json.RawMessage(`{"a":1}`), Duration: 12 * time.Millisecond},
			`{"success":true,"data":{"result":{"a":1},"duration":12,"status":"success"}}`},
		{"no result", errclass.Outcome{}, `{"success":true,"data":{"result":null,"duration":0,"status":"success"}}`},
		{"empty result", errclass.Outcome{Result: json.RawMessage{}}, `{"success":true,"data":{"result":null,"duration":0,"status":"success"}}`},
		{"result as it stands", errclass.Outcome{Result: json.RawMessage("[ 1.0,\t\"<&>\" ]")},
			"{\"success\":true,\"data\":{\"result\":[ 1.0,\t\"<&>\" ],\"duration\":0,\"status\":\"success\"}}"},
		{"usage and details", errclass.Outcome{Result: json.RawMessage("1"), Usage: usage, Details: &errclass.Details{Attempts: 2, ExecutionID: "x1"}},
			`{"success":true,"data":{"result":1,"duration":0,"status":"success","usage":{"promptTokens":7},"details":{"attempts":2,"executionId":"x1"}}}`},
		{"the documented failure", errclass.Outcome{Err: errclass.New(errclass.ConnectionRefused, errclass.Refused, ""), Duration: 5001 * time.Millisecond},
			`{"success":false,"error":"Tool execution failed: Connection refused","duration":5001,"status":"error"}`},
		{"detail", errclass.Outcome{Err: errclass.New(errclass.HTTPError, errclass.NotFound, "404 Not Found: no <b> & \"q\""), Duration: time.Microsecond},
			`{"success":false,"error":"Tool execution failed: HTTP error: 404 Not Found: no <b> & \"q\"","duration":0,"status":"error"}`},
		{"a clock that went back", errclass.Outcome{Err: errclass.New(errclass.Timeout, errclass.Queue, ""), Duration: -time.Second},
			`{"success":false,"error":"Tool execution failed: Timeout","duration":0,"status":"error"}`},
		{"tries and the usage of a failure", errclass.Outcome{Err: errclass.New(errclass.LLMError, errclass.Overloaded, "busy"), Details: &errclass.Details{
			Tries: []errclass.Try{{Provider: "a", Model: "m", Reason: errclass.Overloaded, Error: "LLM error: busy"}, {Provider: "b", Model: "n", Usage: usage}}, Usage: usage}},
			`{"success":false,"error":"Tool execution failed: LLM error: busy","duration":0,"status":"error","details":{"tries":[{"provider":"a","model":"m","reason":"overloaded","error":"LLM error: busy"},` +
				`{"provider":"b","model":"n","usage":{"promptTokens":7}}],"usage":{"promptTokens":7}}}`},
		{"few details", errclass.Outcome{Err: errclass.FromPanic(secret), Details: errclass.FromPanic(secret).Details()},
			`{"success":false,"error":"Tool execution failed: Internal error","duration":0,"status":"error",` +
				`"details":{"class":"internal_error","reason":"panic","origin":"platform","retryable":false,"hint":"Report this with the execution id."}}`},
		{"all details", errclass.Outcome{Err: full, Duration: 5 * time.Second, Details: fullDetails},
			`{"success":false,"error":"Tool execution failed: Timeout: no response headers from api.example.com","duration":5000,"status":"error",` +
				`"details":{"class":"timeout","reason":"headers","origin":"upstream","retryable":true,"retryAfterMs":2,"attempts":3,"stopped":"deadline",` +
				`"timeout":{"phase":"headers","limitMs":5000},"upstream":{"host":"api.example.com","provider":"main","status":504,"code":"slow","requestId":"r1"},` +
				`"hint":"The target is slow to answer; try again or raise the tool's timeout.","executionId":"x1",` +
				`"stack":["inner (code:1:2)","outer (code:3:4)"],"logs":[{"level":"info","message":"<a&b>\n"}],"causes":["HTTP error: 502 Bad Gateway"]}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := tt.outcome.AppendJSON([]byte("before"))
			require.NoError(t, err)
			require.Equal(t, "before"+tt.want, string(got))

			// encoding/json compacts and escapes what it is handed; it may not
			// change anything else.
			viaJSON, err := json.Marshal(tt.outcome)
			require.NoError(t, err)
			require.JSONEq(t, tt.want, string(viaJSON))
			direct, err := tt.outcome.MarshalJSON()
			require.NoError(t, err)
			require.Equal(t, tt.want, string(direct))
		})
	}
}

// The public error reference is the source of the wire format.
func TestSeedReference(t *testing.T) {
	t.Parallel()
	seed, err := os.ReadFile("testdata/error-reference.txt")
	require.NoError(t, err)

	var documents []string
	for _, block := range regexp.MustCompile(`(?s)\{\n  "success".*?\n\}`).FindAll(seed, -1) {
		var compact bytes.Buffer
		require.NoError(t, json.Compact(&compact, block))
		documents = append(documents, compact.String())
	}
	require.Len(t, documents, 10)

	api := []*errclass.APIError{
		nil, // the format itself, with a code that stands for all
		errclass.NewAPIError(errclass.CodeBadRequest, "Validation failed: %s is required", "name"),
		errclass.NewAPIError(errclass.CodeUnauthorized, "Invalid or expired token"),
		errclass.NewAPIError(errclass.CodeForbidden, "Insufficient permissions: requires admin role"),
		errclass.NewAPIError(errclass.CodeNotFound, "Agent not found"),
		errclass.NewAPIError(errclass.CodeConflict, "Gateway with endpoint '/my-tools' already exists"),
		{Code: errclass.CodeValidation, Message: "Pipeline validation failed", Fields: []errclass.FieldError{
			{NodeID: "llm_1", Field: "providerId", Message: "Provider not found"},
		}},
		errclass.RateLimited(30 * time.Second),
		errclass.NewAPIError(errclass.CodeInternal, "An unexpected error occurred"),
	}
	for i, e := range api {
		if e == nil {
			continue
		}
		doc, err := e.MarshalJSON()
		require.NoError(t, err)
		require.Equal(t, documents[i], string(doc))
	}
	failure := errclass.Outcome{Err: errclass.New(errclass.ConnectionRefused, errclass.Refused, ""), Duration: 5001 * time.Millisecond}
	doc, err := failure.AppendJSON(nil)
	require.NoError(t, err)
	require.Equal(t, documents[9], string(doc))

	rows := regexp.MustCompile(`(?s)ErrorDescription\n(.*?)\n\n`).FindStringSubmatch(string(seed))
	titles := strings.Split(rows[1], "\n")
	require.Len(t, titles, 5)
	for i, row := range titles { // the two columns stand without a gap
		require.True(t, strings.HasPrefix(row, errclass.Classes()[i].Title()), row)
	}
}

func TestFailureDocumentStaysSmall(t *testing.T) {
	t.Parallel()
	texts := map[string]string{
		"plain": "a", "wide": "𝄞", "quote": `"`, "backslash": `\`, "less": "<", "control": "\x01", "newline": "\n", "delete": "\x7f",
		"invalid": "\xff", "half a rune": "\xe2\x82", "separator": "\u2028", "override": "\u202e", "surrogate": "\xed\xa0\x80", "NUL": "\x00",
	}
	for name, unit := range texts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, n := range []int{0, 1, 127, 128, 129, 300, 301, 499, 500, 501, 3000} {
				text := strings.Repeat(unit, n)
				e := hostileError(text)
				requireMessage(t, e.Message(), errclass.SandboxError)
				d := e.Details()
				d.ExecutionID = text
				requireFailureDocument(t, errclass.Outcome{Err: e, Details: d})

				// Also what a caller puts together without Details.
				raw := &errclass.Details{
					Class: errclass.Class(text), Reason: errclass.Reason(text), Origin: errclass.Origin(text), Stopped: errclass.Stopped(text),
					Timeout: &errclass.TimeoutDetail{Phase: errclass.Reason(text), LimitMs: math.MaxInt64}, RetryAfterMs: math.MaxInt64,
					Upstream: &errclass.Upstream{Host: text, Provider: text, Code: text, RequestID: text, Status: math.MinInt},
					Hint:     text, ExecutionID: text, Stack: many(text, 12), Causes: many(text, 12), Attempts: math.MinInt,
				}
				requireFailureDocument(t, errclass.Outcome{Err: e, Details: raw, Duration: math.MaxInt64})
				requireFailureDocument(t, errclass.Outcome{Err: e, Details: raw, Duration: math.MinInt64})
				_, err := errclass.Outcome{Details: raw}.AppendJSON(nil)
				require.NoError(t, err)
			}
		})
	}
}

// From one size to the next the document grows until a part has to go.
func TestFailureDocumentShrinksInSteps(t *testing.T) {
	t.Parallel()
	var whole, cut int
	for n := 130; n < 230; n += 3 {
		e := errclass.New(errclass.SandboxError, errclass.Exception, "")
		e.Stack = many(strings.Repeat("𝄞", n), 10)
		d := e.Details()
		require.False(t, d.Truncated)
		doc := requireFailureDocument(t, errclass.Outcome{Err: e, Details: d})
		if strings.HasSuffix(string(doc), `"truncated":true}}`) {
			cut++
			require.Greater(t, len(doc), 8<<10-1300) // no more than one frame was dropped in excess
		} else {
			whole++
		}
	}
	require.Positive(t, whole)
	require.Positive(t, cut)
}

func many(text string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = text
	}
	return out
}

// hostileError says text wherever it can.
func hostileError(text string) *errclass.Error {
	e := errclass.New(errclass.SandboxError, errclass.Exception, text)
	e.Hint, e.Stack = text, many(text, 12)
	e.Upstream = errclass.Upstream{Host: text, Provider: text, Code: text, RequestID: text}
	for i := range 7 {
		e.Cause = errors.Join(e.Cause, errclass.New(errclass.HTTPError, errclass.NotFound, fmt.Sprint(i, text)))
	}
	return e
}

func TestLogsAreAddedOnTop(t *testing.T) {
	t.Parallel()
	e := hostileError(strings.Repeat("x", 1000))
	d := e.Details()
	without := requireFailureDocument(t, errclass.Outcome{Err: e, Details: d})
	d.Logs = []errclass.LogLine{{Level: "info", Message: strings.Repeat("y", 100_000)}}
	with, err := errclass.Outcome{Err: e, Details: d}.AppendJSON(nil)
	require.NoError(t, err)
	logs, err := json.Marshal(d.Logs)
	require.NoError(t, err)
	require.Equal(t, len(without)+len(`"logs":,`)+len(logs), len(with))
}

func TestDetailsSayWhatWasLeftOut(t *testing.T) {
	t.Parallel()
	for _, n := range []int{4, 5, 6} {
		e := errclass.New(errclass.SandboxError, errclass.Exception, "")
		for i := range n {
			e.Cause = errors.Join(e.Cause, errclass.Newf(errclass.HTTPError, errclass.NotFound, "%d", i))
		}
		d := e.Details()
		require.Len(t, d.Causes, min(n, 5))
		require.Equal(t, n > 5, d.Truncated)
	}
	for _, n := range []int{9, 10, 11} {
		e := errclass.New(errclass.SandboxError, errclass.Exception, "")
		e.Stack = many("f", n)
		require.Len(t, e.Details().Stack, min(n, 10))
		require.Equal(t, n > 10, e.Details().Truncated)
	}
}

func TestTheLastTriesAreKept(t *testing.T) {
	t.Parallel()
	for _, n := range []int{9, 10, 11} {
		d := &errclass.Details{Tries: make([]errclass.Try, n)}
		d.Tries[0].Provider, d.Tries[n-1].Provider = "first", "last"
		doc := requireFailureDocument(t, errclass.Outcome{Err: &errclass.Error{}, Details: d})
		require.Contains(t, string(doc), `"last"`)
		require.Equal(t, n <= 10, strings.Contains(string(doc), `"first"`))
		require.Equal(t, n > 10, strings.Contains(string(doc), `"truncated":true`))
		require.Equal(t, "first", d.Tries[0].Provider)
	}
	long := strings.Repeat("\n𝄞", 500)
	d := &errclass.Details{Usage: 1}
	for range 40 {
		d.Tries = append(d.Tries, errclass.Try{Provider: long, Model: long, Reason: errclass.Reason(long), Error: long, Usage: 1})
	}
	requireFailureDocument(t, errclass.Outcome{Err: hostileError(long), Details: d})
}

func TestDetailsListCausesOfCauses(t *testing.T) {
	t.Parallel()
	inner := errclass.New(errclass.ConnectionRefused, errclass.Refused, "")
	middle := errclass.New(errclass.HTTPError, errclass.ServerError, "502").WithCause(fmt.Errorf("secret: %w", inner))
	same := errclass.New(errclass.LLMError, errclass.ServerError, "down")
	outer := errclass.New(errclass.LLMError, errclass.ServerError, "down").WithCause(errors.Join(same, middle, inner))
	require.Equal(t, []string{"HTTP error: 502", "Connection refused"}, outer.Details().Causes)

	outer.Cause = outer
	require.Empty(t, outer.Details().Causes)
	middle.Cause = outer
	require.Equal(t, []string{"LLM error: down"}, middle.Details().Causes)
}

func TestNilAndZeroErrors(t *testing.T) {
	t.Parallel()
	var none *errclass.Error
	require.Equal(t, "Tool execution failed: Internal error", none.Message())
	require.Equal(t, "Internal error", none.Error())
	require.Nil(t, none.Details())
	require.NoError(t, none.Unwrap())
	require.NotErrorIs(t, none, os.ErrNotExist)

	zero := &errclass.Error{}
	require.Equal(t, "Tool execution failed: Internal error", zero.Message())
	require.NotNil(t, zero.Details())
	doc := requireFailureDocument(t, errclass.Outcome{Err: zero, Details: &errclass.Details{}})
	require.JSONEq(t, `{"success":false,"error":"Tool execution failed: Internal error","duration":0,"status":"error","details":{}}`, string(doc))

	var noAPI *errclass.APIError
	require.Equal(t, 500, noAPI.StatusCode())
	require.Empty(t, noAPI.Error())
	require.NoError(t, noAPI.Unwrap())
}

func TestUsageThatIsNotJSON(t *testing.T) {
	t.Parallel()
	dst := []byte("before")
	got, err := errclass.Outcome{Usage: make(chan int)}.AppendJSON(dst)
	require.Error(t, err)
	require.Equal(t, "before", string(got))
}

func TestRetryAfterRoundsUp(t *testing.T) {
	t.Parallel()
	tests := []struct {
		wait    time.Duration
		ms      int64
		seconds int64
	}{
		{-time.Second, 0, 1}, {0, 0, 1}, {1, 1, 1}, {time.Millisecond, 1, 1}, {time.Millisecond + 1, 2, 1},
		{time.Second, 1000, 1}, {time.Second + 1, 1001, 2}, {math.MaxInt64, 9223372036855, 9223372037},
	}
	for _, tt := range tests {
		e := errclass.New(errclass.HTTPError, errclass.RateLimit, "")
		e.RetryAfter = tt.wait
		require.Equal(t, tt.ms, e.Details().RetryAfterMs, "%v", tt.wait)
		require.Equal(t, tt.seconds, errclass.RetrySeconds(tt.wait), "%v", tt.wait)
	}
	require.Equal(t, "Rate limit exceeded. Retry after 1 second.", errclass.RateLimited(0).Error())
}
