package llmtool_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
)

func TestMain(m *testing.M) {
	if os.Getenv(providerProcess) != "" {
		serveStreams()
		return
	}
	goleak.VerifyTestMain(m)
}

const sec = time.Second

const apiKey = "zz9-Plural.Z-Alpha+42/Q=="

var env = map[string]string{"API_KEY": apiKey}

// upstream is a provider on loopback that keeps what it was asked.
type upstream struct {
	*httptest.Server
	mu       sync.Mutex
	requests []string
	headers  []http.Header
}

func serve(t testing.TB, handler http.HandlerFunc) *upstream {
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		u.mu.Lock()
		u.requests, u.headers = append(u.requests, string(body)), append(u.headers, r.Header)
		u.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) seen() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.requests
}

// answers serves the bodies in turn, the last one for ever.
func answers(t testing.TB, bodies ...string) *upstream {
	var mu sync.Mutex
	return serve(t, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		body := bodies[0]
		if len(bodies) > 1 {
			bodies = bodies[1:]
		}
		mu.Unlock()
		_, _ = io.WriteString(w, body)
	})
}

// says is a chat completion with the given content.
func says(content string) string { return completion(content, "stop") }

func completion(content, finish string) string {
	return fmt.Sprintf(`{"id":"chatcmpl-1","object":"chat.completion","created":1763900000,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":%s,"refusal":null},"logprobs":null,"finish_reason":%q}],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}`,
		quote(content), finish)
}

func quote(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func provider(baseURL string) llmtool.Provider {
	return llmtool.Provider{
		ID: "main", Type: "openai", BaseURL: baseURL, APIKey: "{{env.API_KEY}}", Model: "gpt-4o-mini",
		Pricing: map[string]llmtool.Price{"gpt-4o-mini": {Prompt: 0.15, Completion: 0.60}},
	}
}

func transport(t testing.TB) *http.Transport {
	tr := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func clients(t testing.TB, providers ...llmtool.Provider) *llmtool.Clients {
	return clientsThrough(t, transport(t), providers...)
}

func clientsThrough(t testing.TB, rt http.RoundTripper, providers ...llmtool.Provider) *llmtool.Clients {
	c, faults := llmtool.NewClients(providers, env, nil, rt)
	require.Empty(t, faults)
	return c
}

func compile(t testing.TB, cfg llmtool.Config) *llmtool.Tool {
	if cfg.ProviderID == "" {
		cfg.ProviderID = "main"
	}
	if cfg.PromptTemplate == "" {
		cfg.PromptTemplate = "{{parameters.text}}"
	}
	tool, faults := llmtool.Compile(cfg, nil)
	require.Empty(t, faults)
	return tool
}

var input = llmtool.Input{Parameters: map[string]any{"text": "Say hello."}, Env: env}

func run(t testing.TB, cfg llmtool.Config, c *llmtool.Clients) (*llmtool.Answer, *errclass.Error) {
	return runCtx(t, t.Context(), cfg, c)
}

func runCtx(t testing.TB, ctx context.Context, cfg llmtool.Config, c *llmtool.Clients) (*llmtool.Answer, *errclass.Error) {
	answer, err := compile(t, cfg).Run(ctx, c, input)
	require.NotNil(t, answer)
	if err == nil {
		return answer, nil
	}
	var e *errclass.Error
	require.ErrorAs(t, err, &e)
	require.Nil(t, answer.Value)
	require.NotContains(t, fmt.Sprintf("%v %+v", err, e.Details()), apiKey)
	return answer, e
}

// raw serves bytes as they are on one connection after another.
func raw(t testing.TB, handle func(conn net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "http://" + l.Addr().String()
}

func ptr[T any](v T) *T { return &v }
