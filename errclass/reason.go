package errclass

import (
	"maps"
	"slices"
)

// Reason is the fine grain of a failure: one documented word that decides
// whether a retry can help. The values are frozen wire names.
type Reason string

// Reasons of [ConnectionRefused].
const (
	Refused      Reason = "refused"       // the port answered with a reset to the SYN
	Reset        Reason = "reset"         // the connection ended before a response
	Unreachable  Reason = "unreachable"   // no route to the host or network
	DNSNotFound  Reason = "dns_not_found" // the name doesn't exist
	DNSTemporary Reason = "dns_temporary" // the resolver is down or answers with a failure
	TLSExpired   Reason = "tls_expired"   // a certificate is out of its validity
	TLSUntrusted Reason = "tls_untrusted" // no trusted authority signed the certificate
	TLSHostname  Reason = "tls_hostname"  // the certificate is for another name
	TLSHandshake Reason = "tls_handshake" // the handshake failed in another way
	Protocol     Reason = "protocol"      // the peer doesn't speak the expected protocol
	CircuitOpen  Reason = "circuit_open"  // the breaker of the upstream is open
)

// Reasons of [Timeout]; each but the last three is the phase
// that ran out of time.
const (
	PhaseDNS        Reason = "dns"         // resolving the name
	PhaseConnect    Reason = "connect"     // opening the connection
	PhaseTLS        Reason = "tls"         // the TLS handshake
	PhaseHeaders    Reason = "headers"     // waiting for the response's header section
	PhaseBody       Reason = "body"        // reading the response's body
	PhaseStreamIdle Reason = "stream_idle" // waiting for the next piece of a stream
	UpstreamTimeout Reason = "upstream"    // the network layer reported a timeout without a phase
	Deadline        Reason = "deadline"    // the execution's own deadline
	Queue           Reason = "queue"       // waiting for a free slot
)

// Reasons of [InvalidResponse].
const (
	NotJSON        Reason = "not_json"        // the body isn't the JSON it claims to be
	Truncated      Reason = "truncated"       // the body ended early
	TooLarge       Reason = "too_large"       // body or headers exceed their limit
	BadEncoding    Reason = "bad_encoding"    // chunking, compression or charset is broken
	Malformed      Reason = "malformed"       // the response breaks the HTTP protocol
	RedirectLoop   Reason = "redirect_loop"   // more redirects than allowed
	Redirect       Reason = "redirect"        // a redirect that the tool doesn't follow
	SchemaMismatch Reason = "schema_mismatch" // the result breaks the tool's output schema
	NoData         Reason = "no_data"         // the response lacks the data the tool maps
	UpstreamFailed Reason = "upstream_failed" // the response says itself that the call failed
)

// Reasons of [SandboxError].
const (
	Exception      Reason = "exception"       // the program threw
	SyntaxError    Reason = "syntax_error"    // the program doesn't parse
	MemoryLimit    Reason = "memory_limit"    // the program used too much memory
	StackOverflow  Reason = "stack_overflow"  // calls nested too deeply
	OutputLimit    Reason = "output_limit"    // the result is too large
	Unserializable Reason = "unserializable"  // the result is not what JSON can hold
	NeverSettles   Reason = "never_settles"   // the program awaits what nothing will settle
	SourceLimit    Reason = "source_limit"    // the source is too large
	ParameterLimit Reason = "parameter_limit" // parameters, of the execution or of a tools.invoke, are too large
	InvokeLimit    Reason = "invoke_limit"    // too many or too deeply nested tools.invoke, or too many fetches
	EngineFault    Reason = "engine_fault"    // the JavaScript engine itself failed
)

