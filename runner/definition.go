package runner

import (
	"encoding/json"
	"time"

	"github.com/almyty-inc/toolrun/httptool"
)

// Type says what runs a tool.
type Type string

// The types of tools.
const (
	JavaScript Type = "javascript"
	HTTP       Type = "http"
	GraphQL    Type = "graphql"
	LLM        Type = "llm"
)

// Status says whether a tool may run. Only [Active] and [Deprecated] tools do.
type Status string

// The statuses of a definition.
const (
	Active     Status = "active"
	Inactive   Status = "inactive"
	Deprecated Status = "deprecated"
	Draft      Status = "draft"
	Broken     Status = "error"
	Deleted    Status = "deleted" // as the platform stores it
)

// Definition is a tool as its author writes it. Read one with [Load] or
// [Parse], which check it against the published schema ([DefinitionSchema]), or
// fill one by hand; [New] checks what it means.
type Definition struct {
	ID          string          `json:"id,omitempty"` // defaults to Name
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Version     json.RawMessage `json:"version,omitempty"`
	Metadata    json.RawMessage `json:"metadata,omitempty"`
	Type        Type            `json:"type"`
	Status      Status          `json:"status,omitempty"` // defaults to Active

	// Parameters is the JSON Schema (2020-12) of the input; empty takes any object.
	Parameters json.RawMessage `json:"parameters,omitempty"`
	// OutputSchema is the JSON Schema of the result; empty takes anything.
	OutputSchema json.RawMessage `json:"outputSchema,omitempty"`

	// Code is the source of a javascript tool. [Load] fills it from CodeFile.
	Code     string `json:"code,omitempty"`
	CodeFile string `json:"codeFile,omitempty"`

	// ExecutionConfig is an [httptool.Config], [httptool.GraphQLConfig] or
	// llmtool.Config in JSON, by Type.
	ExecutionConfig json.RawMessage `json:"executionConfig,omitempty"`
	AuthConfig      *httptool.Auth  `json:"authConfig,omitempty"`
	Configuration   Configuration   `json:"configuration,omitzero"`
	Examples        []Example       `json:"examples,omitempty"`

	// HTTPConfig, GraphQLConfig and LLMConfig are what the platform stores in place
	// of ExecutionConfig, and mean the same. At most one of the four, or Code, can
	// be given; Type may then be one of the platform's (function, action, query,
	// mutation, api). Texts have {name} for a parameter, those of LLMConfig
	// {{name}}; expressions work too. HTTPConfig's path is the URL, or follows
	// API's baseUrl; its bodyTemplate is JSON in a text. Parameters that it uses
	// nowhere are sent too: in the query of a GET or DELETE, and, where there is no
	// bodyTemplate, in the body of a POST, PUT or PATCH, which has all that the path
	// hasn't.
	HTTPConfig    json.RawMessage `json:"httpConfig,omitempty"`
	GraphQLConfig json.RawMessage `json:"graphqlConfig,omitempty"`
	LLMConfig     json.RawMessage `json:"llmConfig,omitempty"`
	// API is what a stored tool takes from the API that it is linked to.
	API *API `json:"api,omitempty"`
	// ExecutionMethod is how the platform runs the tool. Code of method http or
	// graphql has axios, as code of Type [HTTP] does.
	ExecutionMethod string `json:"executionMethod,omitempty"`
	// Dependencies are the npm packages that stored code requires, with their
	// versions. axios is there; others are for a CodeFile beside a node_modules.
	Dependencies map[string]string `json:"dependencies,omitempty"`

	// Organization owns the tool; empty means that every organization sees it. No
	// file decides that: a stored tool's organizationId is passed over, like its
	// other housekeeping, and who serves several organizations sets the field.
	Organization string `json:"-"`

	origin *origin
}

// Configuration holds the limits of a tool.
type Configuration struct {
	Timeout       int       `json:"timeout,omitzero"`       // milliseconds for the whole execution; 0 takes the runner's default
	MemoryLimitMB int       `json:"memoryLimitMb,omitzero"` // javascript; 0 takes the sandbox's default
	Retries       int       `json:"retries,omitzero"`       // for http and llm tools whose executionConfig sets none; other types are never repeated
	RateLimit     RateLimit `json:"rateLimit,omitzero"`
	Cache         Cache     `json:"cache,omitzero"`
	// Idempotent says that running the tool twice does no more than running it once.
	// Only then is an execution whose worker died run again.
	Idempotent bool `json:"idempotent,omitzero"`
}

// RateLimit bounds how often a tool runs for one organization. Zero means
// unlimited; with both set, both hold.
type RateLimit struct {
	RequestsPerMinute int `json:"requestsPerMinute,omitzero"`
	RequestsPerHour   int `json:"requestsPerHour,omitzero"`
}

// Cache keeps successful results of equal calls.
type Cache struct {
	Enabled bool    `json:"enabled,omitzero"`
	TTL     float64 `json:"ttl,omitzero"` // seconds; 0 takes 60
}

// Example documents a tool and tests it; see "toolrun test".
type Example struct {
	Name           string          `json:"name"`
	Description    string          `json:"description,omitempty"`
	Input          json.RawMessage `json:"input,omitempty"`
	ExpectedOutput json.RawMessage `json:"expectedOutput,omitempty"`
	ExpectedError  json.RawMessage `json:"expectedError,omitempty"`
	Upstream       json.RawMessage `json:"upstream,omitempty"`
}

// dropNulls makes what is null, as it often is in a stored tool, absent.
func (d *Definition) dropNulls() {
	for _, field := range []*json.RawMessage{
		&d.Version, &d.Metadata, &d.Parameters, &d.OutputSchema, &d.ExecutionConfig, &d.HTTPConfig, &d.GraphQLConfig, &d.LLMConfig,
	} {
		if string(*field) == "null" {
			*field = nil
		}
	}
}

// id is what requests name the tool by.
func (d *Definition) id() string {
	if d.ID != "" {
		return d.ID
	}
	return d.Name
}

func (d *Definition) status() Status {
	if d.Status != "" {
		return d.Status
	}
	return Active
}

// timeout is the time that the author gives an execution; 0 where he sets none.
func (d *Definition) timeout() time.Duration {
	return time.Duration(d.Configuration.Timeout) * time.Millisecond
}
