package llmtool_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	. "github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
)

// piece is a chunk with a piece of text.
func piece(text string) string {
	return fmt.Sprintf(`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1763900000,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}],"usage":null}`, quote(text)) + "\n\n"
}

func ending(finish string) string {
	return fmt.Sprintf(`data: {"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{},"finish_reason":%q}],"usage":null}`, finish) + "\n\n"
}

const (
	role  = `data: {"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null}` + "\n\n"
	spent = `data: {"model":"gpt-4o-mini-2024-07-18","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}` + "\n\n"
	done  = "data: [DONE]\n\n"
)

// streaming answers with an event stream, a write at a time.
func streaming(t testing.TB, writes ...string) *upstream {
	return serve(t, func(w http.ResponseWriter, _ *http.Request) { stream(w, writes...) })
}

func stream(w http.ResponseWriter, writes ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, text := range writes {
		_, _ = io.WriteString(w, text)
		w.(http.Flusher).Flush()
	}
}

// streamed runs a tool and returns the deltas besides.
func streamed(t testing.TB, ctx context.Context, cfg llmtool.Config, c *llmtool.Clients) ([]string, *llmtool.Answer, *Error) {
	var deltas []string
	in := input
	in.Delta = func(text string) { deltas = append(deltas, text) }
	answer, err := compile(t, cfg).Run(ctx, c, in)
	if err == nil {
		return deltas, answer, nil
	}
	var e *Error
	require.ErrorAs(t, err, &e)
	return deltas, answer, e
}

func TestStream(t *testing.T) {
	t.Parallel()
	parts := `data: {"choices":[{"index":0,"delta":{"content":[{"type":"text","text":"Hel"}]}}]}` + "\n\n"
	for _, c := range []struct {
		name   string
		writes []string
		deltas []string
		value  string
		tokens int
	}{
		{"as OpenAI does", []string{role, piece("Hel"), piece("lo"), ending("stop"), spent, done}, []string{"Hel", "lo"}, "Hello", 15},
		{"in one write", []string{role + piece("Hel") + piece("lo") + ending("stop") + spent + done}, []string{"Hel", "lo"}, "Hello", 15},
		{"a byte at a time", strings.Split(role+piece("Hé")+ending("stop")+spent+done, ""), []string{"Hé"}, "Hé", 15},
		{"CRLF", []string{strings.ReplaceAll(role+piece("Hello")+ending("stop")+done, "\n", "\r\n")}, []string{"Hello"}, "Hello", 0},
		{"no space after the colon", []string{strings.ReplaceAll(piece("Hello")+ending("stop")+done, "data: ", "data:")}, []string{"Hello"}, "Hello", 0},
		{"comments, names and ids", []string{": OPENROUTER PROCESSING\n\n", "event: message\nid: 7\n" + piece("Hel"), ": OPENROUTER PROCESSING\n\n", piece("lo"), ending("stop"), done}, []string{"Hel", "lo"}, "Hello", 0},
		{"a thousand comments", []string{strings.Repeat(": wait\n\n", 1000), piece("Hello"), strings.Repeat(": wait\n\n", 1000), ending("stop"), done}, []string{"Hello"}, "Hello", 0},
		{"byte order mark and blank lines", []string{"\ufeff\n\n", piece("Hello"), ending("stop"), done}, []string{"Hello"}, "Hello", 0},
		{"no finish reason", []string{piece("Hello"), done}, []string{"Hello"}, "Hello", 0},
		{"no [DONE]", []string{piece("Hello"), ending("stop")}, []string{"Hello"}, "Hello", 0},
		{"last line without its end", []string{piece("Hello"), strings.TrimSpace(done)}, []string{"Hello"}, "Hello", 0},
		{"first chunk without choices, as Azure", []string{`data: {"choices":[],"prompt_filter_results":[]}` + "\n\n", piece("Hello"), ending("stop"), done}, []string{"Hello"}, "Hello", 0},
		{"content in parts, as Mistral", []string{parts, piece("lo"), ending("stop"), done}, []string{"Hel", "lo"}, "Hello", 0},
		{"usage with each chunk", []string{strings.Replace(piece("Hello"), `"usage":null`, `"usage":{"total_tokens":13}`, 1), ending("stop"), spent, done}, []string{"Hello"}, "Hello", 15},
		{"another choice", []string{piece("Hello"), strings.Replace(piece("no"), `"index":0`, `"index":1`, 1), ending("stop"), done}, []string{"Hello"}, "Hello", 0},
		{"text that speaks of errors", []string{piece(`{"error":{"message":"x"}}`), piece("\ndata: {\"error\":1}\n"), ending("stop"), done}, []string{`{"error":{"message":"x"}}`, "\ndata: {\"error\":1}\n"}, "{\"error\":{\"message\":\"x\"}}\ndata: {\"error\":1}\n", 0},
		{"error members that are none", []string{`data: {"choices":[],"error":null}` + "\n\n", `data: {"choices":[],"error":""}` + "\n\n", `data: {"choices":[],"error":{}}` + "\n\n", piece("Hello"), ending("stop"), done}, []string{"Hello"}, "Hello", 0},
		{"not a stream", []string{says("Hello")}, []string{"Hello"}, "Hello", 15},
		{"not a stream, much blank before", []string{strings.Repeat("\r\n", 500), says("Hello")}, []string{"Hello"}, "Hello", 15},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			up := streaming(t, c.writes...)
			deltas, answer, e := streamed(t, t.Context(), llmtool.Config{}, clients(t, provider(up.URL)))
			require.Nil(t, e)
			require.Equal(t, c.deltas, deltas)
			require.JSONEq(t, quote(c.value), string(answer.Value))
			if c.tokens == 0 {
				require.Nil(t, answer.Usage)
			} else {
				require.Equal(t, c.tokens, answer.Usage.TotalTokens)
			}
			require.Contains(t, up.seen()[0], `"stream":true,"stream_options":{"include_usage":true}`)
		})
	}
}

