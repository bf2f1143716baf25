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

	// Organization owns the tool; empty means that every organization sees it.
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
	Input          json.RawMessage `json:"input,omitempty"`
	ExpectedOutput json.RawMessage `json:"expectedOutput,omitempty"`
	ExpectedError  json.RawMessage `json:"expectedError,omitempty"`
	Upstream       json.RawMessage `json:"upstream,omitempty"`
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
