package llmtool

import (
	"bytes"
	"context"
	"io"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"strconv"

	openai "github.com/sashabaranov/go-openai"
)

// imitation is how an API differs from OpenAI's, by its documentation and what its
// users report.
type imitation struct {
	azure bool // deployments in the path, a version in the query, a header of its own for the key
	// tokens says max_completion_tokens for every model; elsewhere it is max_tokens,
	// which is what most servers know, except for OpenAI's reasoning models.
	tokens bool
	seed   string // what a seed is called; empty: the API knows none
	// schema matches the models that take a schema for their answer; the others are
	// asked for JSON, and told the schema in words. Nil: all take one.
	schema *regexp.Regexp
	// usageUnasked: a stream tells the usage anyway, and asking for it is an error.
	usageUnasked bool
}

var none = regexp.MustCompile(`^\b$`) // matches nothing: an empty text has no word in it

// builtIn are the dialects of this package.
var builtIn = []Dialect{
	{Type: "openai", BaseURL: "https://api.openai.com/v1", Connect: connectOpenAI(imitation{seed: "seed"})},
	{Type: "azure_openai", APIVersion: "2024-10-21", Connect: connectOpenAI(imitation{azure: true, tokens: true, seed: "seed"})},
	{Type: "deepseek", BaseURL: "https://api.deepseek.com/v1", Connect: connectOpenAI(imitation{schema: none})},
	{Type: "groq", BaseURL: "https://api.groq.com/openai/v1", Connect: connectOpenAI(imitation{
		tokens: true, seed: "seed", schema: regexp.MustCompile(`^(openai/gpt-oss|moonshotai/kimi|meta-llama/llama-4)`),
	})},
	{Type: "mistral", BaseURL: "https://api.mistral.ai/v1", Connect: connectOpenAI(imitation{seed: "random_seed", usageUnasked: true})},
	{Type: "ollama", BaseURL: "http://localhost:11434/v1", Connect: connectOpenAI(imitation{seed: "seed"})},
	{Type: "openrouter", BaseURL: "https://openrouter.ai/api/v1", Connect: connectOpenAI(imitation{seed: "seed"})},
	{Type: "together", BaseURL: "https://api.together.xyz/v1", Connect: connectOpenAI(imitation{seed: "seed"})},
	{Type: "xai", BaseURL: "https://api.x.ai/v1", Connect: connectOpenAI(imitation{tokens: true, seed: "seed"})},
	{Type: "custom", Connect: connectOpenAI(imitation{seed: "seed"})},
}

// config is the client library's for an account.
func (i imitation) config(a Account) openai.ClientConfig {
	config := openai.DefaultConfig(a.APIKey)
	config.BaseURL = a.BaseURL
	config.HTTPClient = amender{a.HTTP, i}
	config.EmptyMessagesLimit = maxResponseBytes // lines without data in a row: our own limits bound them
	if i.azure {
		config.APIType, config.APIVersion = openai.APITypeAzure, a.APIVersion
		if a.APIKey == "" { // else the library would send an empty one
			config.APIType = openai.APITypeAzureAD
		}
		config.AzureModelMapperFunc = url.PathEscape // the deployment is named as the model
	}
	return config
}

// format is the part of a format that the API takes, and what to say in words of it.
func (i imitation) format(f Format, model string) (Format, string) {
	if f.Kind == FormatSchema && i.schema != nil && !i.schema.MatchString(model) {
		return Format{Kind: FormatObject}, f.InWords()
	}
	return f, ""
}

// leastTemperature stands for zero, which the client library leaves out of the
// request as unset; [amender] writes the zero. It is encoded as 1e-45.
const leastTemperature = math.SmallestNonzeroFloat32

var (
	standIn    = []byte(`"temperature":1e-45`)
	zero       = []byte(`"temperature":0`)
	usageAsked = []byte(`,"stream_options":{"include_usage":true}`)
)

// amendments are the members of a request that the client library can't write.
type amendments struct {
	greedy bool // temperature 0
	seed   *int // by the API's name for it
}

type amendmentsKey struct{}

// amender writes them.
type amender struct {
	*http.Client
	imitation imitation
}

func (a amender) Do(req *http.Request) (*http.Response, error) {
	m, _ := req.Context().Value(amendmentsKey{}).(amendments)
	if !m.greedy && m.seed == nil && !a.imitation.usageUnasked || req.Body == nil {
		return a.Client.Do(req)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	// What is replaced here is a member of the request or of a schema: within a
	// string, a quote is escaped.
	if m.greedy {
		body = bytes.Replace(body, standIn, zero, 1)
	}
	if a.imitation.usageUnasked {
		body = bytes.Replace(body, usageAsked, nil, 1)
	}
	if end := bytes.LastIndexByte(body, '}'); m.seed != nil && end > 0 {
		body = append(body[:end], `,"`+a.imitation.seed+`":`+strconv.Itoa(*m.seed)+`}`...)
	}
	req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return a.Client.Do(req)
}

// amend returns a context that has the amendments to a request.
func (i imitation) amend(ctx context.Context, in *openai.ChatCompletionRequest, r Request) context.Context {
	m := amendments{greedy: in.Temperature == leastTemperature}
	if i.seed != "" {
		m.seed = r.Seed
	}
	return context.WithValue(ctx, amendmentsKey{}, m)
}

// shown is the content of a message with images, in OpenAI's parts.
func shown(m Message) []openai.ChatMessagePart {
	var parts []openai.ChatMessagePart
	for _, image := range m.Images {
		parts = append(parts, openai.ChatMessagePart{
			Type: openai.ChatMessagePartTypeImageURL, ImageURL: &openai.ChatMessageImageURL{URL: image.dataURL()},
		})
	}
	return append(parts, openai.ChatMessagePart{Type: openai.ChatMessagePartTypeText, Text: m.Text})
}