func TestStreamFailures(t *testing.T) {
	t.Parallel()
	begun := role + piece("Hel")
	for _, c := range []struct {
		name   string
		text   string
		class  Class
		reason Reason
		detail string
	}{
		{"error", begun + `data: {"error":{"message":"Too many","code":"rate_limit_exceeded"}}` + "\n\n" + done, LLMError, RateLimit, "Too many"},
		{"error first", `data: {"error":{"message":"Too many","code":"rate_limit_exceeded"}}` + "\n\n", LLMError, RateLimit, "Too many"},
		{"space after the brace", begun + `data: { "error" : {"message":"Too many","code":"rate_limit_exceeded"}}` + "\n\n", LLMError, RateLimit, "Too many"},
		{"no space after the colon", begun + `data:{"error":{"message":"Too many","code":"rate_limit_exceeded"}}` + "\n\n", LLMError, RateLimit, "Too many"},
		{"not the first member", begun + `data: {"id":"gen-1","choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}],"error":{"code":502,"message":"Provider disconnected"}}` + "\n\n" + done, LLMError, ServerError, "Provider disconnected"},
		{"in a choice", begun + `data: {"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error","error":{"code":429,"message":"Slow down"}}]}` + "\n\n" + done, LLMError, RateLimit, "Slow down"},
		{"after keep-alives", ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" + `data: {"error":{"code":503,"message":"No provider"}}` + "\n\n", LLMError, Overloaded, "No provider"},
		{"event of its own", begun + "event: error\ndata: {\"message\":\"Overloaded\",\"type\":\"overloaded_error\"}\n\n", LLMError, Overloaded, "Overloaded"},
		{"event in words", begun + "event: error\ndata: upstream went away\n\n", LLMError, ServerError, "upstream went away"},
		{"as Anthropic", begun + "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n", LLMError, Overloaded, "Overloaded"},
		{"bare line, as Ollama", begun + `{"error":"model runner has unexpectedly stopped"}` + "\n", LLMError, ServerError, "model runner has unexpectedly stopped"},
		{"bare line without its end", begun + `{"error":"model runner has unexpectedly stopped"}`, LLMError, ServerError, "model runner has unexpectedly stopped"},
		{"old vLLM", begun + `data: {"object":"error","message":"This model's maximum context length is 4096 tokens","type":"BadRequestError","code":400}` + "\n\n" + done, LLMError, ContextLength, "This model's maximum context length is 4096 tokens"},
		{"error and no stream", `{"error":{"message":"Loading model","code":503}}`, LLMError, Overloaded, "Loading model"},
		{"list and no stream", `[{"error":{"message":"Bad key","code":401,"status":"UNAUTHENTICATED"}}]`, LLMError, Auth, "Bad key"},
		{"key in the error", begun + `data: {"error":{"message":"Wrong key ` + apiKey + `","code":"invalid_api_key"}}` + "\n\n", LLMError, Auth, "Wrong key [redacted]"},
		{"cut", begun, InvalidResponse, Truncated, "the stream of provider main ended before its answer was complete"},
		{"cut in a line", begun + strings.TrimSpace(piece("lo"))[:40], InvalidResponse, Truncated, "the stream of provider main ended before its answer was complete"},
		{"nothing but comments", ": wait\n\n", InvalidResponse, Truncated, "the stream of provider main ended before its answer was complete"},
		{"broken chunk", begun + "data: {\"choices\":[\n\n" + done, InvalidResponse, NotJSON, "a chunk in the stream of provider main isn't valid JSON"},
		{"chunk of something else", begun + "data: [1]\n\n" + done, InvalidResponse, NoData, "a chunk in the stream of provider main isn't one of a chat completion"},
		{"stream of something else", "data: {}\n\n" + done, InvalidResponse, NoData, "the answer of provider main isn't a chat completion: it lacks what makes one"},
		{"HTML and no stream", "<html><title>Welcome</title></html>", InvalidResponse, NotJSON, "provider main answered with an HTML page; check its baseUrl"},
		{"nothing", "", InvalidResponse, NotJSON, "the answer of provider main has no body"},
		{"cut and no stream", says("Hello")[:100], InvalidResponse, Truncated, "the answer of provider main ends in mid-JSON"},
		{"empty", role + ending("stop") + done, LLMError, Empty, "the model answered nothing"},
		{"tool call", role + `data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"1","type":"function","function":{"name":"f","arguments":""}}]}}]}` + "\n\n" + ending("tool_calls") + done, LLMError, Empty, "the model called a tool, which it wasn't given, and answered nothing"},
		{"filter", begun + ending("content_filter") + done, LLMError, ContentFilter, "the filter of provider main stopped the answer"},
		{"length", begun + ending("length") + done, InvalidResponse, Truncated, "the answer was cut at maxTokens (1024)"},
		{"refusal", `data: {"choices":[{"index":0,"delta":{"refusal":"I can't "}}]}` + "\n\n" + `data: {"choices":[{"index":0,"delta":{"refusal":"do that."}}]}` + "\n\n" + ending("stop") + done, LLMError, Refusal, "I can't do that."},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			up := streaming(t, c.text)
			_, answer, e := streamed(t, t.Context(), llmtool.Config{}, clients(t, provider(up.URL)))
			require.NotNil(t, e)
			require.Equal(t, c.class, e.Class, "%v", e)
			require.Equal(t, c.reason, e.Reason, "%v", e)
			require.Equal(t, c.detail, e.Detail)
			require.Equal(t, 200, e.Upstream.Status)
			require.Equal(t, "main", e.Upstream.Provider)
			require.Equal(t, 1, answer.Attempts)
		})
	}
}

