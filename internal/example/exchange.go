package example

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// exchange is one request that an example expects of its tool and what the
// upstream makes of it. Its shape is $defs/exchange of the definition's schema.
type exchange struct {
	Request request           `json:"request"`
	Status  int               `json:"status"` // defaults to 200
	Headers map[string]string `json:"headers"`
	JSON    json.RawMessage   `json:"json"`
	Body    string            `json:"body"`
	Delay   int               `json:"delay"` // milliseconds before the answer
	Fault   string            `json:"fault"`
}

// The faults, each made for real.
const (
	faultRefused   = "refused"   // nobody listens
	faultReset     = "reset"     // the connection is reset in place of an answer
	faultTruncated = "truncated" // the connection ends in the middle of the body
	faultCancel    = "cancel"    // the caller leaves while the upstream holds its answer
	faultPanic     = "panic"     // the transport panics: a fault of ours
)

// request is what an exchange expects of the tool; what is absent may be
// anything.
type request struct {
	Method  string            `json:"method"`
	Host    string            `json:"host"`
	Path    string            `json:"path"`    // as sent, percent-encoding included
	Query   map[string]any    `json:"query"`   // all of it
	Headers map[string]string `json:"headers"` // an empty text means a header that is sent empty
	Body    json.RawMessage   `json:"body"`    // a string means the text, anything else the decoded JSON or form
}

// readExchanges reads an example's upstream: one exchange or a list of them.
func readExchanges(raw json.RawMessage) ([]exchange, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	if !strings.HasPrefix(strings.TrimSpace(string(raw)), "[") {
		raw = slices.Concat([]byte{'['}, raw, []byte{']'})
	}
	exchanges := []exchange{}
	if err := strictjson.Unmarshal(raw, &exchanges); err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	return exchanges, nil
}

// content is the answer's body, with its media type where the exchange implies
// one.
func (x *exchange) content() (body []byte, mediaType string) {
	if x.JSON != nil {
		return x.JSON, "application/json"
	}
	return []byte(x.Body), ""
}

// problems compares what the tool sends with what the exchange expects. Each
// problem starts with a JSON pointer into the exchange.
func (r *request) problems(sent *http.Request, body []byte) []string {
	var found []string
	text := func(pointer, want, got string) {
		if want != "" && want != got {
			found = append(found, fmt.Sprintf("%s: expected %q, got %q", pointer, want, got))
		}
	}
	text("/request/method", r.Method, sent.Method)
	text("/request/host", strings.ToLower(r.Host), strings.ToLower(host(sent)))
	text("/request/path", r.Path, sent.URL.EscapedPath())
	if r.Query != nil {
		want := make(map[string]any, len(r.Query))
		for name, value := range r.Query {
			want[name] = asText(value)
		}
		found = append(found, differences("/request/query", want, flatten(sent.URL.Query()))...)
	}
	for _, name := range sortedKeys(r.Headers) {
		got := sent.Header.Values(name)
		if len(got) == 0 {
			found = append(found, fmt.Sprintf("%s: expected %q, but there is none", pointer("/request/headers", name), r.Headers[name]))
			continue
		}
		if sent := strings.Join(got, ", "); sent != r.Headers[name] {
			found = append(found, fmt.Sprintf("%s: expected %q, got %q", pointer("/request/headers", name), r.Headers[name], sent))
		}
	}
	return append(found, r.bodyProblems(sent, body)...)
}

func (r *request) bodyProblems(sent *http.Request, body []byte) []string {
	if r.Body == nil {
		return nil
	}
	want, err := strictjson.Decode(r.Body)
	if err != nil {
		return []string{"/request/body: " + err.Error()}
	}
	if text, ok := want.(string); ok && text == string(body) {
		return nil
	}
	got, err := decodeBody(sent, body)
	if err != nil {
		got = string(body)
	}
	return differences("/request/body", want, got)
}

// decodeBody reads a body as what it says it is.
func decodeBody(sent *http.Request, body []byte) (any, error) {
	mediaType, parameters, _ := mime.ParseMediaType(sent.Header.Get("Content-Type"))
	switch mediaType {
	case "application/x-www-form-urlencoded":
	case "multipart/form-data":
		return decodeMultipart(body, parameters["boundary"])
	default:
		return strictjson.Decode(body)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	return flatten(form), nil
}

// flatten makes of a query or form what an author writes.
func flatten(values url.Values) any {
	form := make(map[string][]any, len(values))
	for name, all := range values {
		for _, v := range all {
			form[name] = append(form[name], v)
		}
	}
	return listed(form)
}

// asText writes a number or boolean of an expected query as a URL holds it.
func asText(v any) any {
	switch v := v.(type) {
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = asText(item)
		}
		return list
	case string:
		return v
	}
	return encoded(v)
}

func host(r *http.Request) string {
	if r.Host != "" {
		return r.Host
	}
	return r.URL.Host
}
