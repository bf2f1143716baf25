// Package google lets llm tools ask Google's models through the Gemini API:
// providers of type "google" in the providers file. It is apart from llmtool because
// of its SDK, which a host that doesn't want it needn't carry. Hand it over where the
// runner is made, and where the providers file is read:
//
//	gemini := google.Dialect()
//	providers, err := runner.LoadProviders("providers.yaml", gemini)
//	r, err := runner.New(runner.Options{Providers: providers, Dialects: []llmtool.Dialect{gemini}})
//
// JSON is asked for by responseMimeType and responseJsonSchema; a schema that the API
// can't take (see schema.go) in words. Images by URL are fetched by Google.
package google

import (
	"context"
	"encoding/json"
	"net/http"
	"path"
	"reflect"
	"regexp"
	"strings"
	"sync"

	"google.golang.org/genai"

	"github.com/almyty-inc/toolrun/llmtool"
)

const (
	baseURL    = "https://generativelanguage.googleapis.com"
	apiVersion = "v1beta"
)

// Dialect is the Gemini API. Make it once: the SDK looks at the environment when its
// client is made, with the first provider. Nothing that it finds there counts, but
// where both GOOGLE_API_KEY and GEMINI_API_KEY are set it says so to the standard
// logger, once a Dialect.
func Dialect() llmtool.Dialect {
	api := sync.OnceValues(newSDK)
	return llmtool.Dialect{
		Type: "google", BaseURL: baseURL + "/" + apiVersion,
		Connect: func(a llmtool.Account) (llmtool.Client, error) {
			sdk, err := api()
			if err != nil {
				return nil, err
			}
			c := &client{models: sdk.Models, account: a, base: a.BaseURL, version: apiVersion}
			if last := path.Base(a.BaseURL); versioned.MatchString(last) {
				c.base, c.version = strings.TrimSuffix(a.BaseURL, "/"+last), last
			}
			return c, nil
		},
	}
}

// newSDK makes a client that is nobody's. Given a key, a backend and a URL, the SDK
// takes none of them from the environment; those that count are each request's.
func newSDK() (*genai.Client, error) {
	return genai.NewClient(context.Background(), &genai.ClientConfig{
		APIKey: "none", Backend: genai.BackendGeminiAPI,
		HTTPClient:  &http.Client{Transport: door{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		HTTPOptions: genai.HTTPOptions{BaseURL: baseURL, APIVersion: apiVersion},
	})
}

// versioned matches the end of a base URL that is the API's version.
var versioned = regexp.MustCompile(`^v[0-9]+([a-z]+[0-9]*)?$`)

type client struct {
	models        *genai.Models
	account       llmtool.Account
	base, version string
}

// Chat implements [llmtool.Client].
func (c *client) Chat(ctx context.Context, r llmtool.Request) (*llmtool.Reply, error) {
	call := &call{account: c.account}
	ctx = context.WithValue(ctx, callKey{}, call)
	config := configuration(r)
	config.HTTPOptions = &genai.HTTPOptions{BaseURL: c.base, APIVersion: c.version}
	var contents []*genai.Content
	for _, m := range r.Messages {
		contents = append(contents, content(m))
	}
	if r.Delta != nil {
		return c.stream(ctx, call, r, contents, config)
	}
	out, err := c.generate(ctx, r.Model, contents, config)
	if err == nil {
		err = call.err
	}
	if err != nil {
		return nil, err
	}
	var a answer
	a.add(out)
	return a.reply(), nil
}

// generate asks for the answer in one piece.
func (c *client) generate(
	ctx context.Context, model string, contents []*genai.Content, config *genai.GenerateContentConfig,
) (out *genai.GenerateContentResponse, err error) {
	defer func() {
		if recover() != nil {
			err = errMistyped
		}
	}()
	return c.models.GenerateContent(ctx, model, contents, config)
}

// errMistyped stands for the panic of the SDK at an answer whose candidates aren't
// what it takes them for.
var errMistyped = &json.UnmarshalTypeError{Value: "value", Type: reflect.TypeFor[genai.Candidate](), Field: "candidates"}

// stream asks for the answer in pieces. Beside an error stands what came before it.
func (c *client) stream(
	ctx context.Context, call *call, r llmtool.Request, contents []*genai.Content, config *genai.GenerateContentConfig,
) (reply *llmtool.Reply, err error) {
	var a answer
	telling := false
	defer func() {
		if telling {
			return // the panic is the caller's, if there is one
		}
		if recover() != nil {
			reply, err = a.reply(), errMistyped
		}
	}()
	for out, err := range c.models.GenerateContentStream(ctx, r.Model, contents, config) {
		if err != nil {
			return a.reply(), err
		}
		if piece := a.add(out); piece != "" {
			telling = true
			r.Delta(piece)
			telling = false
		}
	}
	return a.reply(), call.err
}

func configuration(r llmtool.Request) *genai.GenerateContentConfig {
	config := &genai.GenerateContentConfig{
		Temperature:     genai.Ptr(float32(r.Temperature)),
		MaxOutputTokens: int32(min(r.MaxTokens, 1<<31-1)),
		StopSequences:   r.Stop,
		// One call is one request.
		AutomaticContinuation: genai.Ptr(false),
	}
	if r.Seed != nil {
		config.Seed = genai.Ptr(int32(*r.Seed)) // a tool's fits
	}
	system := r.System
	switch r.Format.Kind {
	case llmtool.FormatObject:
		config.ResponseMIMEType = "application/json"
	case llmtool.FormatSchema:
		config.ResponseMIMEType = "application/json"
		schema, ok := adapt(r.Format.Schema)
		if !ok {
			system = strings.TrimSpace(system + "\n\n" + r.Format.InWords())
			break
		}
		config.ResponseJsonSchema = schema
	}
	if system != "" {
		config.SystemInstruction = &genai.Content{Parts: []*genai.Part{{Text: system}}}
	}
	return config
}

func content(m llmtool.Message) *genai.Content {
	c := &genai.Content{Role: genai.RoleUser}
	if m.Role == llmtool.RoleAssistant {
		c.Role = genai.RoleModel
	}
	for _, image := range m.Images {
		part := &genai.Part{InlineData: &genai.Blob{MIMEType: image.MediaType, Data: image.Data}}
		if image.URL != "" {
			part = &genai.Part{FileData: &genai.FileData{FileURI: image.URL, MIMEType: image.MediaType}}
		}
		c.Parts = append(c.Parts, part)
	}
	c.Parts = append(c.Parts, &genai.Part{Text: m.Text})
	return c
}
