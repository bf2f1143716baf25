package httptool

import (
	"bytes"
	"html"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// httpError is the failure of a 4xx or 5xx response.
func (t *Tool) httpError(r *reply) *errclass.Error {
	message, code := errorMessage(r)
	if m := t.mappedError(r); m != "" {
		message = m
	}
	detail := strings.TrimSpace(strconv.Itoa(r.status) + " " + http.StatusText(r.status))
	if message != "" {
		detail += ": " + message
	}
	reason, retryable := statusReason(r.status)
	e := errclass.New(errclass.HTTPError, reason, detail)
	e.Retryable = retryable
	e.RetryAfter = retryAfter(r.header.Get("Retry-After"), time.Now())
	e.Upstream.Code = code
	return e
}

// mappedError is the message at the definition's errorPath, if there is one.
func (t *Tool) mappedError(r *reply) string {
	if t.mapping == nil || len(t.mapping.errorPath) == 0 {
		return ""
	}
	body, failure := decoded(r)
	if failure != nil {
		return ""
	}
	v, found := t.mapping.errorPath.find(body)
	if !found || !truthy(v) {
		return ""
	}
	return messageOf(v)
}

// statusReason is the reason of a 4xx or 5xx status and whether to try again.
func statusReason(status int) (errclass.Reason, bool) {
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

// maxMessage bounds the message of a body, in characters.
const maxMessage = 300

// errorMessage finds the message, and the upstream's own code, in the body of a
// failure. It returns nothing rather than something that helps nobody.
func errorMessage(r *reply) (message, code string) {
	kind, text, failure := content(r)
	if failure != nil || kind == contentEmpty {
		return "", ""
	}
	if v, err := strictjson.Decode(text); err == nil {
		return errclass.OneLine(messageOf(v), maxMessage), errclass.OneLine(codeOf(v), 64)
	}
	if looksLikeHTML(text) || bytes.Contains(bytes.ToLower(text[:min(len(text), 1024)]), []byte("<title")) {
		return errclass.OneLine(htmlTitle(text), maxMessage), ""
	}
	if kind == contentJSON || !utf8.Valid(text) {
		return "", ""
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if strings.HasPrefix(first, "<") { // XML: markup helps nobody
		return "", ""
	}
	return errclass.OneLine(first, maxMessage), ""
}

// messageOf looks at the common shapes of error bodies, the most telling member
// first.
func messageOf(v any) string { return messageWithin(v, 4) }

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
	text, _ := scalarText(v)
	return text
}

func codeOf(v any) string {
	object, _ := v.(map[string]any)
	inner, _ := object["error"].(map[string]any)
	if errs, ok := object["errors"].([]any); ok && len(errs) > 0 && inner == nil {
		inner, _ = errs[0].(map[string]any)
	}
	extensions, _ := inner["extensions"].(map[string]any)
	for _, candidate := range []any{extensions["code"], inner["code"], inner["type"], object["code"], object["error_code"], object["errorCode"]} {
		if text, ok := scalarText(candidate); ok && text != "" {
			return text
		}
	}
	if text, ok := object["error"].(string); ok && text != "" && !strings.Contains(text, " ") && object["error_description"] != nil {
		return text
	}
	return ""
}

func htmlTitle(text []byte) string {
	lower := bytes.ToLower(text[:min(len(text), 16<<10)])
	start := bytes.Index(lower, []byte("<title"))
	if start < 0 {
		return ""
	}
	open := bytes.IndexByte(lower[start:], '>')
	if open < 0 {
		return ""
	}
	from := start + open + 1
	end := bytes.Index(lower[from:], []byte("</title"))
	if end < 0 || from+end > len(text) {
		return ""
	}
	return strings.TrimSpace(html.UnescapeString(string(text[from : from+end])))
}
