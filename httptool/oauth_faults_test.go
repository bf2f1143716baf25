package httptool_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

func TestTokenFailures(t *testing.T) {
	text := func(status int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	for name, tc := range map[string]struct {
		answer    func(http.ResponseWriter, *http.Request)
		class     errclass.Class
		reason    errclass.Reason
		retryable bool
		detail    string // HOST is the token endpoint's
	}{
		"unknown client":     {text(401, `{"error":"invalid_client","error_description":"No hush-hush,\nplease"}`), errclass.HTTPError, errclass.Auth, false, "401 Unauthorized: token request to HOST: invalid_client: No [redacted], please"},
		"unknown client 400": {text(400, `{"error":"invalid_client"}`), errclass.HTTPError, errclass.Auth, false, "400 Bad Request: token request to HOST: invalid_client"},
		"unauthorized":       {text(400, `{"error":"unauthorized_client","error_description":"d"}`), errclass.HTTPError, errclass.Auth, false, "400 Bad Request: token request to HOST: unauthorized_client: d"},
		"scope":              {text(400, `{"error":"invalid_scope","error_description":"d"}`), errclass.HTTPError, errclass.BadRequest, false, "400 Bad Request: token request to HOST: invalid_scope: d"},
		"no words":           {text(500, ""), errclass.HTTPError, errclass.ServerError, true, "500 Internal Server Error: token request to HOST"},
		"busy":               {text(503, "<title>Busy</title>"), errclass.HTTPError, errclass.Overloaded, true, "503 Service Unavailable: token request to HOST: Busy"},
		"HTML":               {text(200, "<!doctype html><p>Log in"), errclass.InvalidResponse, errclass.NotJSON, false, "token request to HOST: the body is HTML, not JSON"},
		"empty":              {text(204, ""), errclass.InvalidResponse, errclass.NotJSON, false, "token request to HOST: the body is not valid JSON"},
		"no token":           {text(200, `{"expires_in":1}`), errclass.InvalidResponse, errclass.NoData, false, "token request to HOST: the answer has no access_token"},
		"an array":           {text(200, `[]`), errclass.InvalidResponse, errclass.NoData, false, "token request to HOST: the answer has no access_token"},
		"an error with 200":  {text(200, `{"error":"nope"}`), errclass.InvalidResponse, errclass.UpstreamFailed, false, "token request to HOST: nope"},
		"a line break":       {text(200, `{"access_token":"a\r\nb"}`), errclass.InvalidResponse, errclass.Malformed, false, "token request to HOST: the access_token holds what a header can't"},
		"another type":       {text(200, `{"access_token":"secret-token","token_type":"DPoP"}`), errclass.InvalidResponse, errclass.Malformed, false, `token request to HOST: the token is of type "DPoP", and only Bearer can be used`},
		"huge":               {text(200, `{"access_token":"`+strings.Repeat("x", 64<<10)+`"}`), errclass.InvalidResponse, errclass.TooLarge, false, "token request to HOST: the answer is larger than 65536 bytes"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
			errclass.InvalidResponse, errclass.Redirect, false, "token request to HOST: the answer is a redirect, and a token request follows none"},
		"reset": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, errclass.ConnectionRefused, errclass.Reset, true, "token request to HOST"},
		"slow": {func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); <-r.Context().Done() },
			errclass.Timeout, errclass.PhaseHeaders, true, "token request: no response headers from HOST after 200ms (limit: the tool's request timeout)"},
		"slow body": {func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, errclass.Timeout, errclass.PhaseBody, true, "token request: no complete response body from HOST after 200ms"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAuthority(t)
			a.answer = tc.answer
			tool := compile(t, httptool.Config{URL: a.targetURL, FollowRedirects: true, Timeout: 200}, a.auth(nil))
			_, failure := a.run(t, tool)
			require.Equal(t, tc.class, failure.Class, "%s", failure.Detail)
			require.Equal(t, tc.reason, failure.Reason, "%s", failure.Detail)
			require.Equal(t, tc.retryable, failure.Retryable)
			require.True(t, strings.HasPrefix(failure.Detail, strings.ReplaceAll(tc.detail, "HOST", hostOf(a.tokenURL))), failure.Detail)
			require.Equal(t, hostOf(a.tokenURL), failure.Upstream.Host)
			require.Equal(t, 1, failure.Attempts)
			require.NotContains(t, failure.Detail+fmt.Sprint(failure.Cause), "secret-token")
			if failure.Class == errclass.HTTPError {
				require.Equal(t, 7*time.Second, failure.RetryAfter)
			}
			if failure.Class == errclass.InvalidResponse && failure.Reason != errclass.NotJSON && failure.Reason != errclass.TooLarge {
				require.Contains(t, failure.Hint, "tokenUrl")
			}
			require.Zero(t, a.called.Load(), "nothing goes to the target without a token")

			a.set(func() { a.answer = nil })
			_, failure = a.run(t, tool)
			require.Nil(t, failure, "a failure is not kept")
		})
	}
	a := newAuthority(t)
	for address, want := range map[string]*errclass.Error{
		"http://127.0.0.1:1/token":  errclass.New(errclass.RequestBlocked, errclass.Blocked, ""),
		"http://nowhere.invalid:81": errclass.New(errclass.ConnectionRefused, errclass.DNSNotFound, ""),
	} {
		rt, err := httptool.LoopbackTransport(httptool.Policy{Public: true}, fakeDNS(t, names{}), nil)
		require.NoError(t, err)
		_, err = compile(t, httptool.Config{URL: a.targetURL}, a.auth(object{"tokenUrl": address})).Run(t.Context(), rt, withSecret)
		failure := errclass.Classify(err)
		require.Equal(t, want.Class, failure.Class, failure.Detail)
		require.Equal(t, want.Reason, failure.Reason, failure.Detail)
		require.Contains(t, failure.Detail, "token request")
	}
}

