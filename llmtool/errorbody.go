package llmtool

import (
	"cmp"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// said is what a provider said about a failure, whatever its dialect.
type said struct {
	found   bool     // the body speaks of an error
	message string   // the provider's own words; may be empty
	codes   []string // code, type and status words, most specific first, in lower case
	status  int      // an HTTP status that the body states; zero if none
	code    string   // the most telling of codes, as the provider writes it
	request string   // the provider's name for the request
	details details
}

// details is what a provider says in structure rather than in words.
type details struct {
	retryDelay string // google.rpc.RetryInfo
	perDay     bool   // google.rpc.QuotaFailure over a day's quota
	moderated  bool   // the provider's moderation stopped the request
}

// readError reads the body of a response that failed, or of a success that may
// hold an error.
func readError(body []byte) said {
	v, err := strictjson.Decode(body)
	if err != nil {
		return readText(string(body))
	}
	switch v := v.(type) {
	case []any: // Gemini's OpenAI-compatible endpoint
		if len(v) > 0 {
			if object, ok := v[0].(map[string]any); ok {
				return readObject(object)
			}
		}
	case map[string]any:
		return readObject(v)
	case string:
		return said{message: v}
	}
	return said{}
}

// readObject knows the dialects of a JSON object.
func readObject(object map[string]any) (s said) {
	s.request = text(object["request_id"])
	if s.request == "" {
		s.request = text(object["requestId"])
	}
	switch inner := object["error"].(type) {
	case map[string]any: // OpenAI, Anthropic, Google, Groq, OpenRouter, new vLLM
		s.found = true
		s.readFields(inner)
	case string: // Ollama, TGI, xAI
		s.found = true
		s.message = inner
		s.readMembers(object)
	case []any: // Cloudflare's gateway
		s.readList(inner)
	case bool:
		s.found = inner
		s.readFields(object)
	default:
		if list, ok := object["errors"].([]any); ok && len(list) > 0 {
			s.readList(list)
			break
		}
		s.found = object["object"] == "error" || object["type"] == "error" || object["success"] == false
		s.readFields(object)
	}
	s.message = strings.TrimSpace(s.message)
	return s
}

// readList takes the message out of all errors of a list, and the codes out of the
// first.
func (s *said) readList(list []any) {
	s.found = len(list) > 0
	s.message = sentence(list)
	if s.found {
		if first, ok := list[0].(map[string]any); ok {
			s.readMembers(first)
		}
	}
}

// readFields takes message and codes out of an error object.
func (s *said) readFields(object map[string]any) {
	for _, name := range []string{"message", "detail", "msg", "error", "title"} {
		if s.message = sentence(object[name]); s.message != "" {
			break
		}
	}
	s.readMembers(object)
	if inner, ok := object["innererror"].(map[string]any); ok { // Azure
		s.codes = append(codes(inner["code"]), s.codes...)
		s.code = cmp.Or(s.code, text(inner["code"]))
	}
	s.readEmbedded()
	if metadata, ok := object["metadata"].(map[string]any); ok { // OpenRouter
		_, s.details.moderated = metadata["flagged_input"]
		if raw := text(metadata["raw"]); raw != "" && strings.HasPrefix(strings.ToLower(s.message), "provider returned error") {
			behind := readError([]byte(raw))
			s.message = strings.TrimSpace(s.message + ": " + behind.message)
			s.codes = append(s.codes, behind.codes...)
		}
	}
	if list, ok := object["details"].([]any); ok { // google.rpc.Status
		for _, item := range list {
			if detail, ok := item.(map[string]any); ok {
				s.readGoogle(detail)
			}
		}
	}
}

// readMembers takes the codes out of an error object. What only repeats a status is
// the last choice for the one to be shown.
func (s *said) readMembers(object map[string]any) {
	repeated := ""
	for _, name := range []string{"code", "type", "error_type", "status", "statusCode", "status_code"} {
		code := text(object[name])
		n, err := strconv.Atoi(code)
		switch {
		case err == nil && n >= 400 && n <= 599:
			s.status = cmp.Or(s.status, n)
			if name == "code" {
				repeated = code
			}
		case code != "" && code != "None": // LiteLLM's null
			s.code = cmp.Or(s.code, code)
		}
		s.addCode(code)
	}
	s.code = cmp.Or(s.code, repeated)
}

// embedded is LiteLLM's way to pass an error on: JSON in the middle of a message,
// at times as a literal of Python's.
var embedded = regexp.MustCompile(`^(litellm\..*? - )(?:b?'(\{.*\})'|(\{.*\}))`)

// readEmbedded puts what an error in the message says into its place.
func (s *said) readEmbedded() {
	m := embedded.FindStringSubmatch(s.message)
	if m == nil {
		return
	}
	if behind := readError([]byte(m[2] + m[3])); behind.message != "" {
		s.message = m[1] + behind.message + s.message[len(m[0]):]
		s.codes = append(s.codes, behind.codes...)
	}
}

func (s *said) addCode(v any) { s.codes = append(s.codes, codes(v)...) }

// readGoogle reads one of google.rpc.Status's details.
func (s *said) readGoogle(detail map[string]any) {
	kind := text(detail["@type"])
	switch {
	case strings.HasSuffix(kind, "google.rpc.RetryInfo"):
		s.details.retryDelay = text(detail["retryDelay"])
	case strings.HasSuffix(kind, "google.rpc.ErrorInfo"):
		s.codes = append(codes(detail["reason"]), s.codes...)
		s.code = cmp.Or(text(detail["reason"]), s.code)
	case strings.HasSuffix(kind, "google.rpc.QuotaFailure"):
		violations, _ := detail["violations"].([]any)
		for _, v := range violations {
			violation, _ := v.(map[string]any)
			s.details.perDay = s.details.perDay || strings.Contains(text(violation["quotaId"]), "PerDay")
		}
	}
}

// codes is v as a code to compare, if it is one.
func codes(v any) []string {
	code := strings.ToLower(strings.TrimSpace(text(v)))
	if code == "" || len(code) > 100 {
		return nil
	}
	return []string{code}
}

// text is a string or a number as text, and empty for all else.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case json.Number:
		return v.String()
	}
	return ""
}

