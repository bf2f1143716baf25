package openapi

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/almyty-inc/toolrun/internal/schema"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// maxLevels bounds how deeply a schema's text nests within one component, below
// what internal/schema takes.
const maxLevels = 80

// schemas turns the schemas of a description into JSON Schema 2020-12. Each
// component is converted once, whatever number of operations use it.
type schemas struct {
	doc    *document
	known  map[string]*definition // by place
	names  taken                  // of $defs, all operations together
	queue  []*definition
	budget int // parts that may still be converted or gathered
}

func newSchemas(doc *document) *schemas {
	return &schemas{doc: doc, known: map[string]*definition{}, names: taken{}, budget: 50_000_000}
}

// definition is a converted schema: one of $defs, or the parameters of an
// operation.
type definition struct {
	name    string // in $defs
	place   string
	source  any
	schema  any
	refs    []*definition
	remarks []Remark
	bytes   int // of the schema's text
	parts   int // objects and booleans in it
}

// define returns the definition for what stands at a place.
func (s *schemas) define(source any, place string) *definition {
	if known := s.known[place]; known != nil {
		return known
	}
	d := &definition{name: s.uniqueName(place), place: place, source: source}
	s.known[place] = d
	s.queue = append(s.queue, d)
	return d
}

// settle converts what was referred to. Each may refer to more.
func (s *schemas) settle() {
	for len(s.queue) > 0 && s.budget >= 0 {
		d := s.queue[0]
		s.queue = s.queue[1:]
		d.schema = s.convert(d, d.source, d.place, 0)
		d.measure()
	}
}

func (d *definition) measure() {
	text, err := strictjson.Marshal(d.schema)
	if err != nil { // no description has it
		text = nil
	}
	d.bytes, d.parts = len(text)+len(d.name)+4, parts(d.schema)
}

// parts counts as internal/schema does.
func parts(v any) int {
	n := 0
	switch v := v.(type) {
	case bool:
		return 1
	case map[string]any:
		n = 1
		for _, member := range v {
			n += parts(member)
		}
	case []any:
		for _, element := range v {
			n += parts(element)
		}
	}
	return n
}

var notInDef = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// uniqueName names a definition after the last part of its place.
func (s *schemas) uniqueName(place string) string {
	last := place[strings.LastIndexByte(place, '/')+1:]
	name := notInDef.ReplaceAllString(unescaper.Replace(last), "_")
	if name == "" || name == "_" {
		name = "schema"
	}
	name = name[:min(len(name), 100)]
	return s.names.unique(name, func(n int) string { return name + "_" + strconv.Itoa(n) })
}

// The keywords whose values are schemas.
var (
	schemaKeywords = []string{"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedItems", "unevaluatedProperties"}
	listKeywords   = []string{"allOf", "anyOf", "oneOf", "prefixItems"}
	mapKeywords    = []string{"patternProperties", "dependentSchemas"}
)

// convert returns the schema at a place as 2020-12 has it. d gets the references
// and the remarks.
func (s *schemas) convert(d *definition, v any, place string, level int) any {
	s.budget--
	if b, ok := v.(bool); ok {
		return b
	}
	source, ok := v.(map[string]any)
	if !ok {
		d.remark(place, "is no schema: any value is taken")
		return map[string]any{}
	}
	if level > maxLevels || s.budget < 0 {
		d.remark(place, "is nested too deeply: any value is taken")
		return map[string]any{}
	}
	out := map[string]any{}
	s.refer(d, source, place, out)
	s.copyKeywords(d, source, place, out)
	s.convertParts(d, source, place, level+1, out)
	annotate(source, out)
	return nullable(source, out)
}

// refer converts $ref.
func (s *schemas) refer(d *definition, source map[string]any, place string, out map[string]any) {
	ref, ok := source["$ref"].(string)
	if !ok {
		return
	}
	target, at, err := s.doc.lookup(ref)
	if err != nil {
		d.remark(place, err.Error()+": any value is taken")
		return
	}
	next := s.define(target, at)
	d.refs = append(d.refs, next)
	out["$ref"] = "#/$defs/" + next.name
}

func (s *schemas) copyKeywords(d *definition, source map[string]any, place string, out map[string]any) {
	for _, k := range plainKeywords {
		v, set := source[k.name]
		if !set {
			continue
		}
		if why := k.fault(v); why != "" {
			d.remark(place+"/"+k.name, why+" and is left out")
			continue
		}
		out[k.name] = v
	}
	for _, name := range []string{"$dynamicRef", "$recursiveRef"} {
		if _, set := source[name]; set {
			d.remark(place+"/"+name, "is not supported and is left out: any value is taken there")
		}
	}
	exclusive(out, source, "exclusiveMinimum", "minimum")
	exclusive(out, source, "exclusiveMaximum", "maximum")
}

// exclusive turns the boolean of OpenAPI 3.0 into the bound of 2020-12.
func exclusive(out, source map[string]any, name, bound string) {
	switch v := source[name].(type) {
	case bool:
		if limit, set := out[bound]; set && v {
			out[name] = limit
			delete(out, bound)
		}
	default:
		if isNumber(v) {
			out[name] = v
		}
	}
}

