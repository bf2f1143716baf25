package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/access"
	"github.com/almyty-inc/toolrun/internal/catalog"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/internal/service"
)

// contractBody bounds bodies in the tests of the contract.
const contractBody = 4096

// contract is a service with all that it can have, and somebody of each kind to call it.
type contract struct {
	*standalone
	keys      *queue.Keys
	described *described
	execution string // of acme, that has ended
	missing   atomic.Bool
	named     atomic.Int64
	callers   map[string]http.Header
}

var tokenSecret = []byte("contract-contract-contract-contract")

func newContract(t *testing.T) *contract {
	t.Helper()
	c := &contract{}
	engine, err := queue.Open(t.Context(), queue.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	executions, err := engine.Executions(t.Context(), queue.ExecutionsOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, executions.Close()) })
	definitions, err := engine.Definitions(t.Context())
	require.NoError(t, err)
	rates, err := engine.Rates(t.Context())
	require.NoError(t, err)
	c.keys, err = engine.Keys(t.Context())
	require.NoError(t, err)
	authenticator, err := access.New(t.Context(), access.Options{Keys: c.keys, JWT: access.JWTOptions{Secret: tokenSecret}, Failures: 1_000_000})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, authenticator.Close()) })

	options := plainTools(t)
	options.Rates = service.Rates(rates)
	c.standalone = serve(t, options, service.Options{
		Access: authenticator, Executions: executions, Definitions: definitions, Keys: c.keys, Rates: rates,
		WebhookSecret: []byte(strings.Repeat("w", 32)), BodyBytes: contractBody,
		Missing: func() []string {
			if c.missing.Load() {
				return []string{"the store"}
			}
			return nil
		},
	})
	background, stop := context.WithCancel(context.Background())
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		_ = executions.Work(background, queue.WorkerOptions{Runner: c.runner})
	}()
	t.Cleanup(func() {
		stop()
		<-worked
	})
	catalog.FollowStored(background, definitions, c.runner, slog.New(slog.NewTextHandler(c.log, nil)))

	c.makeCallers(t)
	_, text := c.ask(t, "GET", "/openapi.json", nil, "")
	c.described = readDescription(t, text)
	c.makeTool(t, "stored")
	header := c.callers["admin"].Clone()
	header.Set("Idempotency-Key", "first")
	response, text := c.ask(t, "POST", "/tools/stored/execute", header, "{}")
	require.Equal(t, http.StatusOK, response.StatusCode, text)
	c.execution = response.Header.Get("X-Execution-Id")
	return c
}

// key stores a key and returns its secret.
func (c *contract) key(t testing.TB, wanted access.Key, change func(*access.Key)) string {
	t.Helper()
	wanted.Name = "contract"
	made, secret, err := access.NewKey(wanted)
	require.NoError(t, err)
	if change != nil {
		change(&made)
	}
	require.NoError(t, c.keys.Create(t.Context(), made))
	return secret
}

func bearer(secret string) http.Header {
	return http.Header{"Authorization": {"Bearer " + secret}}
}

func signed(t testing.TB, method jwt.SigningMethod, secret any, change jwt.MapClaims) http.Header {
	t.Helper()
	claims := jwt.MapClaims{
		"sub": "ada", "iss": "almyty", "aud": "almyty-api", "exp": time.Now().Add(time.Hour).Unix(), "organizationId": "acme", "role": "admin",
	}
	for name, value := range change {
		claims[name] = value
	}
	text, err := jwt.NewWithClaims(method, claims).SignedString(secret)
	require.NoError(t, err)
	return bearer(text)
}

func (c *contract) makeCallers(t testing.TB) {
	t.Helper()
	past := time.Now().Add(-time.Hour)
	admin := access.Key{Organization: "acme", Role: access.Admin}
	adminSecret := c.key(t, admin, nil)
	limited := admin
	limited.Tools = []string{"echo"}
	c.callers = map[string]http.Header{
		"none":           {},
		"malformed":      {"Authorization": {"Basic YWRhOmxvdmVsYWNl"}},
		"unknown key":    bearer("ak_live_" + strings.Repeat("0", 43)),
		"revoked key":    bearer(c.key(t, admin, func(k *access.Key) { k.RevokedAt = past })),
		"expired key":    bearer(c.key(t, admin, func(k *access.Key) { k.ExpiresAt = past })),
		"expired token":  signed(t, jwt.SigningMethodHS256, tokenSecret, jwt.MapClaims{"exp": past.Unix()}),
		"forged token":   signed(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), nil),
		"alg none":       signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"wrong audience": signed(t, jwt.SigningMethodHS256, tokenSecret, jwt.MapClaims{"aud": "another"}),
		"two": {
			"Authorization": {"Bearer " + adminSecret}, "X-Api-Key": {adminSecret},
		},
		"viewer":      bearer(c.key(t, access.Key{Organization: "acme", Role: access.Viewer}, nil)),
		"member":      {"X-Api-Key": {c.key(t, access.Key{Organization: "acme", Role: access.Member}, nil)}},
		"admin":       bearer(adminSecret),
		"admin token": signed(t, jwt.SigningMethodHS256, tokenSecret, nil),
		"stranger":    bearer(c.key(t, access.Key{Organization: "globex", Role: access.Admin}, nil)),
		"limited":     bearer(c.key(t, limited, nil)),
		"operator":    bearer(c.key(t, access.Key{Organization: access.EveryOrganization, Role: access.Admin}, nil)),
	}
}