// sentence is a message that may be a string, a list of them, or an object of
// FastAPI's kind. Members that echo the request's input are left out.
func sentence(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case []any:
		var parts []string
		for _, item := range v {
			if part := sentence(item); part != "" && len(parts) < 5 {
				parts = append(parts, part)
			}
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		for _, name := range []string{"message", "msg", "detail"} {
			part := sentence(v[name])
			if part == "" {
				continue
			}
			if at, ok := v["loc"].([]any); ok {
				return location(at) + part
			}
			return part
		}
	}
	return ""
}

// location is FastAPI's "loc" as a prefix.
func location(at []any) string {
	var names []string
	for _, name := range at {
		if name := text(name); name != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return strings.Join(names, ".") + ": "
}

var (
	htmlStart = regexp.MustCompile(`(?i)^\s*(<!doctype html|<html|<head|<body|<center)`)
	htmlTitle = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)
	numbered  = regexp.MustCompile(`^\d{3}\b[:\s-]*`)
)

// readText reads a body that isn't JSON: a page of a proxy, or a plain line.
func readText(body string) said {
	if !htmlStart.MatchString(body) {
		if strings.HasPrefix(strings.TrimSpace(body), "{") {
			return said{} // JSON that is cut or broken is nobody's words
		}
		return said{message: strings.TrimSpace(body)}
	}
	title := ""
	if m := htmlTitle.FindStringSubmatch(body); m != nil {
		title = numbered.ReplaceAllString(errclass.OneLine(m[1], 100), "")
	}
	return said{message: strings.TrimSpace(title + " (an HTML page, probably of a proxy)")}
}
