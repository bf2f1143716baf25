// Package openapi makes tool definitions of API descriptions: OpenAPI 3.x and
// Swagger 2.0, in JSON or YAML, one "http" tool an operation.
//
// Start with [Import]. It reads nothing but the bytes it is given: a $ref into
// another document is never followed. Whatever can't be imported is in the
// result, with its place and the reason: nothing is dropped silently.
//
// Descriptions come from strangers. Their text is data in a definition, never an
// expression, and the work on one is bounded by its size.
package openapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

const (
	// MaxBytes bounds a description.
	MaxBytes = 64 << 20
	// MaxOperations bounds the operations in one.
	MaxOperations = 20_000
)

// Options says what to import. The zero value takes all operations, each with
// the first server that its description gives.
type Options struct {
	// Server is the base URL of all operations, in place of the servers that the
	// description names. It may be an expression: {{env.API_URL}}.
	Server string
	// Tags are those of which an operation must have one; empty takes all.
	Tags []string
	// Include are patterns of which one must match an operation's name, its
	// operationId or its path; empty takes all. A * stands for any text, a ? for
	// one character.
	Include []string
}

// Result is what became of a description.
type Result struct {
	Operations int // in the description
	Skipped    int // those that Options didn't ask for
	Tools      []Tool
	LeftOut    []Remark // operations that didn't become tools
	Remarks    []Remark // what tools can't do that their operations can, or do otherwise
	Secrets    []Secret
}

// Tool is an operation that became a definition.
type Tool struct {
	Name       string // unique in the result, whatever the case of its letters
	Operation  string // "GET /pets/{id}"
	Place      string // JSON pointer into the description, as a fragment
	Definition json.RawMessage
}

// Remark is something to know about an operation or a part of the description.
type Remark struct {
	Operation string // "GET /pets/{id}"; empty for what concerns the whole
	Place     string // JSON pointer into the description, as a fragment
	Text      string
}

// Secret is a member of env that tools read.
type Secret struct {
	Name    string   // of the environment variable
	Use     string   // what to put there
	Servers []string // URLs that it is sent to: the API's, or of OAuth2's client the token endpoint
}

// Import reads a description. Its error says why it can't be read at all, or is
// the context's: between operations it looks whether that has ended.
func Import(ctx context.Context, data []byte, opts Options) (result *Result, err error) {
	defer func() {
		if v := recover(); v != nil { // a defect of ours or the YAML parser's
			result, err = nil, fmt.Errorf("the description can't be read: %v", v)
		}
	}()
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("the description has more than %d MiB", MaxBytes>>20)
	}
	root, err := read(data)
	if err != nil {
		return nil, err
	}
	doc, err := open(root)
	if err != nil {
		return nil, err
	}
	if err := checkServer(opts.Server); err != nil {
		return nil, err
	}
	im := &importer{
		doc: doc, opts: opts, include: patterns(opts.Include), schemas: newSchemas(doc),
		names: taken{"providers": 1}, secrets: map[string]*Secret{}, result: &Result{}, said: map[Remark]bool{},
	}
	if err := im.run(ctx); err != nil {
		return nil, err
	}
	return im.result, nil
}

// open checks what kind of description it is.
func open(root any) (*document, error) {
	object, ok := root.(map[string]any)
	if !ok {
		return nil, errors.New("the description is not an object")
	}
	doc := &document{root: object}
	version := text(object["openapi"])
	switch {
	case strings.HasPrefix(version, "3."):
	case version == "" && strings.HasPrefix(text(object["swagger"]), "2"):
		doc.fromSwagger()
	case version == "" && object["swagger"] == nil:
		return nil, errors.New(`this is no API description: it has no member "openapi"`)
	default:
		return nil, fmt.Errorf("OpenAPI %s%s is not supported: 3.x and Swagger 2.0 are", version, text(object["swagger"]))
	}
	return doc, nil
}

// checkServer takes an absolute URL, or an expression for one.
func checkServer(server string) error {
	if server == "" || strings.HasPrefix(server, "{{") {
		return nil
	}
	if u, err := url.Parse(server); err != nil || !absolute(u) {
		return fmt.Errorf("the server %q is not a URL such as https://api.example.com/v1", server)
	}
	return nil
}

// importer is one run of [Import].
type importer struct {
	doc     *document
	opts    Options
	include []glob
	schemas *schemas
	names   taken
	secrets map[string]*Secret
	result  *Result
	said    map[Remark]bool
}

// methods are the members of a path item that are operations, in our order.
var methods = []string{"get", "head", "options", "query", "post", "put", "patch", "delete", "trace"}

