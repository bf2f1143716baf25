package llmtool

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"

	openai "github.com/sashabaranov/go-openai"
)

// chunk is one event of a stream. A delta is a message, and not what the client
// library has for it, because Mistral's text may come in parts.
type chunk struct {
	Model   string `json:"model"`
	Choices []struct {
		Index        int                          `json:"index"`
		Delta        openai.ChatCompletionMessage `json:"delta"`
		FinishReason string                       `json:"finish_reason"`
	} `json:"choices"`
	Usage *openai.Usage `json:"usage"`
}

// stream is Chat for an answer that is wanted as a stream.
func (o *openAI) stream(ctx context.Context, in openai.ChatCompletionRequest, deliver func(string)) (*Reply, error) {
	in.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	events, err := o.client.CreateChatCompletionStream(ctx, in)
	if err != nil && strings.Contains(err.Error(), "stream_options") {
		// Azure's older API versions, Mistral and others know no such field, and
		// some of them state the usage all the same.
		in.StreamOptions = nil
		events, err = o.client.CreateChatCompletionStream(ctx, in)
	}
	if err != nil {
		return nil, err
	}
	defer events.Close()
	if x, ok := recorded(ctx); ok && !x.streamed() {
		return wholeReply(x.body, deliver)
	}
	a := assembly{reply: &Reply{Nothing: true}, deliver: deliver}
	for {
		data, err := events.RecvRaw()
		if err == io.EOF {
			return a.whole(), nil
		}
		var c chunk
		if err == nil {
			err = json.Unmarshal(data, &c)
		}
		if err != nil {
			return a.whole(), err
		}
		a.add(c)
	}
}

// wholeReply reads the answer of a provider that doesn't stream.
func wholeReply(body []byte, deliver func(string)) (*Reply, error) {
	var out openai.ChatCompletionResponse
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&out); err != nil { // as the client library does
		return nil, err
	}
	reply := replyOf(out)
	deliver(reply.Text)
	return reply, nil
}

// assembly puts a reply together.
type assembly struct {
	reply         *Reply
	text, refusal strings.Builder
	deliver       func(string)
}

func (a *assembly) add(c chunk) {
	if c.Model != "" {
		a.reply.Model = c.Model
	}
	if c.Usage != nil { // the last one counts: some state with each chunk what was used so far
		a.reply.Usage = Tokens{c.Usage.PromptTokens, c.Usage.CompletionTokens, c.Usage.TotalTokens}
	}
	if c.Choices != nil {
		a.reply.Nothing = false
	}
	for _, choice := range c.Choices {
		if choice.Index != 0 {
			continue
		}
		if choice.FinishReason != "" {
			a.reply.Finish = choice.FinishReason
		}
		if len(choice.Delta.ToolCalls) > 0 || choice.Delta.FunctionCall != nil {
			a.reply.CalledTool = true
		}
		a.refusal.WriteString(choice.Delta.Refusal)
		piece := contentOf(choice.Delta)
		a.text.WriteString(piece)
		a.deliver(piece)
	}
}

// whole is the reply with all that was added.
func (a *assembly) whole() *Reply {
	a.reply.Text, a.reply.Refusal = a.text.String(), a.refusal.String()
	return a.reply
}
