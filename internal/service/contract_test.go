package service_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// endpoint is one row of the contract: written by hand, from CONTRACT.md.
type endpoint struct {
	method, path string
	role         int    // 0: public, 4: operators
	status       int    // of a good request
	of           string // what the path names: tool, execution, key
	body         bool
}

var endpoints = []endpoint{
	{"GET", "/tools", 1, 200, "", false},
	{"POST", "/tools", 3, 201, "", true},
	{"GET", "/tools/{id}", 1, 200, "tool", false},
	{"PATCH", "/tools/{id}", 3, 200, "tool", true},
	{"DELETE", "/tools/{id}", 3, 200, "tool", false},
	{"POST", "/tools/{id}/execute", 2, 200, "tool", true},
	{"GET", "/tools/{id}/versions", 1, 200, "tool", false},
	{"GET", "/tools/{id}/versions/{version}", 1, 200, "tool", false},
	{"GET", "/executions", 1, 200, "", false},
	{"GET", "/executions/{id}", 1, 200, "execution", false},
	{"DELETE", "/executions/{id}", 2, 409, "execution", false}, // it has ended
	{"GET", "/executions/{id}/events", 1, 200, "execution", false},
	{"GET", "/keys", 3, 200, "", false},
	{"POST", "/keys", 3, 201, "", true},
	{"DELETE", "/keys/{id}", 3, 200, "key", false},
	{"GET", "/webhook-secret", 3, 200, "", false},
	{"GET", "/healthz", 0, 200, "", false},
	{"GET", "/readyz", 0, 200, "", false},
	{"GET", "/metrics", 4, 200, "", false},
	{"GET", "/openapi.json", 0, 200, "", false},
}

func (e endpoint) ofOrganization() bool { return e.role >= 1 && e.role <= 3 }

// served finds the row of a request; HEAD is GET, but for events, which have no end.
func served(method, path string) (endpoint, bool) {
	for _, e := range endpoints {
		if e.path == path && (e.method == method || method == "HEAD" && e.method == "GET" && !strings.HasSuffix(path, "/events")) {
			return e, true
		}
	}
	return endpoint{}, false
}

// bodyFault is something that a body may have wrong, with the status it gets from the
// execution, the definitions and the keys.
type bodyFault struct {
	name                          string
	header                        http.Header
	text                          string // in place of the good body
	execute, create, patch, newly int
}

var bodyFaults = []bodyFault{
	{"valid", nil, "", 200, 201, 200, 201},
	{"none", nil, "\x00", 200, 400, 400, 400},
	{"malformed", nil, "{,}", 400, 400, 400, 400},
	{"cut short", nil, `{"name":"x`, 400, 400, 400, 400},
	{"wrong shape", nil, `[]`, 400, 400, 400, 400},
	{"unknown member", nil, `{"nonsense":1}`, 400, 422, 422, 400},
	{"duplicate member", nil, `{"name":"a","name":"b"}`, 400, 400, 400, 400},
	{"null", nil, `null`, 400, 400, 400, 400},
	{"wrong media type", http.Header{"Content-Type": {"text/plain"}}, "", 415, 415, 415, 415},
	{"gzip", http.Header{"Content-Encoding": {"gzip"}}, "", 415, 415, 415, 415},
	{"too large", nil, `{"parameters":"` + strings.Repeat("x", contractBody) + `"}`, 413, 413, 413, 413},
}

func (f bodyFault) status(e endpoint) int {
	switch {
	case e.of == "tool" && e.method == "POST":
		return f.execute
	case e.method == "PATCH":
		return f.patch
	case e.path == "/keys":
		return f.newly
	}
	return f.create
}

// expected is the status of a request: what is known of the route comes first, then who
// calls, what he may do, what is there, and the body last.
func expected(method, path, caller string, acme bool, fault *bodyFault) int {
	e, ok := served(method, path)
	if !ok {
		return 405
	}
	if e.role == 0 {
		return e.status
	}
	role := roles[caller]
	switch {
	case role == 0:
		return 401
	case e.role == 4 && caller != "operator":
		return 403
	case e.role == 4:
		return e.status
	case acme && caller == "stranger":
		return 403
	case role < e.role:
		return 403
	case e.role == 3 && caller == "operator" && !acme:
		return 400 // on whose behalf?
	}
	if caller == "limited" {
		switch {
		case e.of == "tool", e.of == "key", path == "/keys", path == "/webhook-secret", path == "/executions", e.method == "POST":
			return 403
		case e.of == "execution":
			return 404
		}
	}
	if e.of != "" && !acme && (caller == "stranger" || caller == "operator") {
		return 404
	}
	if fault == nil || !e.body {
		fault = &bodyFaults[0]
	}
	status := fault.status(e)
	if e.body {
		return status
	}
	return e.status
}

var (
	apiErrorShape = regexp.MustCompile(`^\{"success":false,"message":"(?:[^"\\]|\\.)+","error":"([A-Z_]+)","statusCode":(\d{3})(,"errors":\[\{.*\}\])?\}$`)
	failureShape  = regexp.MustCompile(`^\{"success":false,"error":"Tool execution failed: (?:[^"\\]|\\.)+","duration":\d+,"status":"error"(,"details":\{.*\})?\}$`)
)

