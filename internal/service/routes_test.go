package service_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/access"
	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/runner"
)

// refusal is the document of an API error.
func refusal(status int, code, message string) string {
	return fmt.Sprintf(`{"success":false,"message":%q,"error":"%s","statusCode":%d}`, message, code, status)
}

func malformed(message string) string {
	return refusal(400, "BAD_REQUEST", "Malformed request body: "+message)
}

var durations = regexp.MustCompile(`"duration":\d+`)

// settled is a document with its duration made known.
func settled(document string) string { return durations.ReplaceAllString(document, `"duration":0`) }

func success(result string) string {
	return `{"success":true,"data":{"result":` + result + `,"duration":0,"status":"success"}}`
}

func failure(message string) string {
	return `{"success":false,"error":"Tool execution failed: ` + message + `","duration":0,"status":"error"}`
}

func TestAnswers(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	const (
		j      = "application/json"
		echo   = "/tools/echo/execute"
		routes = "Route not found"
		media  = "Unsupported media type: send the body as application/json in UTF-8"
		query  = "Query parameter details must be true or false, and stand once"
	)
	noRoute := refusal(404, "NOT_FOUND", routes)
	noTool := refusal(404, "NOT_FOUND", "Tool not found")
	notJSON := refusal(415, "UNSUPPORTED_MEDIA_TYPE", media)
	only := func(methods string) string {
		return refusal(405, "METHOD_NOT_ALLOWED", "Method not allowed: use "+methods)
	}
	for _, c := range []struct {
		name, method, path, contentType, body string
		status                                int
		want                                  string
	}{
		{"execute", "POST", echo, j, `{"parameters":{"a":1}}`, 200, success(`{"a":1}`)},
		{"execute for an organization", "POST", "/organizations/acme/tools/echo/execute", j, `{"parameters":{"a":1}}`, 200, success(`{"a":1}`)},
		{"execute an organization's own", "POST", "/organizations/acme/tools/ours/execute", "", "", 200, success(`"ours"`)},
		{"another organization's is not found", "POST", "/organizations/other/tools/ours/execute", "", "", 404, noTool},
		{"an organization's is not found without it", "POST", "/tools/ours/execute", "", "", 404, noTool},
		{"encoded organization", "POST", "/organizations/%61cme/tools/ours/execute", "", "", 200, success(`"ours"`)},
		{"encoded tool", "POST", "/tools/%65cho/execute", "", "", 200, success(`{}`)},
		{"doubly encoded tool", "POST", "/tools/%2565cho/execute", "", "", 404, noTool},
		{"charset", "POST", echo, "Application/JSON; Charset=UTF-8", `{}`, 200, success(`{}`)},
		{"other parameter of the media type", "POST", echo, j + "; version=1", `{}`, 200, success(`{}`)},
		{"no body, no type", "POST", echo, "", "", 200, success(`{}`)},
		{"no body, type", "POST", echo, j, "", 200, success(`{}`)},
		{"no parameters", "POST", echo, j, `{}`, 200, success(`{}`)},
		{"space around", "POST", echo, j, " \r\n\t{ \"parameters\" : { } }\n", 200, success(`{}`)},
		{"details asked not", "POST", echo + "?details=false", j, `{}`, 200, success(`{}`)},
		{"tool fails", "POST", "/tools/fail/execute", j, `{}`, 200, failure("Sandbox error: Error: boom (code:1:7)")},

		{"body without type", "POST", echo, "", `{}`, 415, refusal(415, "UNSUPPORTED_MEDIA_TYPE", "Missing media type: send Content-Type: application/json")},
		{"text", "POST", echo, "text/plain", `{}`, 415, notJSON},
		{"text without a body", "POST", echo, "text/plain", "", 415, notJSON},
		{"form", "POST", echo, "application/x-www-form-urlencoded", `a=b`, 415, notJSON},
		{"other JSON type", "POST", echo, "application/problem+json", `{}`, 415, notJSON},
		{"other charset", "POST", echo, j + "; charset=latin1", `{}`, 415, notJSON},
		{"malformed type", "POST", echo, "json;;=", `{}`, 415, notJSON},

		{"only space", "POST", echo, j, "  ", 400, malformed("invalid JSON at offset 2: there is no value: send one")},
		{"not JSON", "POST", echo, j, `nonsense`, 400, malformed("invalid JSON at offset 1: unexpected character in a literal (true, false and null are the only ones)")},
		{"cut short", "POST", echo, j, `{"parameters":{"a":`, 400, malformed("invalid JSON at offset 19 (in /parameters/a): ends in the middle of a value: send it whole")},
		{"trailing data", "POST", echo, j, `{} {}`, 400, malformed("invalid JSON at offset 3: unexpected data after the value: send exactly one value")},
		{"null", "POST", echo, j, `null`, 400, malformed(`must be an object like {"parameters":{}}`)},
		{"array", "POST", echo, j, `[]`, 400, malformed("invalid JSON at offset 0: must be an object")},
		{"number", "POST", echo, j, `1`, 400, malformed("invalid JSON at offset 0: must be an object")},
		{"byte order mark", "POST", echo, j, "\ufeff{}", 400, malformed("invalid JSON at offset 0: starts with a byte order mark: send it without")},
		{"unknown member", "POST", echo, j, `{"params":{}}`, 400, malformed(`invalid JSON at offset 1 (in /params): unknown field "params"`)},
		{"member in another case", "POST", echo, j, `{"Parameters":{}}`, 400, malformed(`invalid JSON at offset 1 (in /Parameters): unknown field "Parameters"`)},
		{"duplicate member", "POST", echo, j, `{"parameters":{},"parameters":{}}`, 400, malformed(`invalid JSON at offset 17 (in /parameters): duplicate name "parameters"`)},
		{"duplicate parameter", "POST", echo, j, `{"parameters":{"a":1,"a":2}}`, 400, malformed(`invalid JSON at offset 21 (in /parameters/a): duplicate name "a"`)},
		{"invalid UTF-8", "POST", echo, j, "{\"parameters\":{\"a\":\"\xff\"}}", 400, malformed("invalid JSON at offset 20 (in /parameters/a): a string isn't valid UTF-8")},
		{"parameters null", "POST", echo, j, `{"parameters":null}`, 400, `{"success":false,"message":"Validation failed: parameters must be object","error":"BAD_REQUEST","statusCode":400,"errors":[{"field":"","message":"must be object"}]}`},
		{"parameters missing", "POST", "/tools/price/execute", j, `{}`, 400, `{"success":false,"message":"Validation failed: quantity is required","error":"BAD_REQUEST","statusCode":400,"errors":[{"field":"/quantity","message":"is required"}]}`},

		{"details=1", "POST", echo + "?details=1", j, `{}`, 400, refusal(400, "BAD_REQUEST", query)},
		{"details empty", "POST", echo + "?details", j, `{}`, 400, refusal(400, "BAD_REQUEST", query)},
		{"details twice", "POST", echo + "?details=true&details=true", j, `{}`, 400, refusal(400, "BAD_REQUEST", query)},
		{"details misspelt", "POST", echo + "?detail=true", j, `{}`, 400, refusal(400, "BAD_REQUEST", `Unknown query parameter "detail": known here: details, mode`)},
		{"async where nothing is kept", "POST", echo + "?mode=async", j, `{}`, 400, refusal(400, "BAD_REQUEST", "This service keeps no executions: send the request without mode=async and Idempotency-Key")},
		{"mode misspelt", "POST", echo + "?mode=asinc", j, `{}`, 400, refusal(400, "BAD_REQUEST", "Query parameter mode must be sync or async, and stand once")},
		{"semicolon in the query", "POST", echo + "?a;b", j, `{}`, 400, refusal(400, "BAD_REQUEST", "Malformed query string")},

		{"unknown tool", "POST", "/tools/nope/execute", j, `{}`, 404, noTool},
		{"inactive tool", "POST", "/tools/off/execute", j, `{}`, 409, refusal(409, "CONFLICT", "Tool 'off' is not active (its status is inactive)")},
		{"organization too long", "POST", "/organizations/" + strings.Repeat("x", 129) + "/tools/echo/execute", j, `{}`, 404, refusal(404, "NOT_FOUND", "Organization not found")},
		{"organization with a control character", "GET", "/organizations/a%0Ab/tools", "", "", 404, refusal(404, "NOT_FOUND", "Organization not found")},
		{"empty organization", "POST", "/organizations//tools/echo/execute", j, `{}`, 404, noRoute},
		{"empty tool", "POST", "/tools//execute", j, `{}`, 404, noRoute},
		{"slash at the end", "POST", echo + "/", j, `{}`, 404, noRoute},
		{"root", "GET", "/", "", "", 404, noRoute},
		{"unknown route", "GET", "/nope", "", "", 404, noRoute},
		{"unknown method on an unknown route", "BREW", "/nope", "", "", 404, noRoute},
		{"dots are not resolved", "GET", "/tools/../healthz", "", "", 404, noRoute},

		{"GET of execute", "GET", echo, "", "", 405, only("POST")},
		{"OPTIONS of execute", "OPTIONS", echo, "", "", 405, only("POST")},
		{"unknown method", "BREW", echo, "", "", 405, only("POST")},
		{"DELETE of a tool", "DELETE", "/tools/echo", "", "", 405, only("GET or HEAD")},
		{"POST of tools", "POST", "/organizations/acme/tools", j, `{}`, 405, only("GET or HEAD")},
		{"POST of healthz", "POST", "/healthz", "", "", 405, only("GET or HEAD")},
		{"TRACE", "TRACE", "/healthz", "", "", 405, only("GET or HEAD")},

		{"healthz", "GET", "/healthz", "", "", 200, `{"success":true,"data":{"status":"ok"}}`},
		{"readyz", "GET", "/readyz", "", "", 200, `{"success":true,"data":{"status":"ready"}}`},
		{"a tool", "GET", "/tools/echo", "", "", 200, `{"success":true,"data":{"id":"echo","name":"echo","type":"javascript","status":"active","code":"return parameters"}}`},
		{"an unknown tool", "GET", "/tools/nope", "", "", 404, noTool},
		{"an organization's tool", "GET", "/tools/ours", "", "", 404, noTool},
	} {
		t.Run(c.name, func(t *testing.T) {
			response, body := s.do(t, c.method, c.path, c.contentType, c.body)
			require.Equal(t, c.want, settled(body))
			require.Equal(t, c.status, response.StatusCode)
			requireDocumentHeader(t, response)
			require.False(t, response.Close, "the connection can serve the next request")
			if c.status == http.StatusMethodNotAllowed {
				require.NotEmpty(t, response.Header.Get("Allow"))
			}
			executed := c.method == "POST" && c.status == http.StatusOK
			require.Equal(t, executed, response.Header.Get("X-Execution-Id") != "")
		})
	}
}