func (s *schemas) convertParts(d *definition, source map[string]any, place string, level int, out map[string]any) {
	for _, name := range schemaKeywords {
		if v, set := source[name]; set {
			out[name] = s.convert(d, v, place+"/"+name, level)
		}
	}
	for _, name := range listKeywords {
		elements := list(source[name])
		if len(elements) == 0 {
			continue
		}
		converted := make([]any, len(elements))
		for i, element := range elements {
			converted[i] = s.convert(d, element, place+"/"+name+"/"+strconv.Itoa(i), level)
		}
		out[name] = converted
	}
	for _, name := range mapKeywords {
		members := object(source[name])
		converted := make(map[string]any, len(members))
		for _, key := range slices.Sorted(maps.Keys(members)) {
			at := place + "/" + name + "/" + escape(key)
			if name == "patternProperties" && isPattern(key) != "" {
				d.remark(at, isPattern(key)+" and is left out")
				continue
			}
			converted[key] = s.convert(d, members[key], at, level)
		}
		if len(converted) > 0 {
			out[name] = converted
		}
	}
	s.convertProperties(d, source, place, level, out)
}

// convertProperties leaves out what is read-only: OpenAPI has it in answers only,
// and has its being required count there only.
func (s *schemas) convertProperties(d *definition, source map[string]any, place string, level int, out map[string]any) {
	members, ok := source["properties"].(map[string]any)
	if !ok {
		return
	}
	converted := make(map[string]any, len(members))
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if !s.readOnly(members[name]) {
			converted[name] = s.convert(d, members[name], place+"/properties/"+escape(name), level)
		}
	}
	out["properties"] = converted
	required := slices.DeleteFunc(slices.Clone(list(out["required"])), func(name any) bool {
		_, described := members[text(name)]
		_, kept := converted[text(name)]
		return described && !kept
	})
	delete(out, "required")
	if len(required) > 0 {
		out["required"] = required
	}
}

func (s *schemas) readOnly(v any) bool {
	target, _, err := s.doc.resolve(v, "")
	return object(v)["readOnly"] == true || err == nil && object(target)["readOnly"] == true
}

// maxNote bounds a description within a schema, in characters, and maxShown an
// example or default, in bytes.
const (
	maxNote  = 1000
	maxShown = 200
)

// annotate adds what readers of a schema need. A default is told, never applied:
// the API applies it where a value is missing, while one that a tool sent would,
// in a PATCH, overwrite what the caller didn't mean to touch.
func annotate(source, out map[string]any) {
	if note := join(note(source["description"]), defaultNote(source)); note != "" {
		out["description"] = note
	}
	examples := list(source["examples"])
	if example, set := source["example"]; set {
		examples = []any{example}
	}
	var kept []any
	for _, example := range examples {
		if short(example, maxShown) && len(kept) < 3 {
			kept = append(kept, example)
		}
	}
	if len(kept) > 0 {
		out["examples"] = kept
	}
}

// defaultNote tells a schema's default; "" where there is none or a long one.
func defaultNote(source map[string]any) string {
	v := source["default"]
	if !short(v, maxShown) {
		return ""
	}
	written, err := strictjson.Marshal(v)
	if err != nil {
		return ""
	}
	return "Default: " + string(written) + "."
}

// keepDefault makes the default of a parameter that the API requires one that
// toolrun fills in, and reports whether there is one.
func keepDefault(converted map[string]any, v any) bool {
	if _, isReference := converted["$ref"]; isReference || v == nil {
		return false
	}
	source, err := strictjson.Marshal(converted)
	if err != nil {
		return false
	}
	compiled, faults := schema.Compile(source)
	if faults != nil || compiled.Validate(v) != nil {
		return false
	}
	converted["default"] = v
	return true
}

// note is a description as it is kept.
func note(v any) string { return cut(strings.TrimSpace(text(v)), maxNote) }

// join puts a sentence after a text.
func join(text, sentence string) string {
	if text == "" || sentence == "" {
		return text + sentence
	}
	return text + " " + sentence
}

// nullable adds null to what OpenAPI 3.0 calls nullable.
func nullable(source, out map[string]any) any {
	if source["nullable"] != true && source["x-nullable"] != true {
		return out
	}
	if kinds, ok := out["type"]; ok {
		if kind, ok := kinds.(string); ok && kind != "null" {
			out["type"] = []any{kind, "null"}
		}
		if values, ok := out["enum"].([]any); ok && !slices.Contains(values, nil) {
			out["enum"] = append(slices.Clone(values), nil)
		}
		return out
	}
	if !slices.ContainsFunc([]string{"$ref", "allOf", "anyOf", "oneOf", "enum"}, func(name string) bool { return out[name] != nil }) {
		return out // it takes null already
	}
	either := map[string]any{}
	for _, name := range []string{"description", "title", "examples", "deprecated"} {
		if v, set := out[name]; set {
			either[name] = v
			delete(out, name)
		}
	}
	either["anyOf"] = []any{out, map[string]any{"type": "null"}}
	return either
}

// remark says something of what stands at a place, which its text begins with.
func (d *definition) remark(place, text string) {
	name := unescaper.Replace(place[strings.LastIndexByte(place, '/')+1:])
	d.remarks = append(d.remarks, Remark{"", place, fmt.Sprintf("%q %s", cut(name, 100), text)})
}