// roles are those of the callers whose credential holds.
var roles = map[string]int{"viewer": 1, "member": 2, "admin": 3, "admin token": 3, "stranger": 3, "limited": 3, "operator": 3}

func (c *contract) ask(t testing.TB, method, path string, header http.Header, body string) (*http.Response, string) {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, c.url+path, reader)
	require.NoError(t, err)
	if header != nil {
		request.Header = header.Clone()
	}
	if body != "" && request.Header.Get("Content-Type") == "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(text)
}

// makeTool stores a tool of acme and waits until it can be used.
func (c *contract) makeTool(t testing.TB, name string) {
	t.Helper()
	response, text := c.ask(t, "POST", "/tools", c.callers["admin"], definitionOf(name))
	require.Equal(t, http.StatusCreated, response.StatusCode, text)
	require.Eventually(t, func() bool {
		response, _ := c.ask(t, "GET", "/tools/"+name, c.callers["admin"], "")
		return response.StatusCode == http.StatusOK
	}, patience, time.Millisecond)
}

func definitionOf(name string) string {
	return `{"name":"` + name + `","type":"javascript","code":"return 1"}`
}

// makeKey makes a key of acme and returns its id.
func (c *contract) makeKey(t testing.TB) string {
	t.Helper()
	_, text := c.ask(t, "POST", "/keys", c.callers["admin"], `{"name":"short-lived","role":"viewer"}`)
	var answer struct{ Data struct{ ID string } }
	require.NoError(t, json.Unmarshal([]byte(text), &answer), text)
	require.NotEmpty(t, answer.Data.ID)
	return answer.Data.ID
}

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

// Nobody can tell what another organization has from what doesn't exist.
func TestContractHidesOtherOrganizations(t *testing.T) {
	c := newContract(t)
	for _, stranger := range []string{"stranger", "operator"} {
		header := c.callers[stranger].Clone()
		header.Set("X-Organization-Id", "globex")
		for _, r := range []struct{ method, path, real string }{
			{"GET", "/tools/%s", "stored"},
			{"PATCH", "/tools/%s", "stored"},
			{"DELETE", "/tools/%s", "stored"},
			{"POST", "/tools/%s/execute", "stored"},
			{"GET", "/tools/%s/versions", "stored"},
			{"GET", "/tools/%s/versions/1", "stored"},
			{"GET", "/executions/%s", c.execution},
			{"DELETE", "/executions/%s", c.execution},
			{"GET", "/executions/%s/events", c.execution},
		} {
			for _, prefix := range []string{"", "/organizations/globex"} {
				theirs, text := c.ask(t, r.method, prefix+fmt.Sprintf(r.path, r.real), header, "{}")
				none, other := c.ask(t, r.method, prefix+fmt.Sprintf(r.path, strings.Repeat("z", len(r.real))), header, "{}")
				require.Equal(t, http.StatusNotFound, theirs.StatusCode, "%s %s: %s", r.method, r.path, text)
				require.Equal(t, other, text)
				theirs.Header.Del("Date")
				none.Header.Del("Date")
				require.Equal(t, none.Header, theirs.Header)
			}
		}
	}
}

// Who may not is told so before a limit is spent, and who has no calls left before
// anything is looked up.
func TestContractRateLimits(t *testing.T) {
	c := newContract(t)
	secret := bearer(c.key(t, access.Key{Organization: "acme", Role: access.Viewer, RequestsPerMinute: 1}, nil))
	ask := func(method, path string, want int) {
		t.Helper()
		response, text := c.ask(t, method, path, secret, "")
		require.Equal(t, want, response.StatusCode, text)
		require.Empty(t, shapeFault(response, text))
		require.NoError(t, c.described.check(method, strings.ReplaceAll(path, "nope", "{id}"), response, text))
	}
	ask("POST", "/keys", 403)
	ask("GET", "/keys", 403)
	ask("GET", "/tools", 200)
	ask("GET", "/tools", 429)
	ask("GET", "/tools/nope", 429)
	ask("POST", "/keys", 403)
	ask("PUT", "/tools", 405)
}

// Guessed credentials are slowed down, for all routes together.
func TestContractBrake(t *testing.T) {
	authenticator, err := access.New(t.Context(), access.Options{JWT: access.JWTOptions{Secret: tokenSecret}, Failures: 3})
	require.NoError(t, err)
	defer authenticator.Close()
	c := &contract{standalone: serve(t, plainTools(t), service.Options{Access: authenticator})}
	var last int
	for i := range 5 {
		response, text := c.ask(t, "GET", "/tools", bearer(fmt.Sprint("guess-", i)), "")
		require.Empty(t, shapeFault(response, text), text)
		last = response.StatusCode
	}
	require.Equal(t, http.StatusTooManyRequests, last)
	response, text := c.ask(t, "GET", "/tools", signed(t, jwt.SigningMethodHS256, tokenSecret, nil), "")
	require.Equal(t, http.StatusTooManyRequests, response.StatusCode, text)
}