func TestStreamConnectionFaults(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	chunked := head + "Transfer-Encoding: chunked\r\n\r\n"
	body := role + piece("Hel")
	part := fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
	for _, c := range []struct {
		name   string
		text   string
		end    func(net.Conn)
		reason Reason
	}{
		{"closed", chunked + part, func(net.Conn) {}, Truncated},
		{"reset", chunked + part, hangUp, Truncated},
		{"cut by length", head + "Content-Length: 9999\r\n\r\n" + body, func(net.Conn) {}, Truncated},
		{"broken chunk", chunked + part + "ZZ\r\n", func(net.Conn) {}, BadEncoding},
		{"broken gzip", head + "Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\nnot-gzip-at-", func(net.Conn) {}, BadEncoding},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url := raw(t, func(conn net.Conn) {
				readRequest(conn)
				_, _ = io.WriteString(conn, c.text)
				c.end(conn)
			})
			_, _, e := streamed(t, t.Context(), llmtool.Config{}, clients(t, provider(url)))
			require.NotNil(t, e)
			require.Equal(t, InvalidResponse, e.Class, "%v", e.Cause)
			require.Equal(t, c.reason, e.Reason, "%v", e.Cause)
		})
	}
}

func TestStreamIsCapped(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := piece(strings.Repeat("x", 60<<10))
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	})
	size := 0
	in := input
	in.Delta = func(text string) { size += len(text) }
	_, err := compile(t, llmtool.Config{}).Run(t.Context(), clients(t, provider(up.URL)), in)
	e := Classify(err)
	require.Equal(t, TooLarge, e.Reason)
	require.Equal(t, "the answer of provider main exceeds 10 MiB", e.Detail)
	require.Less(t, size, 11<<20)
}

func TestBlankLinesAreCapped(t *testing.T) {
	t.Parallel()
	blank := strings.Repeat("\n", 1<<20)
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, blank)
		}
	})
	_, _, e := streamed(t, t.Context(), llmtool.Config{Timeout: 20_000}, clients(t, provider(up.URL)))
	require.Equal(t, TooLarge, e.Reason, "%v", e)
}

