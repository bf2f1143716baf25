package httptool

import (
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/almyty-inc/toolrun/internal/expression"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// bodyTemplate is the compiled body of a request.
type bodyTemplate struct {
	encoding string
	tree     *expression.Tree // json and raw
	fields   []field          // form-urlencoded and multipart

	query, operation string // graphql
}

// body compiles the body of a definition; nil for none or after a fault.
func (c *compiler) body(raw json.RawMessage, encoding string, headers map[string]any) *bodyTemplate {
	switch encoding {
	case "":
		encoding = "json"
	case "json", "form-urlencoded", "multipart", "raw":
	default:
		c.fault("/bodyEncoding", "must be one of: json, form-urlencoded, multipart, raw")
		return nil
	}
	if len(raw) == 0 {
		return nil
	}
	v, err := strictjson.Decode(raw)
	if err != nil {
		c.fault("/body", "is not valid JSON: "+err.Error())
		return nil
	}
	switch encoding {
	case "form-urlencoded", "multipart":
		fields, ok := v.(map[string]any)
		if !ok {
			c.fault("/body", "must be an object for "+encoding)
			return nil
		}
		return c.form(encoding, fields)
	case "raw":
		text, ok := v.(string)
		if !ok {
			c.fault("/body", "must be a string for raw")
			return nil
		}
		if c.jsonByValue(text, headers) {
			c.fault("/body", "is JSON with placeholders, in which a value could become syntax: use bodyEncoding json, or for lines of JSON one placeholder that calls json(x)")
			return nil
		}
	default:
		if v = c.jsonText(v); v == nil {
			return nil
		}
	}
	return &bodyTemplate{encoding: encoding, tree: c.tree("/body", v)}
}

func (c *compiler) form(encoding string, fields map[string]any) *bodyTemplate {
	check := c.checkNested
	if encoding == "multipart" {
		check = c.checkPart
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if err := checkFileName(name); err != nil {
				c.fault("/body/"+pointerName(name), "the name "+err.Error())
			}
		}
	}
	return &bodyTemplate{encoding: encoding, fields: c.fields("/body", fields, check)}
}

// jsonText reads a JSON body that is written as text, so that the placeholders
// in it are values of that JSON and never its syntax.
func (c *compiler) jsonText(v any) any {
	text, ok := v.(string)
	trimmed := strings.TrimSpace(text)
	isObject := strings.HasPrefix(trimmed, "{") && !strings.HasPrefix(trimmed, "{{")
	if !ok || !isObject && !strings.HasPrefix(trimmed, "[") {
		return v
	}
	parsed, err := strictjson.Decode([]byte(text))
	if err != nil {
		c.fault("/body", `is text that looks like JSON and isn't; write it as an object, or each placeholder as a string: "{{parameters.n}}" keeps its type`)
		return nil
	}
	return parsed
}

// jsonByValue reports whether a raw body is JSON, by its text or its declared
// type, that depends on values.
func (c *compiler) jsonByValue(text string, headers map[string]any) bool {
	t, err := expression.Compile(text, c.declared)
	if err != nil {
		return false // a fault of its own
	}
	if _, constant := t.Constant(); constant {
		return false
	}
	for name, value := range headers {
		declared, _ := value.(string)
		if declared, _, _ = strings.Cut(declared, ";"); strings.EqualFold(name, "Content-Type") && isJSONType(strings.ToLower(strings.TrimSpace(declared))) {
			return true
		}
	}
	return objectStart.MatchString(text) || isJSONAround(text)
}

// objectStart matches a text that begins as JSON with an object in it does, whole
// or not, and as neither CSS nor a placeholder does.
var objectStart = regexp.MustCompile(`^\s*\[?\s*\{\s*"`)

// isJSONAround reports whether a text is a JSON array, object or string around its
// placeholders.
func isJSONAround(text string) bool {
	parts, ok := splitPlaceholders(text)
	around := ""
	for _, p := range parts {
		if p.source != "" {
			around += "0"
		}
		around += p.literal
	}
	v, err := strictjson.Decode([]byte(around))
	if !ok || err != nil {
		return false
	}
	switch v.(type) {
	case []any, map[string]any, string:
		return true
	}
	return false
}

// maxBodyBytes bounds a request's body.
const maxBodyBytes = 32 << 20

// render makes the body and sets its content type.
func (t *bodyTemplate) render(s *expression.Scope, h http.Header) ([]byte, error) {
	body, err := t.encode(s, h)
	if err == nil && len(body) > maxBodyBytes {
		return nil, bodyTooLarge()
	}
	return body, err
}

func (t *bodyTemplate) encode(s *expression.Scope, h http.Header) ([]byte, error) {
	if t == nil {
		return nil, nil
	}
	switch t.encoding {
	case "form-urlencoded":
		text, err := appendFields("", t.fields, s)
		h["Content-Type"] = []string{"application/x-www-form-urlencoded"}
		return []byte(text), err
	case "multipart":
		return t.multipart(s, h)
	}
	v, present, err := t.tree.Value(s)
	if err != nil || !present {
		return nil, err
	}
	if t.encoding == "raw" {
		if text, ok := v.(string); ok {
			h["Content-Type"] = []string{"text/plain; charset=utf-8"}
			return []byte(text), nil
		}
	}
	h["Content-Type"] = []string{"application/json"}
	if t.encoding == "graphql" {
		return t.envelope(v)
	}
	body, err := strictjson.Marshal(v)
	if err != nil {
		return nil, badInput("the body is not what JSON can hold")
	}
	return body, nil
}
