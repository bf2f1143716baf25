package llmtool

import (
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
	code    string   // the first of codes, as the provider writes it
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
		s.addCode(object["error_type"])
		s.readMembers(object)
	case []any:
		s.found = len(inner) > 0
		s.message = sentence(inner)
	case bool:
		s.found = inner
		s.readFields(object)
	default:
		if list, ok := object["errors"].([]any); ok && len(list) > 0 {
			s.found = true
			if first, ok := list[0].(map[string]any); ok {
				s.readFields(first)
			} else {
				s.message = sentence(list)
			}
			break
		}
		s.found = object["object"] == "error" || object["type"] == "error" || object["success"] == false
		s.readFields(object)
	}
	s.message = strings.TrimSpace(s.message)
	return s
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
	}
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

// readMembers takes the codes out of an error object.
func (s *said) readMembers(object map[string]any) {
	s.code = text(object["code"])
	for _, name := range []string{"code", "statusCode", "status_code", "status"} {
		if n, err := strconv.Atoi(text(object[name])); err == nil && n >= 400 && n <= 599 && s.status == 0 {
			s.status = n
		}
	}
	for _, name := range []string{"code", "type", "status"} {
		s.addCode(object[name])
	}
	if s.code == "" {
		s.code = text(object["type"])
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
