// Package llmtool runs tools that ask a large language model: it fills prompt
// templates, calls a provider through the one guarded door to the network, holds
// the answer against the tool's schema, and names every failure.
//
// Start with [NewClients] for the providers and [Compile] for a tool, then
// [Tool.Run]. The way of a run is in run.go; what a provider's answer means is
// decided in classify.go, from the response as it was on the wire.
package llmtool

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/expression"
	"github.com/almyty-inc/toolrun/internal/schema"
)

// The values of [Config.OutputMode].
const (
	OutputText = "text"
	OutputJSON = "json"
)

// The defaults of a [Config].
const (
	DefaultTemperature = 0.7
	DefaultMaxTokens   = 1024
	maxRetries         = 10
	maxStops           = 4
)

// Config is the definition of a tool.
type Config struct {
	// ProviderID names the provider; see [Provider.ID].
	ProviderID string `json:"providerId"`
	// Model defaults to the provider's.
	Model string `json:"model,omitempty"`
	// SystemPrompt and PromptTemplate are texts with expressions over parameters,
	// env and credentials. What is absent leaves an empty place; objects and
	// arrays become JSON. PromptTemplate is required.
	SystemPrompt   string `json:"systemPrompt,omitempty"`
	PromptTemplate string `json:"promptTemplate"`
	// Temperature is between 0 and 2; nil means [DefaultTemperature]. Models that
	// take none (OpenAI's reasoning models) get none.
	Temperature *float64 `json:"temperature,omitempty"`
	// MaxTokens bounds one answer; nil means [DefaultMaxTokens]. An answer that
	// reaches it is cut, and fails with [errclass.Truncated] in either mode.
	MaxTokens *int `json:"maxTokens,omitempty"`
	// Seed, from 0 to 2147483647, makes answers alike where the API knows one; nil
	// means none. Anthropic's and DeepSeek's know none, and get none.
	Seed *int `json:"seed,omitempty"`
	// Stop are up to 4 texts that end the answer, which then leaves them out.
	// OpenAI's reasoning models, for one, refuse them.
	Stop []string `json:"stop,omitempty"`
	// Images are texts with expressions, each an https URL, which the provider
	// fetches, or a data URL of a PNG, JPEG, GIF or WebP: at most 20, of 5 MiB each and
	// 15 MiB together. An expression may also yield a list of them. What is absent is
	// left out.
	Images []string `json:"images,omitempty"`
	// OutputMode is [OutputText] (the default: the result is a string) or
	// [OutputJSON] (the result is the JSON that the model wrote).
	OutputMode string `json:"outputMode,omitempty"`
	// OutputSchema is a JSON Schema that the answer must fit; only with [OutputJSON].
	OutputSchema json.RawMessage `json:"outputSchema,omitempty"`
	// Timeout of one request to a provider, until its answer is read, in
	// milliseconds, at most an hour. The provider's own timeout counts where it is
	// shorter, or where this is zero, and says what it means for a stream. Each retry, fallback and repair has it anew;
	// the whole run is bounded by its context's deadline alone.
	Timeout int `json:"timeout,omitempty"`
	// Retries is how often a request that failed for a passing reason is
	// repeated at the same provider, 0 to 10. No wait outlasts the deadline.
	Retries int `json:"retries,omitempty"`
	// FallbackProviderIDs are asked in turn where the provider before is
	// unreachable, silent, overloaded, out of quota or broken. Each uses its own
	// default model, or this tool's Model where it has none. What the caller or the
	// operator must mend (a request that is wrong or too long, an answer that misses
	// the schema, a key that is missing or refused) is never hidden by a fallback.
	FallbackProviderIDs []string `json:"fallbackProviderIds,omitempty"`
	// FallbackOn are further reasons to ask the next provider:
	// [errclass.ContentFilter] and [errclass.Refusal], which another may judge
	// differently. Only with FallbackProviderIDs.
	FallbackOn []errclass.Reason `json:"fallbackOn,omitempty"`
}

// Tool is a compiled [Config]. It is immutable and safe for concurrent use.
type Tool struct {
	providerIDs  []string // the first choice, then the fallbacks
	fallbackOn   []errclass.Reason
	model        string
	system, user *expression.Template
	temperature  float64
	maxTokens    int
	seed         *int
	stop         []string
	images       []*expression.Template
	limit        *limit // of one request; 0: the provider's
	retries      int
	json         bool
	schema       *schema.Schema // nil: any JSON
	format       Format

	env, credentials []string
}