// Reasons of [LLMError] and [HTTPError]. Not every one is used by both.
const (
	BadRequest    Reason = "bad_request"     // the upstream rejects the request as wrong
	Auth          Reason = "auth"            // the credential is missing or wrong
	Permission    Reason = "permission"      // the credential may not do this
	NotFound      Reason = "not_found"       // the resource doesn't exist
	Conflict      Reason = "conflict"        // the request conflicts with the resource's state
	RateLimit     Reason = "rate_limit"      // too many requests for now
	Quota         Reason = "quota"           // the account's allowance is spent
	ContextLength Reason = "context_length"  // the prompt is longer than the model takes
	ContentFilter Reason = "content_filter"  // the provider's filter stopped the answer
	Refusal       Reason = "refusal"         // the model declined to answer
	Overloaded    Reason = "overloaded"      // the upstream has no capacity right now
	ModelNotFound Reason = "model_not_found" // the provider doesn't know the model
	ServerError   Reason = "server_error"    // the upstream failed on its side
	Empty         Reason = "empty"           // the model's answer holds nothing
)

// Reasons of the remaining classes.
const (
	Blocked           Reason = "egress_policy"      // [RequestBlocked]
	CallerCancelled   Reason = "caller"             // [Cancelled]: the caller's context ended
	Shutdown          Reason = "shutdown"           // [Cancelled]: the runner was closed
	MissingCredential Reason = "missing_credential" // [ConfigurationError]: a secret the definition names is absent
	UnknownProvider   Reason = "unknown_provider"   // [ConfigurationError]
	BadExpression     Reason = "bad_expression"     // [ConfigurationError]: an expression failed on these parameters
	BadDefinition     Reason = "bad_definition"     // [ConfigurationError]
	Panic             Reason = "panic"              // [InternalError]
	Unclassified      Reason = "unclassified"       // [InternalError]: nobody knew the error
	WorkerLost        Reason = "worker_lost"        // [InternalError]: the process that ran the tool died, and the tool can't be run again
)

// trait is what a reason implies unless the place where the error arose knows
// better.
type trait struct {
	origin    Origin
	retryable bool
	hint      string
}

