package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/redact"
	"github.com/almyty-inc/toolrun/internal/schema"
	"github.com/almyty-inc/toolrun/internal/strictjson"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/sandbox"
)

// checkTimeout bounds transforming and compiling one source at load.
const checkTimeout = 10 * time.Second

// tool is a definition that was checked: all that an execution needs of it.
type tool struct {
	written  *Definition // as its author wrote it
	def      *Definition // the same, translated; see stored.go
	moves    []move
	faults   []errclass.FieldError // a tool with faults never runs
	input    *schema.Schema        // nil takes any object
	output   *schema.Schema        // nil takes anything
	timeout  time.Duration         // 0: the runner's default
	inner    time.Duration         // timeout of one attempt, of executionConfig; 0: none
	run      executor
	restored bool   // its source was checked before
	version  string // of the definition, for the cache; empty for a tool without one

	env, credentials []string // names that expressions read
	literals         []string // secrets that the definition itself holds
}

// executor runs a tool's own work. What it returns counts also beside an error.
type executor func(ctx context.Context, x *execution) (output, error)

// output is what an executor brings back.
type output struct {
	value         json.RawMessage
	usage         *llmtool.Usage
	tries         []llmtool.Try
	upstream      errclass.Upstream // who answered, of an llm tool
	logs          []errclass.LogLine
	logsTruncated bool
	cached        bool // the value is that of another execution
}

// compile checks all of a definition that can be checked without running it. A
// library that panics on what a stranger wrote is a fault of that definition.
func (r *Runner) compile(def *Definition) *tool { return r.compileAs(def, false) }

func (r *Runner) compileAs(def *Definition, restored bool) (t *tool) {
	if def == nil {
		return &tool{def: &Definition{}, written: &Definition{}, faults: []errclass.FieldError{{Message: "is nil: Options.Tools must hold definitions"}}}
	}
	t = &tool{written: def, def: def, literals: literals([]*Definition{def}), restored: restored}
	if def.Configuration.Cache.Enabled {
		t.version = definitionVersion(def)
	}
	defer func() {
		if v := recover(); v != nil {
			clean := redact.New(t.literals) // the logger knows those of the beginning only
			r.log.Error("definition panicked", "tool", def.id(), "panic", clean.String(fmt.Sprint(v)), "stack", clean.String(string(debug.Stack())))
			t.faults = append(t.faults, def.fault("", "can't be checked: it breaks the checker; see the log"))
		}
	}()
	t.checkShape()
	return r.compileParts(t)
}

// compileParts compiles what can be, also where the shape has faults. Without
// a sandbox the source is not checked, without clients the provider isn't.
func (r *Runner) compileParts(t *tool) *tool {
	t.translate()
	def := t.def
	t.input = t.compileSchema("/parameters", def.Parameters)
	t.checkInput()
	t.output = t.compileSchema("/outputSchema", def.OutputSchema)
	switch def.Type {
	case JavaScript:
		r.compileJavaScript(t)
	case HTTP:
		r.compileHTTP(t)
	case GraphQL:
		r.compileGraphQL(t)
	case LLM:
		r.compileLLM(t)
	}
	t.timeout = def.timeout()
	slices.Sort(t.env)
	slices.Sort(t.credentials)
	t.env, t.credentials = slices.Compact(t.env), slices.Compact(t.credentials)
	return t
}

// fault notes one fault at a JSON pointer into the definition, at the place where
// its author wrote what stands there.
func (t *tool) fault(pointer, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	pointer, within := t.writtenAt(pointer)
	if within != "" {
		message = "at " + within + ": " + message
	}
	t.faultAt(pointer, message)
}

// faultAt notes one fault at a pointer into the definition as it was written. Where
// there is one already, or one around it, the first stands: the others follow from
// it.
func (t *tool) faultAt(pointer, message string) {
	for _, f := range t.faults {
		if rest, ok := strings.CutPrefix(pointer, f.Field); ok && f.Field != "" && (rest == "" || rest[0] == '/') {
			return
		}
	}
	t.faults = append(t.faults, t.def.fault(pointer, message))
}

// faulty reports whether there is a fault at a pointer.
func (t *tool) faulty(pointer string) bool {
	return slices.ContainsFunc(t.faults, func(f errclass.FieldError) bool { return f.Field == pointer })
}

// faultsBelow notes faults whose pointers are relative to prefix.
func (t *tool) faultsBelow(prefix string, faults []errclass.FieldError) {
	for _, f := range faults {
		t.fault(prefix+f.Field, "%s", f.Message)
	}
}

// place says where the definition stands, for a message.
func (t *tool) place() string {
	switch o := t.def.origin; {
	case o == nil:
		return "another definition"
	case o.doc == nil:
		return o.codeName
	}
	return t.def.origin.doc.Name
}