func (im *importer) run(ctx context.Context) error {
	if hooks := len(object(im.doc.root["webhooks"])); hooks > 0 {
		im.remark(Remark{"", "#/webhooks", fmt.Sprintf("webhooks (%d) are not imported: they are requests that the API sends", hooks)})
	}
	paths := object(im.doc.root["paths"])
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if strings.HasPrefix(path, "x-") {
			continue
		}
		if err := im.pathItem(ctx, path, paths[path]); err != nil {
			return err
		}
	}
	im.finish()
	return nil
}

// pathItem imports the operations of a path.
func (im *importer) pathItem(ctx context.Context, path string, v any) error {
	place := "#/paths/" + escape(path)
	value, at, err := im.doc.resolve(v, place)
	item, ok := value.(map[string]any)
	if err == nil && !ok {
		err = errors.New("is not an object")
	}
	if err != nil {
		im.leaveOut(Remark{path, place, "the path's item " + err.Error()})
		return nil
	}
	for _, o := range operations(item, at) {
		im.operation(path, item, at, o)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case im.result.Operations > MaxOperations:
			return fmt.Errorf("the description has more than %d operations", MaxOperations)
		case im.schemas.budget < 0:
			return errors.New("the description's references multiply its size beyond what can be imported")
		}
	}
	return nil
}

// operation is one of a path item.
type operation struct {
	method string // as it stands there
	source any
	place  string
}

// operations are those of a path item, also the ones that OpenAPI 3.2 has for
// methods of any name.
func operations(item map[string]any, place string) []operation {
	var all []operation
	for _, method := range methods {
		if source, ok := item[method]; ok {
			all = append(all, operation{method, source, place + "/" + method})
		}
	}
	others := object(item["additionalOperations"])
	for _, method := range slices.Sorted(maps.Keys(others)) {
		all = append(all, operation{method, others[method], place + "/additionalOperations/" + escape(method)})
	}
	return all
}

// finish sorts what was gathered.
func (im *importer) finish() {
	for _, name := range slices.Sorted(maps.Keys(im.secrets)) {
		s := im.secrets[name]
		slices.Sort(s.Servers)
		s.Servers = slices.Compact(s.Servers)
		im.result.Secrets = append(im.result.Secrets, *s)
	}
}

// operation makes a tool of one operation, or notes why not. at is the place of
// its path item.
func (im *importer) operation(path string, item map[string]any, at string, o operation) {
	im.result.Operations++
	method := strings.ToUpper(o.method)
	label, place := method+" "+path, o.place
	source, ok := o.source.(map[string]any)
	if !ok {
		im.leaveOut(Remark{label, place, "the operation is not an object"})
		return
	}
	name := toolName(text(source["operationId"]), o.method, path)
	if !im.wanted(name, path, source) {
		im.result.Skipped++
		return
	}
	b := &builder{
		im: im, label: label, place: place, itemPlace: at, path: path, method: method, item: item, op: source,
		properties: map[string]any{}, headers: map[string]any{}, query: map[string]any{},
		root: &definition{}, servers: map[string]bool{}, given: map[string]any{},
	}
	definition, err := b.build()
	if err != nil {
		var out *leftOut
		if !errors.As(err, &out) {
			out = &leftOut{place, err.Error()}
		}
		im.leaveOut(Remark{label, out.place, out.why})
		return
	}
	definition.Name = im.uniqueName(name)
	for _, r := range b.remarks {
		im.remark(r)
	}
	im.note(b.secrets)
	raw, err := strictjson.Marshal(definition)
	if err != nil {
		im.leaveOut(Remark{label, place, "can't be written as JSON: " + err.Error()})
		return
	}
	im.result.Tools = append(im.result.Tools, Tool{definition.Name, label, place, raw})
}

// leftOut is why an operation can't be imported.
type leftOut struct{ place, why string }

func (e *leftOut) Error() string { return e.why }

func (im *importer) leaveOut(r Remark) { im.result.LeftOut = append(im.result.LeftOut, r) }

// remark notes something once, also where many operations share its place.
func (im *importer) remark(r Remark) {
	key := Remark{"", r.Place, r.Text}
	if !im.said[key] {
		im.said[key] = true
		im.result.Remarks = append(im.result.Remarks, r)
	}
}

func (im *importer) note(secrets []Secret) {
	for _, s := range secrets {
		if known := im.secrets[s.Name]; known != nil {
			known.Servers = append(known.Servers, s.Servers...)
			continue
		}
		im.secrets[s.Name] = &s
	}
}
