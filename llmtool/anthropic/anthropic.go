// Package anthropic lets llm tools ask Anthropic's models: providers of type
// "anthropic" in the providers file. It is apart from llmtool because of its SDK,
// which a host that doesn't want it needn't carry. Hand it over where the runner is
// made, and where the providers file is read:
//
//	providers, err := runner.LoadProviders("providers.yaml", anthropic.Dialect())
//	r, err := runner.New(runner.Options{Providers: providers, Dialects: []llmtool.Dialect{anthropic.Dialect()}})
//
// Of a request, the API knows no seed. Its temperature ends at 1, so a higher one is
// sent as 1; models from 4.7 on refuse any, and get none.
//
// For JSON that must fit a schema, models from 4.5 on get the schema as the format
// of their output, and older ones as that of a tool which they are made to call. A
// schema that the API can't take (see schema.go), and JSON of any shape, is asked for
// in words.
package anthropic

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"github.com/almyty-inc/toolrun/llmtool"
)

// Dialect is the Messages API.
func Dialect() llmtool.Dialect {
	return llmtool.Dialect{Type: "anthropic", BaseURL: "https://api.anthropic.com/v1", Connect: connect}
}

type client struct{ messages sdk.MessageService }

func connect(a llmtool.Account) (llmtool.Client, error) {
	options := []option.RequestOption{
		option.WithBaseURL(strings.TrimSuffix(a.BaseURL, "/v1")), // the SDK adds it
		option.WithHTTPClient(a.HTTP),
		option.WithMaxRetries(0),
		// Where none is set, the SDK refuses large answers that aren't streams. The
		// context's deadline is what counts.
		option.WithRequestTimeout(time.Hour),
		// Spans could carry prompts, and the environment says so.
		option.WithoutOpenTelemetry(),
	}
	if a.APIKey != "" {
		options = append(options, option.WithAPIKey(a.APIKey))
	}
	// sdk.NewClient would look for credentials in the environment and in files.
	return &client{sdk.NewMessageService(options...)}, nil
}

// Chat implements [llmtool.Client].
func (c *client) Chat(ctx context.Context, r llmtool.Request) (*llmtool.Reply, error) {
	in := request(r)
	if r.Delta != nil {
		return c.stream(ctx, in, r.Delta)
	}
	out, err := c.messages.New(ctx, in)
	if err != nil {
		return nil, err
	}
	if out == nil { // the answer is null
		out = new(sdk.Message)
	}
	return reply(out), nil
}

// stream asks for the answer in pieces. Beside an error stands what came before it.
func (c *client) stream(ctx context.Context, in sdk.MessageNewParams, delta func(string)) (*llmtool.Reply, error) {
	stream := c.messages.NewStreaming(ctx, in)
	defer stream.Close()
	var out sdk.Message
	for stream.Next() {
		event := stream.Current()
		if err := out.Accumulate(event); err != nil {
			return reply(&out), err
		}
		if piece := event.ContentBlock.Text + event.Delta.Text + event.Delta.PartialJSON; piece != "" {
			delta(piece)
		}
	}
	return reply(&out), stream.Err()
}

// takesTemperature matches the models of Anthropic's that do. Those that this
// package doesn't know are taken for newer ones.
var takesTemperature = regexp.MustCompile(`claude-(instant|[23]\b|(opus|sonnet|haiku)-4(-[0-6])?($|[-@]\D|[-@]\d{8}))`)

// takesNoSchema matches the models from before structured outputs.
var takesNoSchema = regexp.MustCompile(`claude-(instant|[23]\b|(opus|sonnet)-4(-0)?($|[-@]\D|[-@]\d{8}))`)