// checkShape holds a definition made in Go to the same schema as a file. What
// [Parse] read has passed it already.
func (t *tool) checkShape() {
	if t.def.origin != nil {
		return
	}
	data, err := strictjson.Marshal(t.def)
	if err != nil {
		t.fault("", "can't be written as JSON: %v", err)
		return
	}
	value, err := strictjson.Decode(data)
	if err != nil {
		t.fault("", "isn't valid JSON: %v", err)
		return
	}
	t.faultsBelow("", compiledDefinitionSchema().Validate(value))
}

func (t *tool) compileSchema(pointer string, raw json.RawMessage) *schema.Schema {
	if len(raw) == 0 {
		return nil
	}
	s, faults := schema.Compile(raw)
	t.faultsBelow(pointer, faults)
	return s
}

// checkInput refuses parameter schemas that no request could ever fulfil.
func (t *tool) checkInput() {
	if t.input == nil {
		return
	}
	if !t.input.TakesObjects() {
		t.fault("/parameters/type", `must be "object" or include it: parameters always are an object`)
	}
	t.faultsBelow("/parameters", t.input.CheckDefaults())
}

// refuse notes each field that a definition of this type has no use for.
func (t *tool) refuse(fields map[string]bool, why string) {
	for pointer, present := range fields {
		if present {
			t.fault(pointer, "%s", why)
		}
	}
}

func (r *Runner) compileJavaScript(t *tool) {
	if t.def.Code == "" && t.faulty("/codeFile") {
		return // that says why there is none
	}
	if t.def.Code == "" {
		t.fault("/code", "is required for a javascript tool (or codeFile)")
		return
	}
	source := sandbox.Source{Name: "code", Code: t.def.Code}
	if t.def.origin != nil {
		source.Name, source.Dir = t.def.origin.codeName, t.def.origin.codeDir
	}
	limits := sandbox.Limits{MemoryMB: t.def.Configuration.MemoryLimitMB}
	r.checkSource(t, source)
	t.run = func(ctx context.Context, x *execution) (output, error) {
		credentials, err := x.credentialsJSON()
		if err != nil {
			return output{}, err
		}
		job := sandbox.Job{
			Source: source, Parameters: x.parametersJSON, Credentials: credentials,
			Limits: limits, Invoke: x.invoke, Fetch: r.fetch, Axios: t.def.Type == HTTP,
			Organization: x.organization, Depth: x.depth,
		}
		if x.log != nil {
			job.Log = func(line errclass.LogLine) {
				line.Message = x.secrets.String(line.Message)
				x.log(line)
			}
		}
		result, err := r.pool.Load().Run(ctx, job)
		return output{value: result.Value, logs: result.Logs, logsTruncated: result.LogsTruncated}, err
	}
}

func (r *Runner) checkSource(t *tool, source sandbox.Source) {
	pool := r.pool.Load()
	if pool == nil || t.restored {
		return
	}
	ctx, cancel := context.WithTimeout(r.life, checkTimeout)
	defer cancel()
	err := pool.CheckFor(ctx, t.def.Organization, source)
	if err == nil {
		return
	}
	detail := errclass.Classify(err).Detail
	if line, ok := t.fileLine(detail); ok {
		t.faults = append(t.faults, errclass.FieldError{
			Field: "/code", Message: fmt.Sprintf("%s:%d: doesn't compile: %s", t.place(), line, detail)})
		return
	}
	t.fault("/code", "doesn't compile: %s", detail)
}

// fileLine is the line of the definition's file that a fault in inline code
// ("code:2:17: …") is on, where the code is a literal block.
func (t *tool) fileLine(detail string) (int, bool) {
	if t.def.origin == nil || t.def.origin.doc == nil || t.def.CodeFile != "" {
		return 0, false
	}
	start, ok := t.def.origin.doc.LineOf("/code")
	if !ok {
		return 0, false
	}
	var line int
	if _, err := fmt.Sscanf(detail, "code:%d:", &line); err != nil {
		return 0, false
	}
	return start + line - 1, true
}

func (r *Runner) compileHTTP(t *tool) {
	if t.def.Code != "" || t.def.CodeFile != "" {
		const why = "has no use beside code, which makes its requests itself"
		t.refuse(map[string]bool{"/executionConfig": len(t.def.ExecutionConfig) > 0, "/authConfig": t.def.AuthConfig != nil}, why)
		r.compileJavaScript(t)
		return
	}
	var cfg httptool.Config
	if !t.config(&cfg) {
		return
	}
	if !t.configHas("retries") {
		cfg.Retries = t.def.Configuration.Retries
	}
	compiled, faults := httptool.Compile(cfg, t.def.AuthConfig, t.def.Parameters)
	t.useHTTP(r, compiled, faults)
	t.inner = time.Duration(cfg.Timeout) * time.Millisecond
}

