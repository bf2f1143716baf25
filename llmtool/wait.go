package llmtool

import (
	"context"
	"math"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

// maxWait caps what a provider may ask to wait: beyond a day it means an account
// to be mended, or a number that went wrong.
const maxWait = 24 * time.Hour

const (
	firstPause = 500 * time.Millisecond
	longPause  = 30 * time.Second
	// longestWait is the longest that a provider holds up a run; a longer wait is
	// for the caller, who is told of it.
	longestWait = time.Minute
)

// backoff is the wait before a repetition for which nobody asked for another. Its
// jitter keeps many runs from coming back together.
func backoff(attempt int) time.Duration {
	wait := min(firstPause<<attempt, longPause)
	return wait/2 + rand.N(wait/2)
}

// inTime reports whether a wait ends before the context does.
func inTime(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) > wait
}

// sleep reports whether it lasted to its end.
func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// retryAfter is how long the provider asks to wait; zero if it doesn't say, or
// says nothing sensible.
func retryAfter(h http.Header, s said, reason errclass.Reason, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		if wait := sensible(ms / 1000); wait > 0 {
			return wait
		}
	}
	if wait := parseWait(h.Get("Retry-After"), now); wait > 0 {
		return wait
	}
	if wait := parseWait(s.details.retryDelay, now); wait > 0 {
		return wait
	}
	if reason != errclass.RateLimit && reason != errclass.Overloaded {
		return 0
	}
	if wait := spokenWait(s.message); wait > 0 {
		return wait
	}
	if reason == errclass.RateLimit {
		return resetWait(h, now)
	}
	return 0
}

// limits are the headers that tell when an allowance is whole again, and what is
// left of it: OpenAI's and Groq's (durations), OpenRouter's (a time in milliseconds),
// Mistral's (seconds), and Anthropic's (dates of RFC 3339).
var limits = [][2]string{
	{"X-Ratelimit-Reset-Requests", "X-Ratelimit-Remaining-Requests"},
	{"X-Ratelimit-Reset-Tokens", "X-Ratelimit-Remaining-Tokens"},
	{"X-Ratelimit-Reset", "X-Ratelimit-Remaining"},
	{"Ratelimit-Reset", "Ratelimit-Remaining"},
	{"Ratelimitbysize-Reset", "Ratelimitbysize-Remaining"},
	{"Anthropic-Ratelimit-Requests-Reset", "Anthropic-Ratelimit-Requests-Remaining"},
	{"Anthropic-Ratelimit-Tokens-Reset", "Anthropic-Ratelimit-Tokens-Remaining"},
	{"Anthropic-Ratelimit-Input-Tokens-Reset", "Anthropic-Ratelimit-Input-Tokens-Remaining"},
	{"Anthropic-Ratelimit-Output-Tokens-Reset", "Anthropic-Ratelimit-Output-Tokens-Remaining"},
}

// resetWait reads the headers of rate limits: the longest reset of what is used
// up, or the longest of all where the headers don't tell what that is.
func resetWait(h http.Header, now time.Time) time.Duration {
	var spent, all time.Duration
	for _, limit := range limits {
		wait := parseWait(h.Get(limit[0]), now)
		all = max(all, wait)
		if h.Get(limit[1]) == "0" {
			spent = max(spent, wait)
		}
	}
	if spent > 0 {
		return spent
	}
	return all
}

// parseWait reads a wait in any of the forms in use: seconds, a duration such as
// "6m0s", a date, or the Unix time at which it ends.
func parseWait(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		switch {
		case n >= 1e11:
			n = n/1000 - float64(now.UnixMilli())/1000
		case n >= 1e9:
			n -= float64(now.Unix())
		}
		return sensible(n)
	}
	if d, err := time.ParseDuration(text); err == nil {
		return sensible(d.Seconds())
	}
	if at, err := http.ParseTime(text); err == nil {
		return sensible(at.Sub(now).Seconds())
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return sensible(at.Sub(now).Seconds())
	}
	return 0
}

// sensible is a wait in seconds, zero where it is none, and capped.
func sensible(seconds float64) time.Duration {
	switch {
	case math.IsNaN(seconds) || seconds <= 0:
		return 0
	case seconds >= maxWait.Seconds():
		return maxWait
	}
	return time.Duration(math.Round(seconds*1000)) * time.Millisecond
}

var (
	waitWords = regexp.MustCompile(`(?i)\b(?:try again|retry) (?:in|after)[: ]+((?:\d+(?:\.\d+)?\s*(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|h)\b\s*|\d+(?:\.\d+)?(?:h|ms|m|s))+)`)
	waitPart  = regexp.MustCompile(`(?i)(\d+(?:\.\d+)?)\s*([a-z]+)`)
)

// spokenWait finds a wait in a provider's words: "Please try again in 6m2.34s."
func spokenWait(message string) time.Duration {
	m := waitWords.FindStringSubmatch(quoted.ReplaceAllString(message, "$1$2"))
	if m == nil {
		return 0
	}
	var seconds float64
	for _, part := range waitPart.FindAllStringSubmatch(m[1], -1) {
		n, _ := strconv.ParseFloat(part[1], 64)
		seconds += n * unitSeconds(strings.ToLower(part[2]))
	}
	return sensible(seconds)
}

func unitSeconds(unit string) float64 {
	switch {
	case strings.HasPrefix(unit, "ms") || strings.HasPrefix(unit, "milli"):
		return 0.001
	case unit[0] == 'm':
		return 60
	case unit[0] == 'h':
		return 3600
	}
	return 1
}