// Whoever keeps the connection of a whole answer open has not failed.
func TestStreamThatStaysOpen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		middle string
		reason Reason
	}{{ending("stop"), ""}, {"data: {broken\n\n", NotJSON}} {
		up := serve(t, func(w http.ResponseWriter, r *http.Request) {
			stream(w, piece("Hello")+c.middle+done)
			<-r.Context().Done()
		})
		left := make(chan error, 1)
		rt := transport(t)
		watched := roundTripper(func(req *http.Request) (*http.Response, error) {
			context.AfterFunc(req.Context(), func() { left <- context.Cause(req.Context()) })
			return rt.RoundTrip(req)
		})
		_, _, e := streamed(t, t.Context(), llmtool.Config{}, clientsThrough(t, watched, provider(up.URL)))
		require.NotErrorIs(t, <-left, context.DeadlineExceeded, "a breaker would count it")
		if c.reason == "" {
			require.Nil(t, e)
			continue
		}
		require.NotNil(t, e)
		require.Equal(t, c.reason, e.Reason, "%v", e)
	}
}

// An older API refuses the field that asks for the usage.
func TestStreamWithoutUsage(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"error":{"message":"Unrecognized request argument supplied: stream_options","type":"invalid_request_error","param":null,"code":null}}`)
			return
		}
		stream(w, piece("Hello"), ending("stop"), done)
	})
	deltas, answer, e := streamed(t, t.Context(), llmtool.Config{}, clients(t, provider(up.URL)))
	require.Nil(t, e)
	require.Equal(t, []string{"Hello"}, deltas)
	require.Equal(t, 1, answer.Attempts)
	require.NotContains(t, up.seen()[1], "stream_options")
}

// What the caller has seen of an answer can't be taken back.
func TestNoSecondAnswerAfterTheFirstDelta(t *testing.T) {
	t.Parallel()
	const broken = `data: {"error":{"message":"Overloaded","code":503}}` + "\n\n"
	for _, c := range []struct {
		name     string
		first    string
		deltas   []string
		attempts int
	}{
		{"nothing delivered", role + broken, []string{"Hello"}, 3},
		{"a piece delivered", role + piece("Hel") + broken, []string{"Hel"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			main, spare := streaming(t, c.first), streaming(t, piece("Hello"), ending("stop"), done)
			second := provider(spare.URL)
			second.ID = "second"
			deltas, answer, e := streamed(t, t.Context(), llmtool.Config{Retries: 1, FallbackProviderIDs: []string{"second"}},
				clients(t, provider(main.URL), second))
			require.Equal(t, c.deltas, deltas)
			require.Equal(t, c.attempts, answer.Attempts)
			if c.attempts == 1 {
				require.Equal(t, Overloaded, e.Reason)
				require.True(t, e.Retryable)
				require.Equal(t, StoppedMaxAttempts, e.Stopped)
			} else {
				require.Nil(t, e)
			}
		})
	}
}

// The deltas are the model's first answer as it stands; its repair isn't streamed.
func TestStreamInJSONMode(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	up := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) == 1 {
			stream(w, piece("Sure: "), piece(`{"n":`), ending("stop"), done)
			return
		}
		_, _ = io.WriteString(w, says(`{"n":1}`))
	})
	deltas, answer, e := streamed(t, t.Context(), llmtool.Config{OutputMode: "json"}, clients(t, provider(up.URL)))
	require.Nil(t, e)
	require.Equal(t, []string{"Sure: ", `{"n":`}, deltas)
	require.JSONEq(t, `{"n":1}`, string(answer.Value))
	require.NotContains(t, up.seen()[1], `"stream":true`)
}

// step is what a provider on a fake clock does: it waits, then writes.
type step struct {
	wait time.Duration
	text string
}

// paced connects, under a fake clock, to a server that goes through the steps and
// then waits.
func paced(steps ...step) *http.Transport {
	return &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			readRequest(server)
			for _, s := range steps {
				time.Sleep(s.wait)
				if _, err := io.WriteString(server, s.text); err != nil {
					return
				}
			}
			_, _ = io.Copy(io.Discard, server)
		}()
		return client, nil
	}}
}

func TestPausesOfAStream(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
	thinking := `data: {"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}` + "\n\n"
	var steady, thoughtful, kept []step
	for range 20 {
		steady = append(steady, step{20 * sec, piece("a")})
		thoughtful = append(thoughtful, step{50 * sec, thinking})
		kept = append(kept, step{10 * sec, ": wait\n\n"})
	}
	last := step{0, ending("stop") + done}
	with := func(before string, steps []step, after ...step) []step {
		return append(append([]step{{0, before}}, steps...), after...)
	}
	for _, c := range []struct {
		name     string
		steps    []step
		provider int
		deadline time.Duration
		reason   Reason
		detail   string
		after    time.Duration
	}{
		{"long and steady", with(head, steady, last), 0, time.Hour, "", "", 400 * sec},
		{"long thoughts", with(head, thoughtful, step{50 * sec, piece("a")}, last), 0, time.Hour, "", "", 1050 * sec},
		{"no headers", nil, 0, time.Hour, PhaseHeaders, "no answer from provider main after 1m0s (limit: the provider's timeout)", 60 * sec},
		{"no chunk", with(head, nil), 0, time.Hour, PhaseBody, "the answer of provider main stopped midway after 1m0s (limit: the provider's timeout)", 60 * sec},
		{"headers late, no text", []step{{40 * sec, head + ": wait\n\n"}}, 0, time.Hour, PhaseStreamIdle, "the stream of provider main brought nothing more after 1m0s (limit: the provider's timeout)", 60 * sec},
		{"stall before the text", with(head+role, nil), 0, time.Hour, PhaseStreamIdle, "the stream of provider main brought nothing more after 1m0s (limit: the provider's timeout)", 60 * sec},
		{"stall after a piece", with(head+role+piece("a"), nil), 0, time.Hour, PhaseStreamIdle, "the stream of provider main brought nothing more after 30s (limit: the longest pause of a stream)", 30 * sec},
		{"comments are no chunks", with(head+piece("a"), kept), 0, time.Hour, PhaseStreamIdle, "the stream of provider main brought nothing more after 30s (limit: the longest pause of a stream)", 30 * sec},
		{"provider's timeout is shorter", with(head+piece("a"), nil), 5000, time.Hour, PhaseStreamIdle, "the stream of provider main brought nothing more after 5s (limit: the provider's timeout)", 5 * sec},
		{"the deadline holds", with(head, steady), 0, 90 * sec, PhaseBody, "the answer of provider main stopped midway", 90 * sec},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithTimeout(t.Context(), c.deadline)
				defer stop()
				p := provider("http://provider.test")
				p.Timeout = c.provider
				start := time.Now()
				_, _, e := streamed(t, ctx, llmtool.Config{}, clientsThrough(t, paced(c.steps...), p))
				require.InDelta(t, c.after, time.Since(start), float64(sec))
				time.Sleep(time.Minute) // lets the server notice
				if c.reason == "" {
					require.Nil(t, e)
					return
				}
				require.Equal(t, Timeout, e.Class, "%v", e)
				require.Equal(t, c.reason, e.Reason)
				require.Equal(t, c.detail, e.Detail)
				require.ErrorIs(t, e, context.DeadlineExceeded)
			})
		})
	}
}

