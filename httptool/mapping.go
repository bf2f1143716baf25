package httptool

import (
	"strconv"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/expression"
	"github.com/almyty-inc/toolrun/internal/httperr"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// ResponseMapping says what of a response is the result, and when a response
// with a good status is a failure all the same. Paths are names and indexes, as
// in data.items[0].name.
type ResponseMapping struct {
	// DataPath is where the result is; empty for the whole body.
	DataPath string `json:"dataPath,omitempty"`
	// ErrorPath is where an error message would be: a value there that is not
	// null, false, 0 or empty fails the call. It also finds the message of a 4xx
	// or 5xx body.
	ErrorPath string `json:"errorPath,omitempty"`
	// SuccessCondition is an expression over response.status, response.headers
	// (names in lower case) and response.body that a success fulfils, such as
	// response.body.status == 'ok'.
	SuccessCondition string `json:"successCondition,omitempty"`
}

// mapping is a compiled [ResponseMapping].
type mapping struct {
	dataPath, errorPath dataPath
	success             *expression.Template
}

func (c *compiler) mapping(m *ResponseMapping) *mapping {
	if m == nil || *m == (ResponseMapping{}) {
		return nil
	}
	return &mapping{
		dataPath:  c.path("/responseMapping/dataPath", m.DataPath),
		errorPath: c.path("/responseMapping/errorPath", m.ErrorPath),
		success:   c.condition("/responseMapping/successCondition", m.SuccessCondition),
	}
}

func (c *compiler) path(pointer, text string) dataPath {
	p, message := parsePath(text)
	if message != "" {
		c.fault(pointer, message)
	}
	return p
}

// apply checks a body and picks the result from it.
func (m *mapping) apply(body any, r *reply) (any, *errclass.Error) {
	if m == nil {
		return body, nil
	}
	if failure := m.check(body, r); failure != nil {
		return nil, failure
	}
	v, found := m.dataPath.find(body)
	if !found {
		return nil, noData(m.dataPath, body)
	}
	return v, nil
}

func noData(p dataPath, body any) *errclass.Error {
	if _, text := body.(string); text {
		return errclass.Newf(errclass.InvalidResponse, errclass.NotJSON, "the answer is text and has nothing at %s", p)
	}
	return errclass.Newf(errclass.InvalidResponse, errclass.NoData, "the answer has nothing at %s", p)
}

// check reports a response that says itself that the call failed.
func (m *mapping) check(body any, r *reply) *errclass.Error {
	if m == nil {
		return nil
	}
	if len(m.errorPath) > 0 {
		if v, found := m.errorPath.find(body); found && truthy(v) {
			return upstreamFailed(v, body)
		}
	}
	if m.success == nil {
		return nil
	}
	v, present, err := m.success.Value(&expression.Scope{Parameters: map[string]any{"response": responseValue(body, r)}})
	if err != nil {
		return errclass.New(errclass.ConfigurationError, errclass.BadExpression, "successCondition can't be evaluated on this response").WithCause(err)
	}
	if present && truthy(v) {
		return nil
	}
	e := errclass.New(errclass.InvalidResponse, errclass.UpstreamFailed, "the answer doesn't fulfil the tool's successCondition")
	if message := errclass.OneLine(httperr.Message(body), maxMessage); message != "" {
		if _, text := body.(string); !text {
			e.Detail = errclass.OneLine(e.Detail+": "+message, maxMessage+100)
		}
	}
	return e
}

func upstreamFailed(v, body any) *errclass.Error {
	message := errclass.OneLine(httperr.Message(v), maxMessage)
	if message == "" {
		message = "the answer reports an error"
	}
	e := errclass.New(errclass.InvalidResponse, errclass.UpstreamFailed, message)
	e.Upstream.Code = errclass.OneLine(httperr.Code(body), 64)
	return e
}

func responseValue(body any, r *reply) map[string]any {
	headers := make(map[string]any, len(r.header))
	for name, values := range r.header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return map[string]any{"status": int64(r.status), "headers": headers, "body": body}
}

// truthy is JavaScript's notion, but an empty array or object is false too: an
// empty list of errors is none.
func truthy(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	text, err := strictjson.Marshal(v)
	return err == nil && string(text) != "0"
}

// condition compiles an expression over response. The expression language
// starts at parameters, env and credentials, so response is compiled as a member
// of the first.
func (c *compiler) condition(pointer, src string) *expression.Template {
	if strings.TrimSpace(src) == "" {
		return nil
	}
	inner := strings.TrimSpace(src)
	if strings.HasPrefix(inner, "{{") && placeholderEnd(inner[2:]) == len(inner)-4 {
		inner = inner[2 : len(inner)-2]
	}
	rewritten, ok := rootResponse(inner)
	if !ok {
		c.fault(pointer, "reads only response: response.status, response.headers, response.body")
		return nil
	}
	t, err := expression.Compile("{{"+rewritten+"}}", expression.Declared{Parameters: []string{"response"}})
	if err != nil {
		message := err.Error()
		if known, ok := err.(*expression.Error); ok {
			message = known.Message // its offset counts the rewritten text
		}
		c.fault(pointer, strings.ReplaceAll(message, "parameters.response", "response"))
		return nil
	}
	return t
}

// rootResponse writes parameters.response for each response that begins a path,
// and refuses the language's own roots.
func rootResponse(src string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(src); {
		switch ch := src[i]; {
		case ch == '\'' || ch == '"' || ch == '`':
			end := i + 1
			for end < len(src) && src[end] != ch {
				if src[end] == '\\' && ch != '`' {
					end++
				}
				end++
			}
			end = min(end+1, len(src))
			b.WriteString(src[i:end])
			i = end
		case isNameByte(ch):
			end := i
			for end < len(src) && isNameByte(src[end]) {
				end++
			}
			word, before := src[i:end], strings.TrimRight(src[:i], " \t\r\n")
			member := strings.HasSuffix(before, ".") && !strings.HasSuffix(before, "..")
			key := strings.HasPrefix(strings.TrimLeft(src[end:], " \t\r\n"), ":") && (strings.HasSuffix(before, "{") || strings.HasSuffix(before, ","))
			if !member && !key {
				switch word {
				case "parameters", "env", "credentials":
					return "", false
				case "response":
					b.WriteString("parameters.")
				}
			}
			b.WriteString(word)
			i = end
		default:
			b.WriteByte(ch)
			i++
		}
	}
	return b.String(), true
}

func isNameByte(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '_' || b == '$' || b >= 0x80
}

// dataPath is a parsed path: names (string) and indexes (int).
type dataPath []any

// maxSteps bounds a path.
const maxSteps = 64

// parsePath reads names separated by dots with [n] indexes and ["name"] for
// names that hold a dot or bracket; a leading $ or $. is tolerated.
func parsePath(text string) (dataPath, string) {
	rest := strings.TrimSpace(text)
	if rest == "$" {
		return nil, ""
	}
	if strings.HasPrefix(rest, "$.") || strings.HasPrefix(rest, "$[") {
		rest = strings.TrimPrefix(rest[1:], ".")
	}
	var p dataPath
	for first := true; rest != ""; first = false {
		if len(p) == maxSteps {
			return nil, "has too many steps"
		}
		if rest[0] == '[' {
			step, after, ok := bracketStep(rest)
			if !ok {
				return nil, `must be names and indexes, as in data.items[0]["a.b"]`
			}
			p, rest = append(p, step), after
			continue
		}
		if !first {
			if rest[0] != '.' {
				return nil, "must be names and indexes, as in data.items[0].name"
			}
			rest = rest[1:]
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 || strings.ContainsAny(rest[:end], "]{}*") {
			return nil, "must be names and indexes, as in data.items[0].name"
		}
		p, rest = append(p, rest[:end]), rest[end:]
	}
	return p, ""
}

func bracketStep(text string) (step any, rest string, ok bool) {
	if strings.HasPrefix(text, `["`) || strings.HasPrefix(text, `['`) {
		name, after, found := strings.Cut(text[2:], text[1:2]+"]")
		return name, after, found && name != ""
	}
	digits, after, found := strings.Cut(text[1:], "]")
	n, err := strconv.ParseUint(digits, 10, 31)
	return int(n), after, found && err == nil
}

// find follows the path; found is false where a step has no such member. A name
// that is a number also indexes an array, as in items.0.name.
func (p dataPath) find(v any) (found any, ok bool) {
	for _, step := range p {
		switch container := v.(type) {
		case map[string]any:
			name, isName := step.(string)
			if v, ok = container[name]; !isName || !ok {
				return nil, false
			}
		case []any:
			i, isIndex := step.(int)
			if name, isName := step.(string); isName {
				n, err := strconv.ParseUint(name, 10, 31)
				i, isIndex = int(n), err == nil
			}
			if !isIndex || i >= len(container) {
				return nil, false
			}
			v = container[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// String is the path as an author writes it.
func (p dataPath) String() string {
	var b strings.Builder
	for i, step := range p {
		switch step := step.(type) {
		case int:
			b.WriteString("[" + strconv.Itoa(step) + "]")
		case string:
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(step)
		}
	}
	return b.String()
}
