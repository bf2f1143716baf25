package llmtool_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
)

// A tool that classifies a message as JSON. The provider here is a stub; a host
// gives a guarded transport such as httptool's.
func Example() {
	stub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"choices":[{"message":{"content":"{\"label\":\"praise\"}"},"finish_reason":"stop"}],
			"usage":{"prompt_tokens":20,"completion_tokens":5,"total_tokens":25}}`)
	}))
	defer stub.Close()

	clients, faults := llmtool.NewClients([]llmtool.Provider{{
		ID: "main", Type: "custom", BaseURL: stub.URL, APIKey: "{{env.API_KEY}}", Model: "small",
		Pricing: map[string]llmtool.Price{"small": {Prompt: 0.15, Completion: 0.60}},
	}}, map[string]string{"API_KEY": "secret"}, nil, stub.Client().Transport)
	if len(faults) > 0 {
		fmt.Println(faults)
		return
	}
	tool, faults := llmtool.Compile(llmtool.Config{
		ProviderID: "main", PromptTemplate: "Classify: {{parameters.message}}", OutputMode: llmtool.OutputJSON,
		OutputSchema: json.RawMessage(`{"type":"object","properties":{"label":{"enum":["praise","complaint"]}},
			"required":["label"],"additionalProperties":false}`),
	}, nil)
	if len(faults) > 0 {
		fmt.Println(faults)
		return
	}
	answer, err := tool.Run(context.Background(), clients, llmtool.Input{
		Parameters: map[string]any{"message": "I love it!"},
	})
	fmt.Println(string(answer.Value), err, answer.Usage.TotalTokens, *answer.Usage.EstimatedCost)
	// Output: {"label":"praise"} <nil> 25 6e-06
}

// What a provider's failure looks like.
func ExampleTool_Run_failure() {
	stub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "20")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, `{"error":{"message":"Rate limit reached for requests","code":"rate_limit_exceeded"}}`)
	}))
	defer stub.Close()

	clients, _ := llmtool.NewClients([]llmtool.Provider{
		{ID: "main", Type: "custom", BaseURL: stub.URL, Model: "small"},
	}, nil, nil, stub.Client().Transport)
	tool, _ := llmtool.Compile(llmtool.Config{ProviderID: "main", PromptTemplate: "Hello"}, nil)
	_, err := tool.Run(context.Background(), clients, llmtool.Input{})
	if e, ok := errors.AsType[*errclass.Error](err); ok {
		fmt.Println(e)
		fmt.Println(e.Reason, e.Retryable, e.RetryAfter)
	}
	// Output:
	// LLM error: 429: Rate limit reached for requests
	// rate_limit true 20s
}
