package httptool_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

// authority is a token endpoint and a target that takes its last token only.
type authority struct {
	tokenURL, targetURL string
	rt                  *httptool.Transport

	asked, called atomic.Int64 // requests of both

	mu      sync.Mutex
	last    string                                   // token
	answer  func(http.ResponseWriter, *http.Request) // in place of a token; nil for one
	member  string                                   // of the answer, such as `,"expires_in":60`
	respond func(http.ResponseWriter, *http.Request) // in place of the target's 200
}

func newAuthority(t testing.TB) *authority {
	a := &authority{member: `,"token_type":"bearer","expires_in":3600`}
	issuer := httptest.NewServer(http.HandlerFunc(a.issue))
	t.Cleanup(issuer.Close)
	target := httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(target.Close)
	a.tokenURL, a.targetURL = issuer.URL+"/token", target.URL
	a.rt = allow(t, issuer.Listener.Addr().String(), target.Listener.Addr().String())
	return a
}

func (a *authority) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

func (a *authority) issue(w http.ResponseWriter, r *http.Request) {
	n := a.asked.Add(1)
	a.mu.Lock()
	answer := a.answer
	a.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = fmt.Sprintf("token-number-%d", n)
	fmt.Fprintf(w, `{"access_token":%q%s}`, a.last, a.member)
}

func (a *authority) serve(w http.ResponseWriter, r *http.Request) {
	a.called.Add(1)
	a.mu.Lock()
	last, respond := a.last, a.respond
	a.mu.Unlock()
	switch {
	case r.Header.Get("Authorization") != "Bearer "+last:
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, "not welcome: %q", r.Header.Get("Authorization"))
	case respond != nil:
		respond(w, r)
	default:
		io.WriteString(w, `"welcome"`)
	}
}

func (a *authority) auth(config object) *httptool.Auth {
	all := object{"tokenUrl": a.tokenURL, "clientId": "client", "clientSecret": "{{env.SECRET}}"}
	for name, value := range config {
		all[name] = value
	}
	return &httptool.Auth{Type: "oauth2", Config: all}
}

var withSecret = httptool.Input{Env: map[string]string{"SECRET": "hush-hush"}}

func (a *authority) run(t testing.TB, tool *httptool.Tool) (*httptool.Response, *errclass.Error) {
	resp, err := tool.Run(t.Context(), a.rt, withSecret)
	return resp, errclass.Classify(err)
}

// The client is told as RFC 6749, section 2.3.1, has it.
func TestTokenRequests(t *testing.T) {
	a := newAuthority(t)
	var form url.Values
	var id, secret string
	a.answer = func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		form = r.PostForm
		id, secret, _ = r.BasicAuth()
		fmt.Fprintf(w, `{"access_token":"t","method":%q}`, r.Method)
	}
	a.last = "t"
	in := httptool.Input{Parameters: object{"scope": "a b"}, Env: map[string]string{"SECRET": "p+w: %&ü/="}, Credentials: object{"base": a.tokenURL}}
	for name, tc := range map[string]struct {
		config     object
		id, secret string // of basic, decoded once
		form       url.Values
	}{
		"basic":      {nil, "client", "p%2Bw%3A+%25%26%C3%BC%2F%3D", url.Values{}},
		"both parts": {object{"clientId": "a:b", "clientAuth": "basic"}, "a%3Ab", "p%2Bw%3A+%25%26%C3%BC%2F%3D", url.Values{}},
		"body":       {object{"clientAuth": "body"}, "", "", url.Values{"client_id": {"client"}, "client_secret": {"p+w: %&ü/="}}},
		"scope":      {object{"scope": "{{parameters.scope}}", "audience": "https://api.test", "clientSecret": "s", "grantType": "client_credentials"}, "client", "s", url.Values{"scope": {"a b"}, "audience": {"https://api.test"}}},
		"by name":    {object{"tokenUrl": "{{credentials.base}}", "scope": "{{parameters.absent}}", "clientSecret": "s"}, "client", "s", url.Values{}},
	} {
		_, err := compile(t, httptool.Config{URL: a.targetURL}, a.auth(tc.config)).Run(t.Context(), a.rt, in)
		require.NoError(t, err, name)
		tc.form.Set("grant_type", "client_credentials")
		require.Equal(t, tc.form, form, name)
		require.Equal(t, []string{tc.id, tc.secret}, []string{id, secret}, name)
	}
	asked := a.asked.Load()
	_, err := compile(t, httptool.Config{URL: a.targetURL, Headers: object{"Authorization": "Bearer t"}}, a.auth(nil)).Run(t.Context(), a.rt, in)
	require.NoError(t, err)
	require.Equal(t, asked, a.asked.Load(), "a header wins, and no token is fetched")
	_, err = compile(t, httptool.Config{URL: a.targetURL}, a.auth(nil)).Run(t.Context(), a.rt, httptool.Input{})
	require.Equal(t, errclass.MissingCredential, errclass.Classify(err).Reason)
}

