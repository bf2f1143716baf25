package service_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/runner"
)

func chunk(text string) string {
	return fmt.Sprintf("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%q}}]}\n\n", text)
}

const lastChunk = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"

// talking is a service with an LLM tool "talk" over a provider of the test's.
func talking(t *testing.T, settings service.Options, provider http.HandlerFunc) *standalone {
	up := httptest.NewServer(provider)
	t.Cleanup(up.Close)
	return serve(t, runner.Options{
		Tools: []*runner.Definition{
			define(t, "name: talk\ntype: llm\nexecutionConfig: {providerId: p, promptTemplate: Hi}\n"),
			define(t, "name: js\ntype: javascript\nparameters: {type: object, additionalProperties: false}\ncode: \"return {a: 1}\"\n"),
			define(t, "name: fails\ntype: javascript\ncode: throw new Error('no')\n"),
		},
		Providers: []llmtool.Provider{{ID: "p", Type: "openai", BaseURL: up.URL, Model: "m"}},
		Egress:    httptool.Policy{Allow: []string{"127.0.0.1/32"}},
	}, settings)
}

// ask executes a tool for events.
func (s *standalone) ask(t *testing.T, tool, query, accept, body string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/tools/"+tool+"/execute"+query, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", accept)
	response, err := s.client.Do(request)
	require.NoError(t, err)
	t.Cleanup(func() { response.Body.Close() })
	return response
}

// nextEvent reads one event as its name and data; both are empty at the end.
func nextEvent(t *testing.T, in *bufio.Reader) (name, data string) {
	t.Helper()
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF {
			return name, data
		}
		require.NoError(t, err)
		switch field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); field {
		case "":
			return name, data
		case "event":
			name = value
		case "data":
			data += value
		}
	}
}

func TestEvents(t *testing.T) {
	goOn := make(chan struct{})
	s := talking(t, service.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, chunk("Hel"))
		w.(http.Flusher).Flush()
		<-goOn
		_, _ = io.WriteString(w, chunk("lo\n\"<b>\"")+lastChunk)
	})
	response := s.ask(t, "talk", "?details=true", "text/event-stream", "{}")
	require.Equal(t, 200, response.StatusCode)
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	require.Equal(t, "no-store", response.Header.Get("Cache-Control"))
	id := response.Header.Get("X-Execution-Id")
	require.Len(t, id, 36)
	in := bufio.NewReader(response.Body)
	name, data := nextEvent(t, in)
	require.Equal(t, "delta", name)
	require.Equal(t, `"Hel"`, data)
	close(goOn) // the first piece was there before the second
	name, data = nextEvent(t, in)
	require.Equal(t, "delta", name)
	require.Equal(t, `"lo\n\"<b>\""`, data)
	name, data = nextEvent(t, in)
	require.Equal(t, "outcome", name)
	require.Regexp(t, `^{"success":true,"data":{"result":"Hello\\n\\"<b>\\"","duration":\d+,"status":"success","details":{"attempts":1,"upstream":{.*},"executionId":"`+id+`","tries":\[{.*}\]}}}$`, data)
	name, _ = nextEvent(t, in)
	require.Empty(t, name)
}

func TestEventsOfFailures(t *testing.T) {
	s := talking(t, service.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, chunk("Hel")+`data: {"error":{"message":"Slow down","code":"rate_limit_exceeded"}}`+"\n\n")
	})
	for _, tc := range []struct {
		tool, body string
		status     int
		class      string   // of the header; known in time only where nothing was streamed
		events     []string // none: the answer is a document
	}{
		{"talk", "{}", 200, "", []string{`delta "Hel"`, `outcome {"success":false,"error":"Tool execution failed: LLM error: Slow down"`}},
		{"js", "{}", 200, "", []string{`outcome {"success":true,"data":{"result":{"a":1}`}},
		{"fails", "", 200, "sandbox_error", []string{`outcome {"success":false,"error":"Tool execution failed: Sandbox error`}},
		{"js", `{"parameters":{"b":1}}`, 400, "", nil},
		{"js", `{`, 400, "", nil},
		{"unknown", "{}", 404, "", nil},
	} {
		response := s.ask(t, tc.tool, "", "application/json;q=0.5, text/event-stream", tc.body)
		require.Equal(t, tc.status, response.StatusCode, tc.tool)
		require.Equal(t, tc.class, response.Header.Get("X-Tool-Error-Class"), tc.tool)
		if tc.events == nil {
			require.Equal(t, "application/json; charset=utf-8", response.Header.Get("Content-Type"))
			continue
		}
		in := bufio.NewReader(response.Body)
		for _, want := range tc.events {
			name, data := nextEvent(t, in)
			require.True(t, strings.HasPrefix(name+" "+data, want), "%s %s", name, data)
		}
	}
}

