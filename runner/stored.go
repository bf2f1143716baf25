package runner

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/document"
	"github.com/almyty-inc/toolrun/internal/expression"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// The platform stores a tool as a row of its own columns: httpConfig,
// graphqlConfig, llmConfig or code in place of executionConfig, a type that says
// what the tool is for, and housekeeping. Such a definition is translated before
// it is checked, so that nothing behind this file knows of two forms. Faults are
// reported where the author wrote what is wrong.

// API is the linked API of a stored tool, as far as its requests depend on it.
type API struct {
	BaseURL string         `json:"baseUrl,omitempty"` // what a path without a host follows; the endpoint of a graphqlConfig that names none
	Headers map[string]any `json:"headers,omitempty"` // those that the tool doesn't set itself are added
	// Authentication stands in for the tool's authConfig. Its fields may have the
	// platform's names.
	Authentication *httptool.Auth `json:"authentication,omitempty"`
	TimeoutMs      int            `json:"timeoutMs,omitzero"` // of an httpConfig's request
}

// storedTypes are the platform's own types. They say what a tool is for; what
// runs it is told by the config that it has.
var storedTypes = []Type{"function", "action", "query", "mutation", "api", "mcp"}

// form is one way to say what a tool does, and the types that it goes with.
type form struct {
	pointer string
	types   []Type
	present func(*Definition) bool
}

var forms = []form{
	{"/executionConfig", []Type{HTTP, GraphQL, LLM}, func(d *Definition) bool { return len(d.ExecutionConfig) > 0 }},
	{"/code", []Type{JavaScript, HTTP}, func(d *Definition) bool { return d.Code != "" || d.CodeFile != "" }},
	{"/httpConfig", []Type{HTTP}, func(d *Definition) bool { return len(d.HTTPConfig) > 0 }},
	{"/graphqlConfig", []Type{GraphQL}, func(d *Definition) bool { return len(d.GraphQLConfig) > 0 }},
	{"/llmConfig", []Type{LLM}, func(d *Definition) bool { return len(d.LLMConfig) > 0 }},
}

func (f form) name() string { return strings.TrimPrefix(f.pointer, "/") }

// isStored reports whether anything of a definition is in the stored form.
func (d *Definition) isStored() bool {
	return len(d.HTTPConfig)+len(d.GraphQLConfig)+len(d.LLMConfig)+len(d.Dependencies) > 0 ||
		d.API != nil || d.ExecutionMethod != "" || slices.Contains(storedTypes, d.Type)
}

// translation is the way of one definition out of the stored form.
type translation struct {
	tool     *tool
	def      *Definition // what comes out
	declared expression.Declared
	used     map[string]bool // parameters that the texts translated so far name
}

// translate puts the definition as its author wrote it into the form that the
// rest of the package knows.
func (t *tool) translate() {
	t.def = t.written
	if !t.written.isStored() {
		return
	}
	def := *t.written
	def.HTTPConfig, def.GraphQLConfig, def.LLMConfig = nil, nil, nil
	t.def = &def
	tr := &translation{tool: t, def: &def, declared: expression.Declared{Open: true}, used: map[string]bool{}}
	if len(def.Parameters) > 0 {
		tr.declared = expression.DeclaredFrom(def.Parameters)
	}
	f, ok := tr.form()
	if !ok {
		def.Type = "" // there is nothing to compile
		return
	}
	switch f.name() {
	case "executionConfig":
		tr.refuseAPI(f)
	case "code":
		tr.refuseAPI(f)
		tr.code()
	case "httpConfig":
		tr.config(f, t.written.HTTPConfig, tr.http)
	case "graphqlConfig":
		tr.config(f, t.written.GraphQLConfig, tr.graphql)
	case "llmConfig":
		tr.refuseAPI(f)
		tr.config(f, t.written.LLMConfig, tr.llm)
	}
}

// config hands a stored config on, without what is null in it. All that comes out
// of it was written there, unless a later move says otherwise.
func (tr *translation) config(f form, raw json.RawMessage, translate func(map[string]any)) {
	v, err := strictjson.Decode(raw)
	config, ok := v.(map[string]any)
	if err != nil || !ok {
		tr.def.Type = "" // its shape was refused; there is nothing to compile
		return
	}
	maps.DeleteFunc(config, func(_ string, v any) bool { return v == nil })
	tr.moved("/executionConfig", f.pointer)
	translate(config)
}

// fault notes a fault at a pointer into the definition as it was written.
func (tr *translation) fault(pointer, format string, args ...any) {
	tr.tool.faultAt(pointer, fmt.Sprintf(format, args...))
}

// form finds what the tool is run by, or notes why that can't be told.
func (tr *translation) form() (form, bool) {
	written := tr.tool.written
	given := slices.DeleteFunc(slices.Clone(forms), func(f form) bool { return !f.present(written) })
	if len(given) == 0 {
		return form{}, tr.formless()
	}
	f := given[0]
	for _, other := range given[1:] {
		tr.fault(other.pointer, "can't stand beside %s: each of them says what the tool does, so keep the one that is meant", f.name())
	}
	foreign := slices.Contains(storedTypes, written.Type) && f.name() != "executionConfig"
	if !foreign && !slices.Contains(f.types, written.Type) {
		tr.fault("/type", "must be %s for a tool with %s", alternatives(f.types), f.name())
		return form{}, false
	}
	return f, len(given) == 1
}

