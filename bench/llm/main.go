// Command llm compares an LLM tool, run by a runner with all its steps, with a bare
// go-openai client that does the same work by hand: messages put together, a
// deadline set, the answer's text taken out and written as JSON. Package duel says
// how.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	openai "github.com/sashabaranov/go-openai"

	"github.com/almyty-inc/toolrun/bench/internal/duel"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/runner"
)

const (
	model  = "gpt-4o-mini"
	key    = "sk-bench-0123456789abcdef"
	system = "You sum up texts in one sentence."
	text   = "The quick brown fox jumps over the lazy dog."
)

// workloads are what the model says, and the definition's part about it.
var workloads = []struct {
	name, path, config, answer string
	after                      time.Duration
}{
	{"a sentence", "/text", "", "A fox jumps over a dog.", 0},
	{"2 KB of text", "/long", "", strings.Repeat("A fox jumps over a dog, which is lazy. ", 50), 0},
	{"JSON, by schema", "/json", "\n  outputMode: json\n  outputSchema: " + schema, `{"animal":"fox","count":1}`, 0},
	{"a sentence, after 2 ms", "/late", "", "A fox jumps over a dog.", 2 * time.Millisecond},
}

const schema = `{"type":"object","properties":{"animal":{"type":"string"},"count":{"type":"integer"}},"required":["animal","count"],"additionalProperties":false}`

func main() {
	upstream := http.NewServeMux()
	for _, w := range workloads {
		content, err := json.Marshal(w.answer)
		if err != nil {
			panic(err)
		}
		body := fmt.Sprintf(`{"id":"chatcmpl-1","object":"chat.completion","created":1763900000,"model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":%s,"refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":42,"completion_tokens":9,"total_tokens":51}}`,
			model+"-2024-07-18", content)
		upstream.HandleFunc(w.path+"/chat/completions", func(out http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			time.Sleep(w.after)
			out.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(out, body)
		})
	}
	duel.Main("bench/llm", upstream, pairs)
}

func pairs(address string) ([]duel.Pair, error) {
	var all []duel.Pair
	for _, w := range workloads {
		tool, closeTool, err := tool(address, w.path, w.config)
		if err != nil {
			return nil, err
		}
		bare, closeBare := bare(address, w.path, w.config != "")
		all = append(all, duel.Pair{Work: w.name, BareName: "go-openai", Bare: bare, Tool: tool, Close: func() { closeTool(); closeBare() }})
	}
	alone, closeAlone, err := alone(address, workloads[0].path)
	if err != nil {
		return nil, err
	}
	bare, closeBare := bare(address, workloads[0].path, false)
	return append(all, duel.Pair{
		Work: workloads[0].name + ", llmtool without a runner", BareName: "go-openai", Bare: bare, Tool: alone,
		Close: func() { closeAlone(); closeBare() },
	}), nil
}

// alone is package llmtool by itself, through the guarded transport.
func alone(address, path string) (duel.Call, func(), error) {
	transport, err := httptool.NewTransport(httptool.Policy{Allow: []string{address}})
	if err != nil {
		return nil, nil, err
	}
	clients, faults := llmtool.NewClients([]llmtool.Provider{{
		ID: "main", Type: "openai", BaseURL: "http://" + address + path, APIKey: "{{env.KEY}}", Model: model,
	}}, map[string]string{"KEY": key}, nil, transport)
	if len(faults) > 0 {
		return nil, nil, errors.New(faults[0].Message)
	}
	tool, faults := llmtool.Compile(llmtool.Config{ProviderID: "main", SystemPrompt: system, PromptTemplate: "Sum up: {{parameters.text}}"}, nil)
	if len(faults) > 0 {
		return nil, nil, errors.New(faults[0].Message)
	}
	return func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		answer, err := tool.Run(ctx, clients, llmtool.Input{Parameters: map[string]any{"text": text}})
		return answer.Value, err
	}, transport.CloseIdleConnections, nil
}

func tool(address, path, config string) (duel.Call, func(), error) {
	def, err := runner.Parse("tool.yaml", []byte("name: tool\ntype: llm\nexecutionConfig:\n  providerId: main\n  systemPrompt: "+system+
		"\n  promptTemplate: 'Sum up: {{parameters.text}}'"+config+"\nparameters: {type: object, required: [text], properties: {text: {type: string}}}\n"))
	if err != nil {
		return nil, nil, err
	}
	r, err := runner.New(runner.Options{
		Tools: []*runner.Definition{def}, Egress: httptool.Policy{Allow: []string{address}}, Env: map[string]string{"KEY": key},
		Providers: []llmtool.Provider{{ID: "main", Type: "openai", BaseURL: "http://" + address + path, APIKey: "{{env.KEY}}", Model: model}},
	})
	if err != nil {
		return nil, nil, err
	}
	request := runner.Request{Tool: "tool", Parameters: []byte(`{"text":"` + text + `"}`)}
	return duel.Execution(r, request), func() { _ = r.Close(context.Background()) }, nil
}

func bare(address, path string, asJSON bool) (duel.Call, func()) {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	config := openai.DefaultConfig(key)
	config.BaseURL, config.HTTPClient = "http://"+address+path, &http.Client{Transport: transport}
	client := openai.NewClientWithConfig(config)
	return func() ([]byte, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		request := openai.ChatCompletionRequest{
			Model: model, MaxCompletionTokens: 1024, Temperature: 0.7,
			Messages: []openai.ChatCompletionMessage{{Role: "system", Content: system}, {Role: "user", Content: "Sum up: " + text}},
		}
		if asJSON {
			request.ResponseFormat = &openai.ChatCompletionResponseFormat{
				Type:       openai.ChatCompletionResponseFormatTypeJSONSchema,
				JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{Name: "result", Schema: json.RawMessage(schema), Strict: true},
			}
		}
		answer, err := client.CreateChatCompletion(ctx, request)
		if err != nil {
			return nil, err
		}
		if len(answer.Choices) != 1 {
			return nil, errors.New("no answer")
		}
		content := answer.Choices[0].Message.Content
		if !asJSON {
			return json.Marshal(content)
		}
		var value struct {
			Animal string `json:"animal"`
			Count  int    `json:"count"`
		}
		if err := json.Unmarshal([]byte(content), &value); err != nil {
			return nil, err
		}
		return json.Marshal(value)
	}, transport.CloseIdleConnections
}
