// Package errclass is toolrun's vocabulary of failure: the closed set of
// classes and reasons, the errors that carry them, and the JSON documents in
// which they leave the process.
//
// Start with [Classify], which turns any error into an [*Error] with exactly one
// [Class] and one [Reason]. An execution that failed is written by [Outcome]; a
// request that never became an execution is an [*APIError].
//
// Two questions are kept apart: who is at fault ([Class], [Origin]) and whether
// trying again can help ([Error.Retryable], decided by the [Reason]).
package errclass

// Class says what failed, in the words an agent acts on. The values are frozen
// wire names.
type Class string

// The ten classes. The first five stand in the platform's public error
// reference; their titles never change.
const (
	ConnectionRefused  Class = "connection_refused"  // the target is unreachable
	Timeout            Class = "timeout"             // the execution, or a phase of it, took too long
	InvalidResponse    Class = "invalid_response"    // the target answered with unusable data
	SandboxError       Class = "sandbox_error"       // JavaScript threw, didn't parse or hit a limit
	LLMError           Class = "llm_error"           // the LLM provider returned an error or refused
	HTTPError          Class = "http_error"          // the target answered 4xx or 5xx
	RequestBlocked     Class = "request_blocked"     // the egress policy forbids the address
	Cancelled          Class = "cancelled"           // the caller went away
	ConfigurationError Class = "configuration_error" // the definition can't run as it stands
	InternalError      Class = "internal_error"      // a fault of toolrun itself
)

var titles = map[Class]string{
	ConnectionRefused:  "Connection refused",
	Timeout:            "Timeout",
	InvalidResponse:    "Invalid response",
	SandboxError:       "Sandbox error",
	LLMError:           "LLM error",
	HTTPError:          "HTTP error",
	RequestBlocked:     "Request blocked",
	Cancelled:          "Cancelled",
	ConfigurationError: "Configuration error",
	InternalError:      "Internal error",
}

// Classes returns all classes in the order of the error reference.
func Classes() []Class {
	return []Class{
		ConnectionRefused, Timeout, InvalidResponse, SandboxError, LLMError,
		HTTPError, RequestBlocked, Cancelled, ConfigurationError, InternalError,
	}
}

// Title is the class as it stands in an error message. An unknown class has
// the title of [InternalError].
func (c Class) Title() string {
	if t, ok := titles[c]; ok {
		return t
	}
	return titles[InternalError]
}

// Valid reports whether c is one of [Classes].
func (c Class) Valid() bool {
	_, ok := titles[c]
	return ok
}

// Origin says at whose side the fault lies.
type Origin string

// The origins.
const (
	OriginCaller   Origin = "caller"   // who asked for the execution
	OriginTool     Origin = "tool"     // the tool's definition or code
	OriginSandbox  Origin = "sandbox"  // a limit of the sandbox
	OriginNetwork  Origin = "network"  // the way to the upstream
	OriginUpstream Origin = "upstream" // the API or provider that was called
	OriginPlatform Origin = "platform" // toolrun or its host
)