func TestListOfTools(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	_, shared := s.do(t, "GET", "/organizations/other/tools", "", "")
	_, ours := s.do(t, "GET", "/organizations/acme/tools", "", "")
	require.Contains(t, shared, `{"success":true,"data":[{"id":"echo","name":"echo","type":"javascript","status":"active","code":"return parameters"},`)
	require.NotContains(t, shared, "ours")
	require.Contains(t, ours, `{"id":"ours","name":"ours","type":"javascript","status":"active","code":"return 'ours'"},`)

	none := serve(t, runner.Options{}, service.Options{})
	_, empty := none.do(t, "GET", "/organizations/acme/tools", "", "")
	require.Equal(t, `{"success":true,"data":[]}`, empty)
}

func TestHead(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	for path, status := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/tools/echo": 200, "/organizations/acme/tools": 200, "/tools/nope": 404, "/nope": 404, "/tools/echo/execute": 405,
	} {
		response, body := s.do(t, "HEAD", path, "", "")
		require.Equal(t, status, response.StatusCode, path)
		require.Empty(t, body, path)
		require.Positive(t, response.ContentLength, path)
		requireDocumentHeader(t, response)
	}
}

// "OPTIONS *" and an absolute target reach the routes like anything else.
func TestUnusualTargets(t *testing.T) {
	s := serve(t, runner.Options{}, service.Options{})
	for _, c := range []struct {
		line   string
		status int
	}{
		{"OPTIONS * HTTP/1.1", 404},
		{"GET * HTTP/1.1", 404},
		{"CONNECT example.com:443 HTTP/1.1", 403},
		{"CONNECT localhost:443 HTTP/1.1", 404},
		{"GET http://localhost/healthz HTTP/1.1", 200},
		{"GET http://evil.example/healthz HTTP/1.1", 403},
		{"GET //healthz HTTP/1.1", 404},
		{"GET /healthz#fragment HTTP/1.1", 404},
		{"GET /healthz HTTP/1.0", 200},
	} {
		w := s.dial(t)
		w.send(t, c.line+"\r\nHost: localhost\r\n\r\n")
		response, _ := w.answer(t, "GET")
		require.Equal(t, c.status, response.StatusCode, c.line)
		requireDocumentHeader(t, response)
	}
}