// Compile checks a definition. parameterSchema is the JSON Schema of the tool's
// parameters, which prompts may name; empty means any. It returns all faults,
// with pointers relative to the definition ("/maxTokens"), and a nil tool where
// there are any.
func Compile(cfg Config, parameterSchema []byte) (*Tool, []errclass.FieldError) {
	c := &compiler{declared: expression.Declared{Open: true}}
	if len(parameterSchema) > 0 {
		c.declared = expression.DeclaredFrom(parameterSchema)
	}
	t := &Tool{
		providerIDs: append([]string{cfg.ProviderID}, cfg.FallbackProviderIDs...), model: cfg.Model,
		temperature: DefaultTemperature, maxTokens: DefaultMaxTokens, seed: cfg.Seed, stop: cfg.Stop,
		limit: &limit{time.Duration(cfg.Timeout) * time.Millisecond, "the tool's request timeout"}, retries: cfg.Retries, fallbackOn: cfg.FallbackOn,
	}
	c.providers(cfg)
	if strings.TrimSpace(cfg.PromptTemplate) == "" {
		c.fault("/promptTemplate", "is required")
	}
	t.system = c.template("/systemPrompt", cfg.SystemPrompt)
	t.user = c.template("/promptTemplate", cfg.PromptTemplate)
	for i, source := range cfg.Images {
		t.images = append(t.images, c.template(fmt.Sprintf("/images/%d", i), source))
	}
	c.numbers(t, cfg)
	c.output(t, cfg)
	if len(c.faults) > 0 {
		return nil, c.faults
	}
	t.env, t.credentials = slices.Sorted(maps.Keys(c.env)), slices.Sorted(maps.Keys(c.credentials))
	return t, nil
}

// Names returns the names of env and credentials that the prompts read.
func (t *Tool) Names() (env, credentials []string) { return t.env, t.credentials }

// compiler collects what is wrong with one definition.
type compiler struct {
	declared         expression.Declared
	faults           []errclass.FieldError
	env, credentials map[string]bool
}

func (c *compiler) fault(pointer, format string, args ...any) {
	c.faults = append(c.faults, errclass.FieldError{Field: pointer, Message: fmt.Sprintf(format, args...)})
}

func (c *compiler) providers(cfg Config) {
	if cfg.ProviderID == "" {
		c.fault("/providerId", "is required")
	}
	for i, id := range cfg.FallbackProviderIDs {
		switch pointer := fmt.Sprintf("/fallbackProviderIds/%d", i); {
		case id == "":
			c.fault(pointer, "must name a provider")
		case id == cfg.ProviderID || slices.Contains(cfg.FallbackProviderIDs[:i], id):
			c.fault(pointer, "names provider %q a second time; use retries to ask the same provider again", id)
		}
	}
	if len(cfg.FallbackOn) > 0 && len(cfg.FallbackProviderIDs) == 0 {
		c.fault("/fallbackOn", "has no effect without fallbackProviderIds")
	}
	for i, reason := range cfg.FallbackOn {
		if reason != errclass.ContentFilter && reason != errclass.Refusal {
			c.fault(fmt.Sprintf("/fallbackOn/%d", i), "must be one of: %s, %s", errclass.ContentFilter, errclass.Refusal)
		}
	}
}

func (c *compiler) template(pointer, source string) *expression.Template {
	t, err := expression.Compile(source, c.declared)
	if err != nil {
		c.fault(pointer, "%s", expressionMessage(err))
		return nil
	}
	env, credentials := t.Names()
	c.env, c.credentials = union(c.env, env), union(c.credentials, credentials)
	return t
}

func union(set map[string]bool, names []string) map[string]bool {
	if set == nil {
		set = map[string]bool{}
	}
	for _, name := range names {
		set[name] = true
	}
	return set
}

func (c *compiler) numbers(t *Tool, cfg Config) {
	if cfg.Temperature != nil {
		t.temperature = *cfg.Temperature
	}
	if !(t.temperature >= 0 && t.temperature <= 2) {
		c.fault("/temperature", "must be between 0 and 2")
	}
	if cfg.MaxTokens != nil {
		t.maxTokens = *cfg.MaxTokens
	}
	if t.maxTokens <= 0 {
		c.fault("/maxTokens", "must be greater than 0")
	}
	if cfg.Seed != nil && (*cfg.Seed < 0 || *cfg.Seed > math.MaxInt32) {
		c.fault("/seed", "must be between 0 and %d", math.MaxInt32)
	}
	if len(cfg.Stop) > maxStops {
		c.fault("/stop", "must have at most %d texts", maxStops)
	}
	if at := slices.Index(cfg.Stop, ""); at >= 0 {
		c.fault(fmt.Sprintf("/stop/%d", at), "must not be empty")
	}
	if len(cfg.Images) > maxImages {
		c.fault("/images", "must have at most %d elements", maxImages)
	}
	if cfg.Timeout < 0 || cfg.Timeout > maxTimeout {
		c.fault("/timeout", "must be between 1 and %d milliseconds", maxTimeout)
	}
	if cfg.Retries < 0 || cfg.Retries > maxRetries {
		c.fault("/retries", "must be between 0 and %d", maxRetries)
	}
}

func (c *compiler) output(t *Tool, cfg Config) {
	switch cfg.OutputMode {
	case "", OutputText:
		if len(cfg.OutputSchema) > 0 {
			c.fault("/outputSchema", "has no effect unless outputMode is %q", OutputJSON)
		}
		return
	case OutputJSON:
		t.json = true
	default:
		c.fault("/outputMode", "must be one of: %s, %s", OutputText, OutputJSON)
		return
	}
	t.format = Format{Kind: FormatObject}
	if len(cfg.OutputSchema) == 0 {
		return
	}
	compiled, faults := schema.Compile(cfg.OutputSchema)
	for _, f := range faults {
		f.Field = "/outputSchema" + f.Field
		c.faults = append(c.faults, f)
	}
	if len(faults) == 0 {
		t.schema, t.format = compiled, adaptSchema(cfg.OutputSchema)
	}
}