func (r *Runner) compileGraphQL(t *tool) {
	t.refuse(map[string]bool{"/code": t.def.Code != "", "/codeFile": t.def.CodeFile != ""}, "has no use in a graphql tool")
	var cfg httptool.GraphQLConfig
	if !t.config(&cfg) {
		return
	}
	compiled, faults := httptool.CompileGraphQL(cfg, t.def.AuthConfig, t.def.Parameters)
	t.useHTTP(r, compiled, faults)
}

func (t *tool) useHTTP(r *Runner, compiled *httptool.Tool, faults []errclass.FieldError) {
	for _, f := range faults {
		if rest, ok := strings.CutPrefix(f.Field, "/authConfig"); ok {
			t.fault("/authConfig"+rest, "%s", f.Message)
			continue
		}
		t.fault("/executionConfig"+f.Field, "%s", f.Message)
	}
	if compiled == nil {
		return
	}
	t.env, t.credentials = compiled.Names()
	t.run = func(ctx context.Context, x *execution) (output, error) {
		response, err := compiled.Run(ctx, r.carrier, httptool.Input{
			Parameters: x.parameters, Env: r.opts.Env, Credentials: x.credentials,
		})
		if err != nil {
			return output{}, err
		}
		return output{value: response.Value}, nil
	}
}

func (r *Runner) compileLLM(t *tool) {
	t.refuse(map[string]bool{"/code": t.def.Code != "", "/codeFile": t.def.CodeFile != ""}, "has no use in an llm tool")
	var cfg llmtool.Config
	if !t.config(&cfg) {
		return
	}
	if !t.configHas("retries") {
		cfg.Retries = t.def.Configuration.Retries
	}
	t.checkProviders(r, cfg)
	compiled, faults := llmtool.Compile(cfg, t.def.Parameters)
	t.faultsBelow("/executionConfig", faults)
	if compiled == nil {
		return
	}
	t.inner = time.Duration(cfg.Timeout) * time.Millisecond
	t.env, t.credentials = compiled.Names()
	for _, id := range append([]string{cfg.ProviderID}, cfg.FallbackProviderIDs...) {
		env, credentials := r.clients.Names(id)
		t.env, t.credentials = append(t.env, env...), append(t.credentials, credentials...)
	}
	t.run = func(ctx context.Context, x *execution) (output, error) {
		in := llmtool.Input{Parameters: x.parameters, Env: r.opts.Env, Credentials: x.credentials}
		if x.stream != nil {
			clean := x.secrets.get().Stream()
			in.Delta = func(text string) { x.tell(clean.Add(text)) }
			defer func() { x.tell(clean.Rest()) }()
		}
		answer, err := compiled.Run(ctx, r.clients, in)
		if answer == nil {
			return output{}, err
		}
		return output{value: answer.Value, usage: answer.Usage, tries: answer.Tries, upstream: answer.Upstream}, err
	}
}

// tell passes a piece of an answer on.
func (x *execution) tell(delta string) {
	if delta != "" {
		x.stream(delta)
	}
}

// checkProviders notes providers that aren't configured. Those that are configured
// wrongly have faults of their own.
func (t *tool) checkProviders(r *Runner, cfg llmtool.Config) {
	if r.clients == nil && len(r.opts.Providers) == 0 {
		return // nothing is known of providers; see orFaults
	}
	for i, id := range append([]string{cfg.ProviderID}, cfg.FallbackProviderIDs...) {
		if slices.ContainsFunc(r.opts.Providers, func(p llmtool.Provider) bool { return p.ID == id }) {
			continue
		}
		pointer := "/executionConfig/providerId"
		if i > 0 {
			pointer = fmt.Sprintf("/executionConfig/fallbackProviderIds/%d", i-1)
		}
		t.fault(pointer, "Provider not found: %q (configured: %s)", id, providerIDs(r.opts.Providers))
	}
}

func providerIDs(providers []llmtool.Provider) string {
	if len(providers) == 0 {
		return "none; give a providers file"
	}
	ids := make([]string, len(providers))
	for i, p := range providers {
		ids[i] = p.ID
	}
	return strings.Join(ids, ", ")
}

// config decodes executionConfig and reports whether there is a usable one.
func (t *tool) config(into any) bool {
	if len(t.def.ExecutionConfig) == 0 {
		t.fault("/executionConfig", "is required for a tool of type %s", t.def.Type)
		return false
	}
	err := strictjson.Unmarshal(t.def.ExecutionConfig, into)
	if err == nil {
		return true
	}
	pointer := "/executionConfig"
	var wrong *strictjson.SyntaxError
	if errors.As(err, &wrong) {
		pointer += wrong.Pointer
	}
	t.fault(pointer, "%v", err)
	_ = json.Unmarshal(t.def.ExecutionConfig, into) // lenient, to find more faults; this tool never runs
	return true
}

// configHas reports whether executionConfig says anything about a key.
func (t *tool) configHas(key string) bool {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(t.def.ExecutionConfig, &keys); err != nil {
		return false
	}
	_, ok := keys[key]
	return ok
}