func TestContractOfOtherAnswers(t *testing.T) {
	c := newContract(t)
	admin := c.callers["admin"]
	with := func(header http.Header, name, value string) http.Header {
		header = header.Clone()
		header.Set(name, value)
		return header
	}
	for _, r := range []struct {
		name, method, path, route string
		header                    http.Header
		body                      string
		status                    int
	}{
		{"no route", "GET", "/agents", "", admin, "", 404},
		{"no route, nobody", "BREW", "/agents", "", nil, "", 404},
		{"foreign page", "POST", "/tools", "/tools", with(admin, "Sec-Fetch-Site", "cross-site"), "{}", 403},
		{"another organization by header", "GET", "/tools", "/tools", with(admin, "X-Organization-Id", "globex"), "", 403},
		{"organization of no name", "GET", "/tools", "/tools", with(admin, "X-Organization-Id", ""), "", 400},
		{"operator for an organization", "GET", "/keys", "/keys", with(c.callers["operator"], "X-Organization-Id", "acme"), "", 200},
		{"name taken", "POST", "/tools", "/tools", admin, definitionOf("stored"), 409},
		{"name taken by a file", "POST", "/tools", "/tools", admin, definitionOf("echo"), 409},
		{"read-only", "PATCH", "/tools/echo", "/tools/{id}", admin, "{}", 409},
		{"stale", "PATCH", "/tools/stored", "/tools/{id}", with(admin, "If-Match", `"0"`), "{}", 409},
		{"bad definition", "POST", "/tools", "/tools", admin, `{"name":"bad","type":"javascript","code":"return ("}`, 422},
		{"bad key", "POST", "/keys", "/keys", admin, `{"name":"","role":"king"}`, 422},
		{"not active", "POST", "/tools/off/execute", "/tools/{id}/execute", admin, "{}", 409},
		{"bad parameters", "POST", "/tools/price/execute", "/tools/{id}/execute", admin, "{}", 400},
		{"failure", "POST", "/tools/fail/execute", "/tools/{id}/execute", admin, "{}", 200},
		{"failure with details", "POST", "/tools/fail/execute?details=true", "/tools/{id}/execute", admin, "{}", 200},
		{"success with details", "POST", "/tools/echo/execute?details=true", "/tools/{id}/execute", admin, "{}", 200},
		{"events", "POST", "/tools/echo/execute", "/tools/{id}/execute", with(admin, "Accept", "text/event-stream"), "{}", 200},
		{"later", "POST", "/tools/echo/execute?mode=async", "/tools/{id}/execute", admin, "{}", 202},
		{"key reused", "POST", "/tools/echo/execute", "/tools/{id}/execute", with(admin, "Idempotency-Key", "first"), "{}", 409},
		{"key replayed", "POST", "/tools/stored/execute", "/tools/{id}/execute", with(admin, "Idempotency-Key", "first"), "{}", 200},
		{"webhook now", "POST", "/tools/echo/execute", "/tools/{id}/execute", admin, `{"webhook":{"url":"https://a.example"}}`, 400},
		{"part of a list", "GET", "/tools?limit=1", "/tools", admin, "", 200},
		{"bad limit", "GET", "/tools?limit=0", "/tools", admin, "", 400},
		{"bad cursor", "GET", "/executions?cursor=!", "/executions", admin, "", 400},
		{"no such version", "GET", "/tools/stored/versions/0", "/tools/{id}/versions/{version}", admin, "", 404},
		{"outcome with details", "GET", "/executions/" + c.execution + "?details=true", "/executions/{id}", admin, "", 200},
		{"ready, to operators", "GET", "/readyz?verbose", "/readyz", c.callers["operator"], "", 200},
		{"ready, to others", "GET", "/readyz?verbose", "/readyz", admin, "", 403},
		{"ready, to nobody", "GET", "/readyz?verbose", "/readyz", nil, "", 401},
	} {
		t.Run(r.name, func(t *testing.T) {
			response, text := c.ask(t, r.method, r.path, r.header, r.body)
			require.Equal(t, r.status, response.StatusCode, text)
			require.Empty(t, shapeFault(response, text), text)
			if r.route != "" {
				require.NoError(t, c.described.check(r.method, r.route, response, text), text)
			}
			if r.status == http.StatusAccepted {
				at := response.Header.Get("Location")
				require.NotEmpty(t, at)
				response, text = c.ask(t, "GET", at, r.header, "")
				require.Equal(t, http.StatusOK, response.StatusCode, text)
			}
		})
	}
	c.missing.Store(true)
	response, text := c.ask(t, "GET", "/readyz", nil, "")
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.Empty(t, shapeFault(response, text), text)
	require.NoError(t, c.described.check("GET", "/readyz", response, text))
}
