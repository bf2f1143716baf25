// Package httperr reads what an HTTP server says when it fails. It is what http
// tools and axios in a tool's code have in common.
package httperr

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// Reason is the reason of a 4xx or 5xx status and whether to try again.
func Reason(status int) (errclass.Reason, bool) {
	switch status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return errclass.Auth, false
	case http.StatusPaymentRequired:
		return errclass.Quota, false
	case http.StatusForbidden, http.StatusUnavailableForLegalReasons:
		return errclass.Permission, false
	case http.StatusNotFound, http.StatusGone:
		return errclass.NotFound, false
	case http.StatusConflict, http.StatusPreconditionFailed:
		return errclass.Conflict, false
	case http.StatusRequestTimeout, http.StatusTooEarly:
		return errclass.ServerError, true
	case http.StatusTooManyRequests:
		return errclass.RateLimit, true
	case http.StatusServiceUnavailable:
		return errclass.Overloaded, true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return errclass.ServerError, false
	}
	if status >= 500 {
		return errclass.ServerError, true
	}
	return errclass.BadRequest, false
}

// longestRetryAfter is what a Retry-After is believed.
const longestRetryAfter = 24 * time.Hour

// RetryAfter reads a Retry-After header in seconds or as a date; 0 for none, for
// what can't be read and for what has passed. It believes at most 24 hours.
func RetryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(longestRetryAfter/time.Second) {
			return longestRetryAfter
		}
		return time.Duration(seconds) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(date.Sub(now), 0), longestRetryAfter)
}

// Message looks at the common shapes of error bodies, the most telling member
// first.
func Message(v any) string { return messageWithin(v, 4) }

func messageWithin(v any, depth int) string {
	if depth == 0 {
		return ""
	}
	switch v := v.(type) {
	case string:
		return v
	case []any:
		for _, element := range v {
			if m := messageWithin(element, depth-1); m != "" {
				return m
			}
		}
		return ""
	case map[string]any:
		// error_description explains error; detail explains title (RFC 9457).
		for _, name := range []string{"error_description", "message", "Message", "errorMessage", "detail", "error", "errors", "title", "description", "msg", "reason", "fault", "faultstring"} {
			if m := messageWithin(v[name], depth-1); strings.TrimSpace(m) != "" {
				return m
			}
		}
		return ""
	case nil, bool:
		return ""
	}
	text, _ := strictjson.ScalarText(v)
	return text
}

// Code is the upstream's own code of a failure, in the common shapes of bodies.
func Code(v any) string {
	object, _ := v.(map[string]any)
	inner, _ := object["error"].(map[string]any)
	if errs, ok := object["errors"].([]any); ok && len(errs) > 0 && inner == nil {
		inner, _ = errs[0].(map[string]any)
	}
	extensions, _ := inner["extensions"].(map[string]any)
	for _, candidate := range []any{extensions["code"], inner["code"], inner["type"], object["code"], object["error_code"], object["errorCode"]} {
		if text, ok := strictjson.ScalarText(candidate); ok && text != "" {
			return text
		}
	}
	if text, ok := object["error"].(string); ok && text != "" && !strings.Contains(text, " ") && object["error_description"] != nil {
		return text
	}
	return ""
}