func TestTokensAreKept(t *testing.T) {
	for member, life := range map[string]time.Duration{
		`,"expires_in":3600`:   3600*time.Second - 30*time.Second,
		`,"expires_in":"100"`:  90 * time.Second,
		``:                     270 * time.Second,
		`,"expires_in":0`:      270 * time.Second,
		`,"expires_in":"soon"`: 270 * time.Second,
		`,"expires_in":1e300`:  24*time.Hour - 30*time.Second,
	} {
		a := newAuthority(t)
		a.member = member
		tool := compile(t, httptool.Config{URL: a.targetURL}, a.auth(nil))
		now := time.Now()
		httptool.SetClock(tool, func() time.Time { return now })
		for _, step := range []struct {
			wait  time.Duration
			asked int64
		}{{0, 1}, {life - 1, 1}, {1, 2}, {life - 1, 2}, {time.Hour * 48, 3}} {
			now = now.Add(step.wait)
			resp, failure := a.run(t, tool)
			require.Nil(t, failure, member)
			require.Equal(t, 1, resp.Attempts)
			require.Equal(t, step.asked, a.asked.Load(), member)
		}
	}
}

func TestTokensApart(t *testing.T) {
	a := newAuthority(t)
	a.set(func() {
		a.answer = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"access_token":""}`) }
	})
	a.set(func() { a.answer = nil })
	var tokens sync.Map
	a.respond = nil
	a.set(func() {
		a.answer = func(w http.ResponseWriter, r *http.Request) {
			id, _, _ := r.BasicAuth()
			fmt.Fprintf(w, `{"access_token":"token of %s %d"}`, id, a.asked.Load())
		}
	})
	target, _ := serve(t, func(w http.ResponseWriter, r *http.Request) { tokens.Store(r.Header.Get("Authorization"), true) })
	rt := allow(t, strings.TrimPrefix(target.URL, "http://"), strings.TrimSuffix(strings.TrimPrefix(a.tokenURL, "http://"), "/token"))
	auth := a.auth(object{"clientId": "{{credentials.id}}", "scope": "{{parameters.scope}}"})
	tool, other := compile(t, httptool.Config{URL: target.URL}, auth), compile(t, httptool.Config{URL: target.URL}, auth)
	input := func(org, id, scope, secret string) httptool.Input {
		return httptool.Input{Organization: org, Parameters: object{"scope": scope}, Env: map[string]string{"SECRET": secret}, Credentials: object{"id": id}}
	}
	for i, in := range []httptool.Input{
		input("a", "i", "s", "x"), input("b", "i", "s", "x"), input("a", "j", "s", "x"), input("a", "i", "r", "x"), input("a", "i", "s", "y"), input("", "i", "s", "x"),
	} {
		for range 2 {
			_, err := tool.Run(t.Context(), rt, in)
			require.NoError(t, err)
			require.Equal(t, int64(i+1), a.asked.Load())
		}
	}
	_, err := other.Run(t.Context(), rt, input("a", "i", "s", "x"))
	require.NoError(t, err)
	require.Equal(t, int64(7), a.asked.Load(), "each tool has its own")
}

func TestTokensAreBounded(t *testing.T) {
	a := newAuthority(t)
	a.answer = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"access_token":"t"}`) }
	a.last = "t"
	tool := compile(t, httptool.Config{URL: a.targetURL}, a.auth(nil))
	for i := range httptool.MaxTokens + 20 {
		_, err := tool.Run(t.Context(), a.rt, httptool.Input{Organization: fmt.Sprint(i), Env: withSecret.Env})
		require.NoError(t, err)
	}
	require.Equal(t, httptool.MaxTokens, httptool.Tokens(tool))
}

