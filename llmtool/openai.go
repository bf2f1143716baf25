package llmtool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"regexp"
	"strings"

	openai "github.com/sashabaranov/go-openai"

	"github.com/almyty-inc/toolrun/errclass"
)

// openAI speaks the chat completions API of OpenAI, and of all that imitate it.
type openAI struct{ client *openai.Client }

func connectOpenAI(a Account) (Client, error) {
	config := openai.DefaultConfig(a.APIKey)
	config.BaseURL = a.BaseURL
	config.HTTPClient = greedy{a.HTTP}
	config.EmptyMessagesLimit = maxResponseBytes // lines without data in a row: our own limits bound them
	return &openAI{openai.NewClientWithConfig(config)}, nil
}

// leastTemperature stands for zero, which the client library leaves out of the
// request as unset; [greedy] writes the zero. It is encoded as 1e-45.
const leastTemperature = math.SmallestNonzeroFloat32

var (
	standIn = []byte(`"temperature":1e-45`)
	zero    = []byte(`"temperature":0`)
)

type zeroTemperatureKey struct{}

// greedy writes the temperature of zero that the client library can't.
type greedy struct{ *http.Client }

func (g greedy) Do(req *http.Request) (*http.Response, error) {
	if req.Context().Value(zeroTemperatureKey{}) != nil {
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
	return g.Client.Do(req)
}

// reasoning matches the models that take max_completion_tokens in place of
// max_tokens and no temperature but their own.
var reasoning = regexp.MustCompile(`^(o[134]|gpt-[5-9])`)

// Chat implements [Client].
func (o *openAI) Chat(ctx context.Context, r Request) (*Reply, error) {
	in := openai.ChatCompletionRequest{Model: r.Model, ResponseFormat: responseFormat(r.Format)}
	if r.System != "" {
		in.Messages = append(in.Messages, openai.ChatCompletionMessage{Role: openai.ChatMessageRoleSystem, Content: r.System})
	}
	for _, m := range r.Messages {
		in.Messages = append(in.Messages, openai.ChatCompletionMessage{Role: m.Role, Content: m.Text})
	}
	if reasoning.MatchString(r.Model) {
		in.MaxCompletionTokens = r.MaxTokens
	} else {
		//lint:ignore SA1019 most servers that imitate the API know no other name
		in.MaxTokens = r.MaxTokens
		in.Temperature = float32(r.Temperature)
		if in.Temperature == 0 {
			in.Temperature = leastTemperature
			ctx = context.WithValue(ctx, zeroTemperatureKey{}, true)
		}
	}
	if r.Delta != nil {
		reply, err := o.stream(ctx, in, r.Delta)
		return reply, unsuited(err, r.Model)
	}
	out, err := o.client.CreateChatCompletion(ctx, in)
	if err != nil {
		return nil, unsuited(err, r.Model)
	}
	return replyOf(out), nil
}

// unsuited gives the client library's refusal of a model its reason.
func unsuited(err error, model string) error {
	if errors.Is(err, openai.ErrChatCompletionInvalidModel) {
		return errclass.Newf(errclass.LLMError, errclass.ModelNotFound, "%q is not a chat model", model).WithCause(err)
	}
	return err
}

func replyOf(out openai.ChatCompletionResponse) *Reply {
	reply := &Reply{Model: out.Model, Usage: Tokens{out.Usage.PromptTokens, out.Usage.CompletionTokens, out.Usage.TotalTokens}}
	if len(out.Choices) == 0 {
		reply.Nothing = out.Choices == nil
		return reply
	}
	first := out.Choices[0]
	reply.Text, reply.Refusal, reply.Finish = contentOf(first.Message), first.Message.Refusal, string(first.FinishReason)
	reply.CalledTool = len(first.Message.ToolCalls) > 0 || first.Message.FunctionCall != nil
	return reply
}

func responseFormat(f Format) *openai.ChatCompletionResponseFormat {
	switch f.Kind {
	case FormatObject:
		return &openai.ChatCompletionResponseFormat{Type: openai.ChatCompletionResponseFormatTypeJSONObject}
	case FormatSchema:
		return &openai.ChatCompletionResponseFormat{
			Type: openai.ChatCompletionResponseFormatTypeJSONSchema,
			JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{
				Name: "result", Schema: f.Schema, Strict: f.Strict,
			},
		}
	}
	return nil
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