// Runs that wait for one token request share its failure, each as its own to
// annotate.
func TestOneFailureForMany(t *testing.T) {
	a := newAuthority(t)
	begin := make(chan struct{})
	a.answer = func(w http.ResponseWriter, _ *http.Request) {
		<-begin
		w.WriteHeader(http.StatusBadRequest)
	}
	tool := compile(t, httptool.Config{URL: a.targetURL}, a.auth(nil))
	failures := make(chan *errclass.Error, 50)
	for range cap(failures) {
		go func() {
			_, err := tool.Run(t.Context(), a.rt, withSecret)
			failures <- errclass.Classify(err)
		}()
	}
	close(begin)
	for range cap(failures) {
		failure := <-failures
		require.Equal(t, errclass.BadRequest, failure.Reason)
		require.Equal(t, 1, failure.Attempts)
		require.Equal(t, errclass.StoppedNotRetryable, failure.Stopped)
	}
}

// A request that wasn't sent for want of a token is repeated, whatever its method.
func TestTokenRetries(t *testing.T) {
	a := newAuthority(t)
	a.answer = func(w http.ResponseWriter, _ *http.Request) {
		if a.asked.Load() == 2 {
			a.set(func() { a.answer = nil })
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	resp, failure := a.run(t, compile(t, httptool.Config{
		Method: "POST", URL: a.targetURL, Retries: 2,
	}, a.auth(nil)))
	require.Nil(t, failure)
	require.Equal(t, 3, resp.Attempts)

	a.set(func() {
		a.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	})
	_, failure = a.run(t, compile(t, httptool.Config{Method: "POST", URL: a.targetURL}, a.auth(nil)))
	require.True(t, failure.Retryable, "a POST that wasn't sent may be sent")
	a.set(func() {
		a.answer = nil
		a.respond = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }
	})
	_, failure = a.run(t, compile(t, httptool.Config{Method: "POST", URL: a.targetURL}, a.auth(nil)))
	require.False(t, failure.Retryable, "one that was may have taken effect")
}

// An access token is in no failure, however the target gives it back.
func TestTokensAreRedacted(t *testing.T) {
	for name, tc := range map[string]struct {
		answer  string
		mapping *httptool.ResponseMapping
		graphql bool
	}{
		"status":    {"HTTP/1.1 418 x\r\nX-Request-Id: TOKEN\r\nContent-Type: application/json\r\n\r\n{\"message\":\"m TOKEN\",\"code\":\"TOKEN\"}", nil, false},
		"mapping":   {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"failed\":\"TOKEN is bad\"}", &httptool.ResponseMapping{ErrorPath: "failed"}, false},
		"graphql":   {"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"errors\":[{\"message\":\"TOKEN is bad\"}]}", nil, true},
		"malformed": {"HTTP/1.1 200 OK\r\nTOKEN\r\n\r\n", nil, false},
		"protocol":  {"TOKEN\r\n\r\n", nil, false},
		"type":      {"HTTP/1.1 200 OK\r\nContent-Type: application/TOKEN\r\n\r\nx", nil, false},
		"location":  {"HTTP/1.1 302 Found\r\nLocation: http://TOKEN/x\r\n\r\n", nil, false},
	} {
		a := newAuthority(t)
		a.respond = func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			io.WriteString(conn, strings.ReplaceAll(tc.answer, "TOKEN", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")))
		}
		tool := compile(t, httptool.Config{URL: a.targetURL, ResponseMapping: tc.mapping}, a.auth(nil))
		if tc.graphql {
			var faults []errclass.FieldError
			tool, faults = httptool.CompileGraphQL(httptool.GraphQLConfig{Endpoint: a.targetURL, Query: "{a}"}, a.auth(nil), nil)
			require.Empty(t, faults)
		}
		_, failure := a.run(t, tool)
		require.NotNil(t, failure, name)
		shown, err := json.Marshal(failure)
		require.NoError(t, err)
		require.NotContains(t, string(shown)+fmt.Sprint(failure.Cause), "token-number", name)
	}
}

func TestFaultsOfOAuth(t *testing.T) {
	const token = "http://a.test/token"
	for _, tc := range []struct {
		url         string
		config      object
		field, want string
	}{
		{"", object{"tokenUrl": nil}, "/tokenUrl", "required"},
		{"", object{"tokenUrl": 5}, "/tokenUrl", "string"},
		{"", object{"tokenUrl": "a.test/token"}, "/tokenUrl", "http://"},
		{"", object{"tokenUrl": "http://u:p@a.test"}, "/tokenUrl", "user name"},
		{"", object{"tokenUrl": "http://{{parameters.host}}/token"}, "/tokenUrl", "must not read parameters"},
		{"", object{"tokenUrl": "{{parameters.url}}"}, "/tokenUrl", "must not read parameters"},
		{"", object{"tokenUrl": token + "/{{parameters.tenant}}"}, "/tokenUrl", "must not read parameters"},
		{"", object{"tokenUrl": "{{nope}}"}, "/tokenUrl", "unknown name"},
		{"", object{"clientId": nil}, "/clientId", "must be a string"},
		{"", object{"clientSecret": []any{}}, "/clientSecret", "string"},
		{"", object{"scope": []any{"a"}}, "/scope", "string"},
		{"", object{"clientAuth": "jwt"}, "/clientAuth", "one of: basic, body"},
		{"", object{"grantType": "password"}, "/grantType", "client_credentials"},
		{"", object{"refreshToken": "r"}, "/refreshToken", "not allowed for this type, which takes: tokenUrl"},
		{"{{parameters.url}}", nil, "", "caller"},
	} {
		auth := (&authority{tokenURL: token}).auth(tc.config)
		address := tc.url
		if address == "" {
			address = "http://h.test/"
		}
		_, faults := httptool.Compile(httptool.Config{URL: address}, auth, nil)
		require.Len(t, faults, 1, "%v", faults)
		field := "/authConfig"
		if tc.field != "" {
			field += "/config" + tc.field
		}
		require.Equal(t, field, faults[0].Field)
		require.Contains(t, faults[0].Message, tc.want)
	}
	tool := compile(t, httptool.Config{URL: "http://h.test"}, &httptool.Auth{Type: "oauth2", Config: object{
		"tokenUrl": "{{env.TOKEN_URL}}", "clientId": "{{env.ID}}", "clientSecret": "{{credentials.secret}}",
	}})
	env, credentials := tool.Names()
	require.Equal(t, []string{"ID", "TOKEN_URL"}, env)
	require.Equal(t, []string{"secret"}, credentials)
}
