package llmtool_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	openai "github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/llmtool"
)

// BenchmarkRun runs a tool and the bare client against the same server in turn,
// and reports how their medians compare: "ratio", and "added-µs/op".
func BenchmarkRun(b *testing.B) {
	body := says("Hello!")
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	defer up.Close()
	rt := transport(b)
	c := clientsThrough(b, rt, provider(up.URL))
	tool := compile(b, llmtool.Config{SystemPrompt: "Be brief."})
	config := openai.DefaultConfig(apiKey)
	config.BaseURL, config.HTTPClient = up.URL, &http.Client{Transport: rt}
	bare := openai.NewClientWithConfig(config)
	request := openai.ChatCompletionRequest{
		Model: "gpt-4o-mini", MaxCompletionTokens: 1024, Temperature: 0.7,
		Messages: []openai.ChatCompletionMessage{{Role: "system", Content: "Be brief."}, {Role: "user", Content: "Say hello."}},
	}
	var ours, theirs []time.Duration
	for b.Loop() {
		start := time.Now()
		_, err := bare.CreateChatCompletion(b.Context(), request)
		theirs = append(theirs, time.Since(start))
		require.NoError(b, err)
		start = time.Now()
		_, err = tool.Run(b.Context(), c, input)
		ours = append(ours, time.Since(start))
		require.NoError(b, err)
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	mine, bares := ours[len(ours)/2], theirs[len(theirs)/2]
	b.ReportMetric(float64(mine)/float64(bares), "ratio")
	b.ReportMetric(float64(mine-bares)/1e3, "added-µs/op")
}
