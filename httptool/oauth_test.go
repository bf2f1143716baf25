package httptool_test

import (
	"context"
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

// hostOf is host and port of a token endpoint or target.
func hostOf(address string) string {
	return strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/token")
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
	a.answer = func(w http.ResponseWriter, r *http.Request) {
		id, _, _ := r.BasicAuth()
		fmt.Fprintf(w, `{"access_token":"token of %s"}`, id)
	}
	var got string
	target, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("Authorization") })
	rt := allow(t, hostOf(target.URL), hostOf(a.tokenURL))
	auth := a.auth(object{"clientId": "{{credentials.id}}", "scope": "{{parameters.scope}}"})
	tool, other := compile(t, httptool.Config{URL: target.URL}, auth), compile(t, httptool.Config{URL: target.URL}, auth)
	for i, in := range []struct{ organization, id, scope, secret string }{
		{"a", "i", "s", "x"}, {"b", "i", "s", "x"}, {"a", "j", "s", "x"}, {"a", "i", "r", "x"}, {"a", "i", "s", "y"}, {"", "i", "s", "x"}, {"a", "i", "s", "x"},
	} {
		asked := i + 1
		if i == 6 { // each tool has its own
			tool = other
		}
		for range 2 {
			_, err := tool.Run(httptool.WithOrganization(t.Context(), in.organization), rt, httptool.Input{
				Parameters: object{"scope": in.scope}, Env: map[string]string{"SECRET": in.secret}, Credentials: object{"id": in.id},
			})
			require.NoError(t, err)
			require.Equal(t, int64(asked), a.asked.Load())
			require.Equal(t, "Bearer token of "+in.id, got)
		}
	}
}

func TestTokensAreBounded(t *testing.T) {
	a := newAuthority(t)
	a.answer = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"access_token":"t"}`) }
	a.last = "t"
	tool := compile(t, httptool.Config{URL: a.targetURL}, a.auth(nil))
	for i := range httptool.MaxTokens + 20 {
		_, err := tool.Run(httptool.WithOrganization(t.Context(), fmt.Sprint(i)), a.rt, withSecret)
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

// panicky panics at its first request, once it may.
type panicky struct {
	next         http.RoundTripper
	once         atomic.Bool
	asked, begin chan struct{}
}

func (p *panicky) RoundTrip(r *http.Request) (*http.Response, error) {
	if !p.once.Swap(true) {
		close(p.asked)
		<-p.begin
		panic("transport")
	}
	return p.next.RoundTrip(r)
}

// Nobody waits for, or takes anything from, a token request that panicked.
func TestTokenRequestPanics(t *testing.T) {
	a := newAuthority(t)
	tool := compile(t, httptool.Config{URL: a.targetURL}, a.auth(nil))
	rt := &panicky{next: a.rt, asked: make(chan struct{}), begin: make(chan struct{})}
	panicked := make(chan any, 1)
	go func() {
		defer func() { panicked <- recover() }()
		tool.Run(t.Context(), rt, withSecret)
	}()
	<-rt.asked
	others, started := make(chan error, 50), make(chan struct{})
	for range cap(others) {
		go func() {
			started <- struct{}{}
			_, err := tool.Run(t.Context(), rt, withSecret)
			others <- err
		}()
	}
	for range cap(others) {
		<-started
	}
	close(rt.begin)
	require.Equal(t, "transport", <-panicked)
	for range cap(others) {
		require.NoError(t, <-others)
	}
	require.Equal(t, int64(1), a.asked.Load())
	require.Equal(t, int64(50), a.called.Load(), "nobody came without a token")
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
	a.rt = allow(t, hostOf(elsewhere.URL), hostOf(a.targetURL), hostOf(a.tokenURL))
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