func TestFailureHeaders(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	for tool, want := range map[string][3]string{
		"fail": {"sandbox_error", "exception", "false"},
		"spin": {"timeout", "deadline", "true"},
		"echo": {},
	} {
		response, _ := s.do(t, "POST", "/tools/"+tool+"/execute", "application/json", "{}")
		h := response.Header
		require.Equal(t, want, [3]string{h.Get("X-Tool-Error-Class"), h.Get("X-Tool-Error-Reason"), h.Get("X-Tool-Retryable")}, tool)
		require.NotEmpty(t, h.Get("X-Execution-Id"))
	}
}

func TestDefinitionsAreShownWithoutSecrets(t *testing.T) {
	options := runner.Options{Tools: []*runner.Definition{
		define(t, "name: literal\ntype: http\nauthConfig: {type: bearer, config: {token: SEKRET-1}}\nexecutionConfig: {url: 'https://api.example.com/'}"),
		define(t, "name: named\ntype: http\nauthConfig: {type: bearer, config: {token: '{{env.TOKEN}}'}}\nexecutionConfig: {url: 'https://api.example.com/'}"),
	}}
	s := serve(t, options, service.Options{})
	for _, path := range []string{"/tools/literal", "/organizations/acme/tools"} {
		_, body := s.do(t, "GET", path, "", "")
		require.NotContains(t, body, "SEKRET", path)
		require.Contains(t, body, `"authConfig":{"type":"bearer","config":{"token":"[redacted]"}}`, path)
	}
	_, body := s.do(t, "GET", "/tools/named", "", "")
	require.Contains(t, body, `"token":"{{env.TOKEN}}"`)
	require.Equal(t, "SEKRET-1", options.Tools[0].AuthConfig.Config["token"], "the definition itself stays as it is")
}