var codeOf = map[int]string{
	400: "BAD_REQUEST", 401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 409: "CONFLICT",
	413: "PAYLOAD_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE", 422: "VALIDATION_ERROR", 429: "RATE_LIMITED", 503: "SERVICE_UNAVAILABLE",
}

// shapeFault says what of an answer isn't as documented; empty for nothing.
func shapeFault(response *http.Response, body string) string {
	h, status := response.Header, response.StatusCode
	switch {
	case h.Get("X-Content-Type-Options") != "nosniff":
		return "X-Content-Type-Options"
	case h.Get("Cache-Control") != "no-store":
		return "Cache-Control"
	case (status == 401) != (h.Get("WWW-Authenticate") != ""):
		return "WWW-Authenticate"
	case (status == 405) != (h.Get("Allow") != ""):
		return "Allow"
	case (status == 429 || status == 503) && h.Get("Retry-After") == "":
		return "Retry-After"
	}
	media := h.Get("Content-Type")
	if status == 200 && (media == "text/event-stream" || strings.HasPrefix(media, "text/plain; version=")) {
		return ""
	}
	if media != "application/json; charset=utf-8" {
		return "Content-Type " + media
	}
	if response.Request.Method == "HEAD" {
		if body != "" || response.ContentLength <= 0 {
			return "HEAD"
		}
		return ""
	}
	if status < 400 {
		if strings.HasPrefix(body, `{"success":true,"data":`) || failureShape.MatchString(body) || strings.HasSuffix(response.Request.URL.Path, "/openapi.json") {
			return ""
		}
		return "shape of a success"
	}
	found := apiErrorShape.FindStringSubmatch(body)
	if found == nil || found[2] != strconv.Itoa(status) || found[1] != codeOf[status] {
		return "shape of an error"
	}
	return ""
}

// Every route, method, caller and fault of a body: each answer has one of the documented
// shapes, the status that the contract gives it, and the schema that GET /openapi.json does.
func TestContract(t *testing.T) {
	c := newContract(t)
	var paths []string
	for _, e := range endpoints {
		if len(paths) == 0 || paths[len(paths)-1] != e.path {
			paths = append(paths, e.path)
		}
	}
	wrong, asked := make(map[string]int), 0
	for _, path := range paths {
		for _, acme := range []bool{false, true} {
			if first, _ := served("GET", path); acme && first.path != "" && !first.ofOrganization() {
				continue
			}
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
				for caller := range c.callers {
					e, ok := served(method, path)
					if !ok && caller != "none" && caller != "admin" {
						continue // a method that isn't there asks for no credentials
					}
					faults := []bodyFault{bodyFaults[0]}
					if ok && e.body {
						faults = bodyFaults
					}
					for _, fault := range faults {
						asked++
						if complaint := c.check(t, method, path, caller, acme, fault); complaint != "" {
							wrong[complaint]++
						}
					}
				}
			}
		}
	}
	t.Logf("%d combinations", asked)
	require.GreaterOrEqual(t, asked, 400)
	for complaint := range wrong {
		t.Error(complaint)
	}
}

// check makes one request and says what is wrong with the answer.
func (c *contract) check(t *testing.T, method, path, caller string, acme bool, fault bodyFault) string {
	t.Helper()
	route, header, body := path, c.callers[caller].Clone(), ""
	if acme {
		route = "/organizations/{organization}" + path
	}
	for name, values := range fault.header {
		header[name] = values
	}
	want := expected(method, path, caller, acme, &fault)
	names := strings.NewReplacer("{organization}", "acme", "{version}", "1", "{id}", c.target(t, method, path, want))
	if e, ok := served(method, path); ok && e.body {
		body = c.body(e, fault)
	}
	response, text := c.ask(t, method, names.Replace(route), header, body)
	what := fmt.Sprintf("%s %s by %s with body %s", method, route, caller, fault.name)
	if response.StatusCode != want {
		return fmt.Sprintf("%s: %d instead of %d: %.300s", what, response.StatusCode, want, text)
	}
	if complaint := shapeFault(response, text); complaint != "" {
		return fmt.Sprintf("%s: %s: %v %.300s", what, complaint, response.Header, text)
	}
	if err := c.described.check(method, route, response, text); err != nil {
		return fmt.Sprintf("%s: %v: %.500s", what, err, text)
	}
	return ""
}

// target is what a path names: something of its own for a request that ends it.
func (c *contract) target(t *testing.T, method, path string, want int) string {
	t.Helper()
	switch {
	case strings.HasPrefix(path, "/executions"):
		return c.execution
	case strings.HasPrefix(path, "/keys/"):
		return c.makeKey(t)
	case method == "DELETE" && want == 200:
		name := fmt.Sprint("gone-", c.named.Add(1))
		c.makeTool(t, name)
		return name
	}
	return "stored"
}

func (c *contract) body(e endpoint, fault bodyFault) string {
	switch {
	case fault.text == "\x00":
		return ""
	case fault.text != "":
		return fault.text
	case e.path == "/keys":
		return `{"name":"new","role":"viewer"}`
	case e.method == "PATCH":
		return `{"description":"changed"}`
	case e.path == "/tools":
		return definitionOf(fmt.Sprint("new-", c.named.Add(1)))
	}
	return `{"parameters":{}}`
}
