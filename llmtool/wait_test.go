package llmtool_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
)

// Under a fake clock, so that dates are exact.
func TestWaitsThatHeadersAskFor(t *testing.T) {
	const minute = time.Minute
	for _, c := range []struct {
		name    string
		status  int
		headers string // NOW+n is a date of RFC 3339, n seconds from now
		want    time.Duration
	}{
		{"anthropic, requests used up", 429, "Anthropic-Ratelimit-Requests-Remaining: 0; Anthropic-Ratelimit-Requests-Reset: NOW+20; Anthropic-Ratelimit-Tokens-Remaining: 9; Anthropic-Ratelimit-Tokens-Reset: NOW+60", 20 * time.Second},
		{"anthropic, input tokens used up", 429, "Anthropic-Ratelimit-Input-Tokens-Remaining: 0; Anthropic-Ratelimit-Input-Tokens-Reset: NOW+7; Anthropic-Ratelimit-Requests-Remaining: 5; Anthropic-Ratelimit-Requests-Reset: NOW+1", 7 * time.Second},
		{"anthropic, output tokens used up", 429, "Anthropic-Ratelimit-Output-Tokens-Remaining: 0; Anthropic-Ratelimit-Output-Tokens-Reset: NOW+8", 8 * time.Second},
		{"anthropic, tokens, nothing said of what is left", 429, "Anthropic-Ratelimit-Tokens-Reset: NOW+60", minute},
		{"anthropic, retry-after outranks", 429, "Retry-After: 3; Anthropic-Ratelimit-Tokens-Reset: NOW+60", 3 * time.Second},
		{"anthropic, the reset is past", 429, "Anthropic-Ratelimit-Tokens-Remaining: 0; Anthropic-Ratelimit-Tokens-Reset: NOW-5", 0},
		{"anthropic, overloaded: its limits are not what it lacks", 529, "Anthropic-Ratelimit-Tokens-Reset: NOW+60", 0},
		{"mistral", 429, "Ratelimit-Remaining: 0; Ratelimit-Reset: 12", 12 * time.Second},
		{"mistral, tokens", 429, "Ratelimit-Remaining: 1; Ratelimit-Reset: 12; Ratelimitbysize-Remaining: 0; Ratelimitbysize-Reset: 24", 24 * time.Second},
		{"openrouter", 429, "X-Ratelimit-Remaining: 0; X-Ratelimit-Reset: NOWMS+30", 30 * time.Second},
		{"groq", 429, "X-Ratelimit-Remaining-Requests: 0; X-Ratelimit-Reset-Requests: 2m59.56s", 179560 * time.Millisecond},
		{"a date in retry-after", 503, "Retry-After: HTTP+9", 9 * time.Second},
		{"nonsense", 429, "Ratelimit-Reset: soon; Anthropic-Ratelimit-Tokens-Reset: 2026-13-40T00:00:00Z", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				header := http.Header{}
				for pair := range strings.SplitSeq(c.headers, "; ") {
					name, value, _ := strings.Cut(pair, ": ")
					header.Set(name, atTime(value))
				}
				door := canned{c.status, header, "{}"}
				_, e := run(t, llmtool.Config{}, clientsThrough(t, door, provider("http://provider.test")))
				require.Equal(t, LLMError, e.Class)
				require.True(t, e.Retryable)
				require.Equal(t, c.want, e.RetryAfter)
			})
		})
	}
}

// atTime writes the time that a value such as NOW+20 stands for.
func atTime(value string) string {
	for _, form := range []struct {
		start string
		write func(time.Time) string
	}{
		{"NOWMS", func(at time.Time) string { return quote(at.UnixMilli()) }},
		{"NOW", func(at time.Time) string { return at.UTC().Format(time.RFC3339) }},
		{"HTTP", func(at time.Time) string { return at.UTC().Format(http.TimeFormat) }},
	} {
		if offset, ok := strings.CutPrefix(value, form.start); ok {
			d, err := time.ParseDuration(offset + "s")
			if err != nil {
				panic(err)
			}
			return form.write(time.Now().Add(d))
		}
	}
	return value
}

// Where the wait fits, it is kept to the millisecond; where the deadline would cut
// it, the run ends at once.
func TestWaitKeepsWithinTheDeadline(t *testing.T) {
	for _, c := range []struct {
		name     string
		wait     string
		left     time.Duration
		took     time.Duration
		attempts int
		stopped  Stopped
	}{
		{"fits", "5", 6 * time.Second, 5 * time.Second, 2, StoppedMaxAttempts},
		{"just fits", "60", 61 * time.Second, time.Minute, 2, StoppedMaxAttempts},
		{"cut", "5", 5 * time.Second, 0, 1, StoppedDeadline},
		{"over a minute", "61", time.Hour, 0, 1, StoppedDeadline},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithTimeout(t.Context(), c.left)
				defer stop()
				start := time.Now()
				door := canned{503, http.Header{"Retry-After": {c.wait}}, "{}"}
				_, e := runCtx(t, ctx, llmtool.Config{Retries: 1}, clientsThrough(t, door, provider("http://provider.test")))
				require.Equal(t, Overloaded, e.Reason)
				require.Equal(t, c.took, time.Since(start))
				require.Equal(t, c.attempts, e.Attempts)
				require.Equal(t, c.stopped, e.Stopped)
			})
		})
	}
}
