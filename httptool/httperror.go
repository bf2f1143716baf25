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
	"github.com/almyty-inc/toolrun/internal/httperr"
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
	reason, retryable := httperr.Reason(r.status)
	e := errclass.New(errclass.HTTPError, reason, detail)
	e.Retryable = retryable
	e.RetryAfter = httperr.RetryAfter(r.header.Get("Retry-After"), time.Now())
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
	return httperr.Message(v)
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
		return errclass.OneLine(httperr.Message(v), maxMessage), errclass.OneLine(httperr.Code(v), 64)
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
