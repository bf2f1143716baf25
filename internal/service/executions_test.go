package service_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/access"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/runner"
)

// upstream is a target that counts calls and answers when it is let.
type upstream struct {
	*httptest.Server
	calls   atomic.Int64
	entered chan struct{}
	answer  chan struct{}
}

func newUpstream(t testing.TB) *upstream {
	u := &upstream{entered: make(chan struct{}, 1000), answer: make(chan struct{})}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := u.calls.Add(1)
		u.entered <- struct{}{}
		select {
		case <-u.answer:
			fmt.Fprint(w, n)
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(u.Close)
	return u
}

// tools are a tool that calls the upstream, and the plain ones.
func (u *upstream) tools(t testing.TB) runner.Options {
	options := plainTools(t)
	options.Tools = append(options.Tools, define(t, "{name: call, type: http, executionConfig: {url: '"+u.URL+"'}}"),
		define(t, "{name: talk, type: javascript, code: \"console.log('one'); await fetch('"+u.URL+"'); console.warn('two'); return 'said'\"}"))
	options.Egress = httptool.Policy{Allow: []string{u.Listener.Addr().String()}}
	return options
}

// done asks for an execution until it is.
func (n *node) done(t testing.TB, key, path string) answer {
	t.Helper()
	var a answer
	require.Eventually(t, func() bool {
		a = n.ask(t, key, "GET", path, "")
		return a.data(t, "state") == "done"
	}, patience, 5*time.Millisecond)
	return a
}

func TestAsynchronous(t *testing.T) {
	u := newUpstream(t)
	n := begin(t, u.tools(t), service.Options{})
	key, stranger := n.key(t, "acme", access.Member), n.key(t, "other", access.Admin)
	accepted := n.ask(t, key, "POST", "/organizations/acme/tools/call/execute?mode=async", `{"parameters":{}}`)
	require.Equal(t, 202, accepted.StatusCode, accepted.body)
	id, location := accepted.data(t, "id"), accepted.Header.Get("Location")
	require.Equal(t, []string{"/organizations/acme/executions/" + id, id, "1"},
		[]string{location, accepted.Header.Get("X-Execution-Id"), accepted.Header.Get("Retry-After")})
	<-u.entered
	require.Eventually(t, func() bool { return n.ask(t, key, "GET", location, "").data(t, "state") == "running" }, patience, 5*time.Millisecond)
	for _, path := range []string{location, "/executions/" + id, "/executions/" + id + "/events"} {
		require.Contains(t, []int{403, 404}, n.ask(t, stranger, "GET", path, "").StatusCode)
	}
	require.Equal(t, n.ask(t, stranger, "GET", "/executions/"+id, "").body, n.ask(t, stranger, "GET", "/executions/nope", "").body)
	require.Equal(t, 404, n.ask(t, stranger, "DELETE", "/executions/"+id, "").StatusCode)

	close(u.answer)
	a := n.done(t, key, "/executions/"+id)
	require.Regexp(t, `^\{"success":true,"data":\{"id":"`+id+`","organization":"acme","tool":"call","type":"http","state":"done","createdAt":"[^"]+Z","startedAt":"[^"]+Z","endedAt":"[^"]+Z","attempts":1,"outcome":\{"success":true,"data":\{"result":"1","duration":\d+,"status":"success"\}\}\}\}$`, a.body)
	require.Contains(t, n.ask(t, key, "GET", "/executions/"+id+"?details=true", "").body, `"executionId":"`+id+`"`)
	require.Equal(t, 409, n.ask(t, key, "DELETE", "/executions/"+id, "").StatusCode)

	failed := n.ask(t, key, "POST", "/tools/fail/execute?mode=async", "")
	a = n.done(t, key, failed.Header.Get("Location"))
	require.Contains(t, a.body, `"class":"sandbox_error","reason":"exception","outcome":{"success":false,"error":"Tool execution failed: Sandbox error: Error: boom`)
}

// What is wrong is said at once, not in an outcome.
func TestAsynchronousIsCheckedFirst(t *testing.T) {
	n := begin(t, plainTools(t), service.Options{})
	key := n.key(t, "acme", access.Member)
	for path, status := range map[string]int{
		"/tools/nope/execute?mode=async": 404, "/tools/off/execute?mode=async": 409, "/tools/price/execute?mode=async": 400,
		"/tools/echo/execute?mode=async&mode=async": 400, "/tools/echo/execute?mode=later": 400,
	} {
		for _, key2 := range []string{"", "k"} {
			header := []string{"Idempotency-Key", key2}
			if key2 == "" {
				header = nil
			}
			require.Equal(t, status, n.ask(t, key, "POST", path, "{}", header...).StatusCode, path)
		}
	}
	require.Equal(t, `{"success":true,"data":[]}`, n.ask(t, key, "GET", "/executions", "").body)
	n.ask(t, "nonsense", "GET", "/metrics", "")
	metrics := n.ask(t, n.key(t, access.EveryOrganization, access.Viewer), "GET", "/metrics", "").body
	for code, count := range map[string]int{"NOT_FOUND": 2, "CONFLICT": 2, "BAD_REQUEST": 6, "UNAUTHORIZED": 1} {
		require.Contains(t, metrics, fmt.Sprintf("toolrun_rejected_total{code=%q} %d\n", code, count))
	}
}

func TestCancel(t *testing.T) {
	u := newUpstream(t)
	n := begin(t, u.tools(t), service.Options{})
	key := n.key(t, "acme", access.Member)
	running := n.ask(t, key, "POST", "/tools/call/execute?mode=async", "").Header.Get("Location")
	<-u.entered
	a := n.ask(t, key, "DELETE", running, "")
	require.Contains(t, []int{200, 202}, a.StatusCode, a.body)
	require.Contains(t, n.done(t, key, running).body, `"class":"cancelled","reason":"caller"`)
}

func TestIdempotencyKeys(t *testing.T) {
	u := newUpstream(t)
	n := begin(t, u.tools(t), service.Options{})
	key, stranger := n.key(t, "acme", access.Member), n.key(t, "other", access.Member)
	ask := func(credential, mode, idempotency, body string) answer {
		return n.ask(t, credential, "POST", "/tools/call/execute"+mode, body, "Idempotency-Key", idempotency)
	}
	answers := make([]answer, 10)
	var wg sync.WaitGroup
	for i := range answers { // the first still runs while the others come
		wg.Go(func() { answers[i] = ask(key, "", "k 1", `{"parameters":{}}`) })
	}
	<-u.entered
	require.Equal(t, 202, ask(key, "?mode=async", "k 1", `{"parameters":{}}`).StatusCode)
	close(u.answer)
	wg.Wait()
	replayed := 0
	for _, a := range answers {
		require.Equal(t, []any{200, answers[0].body, answers[0].Header.Get("X-Execution-Id")}, []any{a.StatusCode, a.body, a.Header.Get("X-Execution-Id")})
		if a.Header.Get("Idempotent-Replayed") == "true" {
			replayed++
		}
	}
	require.Equal(t, 9, replayed)
	require.EqualValues(t, 1, u.calls.Load())
	for mode, status := range map[string]int{"": 200, "?details=true": 200, "?mode=async": 202} {
		a := ask(key, mode, "k 1", `{"parameters":{}}`)
		require.Equal(t, status, a.StatusCode, a.body)
		require.Equal(t, answers[0].Header.Get("X-Execution-Id"), a.Header.Get("X-Execution-Id"))
	}
	reused := ask(key, "", "k 1", `{"parameters":{"a":1}}`)
	require.Equal(t, []any{409, refusal(409, "CONFLICT", "The idempotency key was used for another request: use a new one")}, []any{reused.StatusCode, reused.body})
	require.Equal(t, 409, n.ask(t, key, "POST", "/tools/echo/execute", `{"parameters":{}}`, "Idempotency-Key", "k 1").StatusCode)
	require.EqualValues(t, 1, u.calls.Load())
	require.Equal(t, 200, ask(stranger, "", "k 1", `{"parameters":{}}`).StatusCode)
	require.EqualValues(t, 2, u.calls.Load(), "another organization's key is another")

	require.Equal(t, 200, ask(key, "", strings.Repeat("x", 255), "{}").StatusCode)
	for _, wrong := range []string{strings.Repeat("x", 256), "ü"} {
		require.Equal(t, 400, ask(key, "", wrong, "{}").StatusCode)
	}
	// A failure is an outcome as well; what was turned away is none, and the key stays free.
	first := n.ask(t, key, "POST", "/tools/fail/execute", "{}", "Idempotency-Key", "f")
	again := n.ask(t, key, "POST", "/tools/fail/execute", "{}", "Idempotency-Key", "f")
	require.Equal(t, []string{first.body, "sandbox_error", "exception", "false"},
		[]string{again.body, again.Header.Get("X-Tool-Error-Class"), again.Header.Get("X-Tool-Error-Reason"), again.Header.Get("X-Tool-Retryable")})
	require.Equal(t, 400, n.ask(t, key, "POST", "/tools/price/execute", "{}", "Idempotency-Key", "p").StatusCode)
	require.Equal(t, 200, n.ask(t, key, "POST", "/tools/price/execute", `{"parameters":{"quantity":2}}`, "Idempotency-Key", "p").StatusCode)
}

// A repeated request isn't counted against the tool's limit.
func TestReplayCostsNothing(t *testing.T) {
	n := begin(t, plainTools(t), service.Options{})
	key := n.key(t, "acme", access.Member)
	for range 3 {
		require.Equal(t, 200, n.ask(t, key, "POST", "/tools/scarce/execute", "{}", "Idempotency-Key", "s").StatusCode)
	}
	require.Equal(t, 429, n.ask(t, key, "POST", "/tools/scarce/execute", "{}", "Idempotency-Key", "t").StatusCode)
}

// A client that leaves doesn't end what its idempotency key stands for.
func TestClientLeavesIdempotentRequest(t *testing.T) {
	u := newUpstream(t)
	n := begin(t, u.tools(t), service.Options{})
	key := n.key(t, "acme", access.Member)
	w := n.dial(t)
	w.send(t, "POST /tools/call/execute HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+key+"\r\nIdempotency-Key: k\r\nContent-Length: 0\r\n\r\n")
	<-u.entered
	require.NoError(t, w.Close())
	close(u.answer)
	a := n.ask(t, key, "POST", "/tools/call/execute", "", "Idempotency-Key", "k")
	require.Equal(t, success(`"1"`), settled(a.body))
	require.Equal(t, "true", a.Header.Get("Idempotent-Replayed"))
}

func TestEventsOfAnExecution(t *testing.T) {
	u := newUpstream(t)
	n := begin(t, u.tools(t), service.Options{})
	key := n.key(t, "acme", access.Member)
	location := n.ask(t, key, "POST", "/tools/talk/execute?mode=async", "").Header.Get("Location")
	<-u.entered
	request, err := http.NewRequestWithContext(t.Context(), "GET", n.url+location+"/events", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := n.client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	begun := make([]byte, len("event: state\n"))
	_, err = io.ReadFull(response.Body, begun)
	require.NoError(t, err)
	require.Equal(t, "event: state\n", string(begun))
	close(u.answer)
	rest, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Contains(t, string(rest), "event: log\ndata: {\"level\":\"warn\",\"message\":\"two\"}\n\n")
	require.Regexp(t, `event: outcome\ndata: \{"success":true,"data":\{"result":"said","duration":\d+,"status":"success"\}\}\n\n$`, string(rest))

	again := n.ask(t, key, "GET", location+"/events", "")
	require.Regexp(t, `^event: outcome\ndata: .*\n\n$`, again.body)
	withKey := n.ask(t, key, "POST", "/tools/echo/execute", "{}", "Idempotency-Key", "e", "Accept", "text/event-stream")
	require.Regexp(t, `^event: outcome\ndata: \{"success":true.*\n\n$`, withKey.body)
}

func TestListOfExecutions(t *testing.T) {
	n := begin(t, plainTools(t), service.Options{})
	key := n.key(t, "acme", access.Member)
	for _, tool := range []string{"echo", "fail", "echo"} {
		n.ask(t, key, "POST", "/tools/"+tool+"/execute", "")
		n.done(t, key, n.ask(t, key, "POST", "/tools/"+tool+"/execute?mode=async", "").Header.Get("Location"))
	}
	count := func(query string) int {
		a := n.ask(t, key, "GET", "/executions?"+query, "")
		require.Equal(t, 200, a.StatusCode, a.body)
		require.NotContains(t, a.body, `"outcome"`)
		return strings.Count(a.body, `"id":`)
	}
	require.Eventually(t, func() bool { return count("") == 6 }, patience, 5*time.Millisecond) // synchronous ones are kept a moment later
	hourAgo, soon := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	for query, want := range map[string]int{
		"tool=echo": 4, "tool=nope": 0, "class=sandbox_error": 2, "class=success": 4, "class=timeout": 0, "state=done": 6, "state=queued": 0,
		"since=" + hourAgo: 6, "since=" + soon: 0, "until=" + hourAgo: 0, "until=" + soon: 6, "tool=fail&class=success": 0, "limit=2": 2,
	} {
		require.Equal(t, want, count(query), query)
	}
	seen := 0
	for path := "/executions?limit=4"; path != ""; {
		a := n.ask(t, key, "GET", path, "")
		seen += strings.Count(a.body, `"id":`)
		path, _, _ = strings.Cut(strings.TrimPrefix(a.Header.Get("Link"), "<"), ">")
	}
	require.Equal(t, 6, seen)
	for _, query := range []string{"class=oops", "state=over", "since=yesterday", "cursor=!", "foo=1", "limit=-1"} {
		require.Equal(t, 400, n.ask(t, key, "GET", "/executions?"+query, "").StatusCode, query)
	}
}

func TestForgetSynchronous(t *testing.T) {
	n := begin(t, plainTools(t), service.Options{ForgetSynchronous: true})
	key := n.key(t, "acme", access.Member)
	forgotten := n.ask(t, key, "POST", echoes, "").Header.Get("X-Execution-Id")
	n.done(t, key, n.ask(t, key, "POST", echoes+"?mode=async", "").Header.Get("Location"))
	require.Equal(t, 404, n.ask(t, key, "GET", "/executions/"+forgotten, "").StatusCode)
}

func TestWebhook(t *testing.T) {
	type delivery struct {
		header http.Header
		body   string
	}
	got := make(chan delivery, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- delivery{r.Header, string(body)}
	}))
	defer receiver.Close()
	options := plainTools(t)
	options.Egress = httptool.Policy{Allow: []string{receiver.Listener.Addr().String()}}
	n := begin(t, options, service.Options{})
	member, admin := n.key(t, "acme", access.Member), n.key(t, "acme", access.Admin)
	a := n.ask(t, member, "POST", echoes+"?mode=async", `{"parameters":{"a":1},"webhook":{"url":"`+receiver.URL+`/hook"}}`)
	require.Equal(t, 202, a.StatusCode, a.body)
	d := <-got
	secret := n.ask(t, admin, "GET", "/organizations/acme/webhook-secret", "").data(t, "secret")
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	require.NoError(t, err)
	mac := hmac.New(sha256.New, key) // as standardwebhooks.com has it
	fmt.Fprintf(mac, "%s.%s.%s", d.header.Get("webhook-id"), d.header.Get("webhook-timestamp"), d.body)
	require.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), d.header.Get("webhook-signature"))
	require.Contains(t, d.body, `"result":{"a":1}`)
	require.Eventually(t, func() bool {
		return strings.Contains(n.ask(t, member, "GET", a.Header.Get("Location"), "").body, `"webhook":{"state":"delivered","attempts":1,"status":200}`)
	}, patience, 5*time.Millisecond)

	for body, want := range map[string]string{
		`{"webhook":{"url":"ftp://a.example"}}`:            "/webhook/url",
		`{"webhook":{"url":"https://u:p@a.example"}}`:      "/webhook/url",
		`{"webhook":{"url":"http://a.example:99999"}}`:     "/webhook/url",
		`{"webhook":{"url":""}}`:                           "/webhook/url",
		`{"webhook":{"uri":"https://a.example"}}`:          "Malformed request body",
		`{"webhook":"https://a.example"}`:                  "Malformed request body",
		`{"webhook":{"url":"` + receiver.URL + `"},"x":1}`: "Malformed request body",
	} {
		refused := n.ask(t, member, "POST", echoes+"?mode=async", body)
		require.Equal(t, 400, refused.StatusCode, body)
		require.Contains(t, refused.body, want)
	}
	require.Contains(t, n.ask(t, member, "POST", echoes, `{"webhook":{"url":"https://a.example"}}`).body, "add ?mode=async")
}

// Whoever waits for an execution that goes on elsewhere, or later, is told so when the
// service stops.
func TestDrainSendsWaitersAway(t *testing.T) {
	u := newUpstream(t)
	n := begin(t, u.tools(t), service.Options{DrainTimeout: 50 * time.Millisecond})
	key := n.key(t, "acme", access.Member)
	submission := queue.Submission{Organization: "acme", Tool: "call", Type: runner.HTTP}
	execution, _, err := n.executions.Submit(t.Context(), submission)
	require.NoError(t, err)
	<-u.entered
	request, err := http.NewRequestWithContext(t.Context(), "GET", n.url+"/executions/"+execution.ID+"/events", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+key)
	response, err := n.client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	waiting := make(chan answer, 1)
	go func() { waiting <- n.ask(t, key, "GET", "/executions/"+execution.ID, "") }()
	require.Equal(t, 200, (<-waiting).StatusCode)
	n.stop()
	rest, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Regexp(t, "^event: state\ndata: .*\n\n(.|\n)*event: (outcome|error)\ndata: .*\n\n$", string(rest))
}
