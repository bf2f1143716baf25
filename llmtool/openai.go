package llmtool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"strings"

	openai "github.com/sashabaranov/go-openai"

	"github.com/almyty-inc/toolrun/errclass"
)

// openAI speaks the chat completions API of OpenAI, and of all that imitate it.
type openAI struct {
	provider *provider
	client   *openai.Client
}

func newOpenAI(p *provider, door http.RoundTripper) completer {
	config := openai.DefaultConfig(p.apiKey)
	config.BaseURL = p.baseURL
	config.HTTPClient = greedy{wire{door: door, header: p.header}}
	return &openAI{provider: p, client: openai.NewClientWithConfig(config)}
}

// leastTemperature stands for zero, which the client library leaves out of the
// request as unset; [greedy] writes the zero. It is encoded as 1e-45.
const leastTemperature = math.SmallestNonzeroFloat32

var (
	standIn = []byte(`"temperature":1e-45`)
	zero    = []byte(`"temperature":0`)
)

// greedy writes the temperature of zero that the client library can't.
type greedy struct{ wire }

func (g greedy) Do(req *http.Request) (*http.Response, error) {
	if x, ok := req.Context().Value(exchangeKey{}).(*exchange); ok && x.zeroTemperature {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		// The first such bytes are the member itself: before it stand only
		// strings, in which a quote is escaped.
		body = bytes.Replace(body, standIn, zero, 1)
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	return g.wire.Do(req)
}

// reasoning matches the models that take max_completion_tokens in place of
// max_tokens and no temperature but their own.
var reasoning = regexp.MustCompile(`^(o[134]|gpt-[5-9])`)

func (o *openAI) complete(ctx context.Context, r request) (*reply, error) {
	ctx, x := record(ctx)
	in := openai.ChatCompletionRequest{
		Model: r.model, Messages: make([]openai.ChatCompletionMessage, len(r.messages)),
		ResponseFormat: responseFormat(r.format),
	}
	for i, m := range r.messages {
		in.Messages[i] = openai.ChatCompletionMessage{Role: m.role, Content: m.text}
	}
	if reasoning.MatchString(r.model) {
		in.MaxCompletionTokens = r.maxTokens
	} else {
		//lint:ignore SA1019 most servers that imitate the API know no other name
		in.MaxTokens = r.maxTokens
		in.Temperature = float32(r.temperature)
		if x.zeroTemperature = in.Temperature == 0; x.zeroTemperature {
			in.Temperature = leastTemperature
		}
	}
	out, err := o.client.CreateChatCompletion(ctx, in)
	if failed := x.failure(ctx, o.provider); failed != nil {
		return nil, failed
	}
	return o.read(x, out, err, r)
}

func responseFormat(f format) *openai.ChatCompletionResponseFormat {
	switch f.kind {
	case formatObject:
		return &openai.ChatCompletionResponseFormat{Type: openai.ChatCompletionResponseFormatTypeJSONObject}
	case formatSchema:
		return &openai.ChatCompletionResponseFormat{
			Type: openai.ChatCompletionResponseFormatTypeJSONSchema,
			JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{
				Name: "result", Schema: json.RawMessage(f.schema), Strict: f.strict,
			},
		}
	}
	return nil
}

// read makes a reply of a complete response, or says why it is none.
func (o *openAI) read(x *exchange, out openai.ChatCompletionResponse, err error, r request) (*reply, error) {
	switch {
	case x.status == 0:
		return nil, o.blame(unsent(err, r.model), x)
	case x.status < 200:
		return nil, o.blame(errclass.Newf(errclass.InvalidResponse, errclass.Malformed,
			"provider %s answered %d, which is no answer to this request", o.provider.id, x.status), x)
	case x.status >= 300 && x.status < 400:
		return nil, o.blame(errclass.Newf(errclass.InvalidResponse, errclass.Redirect,
			"provider %s answered with a redirect (%s); check its baseUrl", o.provider.id, statusLine(x.status)), x)
	case x.status < 200 || x.status > 299:
		return nil, classify(x, readError(x.body), o.provider, r.texts())
	case err != nil:
		return nil, o.unreadable(x, err, r)
	case len(out.Choices) == 0:
		if s := readError(x.body); s.found {
			return nil, classify(x, s, o.provider, r.texts())
		}
		if !hasChoices(x.body) {
			e := errclass.Newf(errclass.InvalidResponse, errclass.NoData, "the answer of provider %s isn't a chat completion: it has no \"choices\"", o.provider.id)
			e.Retryable, e.Hint = false, checkBaseURL
			return nil, o.blame(e, x)
		}
		return &reply{usage: usageOf(out), model: out.Model, upstream: o.upstream(x)}, nil
	}
	first := out.Choices[0]
	if first.FinishReason == "error" { // OpenRouter
		return &reply{usage: usageOf(out), model: out.Model}, classify(x, readChoiceError(x.body), o.provider, r.texts())
	}
	return &reply{
		text: contentOf(first.Message), refusal: first.Message.Refusal, finish: string(first.FinishReason),
		calledTool: len(first.Message.ToolCalls) > 0 || first.Message.FunctionCall != nil,
		model:      out.Model, usage: usageOf(out), upstream: o.upstream(x),
	}, nil
}

const checkBaseURL = "Check that the provider's baseUrl is that of an OpenAI-compatible API."

// hasChoices reports whether a body is a chat completion, be it an empty one.
func hasChoices(body []byte) bool {
	var answer struct {
		Choices json.RawMessage `json:"choices"`
	}
	return json.Unmarshal(body, &answer) == nil && answer.Choices != nil
}

// unsent classifies a request that the client library refused to send.
func unsent(err error, model string) *errclass.Error {
	if errors.Is(err, openai.ErrChatCompletionInvalidModel) {
		return errclass.Newf(errclass.LLMError, errclass.ModelNotFound, "%q is not a chat model", model).WithCause(err)
	}
	return errclass.Newf(errclass.LLMError, errclass.BadRequest, "no valid request can be made for model %q", model).WithCause(err)
}

// unreadable classifies a success that isn't a chat completion.
func (o *openAI) unreadable(x *exchange, err error, r request) *errclass.Error {
	s := readError(x.body)
	if s.found {
		return classify(x, s, o.provider, r.texts())
	}
	id := o.provider.id
	e := errclass.Newf(errclass.InvalidResponse, errclass.NotJSON, "the answer of provider %s isn't valid JSON", id)
	mistyped, isMistyped := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case len(bytes.TrimSpace(x.body)) == 0:
		e = errclass.Newf(errclass.InvalidResponse, errclass.NotJSON, "the answer of provider %s has no body", id)
	case htmlStart.Match(x.body):
		e = errclass.Newf(errclass.InvalidResponse, errclass.NotJSON,
			"provider %s answered with an HTML page; check its baseUrl", id)
	case errors.Is(err, io.ErrUnexpectedEOF):
		e = errclass.Newf(errclass.InvalidResponse, errclass.Truncated, "the answer of provider %s ends in mid-JSON", id)
	case isMistyped:
		what := "it is no object"
		if mistyped.Field != "" {
			what = fmt.Sprintf("%q has the wrong type", errclass.OneLine(mistyped.Field, 60))
		}
		e = errclass.Newf(errclass.InvalidResponse, errclass.NoData, "the answer of provider %s isn't a chat completion: %s", id, what)
		e.Hint = checkBaseURL
	}
	return o.blame(e.WithCause(err), x)
}

// blame says who answered.
func (o *openAI) blame(e *errclass.Error, x *exchange) *errclass.Error {
	e.Upstream = o.upstream(x)
	return e
}

func (o *openAI) upstream(x *exchange) errclass.Upstream {
	return errclass.Upstream{Host: o.provider.host, Provider: o.provider.id, Status: x.status, RequestID: requestID(x.header)}
}

func usageOf(out openai.ChatCompletionResponse) tokens {
	return tokens{out.Usage.PromptTokens, out.Usage.CompletionTokens, out.Usage.TotalTokens}
}

// contentOf joins an answer that comes in parts.
func contentOf(m openai.ChatCompletionMessage) string {
	if len(m.MultiContent) == 0 {
		return m.Content
	}
	var b strings.Builder
	for _, part := range m.MultiContent {
		b.WriteString(part.Text)
	}
	return b.String()
}

// readChoiceError reads the error that OpenRouter puts into a choice.
func readChoiceError(body []byte) said {
	var answer struct {
		Choices []json.RawMessage `json:"choices"`
	}
	if json.Unmarshal(body, &answer) != nil || len(answer.Choices) == 0 {
		return said{}
	}
	return readError(answer.Choices[0])
}