// A tool in the platform's stored form is shown as it was written, and those of its
// secrets that stand under the platform's names aren't.
func TestStoredDefinitionsAreShownAsWritten(t *testing.T) {
	options := runner.Options{Tools: []*runner.Definition{
		define(t, "name: stored\ntype: query\nauthConfig: {type: apiKey, config: {key: SEKRET-1, headerName: X-Own}}\nhttpConfig: {path: 'https://api.example.com/{id}'}"),
		define(t, "name: linked\ntype: query\napi: {baseUrl: 'https://api.example.com', authentication: {type: basic, config: {username: ada, password: SEKRET-2}}}\nhttpConfig: {path: /}"),
	}}
	s := serve(t, options, service.Options{})
	_, body := s.do(t, "GET", "/organizations/acme/tools", "", "")
	for _, shown := range []string{
		`"type":"query"`, `"httpConfig":{"path":"https://api.example.com/{id}"}`, `"config":{"headerName":"X-Own","key":"[redacted]"}`,
		`"api":{"baseUrl":"https://api.example.com","authentication":{"type":"basic","config":{"password":"[redacted]","username":"ada"}}}`,
	} {
		require.Contains(t, body, shown)
	}
	require.NotContains(t, body, "SEKRET")
	require.NotContains(t, body, "executionConfig")
	require.Equal(t, "SEKRET-2", options.Tools[1].API.Authentication.Config["password"], "the definition itself stays as it is")
}

func TestDetailsNameTheExecution(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	for _, tool := range []string{"echo", "fail"} {
		response, body := s.do(t, "POST", "/tools/"+tool+"/execute?details=true", "application/json", "{}")
		require.Contains(t, body, `"executionId":"`+response.Header.Get("X-Execution-Id")+`"`)
	}
}

