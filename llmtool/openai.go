package llmtool

import (
	"context"
	"errors"
	"regexp"
	"strings"

	openai "github.com/sashabaranov/go-openai"

	"github.com/almyty-inc/toolrun/errclass"
)

// openAI speaks the chat completions API of OpenAI, and of all that imitate it.
type openAI struct {
	client *openai.Client
	imitation
}

// connectOpenAI is the Connect of an API that imitates OpenAI's in its own way.
func connectOpenAI(i imitation) func(Account) (Client, error) {
	return func(a Account) (Client, error) {
		return &openAI{openai.NewClientWithConfig(i.config(a)), i}, nil
	}
}

// reasoning matches the models that take max_completion_tokens in place of
// max_tokens and no temperature but their own.
var reasoning = regexp.MustCompile(`^(o[134]|gpt-[5-9])`)

// request is all of a request that the client library can write.
func (o *openAI) request(r Request) openai.ChatCompletionRequest {
	format, words := o.format(r.Format, r.Model)
	in := openai.ChatCompletionRequest{Model: r.Model, Stop: r.Stop, ResponseFormat: responseFormat(format)}
	if system := strings.TrimSpace(r.System + "\n\n" + words); system != "" {
		in.Messages = append(in.Messages, openai.ChatCompletionMessage{Role: openai.ChatMessageRoleSystem, Content: system})
	}
	for _, m := range r.Messages {
		message := openai.ChatCompletionMessage{Role: m.Role, Content: m.Text}
		if len(m.Images) > 0 {
			message.Content, message.MultiContent = "", shown(m)
		}
		in.Messages = append(in.Messages, message)
	}
	thinks := reasoning.MatchString(r.Model)
	if thinks || o.tokens {
		in.MaxCompletionTokens = r.MaxTokens
	} else {
		//lint:ignore SA1019 most servers that imitate the API know no other name
		in.MaxTokens = r.MaxTokens
	}
	if !thinks {
		in.Temperature = max(float32(r.Temperature), leastTemperature)
	}
	return in
}

// Chat implements [Client].
func (o *openAI) Chat(ctx context.Context, r Request) (*Reply, error) {
	in := o.request(r)
	ctx = o.amend(ctx, &in, r)
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