func request(r llmtool.Request) sdk.MessageNewParams {
	in := sdk.MessageNewParams{Model: r.Model, MaxTokens: int64(r.MaxTokens), StopSequences: r.Stop}
	if !strings.Contains(r.Model, "claude") || takesTemperature.MatchString(r.Model) {
		in.Temperature = sdk.Float(min(r.Temperature, 1))
	}
	for _, m := range r.Messages {
		in.Messages = append(in.Messages, message(m))
	}
	system := r.System
	if r.Format.Kind == llmtool.FormatSchema && !setSchema(&in, r) {
		system = strings.TrimSpace(system + "\n\n" + r.Format.InWords())
	}
	if system != "" {
		in.System = []sdk.TextBlockParam{{Text: system}}
	}
	return in
}

// toolName is what the tool is called whose input is the answer.
const toolName = "answer"

// setSchema asks for JSON that fits the request's schema, and reports whether the API
// can be asked for it.
func setSchema(in *sdk.MessageNewParams, r llmtool.Request) bool {
	if takesNoSchema.MatchString(r.Model) {
		var schema map[string]any
		if json.Unmarshal(r.Format.Schema, &schema) != nil {
			return false
		}
		delete(schema, "type") // the SDK adds it: it is "object"
		in.Tools = []sdk.ToolUnionParam{{OfTool: &sdk.ToolParam{
			Name: toolName, Description: sdk.String("Takes the answer."),
			InputSchema: sdk.ToolInputSchemaParam{ExtraFields: schema},
		}}}
		in.ToolChoice = sdk.ToolChoiceUnionParam{OfTool: &sdk.ToolChoiceToolParam{Name: toolName, DisableParallelToolUse: sdk.Bool(true)}}
		return true
	}
	schema, ok := adapt(r.Format.Schema)
	if ok {
		in.OutputConfig.Format = sdk.JSONOutputFormatParam{Schema: schema}
	}
	return ok
}

func message(m llmtool.Message) sdk.MessageParam {
	var content []sdk.ContentBlockParamUnion
	for _, image := range m.Images { // before the text, as Anthropic advises
		if image.URL != "" {
			content = append(content, sdk.NewImageBlock(sdk.URLImageSourceParam{URL: image.URL}))
			continue
		}
		content = append(content, sdk.NewImageBlockBase64(image.MediaType, base64.StdEncoding.EncodeToString(image.Data)))
	}
	content = append(content, sdk.NewTextBlock(m.Text))
	if m.Role == llmtool.RoleAssistant {
		return sdk.NewAssistantMessage(content...)
	}
	return sdk.NewUserMessage(content...)
}

func reply(m *sdk.Message) *llmtool.Reply {
	u := m.Usage
	// What is written to the cache or read from it isn't in input_tokens.
	prompt := int(u.InputTokens + u.CacheCreationInputTokens + u.CacheReadInputTokens)
	out := &llmtool.Reply{
		Finish: string(m.StopReason), Model: m.Model, Nothing: m.Content == nil,
		Usage: llmtool.Tokens{Prompt: prompt, Completion: int(u.OutputTokens), Total: prompt + int(u.OutputTokens)},
	}
	var text strings.Builder
	for _, block := range m.Content {
		switch {
		case block.Type == "text":
			text.WriteString(block.Text)
		case block.Type == "tool_use" && block.Name == toolName:
			text.Write(block.Input)
		case block.Type == "tool_use" || block.Type == "server_tool_use":
			out.CalledTool = true
		}
	}
	out.Text = text.String()
	switch m.StopReason {
	case sdk.StopReasonMaxTokens:
		out.Finish = llmtool.FinishLength
	case sdk.StopReasonModelContextWindowExceeded:
		out.Finish = llmtool.FinishContext
	case sdk.StopReasonPauseTurn: // a tool of the server's is at work, which nobody gave it
		out.Text, out.CalledTool = "", true
	case sdk.StopReasonRefusal:
		out.Refusal = firstOf(m.StopDetails.Explanation, out.Text, "the model refused to answer")
	}
	return out
}

// firstOf is the first of the texts that isn't blank.
func firstOf(texts ...string) string {
	for _, text := range texts {
		if strings.TrimSpace(text) != "" {
			return text
		}
	}
	return ""
}