func TestRateLimitSaysWhenToRetry(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	s.do(t, "POST", "/tools/scarce/execute", "", "")
	response, body := s.do(t, "POST", "/tools/scarce/execute", "", "")
	require.Equal(t, http.StatusTooManyRequests, response.StatusCode)
	wait := response.Header.Get("Retry-After")
	require.NotEmpty(t, wait)
	require.Equal(t, "1", response.Header.Get("X-RateLimit-Limit"))
	require.Equal(t, "0", response.Header.Get("X-RateLimit-Remaining"))
	require.Equal(t, wait, response.Header.Get("X-RateLimit-Reset"))
	require.Equal(t, refusal(429, "RATE_LIMITED", "Rate limit exceeded. Retry after "+wait+" seconds."), body)
}

// A wait that the upstream asks for reaches the caller's HTTP client.
func TestUpstreamsRetryAfter(t *testing.T) {
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer busy.Close()
	options := runner.Options{Tools: []*runner.Definition{define(t, "name: busy\ntype: http\nexecutionConfig: {url: '"+busy.URL+"'}")}}
	options.Egress.Allow = []string{busy.Listener.Addr().String()}
	s := serve(t, options, service.Options{})
	response, _ := s.do(t, "POST", "/tools/busy/execute", "", "")
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, "overloaded", response.Header.Get("X-Tool-Error-Reason"))
	require.Equal(t, "7", response.Header.Get("Retry-After"))
}

// Where they can't be honoured they are refused: ignored, one would let a tool run
// twice for a caller who relies on it.
func TestIdempotencyKeyIsRefusedWhereNothingIsKept(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	w := s.dial(t)
	w.send(t, "POST /tools/echo/execute HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k-1\r\nContent-Length: 0\r\n\r\n")
	response, body := w.answer(t, "POST")
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
	require.Equal(t, refusal(400, "BAD_REQUEST", "This service keeps no executions: send the request without mode=async and Idempotency-Key"), body)
	requireDocumentHeader(t, response)
}

// The documented failure, byte for byte apart from the duration.
func TestRefusedPort(t *testing.T) {
	address := refusedAddress
	options := runner.Options{Tools: []*runner.Definition{
		define(t, "name: refused\ntype: http\nexecutionConfig: {method: GET, url: 'http://"+address+"/'}"),
	}}
	options.Egress.Allow = []string{address}
	s := serve(t, options, service.Options{})
	response, body := s.do(t, "POST", "/tools/refused/execute", "application/json", `{"parameters":{}}`)
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Regexp(t, `^\{"success":false,"error":"Tool execution failed: Connection refused","duration":\d+,"status":"error"\}$`, body)
	require.Equal(t, "connection_refused", response.Header.Get("X-Tool-Error-Class"))
	require.Equal(t, "refused", response.Header.Get("X-Tool-Error-Reason"))
	require.Equal(t, "true", response.Header.Get("X-Tool-Retryable"))
}

// An unauthenticated service on loopback is within reach of every web page that
// the machine's user looks at.
func TestBrowsersCantRunTools(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{Hosts: []string{"Tools.example"}})
	const line = "POST /tools/echo/execute HTTP/1.1\r\n"
	for _, c := range []struct {
		name, header string
		status       int
	}{
		{"no browser", "Host: localhost", 200},
		{"no browser, other loopback", "Host: 127.3.2.1:80", 200},
		{"no browser, IPv6", "Host: [::1]:8080", 200},
		{"no browser, IPv6 without port", "Host: [::1]", 200},
		{"own page", "Host: localhost\r\nSec-Fetch-Site: same-origin", 200},
		{"a known name", "Host: tools.EXAMPLE:80", 200},
		{"foreign page", "Host: localhost\r\nSec-Fetch-Site: cross-site", 403},
		{"foreign page of an old browser", "Host: localhost\r\nOrigin: https://evil.example", 403},
		{"rebound name", "Host: evil.example\r\nSec-Fetch-Site: same-origin", 403},
		{"rebound name that looks local", "Host: localhost.evil.example", 403},
		{"address of the network", "Host: 10.0.0.1", 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := s.dial(t)
			w.send(t, line+c.header+"\r\nContent-Length: 0\r\n\r\n")
			response, body := w.answer(t, "POST")
			require.Equal(t, c.status, response.StatusCode, body)
			requireDocumentHeader(t, response)
			if strings.HasPrefix(c.name, "rebound") {
				require.Contains(t, body, "start the service with --host NAME")
			}
		})
	}
}