// Runs that need a token at the same time share one request.
func TestOneTokenForMany(t *testing.T) {
	a := newAuthority(t)
	tool := compile(t, httptool.Config{URL: a.targetURL}, a.auth(nil))
	start := make(chan struct{})
	var runs sync.WaitGroup
	errs := make(chan error, 100)
	for range 100 {
		runs.Go(func() {
			<-start
			_, err := tool.Run(t.Context(), a.rt, withSecret)
			errs <- err
		})
	}
	close(start)
	runs.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Equal(t, int64(1), a.asked.Load())
	require.Equal(t, int64(100), a.called.Load())
}

// A token that was revoked is replaced, once and whatever the method; one that is
// new isn't.
func TestRefusedTokens(t *testing.T) {
	a := newAuthority(t)
	tool := compile(t, httptool.Config{Method: "POST", URL: a.targetURL, Body: []byte(`{"a":1}`), Retries: 3}, a.auth(nil))
	now := time.Now()
	httptool.SetClock(tool, func() time.Time { return now })
	_, failure := a.run(t, tool)
	require.Nil(t, failure)

	a.set(func() { a.last = "another" })
	_, failure = a.run(t, tool)
	require.Equal(t, errclass.HTTPError, failure.Class, "the token is new")
	require.Equal(t, errclass.Auth, failure.Reason)
	require.Equal(t, 1, failure.Attempts)
	require.Equal(t, int64(1), a.asked.Load())
	require.Equal(t, int64(2), a.called.Load())

	now = now.Add(time.Minute)
	resp, failure := a.run(t, tool)
	require.Nil(t, failure)
	require.Equal(t, 2, resp.Attempts)
	require.Equal(t, int64(2), a.asked.Load())
	require.Equal(t, int64(4), a.called.Load())

	now = now.Add(time.Minute)
	a.set(func() {
		a.answer = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"access_token":"useless-token"}`) }
		a.last = "another"
	})
	_, failure = a.run(t, tool)
	require.Equal(t, errclass.Auth, failure.Reason)
	require.Equal(t, 2, failure.Attempts)
	require.Equal(t, errclass.StoppedNotRetryable, failure.Stopped)
	require.Equal(t, `401 Unauthorized: not welcome: "Bearer [redacted]"`, failure.Detail)
	require.Equal(t, int64(6), a.called.Load())

	now = now.Add(time.Minute)
	a.set(func() {
		a.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }
	})
	_, failure = a.run(t, tool)
	require.Contains(t, failure.Detail, "403 Forbidden: token request to ")
	require.Equal(t, int64(7), a.called.Load())
}

func TestTokenFailures(t *testing.T) {
	host := func(u string) string { return strings.TrimSuffix(strings.TrimPrefix(u, "http://"), "/token") }
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
			require.True(t, strings.HasPrefix(failure.Detail, strings.ReplaceAll(tc.detail, "HOST", host(a.tokenURL))), failure.Detail)
			require.Equal(t, host(a.tokenURL), failure.Upstream.Host)
			require.Equal(t, 1, failure.Attempts)
			require.NotContains(t, failure.Detail+fmt.Sprint(failure.Cause), "secret-token")
			if failure.Class == errclass.HTTPError {
				require.Equal(t, 7*time.Second, failure.RetryAfter)
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
		Method: "POST", URL: a.targetURL, Headers: object{"Idempotency-Key": "k"}, Retries: 2,
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

// Who waits for another run's token request leaves at its own deadline, and the
// request goes on for the others.
func TestLeaveWhileWaiting(t *testing.T) {
	a := newAuthority(t)
	asked, release := make(chan struct{}), make(chan struct{})
	a.answer = func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		a.set(func() { a.last = "t" })
		io.WriteString(w, `{"access_token":"t"}`)
	}
	tool := compile(t, httptool.Config{URL: a.targetURL}, a.auth(nil))
	first := make(chan error, 1)
	go func() {
		_, err := tool.Run(t.Context(), a.rt, withSecret)
		first <- err
	}()
	<-asked

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := tool.Run(ctx, a.rt, withSecret)
	failure := errclass.Classify(err)
	require.Equal(t, errclass.Timeout, failure.Class)
	require.Equal(t, errclass.PhaseHeaders, failure.Reason)
	require.Contains(t, failure.Detail, "token request: no response headers from ")

	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	_, err = tool.Run(ctx, a.rt, withSecret)
	require.Equal(t, errclass.Cancelled, errclass.Classify(err).Class)

	stopped := errclass.New(errclass.Cancelled, errclass.Shutdown, "")
	cause, stop := context.WithCancelCause(t.Context())
	waiting := make(chan error, 1)
	go func() {
		_, err := tool.Run(cause, a.rt, withSecret)
		waiting <- err
	}()
	stop(stopped)
	require.Same(t, stopped, <-waiting)

	close(release)
	require.NoError(t, <-first)
	require.Equal(t, int64(1), a.asked.Load())
}

// Where the run that makes the token request ends, another one makes it.
func TestLeaderLeaves(t *testing.T) {
	a := newAuthority(t)
	asked := make(chan struct{})
	a.answer = func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		a.set(func() { a.answer = nil })
		close(asked)
		<-r.Context().Done()
	}
	tool := compile(t, httptool.Config{URL: a.targetURL}, a.auth(nil))
	ctx, cancel := context.WithCancel(t.Context())
	leader := make(chan error, 1)
	go func() {
		_, err := tool.Run(ctx, a.rt, withSecret)
		leader <- err
	}()
	<-asked
	others := make(chan error, 20)
	for range cap(others) {
		go func() {
			_, err := tool.Run(t.Context(), a.rt, withSecret)
			others <- err
		}()
	}
	cancel()
	require.Equal(t, errclass.Cancelled, errclass.Classify(<-leader).Class)
	for range cap(others) {
		require.NoError(t, <-others)
	}
	require.Equal(t, int64(2), a.asked.Load())
}

// panicky panics at its first request.
type panicky struct {
	next http.RoundTripper
	done atomic.Bool
}

func (p *panicky) RoundTrip(r *http.Request) (*http.Response, error) {
	if !p.done.Swap(true) {
		panic("transport")
	}
	return p.next.RoundTrip(r)
}

func TestTokenRequestPanics(t *testing.T) {
	a := newAuthority(t)
	tool := compile(t, httptool.Config{URL: a.targetURL}, a.auth(nil))
	rt := &panicky{next: a.rt}
	require.Panics(t, func() { tool.Run(t.Context(), rt, withSecret) })
	_, err := tool.Run(t.Context(), rt, withSecret)
	require.NoError(t, err, "nobody waits for a request that is no more")
}

// A token goes to the tool's own origin: along its redirects and pages, and to
// no other.
func TestTokensStayAtTheirOrigin(t *testing.T) {
	a := newAuthority(t)
	var stray atomic.Value
	elsewhere, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		stray.Store(r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `["elsewhere"]`)
	})
	a.rt = allow(t, elsewhere.Listener.Addr().String(), strings.TrimPrefix(a.targetURL, "http://"), strings.TrimSuffix(strings.TrimPrefix(a.tokenURL, "http://"), "/token"))
	a.respond = func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/out":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case "/in":
			http.Redirect(w, r, "/list", http.StatusFound)
		case "/list":
			w.Header().Set("Link", `</last>; rel="next"`)
			io.WriteString(w, `["one"]`)
		case "/last":
			w.Header().Set("Link", `<`+elsewhere.URL+`>; rel="next"`)
			io.WriteString(w, `["two"]`)
		}
	}
	for path, want := range map[string]string{"/out": `["elsewhere"]`, "/in": `["one","two","elsewhere"]`} {
		resp, failure := a.run(t, compile(t, httptool.Config{
			URL: a.targetURL + path, FollowRedirects: true, Pagination: &httptool.Pagination{Type: "link-header"},
		}, a.auth(nil)))
		require.Nil(t, failure)
		require.Equal(t, want, string(resp.Value))
		require.Equal(t, "", stray.Swap("none"), "a token went elsewhere")
	}
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