func TestEventsOnlyForWhoAsks(t *testing.T) {
	s := talking(t, service.Options{}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}`)
	})
	for accept, events := range map[string]bool{
		"": false, "*/*": false, "text/*": false, "application/json": false, "text/event-stream;q=0": false, ";": false,
		"text/event-stream": true, "Text/Event-Stream; q=0.1": true, "application/json,text/event-stream": true,
	} {
		want := "application/json; charset=utf-8"
		if events {
			want = "text/event-stream"
		}
		require.Equal(t, want, s.ask(t, "talk", "", accept, "{}").Header.Get("Content-Type"), accept)
	}
}

// A client that goes away cancels the execution, and so the provider's work.
func TestEventsClientLeaves(t *testing.T) {
	gone := make(chan struct{})
	s := talking(t, service.Options{}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, chunk("Hel"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(gone)
	})
	response := s.ask(t, "talk", "", "text/event-stream", "{}")
	name, _ := nextEvent(t, bufio.NewReader(response.Body))
	require.Equal(t, "delta", name)
	response.Body.Close()
	await(t, gone)
}

// A client that stops reading stops the provider, within the write timeout.
func TestEventsClientStalls(t *testing.T) {
	gone := make(chan struct{})
	var sent atomic.Int64
	s := talking(t, service.Options{WriteTimeout: 500 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		text := chunk(strings.Repeat("x", 16<<10))
		for range 512 { // 8 MiB
			n, err := io.WriteString(w, text)
			if sent.Add(int64(n)); err != nil {
				return
			}
		}
		<-r.Context().Done()
	})
	w := s.dial(t)
	require.NoError(t, w.Conn.(*net.TCPConn).SetReadBuffer(4<<10))
	w.send(t, "POST /tools/talk/execute HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nContent-Length: 0\r\n\r\n")
	await(t, gone)
	require.Eventually(t, func() bool { return s.runner.Running() == 0 }, patience, 5*time.Millisecond)
}

// A drain cancels a stream that outlasts it, and its client reads so.
func TestEventsDrain(t *testing.T) {
	s := talking(t, service.Options{DrainTimeout: 50 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, chunk("Hel"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	response := s.ask(t, "talk", "?details=true", "text/event-stream", "{}")
	in := bufio.NewReader(response.Body)
	name, _ := nextEvent(t, in)
	require.Equal(t, "delta", name)
	require.ErrorContains(t, s.shutDown(t), "cancelled 1 executions")
	name, data := nextEvent(t, in)
	require.Equal(t, "outcome", name)
	require.Contains(t, data, `"reason":"shutdown"`)
}

// slowly answers after a wait.
type slowly time.Duration

func (s slowly) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(time.Duration(s)):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(chunk("Hello") + lastChunk)), Request: r}, nil
}

func TestEventsKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := runner.New(runner.Options{
			Tools:     []*runner.Definition{define(t, "name: talk\ntype: llm\nconfiguration: {timeout: 60000}\nexecutionConfig: {providerId: p, promptTemplate: Hi}\n")},
			Providers: []llmtool.Provider{{ID: "p", Type: "openai", Model: "m"}},
			Transport: slowly(40 * time.Second),
		})
		require.NoError(t, err)
		s, err := service.New(service.Options{Runner: r})
		require.NoError(t, err)
		request := httptest.NewRequest(http.MethodPost, "/tools/talk/execute", nil)
		request.Header.Set("Accept", "text/event-stream")
		answer := httptest.NewRecorder()
		s.Handler().ServeHTTP(answer, request)
		require.NoError(t, r.Close(context.Background()))
		require.Regexp(t, "^:\n\n:\n\nevent: delta\ndata: \"Hello\"\n\nevent: outcome\ndata: {\"success\":true,.*}\n\n$", answer.Body.String())
		require.True(t, answer.Flushed)
	})
}