// A defect of ours is answered in the documented shape, with nothing of the
// panic in it.
func TestPanicBecomesInternalError(t *testing.T) {
	log := &logBuffer{}
	r, err := runner.New(plainTools(t))
	require.NoError(t, err)
	defer r.Close(t.Context())
	server, err := service.New(service.Options{Runner: r, Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, err)
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest("POST", "/tools/echo/execute", panicReader{})
	request.Header.Set("Content-Type", "application/json")
	server.Handler().ServeHTTP(recorder, request)
	require.Equal(t, refusal(500, "INTERNAL_ERROR", "An unexpected error occurred"), recorder.Body.String())
	require.Equal(t, http.StatusInternalServerError, recorder.Code)
	require.Contains(t, log.String(), "the secret of this panic")
}

type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("the secret of this panic") }

func TestLogsHoldNoQueryAndNoParameters(t *testing.T) {
	s := serve(t, plainTools(t), service.Options{})
	s.do(t, "POST", "/tools/echo/execute?token=in-the-query", "application/json", `{"parameters":{"p":"in-the-parameters"}}`)
	s.do(t, "POST", "/tools/echo/execute", "application/json", `{"parameters":{"p":"in-the-parameters"}}`)
	require.NoError(t, s.shutDown(t))
	require.Equal(t, 2, strings.Count(s.log.String(), "msg=request"))
	require.Contains(t, s.log.String(), "path=/tools/echo/execute")
	require.NotContains(t, s.log.String(), "in-the-")
}

func TestOptionsAreChecked(t *testing.T) {
	r, err := runner.New(runner.Options{})
	require.NoError(t, err)
	defer r.Close(t.Context())
	for want, options := range map[string]service.Options{
		"service: Options.Runner is missing":                                                                                         {},
		"service: Options.BodyBytes is negative; leave it zero for the default":                                                      {Runner: r, BodyBytes: -1},
		"service: Options.DrainTimeout is negative; leave it zero for the default":                                                   {Runner: r, DrainTimeout: -1},
		"service: Options.Connections is negative; leave it zero for the default":                                                    {Runner: r, Connections: -1},
		`service: Options.Hosts (--host): "a.example:80" is not a name: write it as the Host header has it, without scheme and port`: {Runner: r, Hosts: []string{"::1", "a.example:80"}},
		`service: Options.Hosts (--host): "" is not a name: write it as the Host header has it, without scheme and port`:             {Runner: r, Hosts: []string{""}},
		"service: Options.ReadTimeout is shorter than ReadHeaderTimeout":                                                             {Runner: r, ReadTimeout: 1, ReadHeaderTimeout: 2},
	} {
		_, err := service.New(options)
		require.EqualError(t, err, want)
	}
}

// A typo in a query must not look like an answer to it.
func TestUnknownQueryParameters(t *testing.T) {
	n := begin(t, plainTools(t), service.Options{})
	admin := n.key(t, "acme", access.Admin)
	for _, route := range []string{
		"GET /tools", "POST /tools", "GET /tools/ours", "PATCH /tools/ours", "DELETE /tools/ours", "POST /tools/ours/execute",
		"GET /tools/ours/versions", "GET /tools/ours/versions/1", "GET /executions", "GET /executions/x", "DELETE /executions/x",
		"GET /executions/x/events", "GET /keys", "POST /keys", "DELETE /keys/x", "GET /webhook-secret",
	} {
		method, path, _ := strings.Cut(route, " ")
		a := n.ask(t, admin, method, path+"?detials=true", "")
		require.Equal(t, 400, a.StatusCode, "%s: %s", route, a.body)
		require.Contains(t, a.body, `Unknown query parameter \"detials\"`, route)
		require.Equal(t, 400, n.ask(t, admin, method, path+"?%zz", "").StatusCode, route)
		require.Equal(t, 401, n.ask(t, "", method, path+"?detials=true", "").StatusCode, "who asks is asked first")
	}
}
