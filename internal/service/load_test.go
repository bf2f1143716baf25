package service_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/runner"
)

// loadTool is a tool of the load test and the class it must give, unless the
// breaker of its upstream has opened; empty for a success, whose result must be the
// number that the caller sent.
type loadTool struct{ name, class, yaml string }

// misbehaving serves the upstreams of the load test. Each kind has an origin of
// its own, so that none sees another's connections.
type misbehaving struct {
	t       testing.TB
	servers []*httptest.Server
	mu      sync.Mutex
	seen    map[string]int // successful calls by number
}

func (m *misbehaving) serve(handler http.HandlerFunc) string {
	server := httptest.NewServer(handler)
	m.servers = append(m.servers, server)
	return server.URL
}

func (m *misbehaving) answer(status int, header, body string) string {
	return m.serve(func(w http.ResponseWriter, r *http.Request) {
		name, value, _ := strings.Cut(header, ": ")
		w.Header().Set(name, value)
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

func (m *misbehaving) close() {
	for _, server := range m.servers {
		server.CloseClientConnections()
		server.Close()
	}
}

// count notes that the call with a number arrived.
func (m *misbehaving) count(number string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[number]++
}

// echo answers the number it is called with.
func (m *misbehaving) echo(w http.ResponseWriter, r *http.Request) {
	number := r.URL.Query().Get("n")
	m.count(number)
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, number)
}

// hang answers never.
func (m *misbehaving) hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// hangUp closes the connection before it answers.
func (m *misbehaving) hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// cutShort sends less than it announced.
func (m *misbehaving) cutShort(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", "1000")
	io.WriteString(w, `{"cut":`)
}

// completion answers as OpenAI's API does, with the prompt.
func (m *misbehaving) completion(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Messages []struct{ Content string }
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || len(request.Messages) == 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	prompt := request.Messages[len(request.Messages)-1].Content
	m.count(prompt)
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"finish_reason":"stop",`+
		`"message":{"role":"assistant","content":%q}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`, prompt)
}

// tools is one of each kind, and the providers they use.
func (m *misbehaving) tools() ([]loadTool, []llmtool.Provider) {
	const (
		jsonType = "Content-Type: application/json"
		badKey   = `{"error":{"message":"Incorrect API key provided","type":"invalid_request_error","code":"invalid_api_key"}}`
	)
	js := func(code string) string { return "type: javascript\ncode: |\n  " + code }
	http := func(url string) string {
		return "type: http\nexecutionConfig: {method: GET, url: '" + url + "/', queryParams: {n: '{{parameters.n}}'}}"
	}
	llm := func(provider string) string {
		return "type: llm\nexecutionConfig: {providerId: " + provider + ", promptTemplate: '{{parameters.n}}', outputMode: json}"
	}
	provider := func(id, url string) llmtool.Provider {
		return llmtool.Provider{ID: id, Type: "openai", BaseURL: url + "/v1", APIKey: "{{env.KEY}}", Model: "m"}
	}
	hang := m.serve(m.hang)
	return []loadTool{
			{"js-echo", "", js("return parameters.n")},
			{"js-async", "", js("await new Promise(resolve => setTimeout(resolve, 20)); return parameters.n")},
			{"js-nested", "", js("return tools.invoke('http-echo', parameters)")},
			{"js-throws", "sandbox_error", js("throw new Error('boom ' + parameters.n)")},
			{"js-waits", "timeout", js("await new Promise(() => setTimeout(() => {}, 600000))") + "\nconfiguration: {timeout: 50}"},
			{"js-recurses", "sandbox_error", js("const f = () => f() + 1; return f()")},
			{"http-echo", "", http(m.serve(m.echo))},
			{"http-missing", "http_error", http(m.answer(404, jsonType, `{"message":"no such thing"}`))},
			{"http-broken", "http_error", http(m.answer(500, jsonType, `{"error":"broken"}`))},
			{"http-not-json", "invalid_response", http(m.answer(200, jsonType, `<html>`))},
			{"http-cut-short", "invalid_response", http(m.serve(m.cutShort))},
			{"http-hangs", "timeout", http(hang) + "\nconfiguration: {timeout: 200}"},
			{"http-hangs-up", "connection_refused", http(m.serve(m.hangUp))},
			{"http-refused", "connection_refused", http("http://" + refusedAddress)},
			{"http-blocked", "request_blocked", http("http://10.0.0.1")},
			{"http-secret", "configuration_error", "type: http\nexecutionConfig: {method: GET, url: '" + hang + "/', headers: {X-Key: '{{env.MISSING}}'}}"},
			{"llm-echo", "", llm("echo")},
			{"llm-bad-key", "llm_error", llm("bad-key")},
			{"llm-broken", "invalid_response", llm("broken")},
			{"llm-refused", "connection_refused", llm("refused")},
			{"abandoned", "cancelled", http(hang)},
		}, []llmtool.Provider{
			provider("echo", m.serve(m.completion)),
			provider("bad-key", m.answer(401, jsonType, badKey)),
			provider("broken", m.answer(200, jsonType, `{"choices":`)),
			provider("refused", "http://"+refusedAddress),
		}
}

// 1,000 executions at once, of tools of every kind and for every class: every
// caller gets its own answer, of the class that its tool must give, and nothing
// is left behind.
func TestThousandExecutionsAtOnce(t *testing.T) {
	const executions = 1000
	before := goleak.IgnoreCurrent()
	upstreams := &misbehaving{t: t, seen: map[string]int{}}
	tools, providers := upstreams.tools()
	options := runner.Options{Providers: providers, Env: map[string]string{"KEY": "sk-load-test"}, DefaultTimeout: 10 * time.Minute}
	for _, server := range upstreams.servers {
		options.Egress.Allow = append(options.Egress.Allow, server.Listener.Addr().String())
	}
	options.Egress.Allow = append(options.Egress.Allow, refusedAddress)
	for _, tool := range tools {
		options.Tools = append(options.Tools, define(t, "name: "+tool.name+"\n"+tool.yaml))
	}
	// On a starved machine a spinning program is slow to notice its deadline; its
	// neighbours must not suffer for that.
	spins := loadTool{"js-spins", "timeout", "type: javascript\ncode: for (;;) {}\nconfiguration: {timeout: 20}"}
	options.Tools = append(options.Tools, define(t, "name: "+spins.name+"\n"+spins.yaml))
	s := serve(t, options, service.Options{DrainTimeout: time.Minute})
	s.client.Timeout = 5 * time.Minute
	s.client.Transport.(*http.Transport).MaxIdleConnsPerHost = executions

	faults := make(chan string, executions)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range executions {
		tool := tools[i%len(tools)]
		if i%25 == 0 {
			tool = spins
		}
		wg.Go(func() {
			<-start
			if fault := s.executeOne(tool, strconv.Itoa(i)); fault != "" {
				faults <- fmt.Sprintf("%s (%d): %s", tool.name, i, fault)
			}
		})
	}
	close(start)
	wg.Wait()
	close(faults)
	byTool := map[string][]string{}
	for fault := range faults {
		name, _, _ := strings.Cut(fault, " ")
		byTool[name] = append(byTool[name], fault)
	}
	for name, all := range byTool {
		t.Errorf("%s: %d wrong answers, the first: %s", name, len(all), all[0])
	}
	for number, calls := range upstreams.seen {
		require.Equal(t, 1, calls, "calls with number %s", number)
	}

	require.NoError(t, s.shutDown(t))
	require.Zero(t, s.runner.Running())
	require.NotContains(t, s.log.String(), "level=ERROR")
	s.client.CloseIdleConnections()
	upstreams.close()
	goleak.VerifyNone(t, before)
}

// executeOne runs a tool and says what is wrong with its answer.
func (s *standalone) executeOne(tool loadTool, number string) string {
	response, body, err := s.request(tool, number)
	if err != nil {
		return err.Error()
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Sprintf("status %d: %s", response.StatusCode, body)
	}
	opened := tool.class != "" && response.Header.Get("X-Tool-Error-Reason") == "circuit_open"
	if class := response.Header.Get("X-Tool-Error-Class"); class != tool.class && !opened {
		return fmt.Sprintf("class %q: %s", class, body)
	}
	var outcome struct {
		Success bool
		Data    struct{ Result json.Number }
	}
	if err := json.Unmarshal([]byte(body), &outcome); err != nil {
		return err.Error() + ": " + body
	}
	if outcome.Success != (tool.class == "") {
		return "wrong outcome: " + body
	}
	if outcome.Success && outcome.Data.Result.String() != number {
		return "somebody else's answer: " + body
	}
	return ""
}

func (s *standalone) request(tool loadTool, number string) (*http.Response, string, error) {
	path, body := "/tools/"+tool.name+"/execute", `{"parameters":{"n":`+number+`}}`
	if tool.class != "cancelled" {
		return s.try("POST", path, "application/json", body)
	}
	// A client that has nothing more to say counts as gone, yet can listen.
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		return nil, "", err
	}
	defer c.Close()
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	c.(*net.TCPConn).CloseWrite()
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response, string(text), err
}