// A caller who takes his time over a piece is no stall of the provider.
func TestSlowCallerIsNoPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := paced(step{0, "HTTP/1.1 200 OK\r\n\r\n" + piece("a")}, step{0, piece("b")}, step{0, ending("stop") + done})
		in := input
		in.Delta = func(string) { time.Sleep(10 * time.Minute) }
		_, err := compile(t, llmtool.Config{}).Run(t.Context(), clientsThrough(t, rt, provider("http://provider.test")), in)
		require.NoError(t, err)
	})
}

func TestCancelOfAStream(t *testing.T) {
	t.Parallel()
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		stream(w, role, piece("Hel"))
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in := input
	in.Delta = func(string) { cancel() }
	_, err := compile(t, llmtool.Config{Retries: 3}).Run(ctx, clients(t, provider(up.URL)), in)
	e := Classify(err)
	require.Equal(t, Cancelled, e.Class)
	require.Equal(t, StoppedCancelled, e.Stopped)
}

// The connection of a stream that ended serves the next.
func TestStreamLeavesItsConnection(t *testing.T) {
	t.Parallel()
	var dials atomic.Int32
	up := streaming(t, role, piece("Hello"), ending("stop"), done)
	rt := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dials.Add(1)
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	t.Cleanup(rt.CloseIdleConnections)
	c := clientsThrough(t, rt, provider(up.URL))
	for range 50 {
		_, _, e := streamed(t, t.Context(), llmtool.Config{}, c)
		require.Nil(t, e)
	}
	require.Less(t, dials.Load(), int32(10))
}