var traits = map[Reason]trait{
	Refused:      {OriginUpstream, true, "Check that the target is running and listens on this port, then try again."},
	Reset:        {OriginUpstream, true, "The target closed the connection before it answered; try again."},
	Unreachable:  {OriginNetwork, true, "Check the route to the target, then try again."},
	DNSNotFound:  {OriginTool, false, "Check the host name in the tool's URL."},
	DNSTemporary: {OriginNetwork, true, "Name resolution is down; try again later."},
	TLSExpired:   {OriginUpstream, false, "The target must renew its certificate, or a clock is wrong."},
	TLSUntrusted: {OriginUpstream, false, "The target must present a certificate of a trusted authority."},
	TLSHostname:  {OriginUpstream, false, "Use the host name that the target's certificate names."},
	TLSHandshake: {OriginUpstream, false, "Check which TLS versions and certificates the target takes."},
	Protocol:     {OriginTool, false, "Check scheme and port of the URL: the target doesn't speak this protocol."},
	CircuitOpen:  {OriginUpstream, true, "The target failed repeatedly and is left alone for a while; try again later."},

	PhaseDNS:        {OriginNetwork, true, "Name resolution is slow; try again later."},
	PhaseConnect:    {OriginNetwork, true, "The target doesn't accept connections; check host and port."},
	PhaseTLS:        {OriginUpstream, true, "The target is slow to negotiate TLS; try again."},
	PhaseHeaders:    {OriginUpstream, true, "The target is slow to answer; try again or raise the tool's timeout."},
	PhaseBody:       {OriginUpstream, true, "The target is slow to send its answer; try again or raise the tool's timeout."},
	PhaseStreamIdle: {OriginUpstream, true, "The target stopped sending; try again."},
	UpstreamTimeout: {OriginUpstream, true, "The target is slow; try again or raise the tool's timeout."},
	Deadline:        {OriginTool, true, "Raise the timeout or make the tool do less."},
	Queue:           {OriginPlatform, true, "All slots are busy; try again later."},

	NotJSON:        {OriginUpstream, false, "The target must answer with valid JSON."},
	Truncated:      {OriginUpstream, true, "The answer was cut short; try again."},
	TooLarge:       {OriginUpstream, false, "Ask the target for less, or raise the limit."},
	BadEncoding:    {OriginUpstream, false, "The target's answer is encoded wrongly."},
	Malformed:      {OriginUpstream, false, "The target must answer with valid HTTP."},
	RedirectLoop:   {OriginUpstream, false, "Call the address that the redirects should end at."},
	Redirect:       {OriginTool, false, "Call the redirect's target, or set followRedirects."},
	SchemaMismatch: {OriginUpstream, false, "The result doesn't fit outputSchema; mend one of the two."},
	NoData:         {OriginUpstream, false, "The answer lacks what responseMapping names."},
	UpstreamFailed: {OriginUpstream, false, "The target answered, and says that the call failed."},

	Exception:      {OriginTool, false, "The tool's code threw; mend it, or call it with other parameters."},
	SyntaxError:    {OriginTool, false, "Mend the tool's source at the given line and column."},
	MemoryLimit:    {OriginSandbox, false, "Make the tool use less memory, or raise its limit."},
	StackOverflow:  {OriginSandbox, false, "Make the tool recurse less deeply."},
	OutputLimit:    {OriginSandbox, false, "Return less data."},
	Unserializable: {OriginTool, false, "Return what JSON can hold."},
	NeverSettles:   {OriginTool, false, "Make sure that every awaited promise is resolved or rejected."},
	SourceLimit:    {OriginTool, false, "Make the tool's source smaller."},
	ParameterLimit: {OriginCaller, false, "Pass less data."},
	InvokeLimit:    {OriginSandbox, false, "Call fewer tools, and don't let tools call each other in a circle."},
	EngineFault:    {OriginSandbox, false, "The JavaScript engine can't run this program; write it another way."},

	BadRequest:    {OriginCaller, false, "Mend the request as the message says."},
	Auth:          {OriginTool, false, "Check the credential of the tool or provider."},
	Permission:    {OriginTool, false, "The credential isn't allowed to do this."},
	NotFound:      {OriginCaller, false, "Check the identifiers in the request."},
	Conflict:      {OriginCaller, false, "Fetch the current state, then decide anew."},
	RateLimit:     {OriginUpstream, true, "Wait, then try again."},
	Quota:         {OriginUpstream, false, "The account's allowance is spent; raise it or use another provider."},
	ContextLength: {OriginCaller, false, "Shorten the input or use a model with a larger context."},
	ContentFilter: {OriginUpstream, false, "The provider's filter stopped this; change the input."},
	Refusal:       {OriginUpstream, false, "The model declined; ask differently."},
	Overloaded:    {OriginUpstream, true, "The target is overloaded; wait, then try again."},
	ModelNotFound: {OriginTool, false, "Check the model's name and that the account may use it."},
	ServerError:   {OriginUpstream, true, "The target failed on its side; try again later."},
	Empty:         {OriginUpstream, true, "The model answered nothing; try again."},

	Blocked:           {OriginTool, false, "The egress policy must allow this address before a tool can call it."},
	CallerCancelled:   {OriginCaller, false, ""},
	Shutdown:          {OriginPlatform, true, "The service is stopping; try again."},
	MissingCredential: {OriginTool, false, "Provide the credential that the definition names."},
	UnknownProvider:   {OriginTool, false, "Configure the provider, or name one that is."},
	BadExpression:     {OriginTool, false, "Mend the expression in the definition, or the parameters it reads."},
	BadDefinition:     {OriginTool, false, "Mend the definition."},
	Panic:             {OriginPlatform, false, "Report this with the execution id."},
	Unclassified:      {OriginPlatform, false, "Report this with the execution id."},
	WorkerLost:        {OriginPlatform, false, "Find out whether the tool took effect before you call it again; a tool marked idempotent is run again by itself."},
}

// Reasons returns every documented reason, sorted.
func Reasons() []Reason {
	return slices.Sorted(maps.Keys(traits))
}

// Valid reports whether r is a documented reason.
func (r Reason) Valid() bool {
	_, ok := traits[r]
	return ok
}