// formless notes why a definition has none of the forms. A type of our own says
// by itself what it lacks.
func (tr *translation) formless() (compile bool) {
	t := tr.tool
	switch why := elsewhereMethods[t.written.ExecutionMethod]; {
	case !slices.Contains(storedTypes, t.written.Type):
		return true
	case len(t.faults) > 0: // a config of another kind, or one that can't be read
	case why != "":
		tr.fault("/executionMethod", "is %q, and %s", t.written.ExecutionMethod, why)
	default:
		tr.fault("/type", "is %q, which doesn't say what runs: give httpConfig, graphqlConfig, llmConfig or code", t.written.Type)
	}
	return false
}

func alternatives(types []Type) string {
	texts := make([]string, len(types))
	for i, one := range types {
		texts[i] = string(one)
	}
	last := len(texts) - 1
	if last == 0 {
		return texts[0]
	}
	return strings.Join(texts[:last], ", ") + " or " + texts[last]
}

// code translates a tool whose code the platform runs.
func (tr *translation) code() {
	def := tr.def
	if slices.Contains(storedTypes, def.Type) {
		def.Type = JavaScript
		tr.refuseAuth("has no use beside code: hand in what the code reads of credentials with --env-file, as credentials.NAME")
	}
	_, axios := def.Dependencies["axios"]
	if def.Type == JavaScript && (axios || def.ExecutionMethod == "http" || def.ExecutionMethod == "graphql") {
		def.Type = HTTP // with code: JavaScript that has axios
	}
	for _, name := range slices.Sorted(maps.Keys(def.Dependencies)) {
		if name != "axios" && def.CodeFile == "" {
			tr.fault(at("/dependencies", name), "can't be installed: put the code into a file (codeFile) beside a node_modules that has it")
		}
	}
}

func (tr *translation) refuseAPI(f form) {
	if tr.def.API != nil {
		tr.fault("/api", "has no use beside %s", f.name())
	}
}

// refuseAuth notes an authConfig that can't be heeded and drops one of type none.
func (tr *translation) refuseAuth(why string) {
	if auth := tr.def.AuthConfig; auth != nil && auth.Type != "none" {
		tr.fault("/authConfig", "%s", why)
	}
	tr.def.AuthConfig = nil
}

// move says where what stands at one pointer of the translated definition was
// written.
type move struct {
	from, to string
	text     bool // to is a text, which has no pointers of its own
}

// moved notes a move. A later one for the same place, or for one within it,
// counts in place of an earlier one.
func (tr *translation) moved(from, to string) {
	tr.tool.moves = append(tr.tool.moves, move{from: from, to: to})
}

// writtenAt is the pointer at which the author wrote what has a pointer in the
// translated definition, and where within a text that is.
func (t *tool) writtenAt(pointer string) (at, within string) {
	for _, m := range slices.Backward(t.moves) {
		rest, ok := strings.CutPrefix(pointer, m.from)
		if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		if m.text {
			return m.to, rest
		}
		return m.to + rest, ""
	}
	return pointer, ""
}

// elsewhereMethods say of the platform's other ways to run a tool why they aren't
// ours.
var elsewhereMethods = map[string]string{
	"soap": "SOAP tools can't run here: write an http tool that posts the envelope as a raw body",
	"grpc": "gRPC tools can't run here: call the service's HTTP gateway with an http tool",
	"sdk":  "SDK tools can't run here: call the package in code (codeFile) beside a node_modules that has it",
}

// elsewhere are the columns of a stored tool that would change how it runs, were
// they read.
var elsewhere = map[string]string{
	"/soapConfig":        elsewhereMethods["soap"],
	"/grpcConfig":        elsewhereMethods["grpc"],
	"/sdkConfig":         elsewhereMethods["sdk"],
	"/runnerConfig":      "tools of a runner can't run here: they belong to the machine that offers them",
	"/memoryConfig":      "memory tools can't run here: they belong to the platform",
	"/inputSchema":       "isn't read: write its schema as parameters",
	"/configuration/mcp": "tools of an MCP server can't run here: call that server",
}

// unrunnable are the faults of a document that asks for what only the platform
// can do.
func unrunnable(doc *document.Document) []errclass.FieldError {
	var row map[string]json.RawMessage
	var configuration struct{ MCP json.RawMessage }
	if json.Unmarshal(doc.JSON, &row) != nil {
		return nil // whatever it is, its shape was refused
	}
	_ = json.Unmarshal(row["configuration"], &configuration)
	var faults []errclass.FieldError
	for _, pointer := range slices.Sorted(maps.Keys(elsewhere)) {
		given := row[pointer[1:]]
		if pointer == "/configuration/mcp" {
			given = configuration.MCP
		}
		if len(given) > 0 && string(given) != "null" {
			faults = append(faults, locate(doc, errclass.FieldError{Field: pointer, Message: elsewhere[pointer]}))
		}
	}
	return faults
}

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

// at is the JSON pointer of what names lead to from another.
func at(pointer string, names ...string) string {
	for _, name := range names {
		pointer += "/" + pointerEscaper.Replace(name)
	}
	return pointer
}
