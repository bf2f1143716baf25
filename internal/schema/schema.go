// Package schema checks JSON values against JSON Schema (2020-12 unless
// "$schema" says otherwise) and words what is wrong for the one who sent the
// value: every fault at once, each with the pointer of the value to change, none
// quoting the value that was refused.
//
// Start with [Compile]; then [Schema.WithDefaults], [Schema.Validate] and
// [Message].
//
// Schemas and values both come from strangers. A schema never loads another
// document, patterns are RE2 (linear time), and a check that would cost far more
// than its value is long is refused before it starts.
package schema

import (
	"errors"
	"fmt"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

const (
	// MaxBytes bounds the source of a schema.
	MaxBytes = 256 << 10
	// MaxDepth bounds how deeply a schema's source nests.
	MaxDepth = 100
	// MaxSchemas bounds the objects and booleans in a schema's source, each of
	// which may be a schema: the compiler's time grows with their square.
	MaxSchemas = 5000
)

// location is where schemas seem to come from. It never leaves the package:
// pointers are reported without it, and nothing is loaded from there.
const location = "toolrun:///schema.json"

// Schema is a compiled schema. It is safe for concurrent use.
type Schema struct {
	root *jsonschema.Schema
	// all is every schema that root can reach, by its location.
	all map[string]*jsonschema.Schema
	// anchors are the schemas that a $dynamicRef may end at, by anchor.
	anchors map[string][]*jsonschema.Schema
	// simple schemas look at each part of a value once, at a small price.
	simple bool
	// defaults says that there are any.
	defaults bool
}

// Compile reads a schema. The faults' pointers lead into the schema. Formats are
// asserted; a $ref leads only to the schema's own parts and to the metaschemas
// of json-schema.org, which are built in.
func Compile(raw []byte) (*Schema, []errclass.FieldError) {
	if len(raw) > MaxBytes {
		return nil, fault("", "is a schema of more than %d KiB: make it smaller", MaxBytes>>10)
	}
	doc, err := strictjson.Decode(raw)
	if err != nil {
		var syntax *strictjson.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fault(syntax.Pointer, "is not valid JSON: %s", syntax.Message)
		}
		return nil, fault("", "is not valid JSON")
	}
	if faults := checkSource(doc); faults != nil {
		return nil, faults
	}
	return compile(doc)
}

func compile(doc any) (s *Schema, faults []errclass.FieldError) {
	defer func() {
		// The compiler is foreign and so is the schema: a panic of the one on
		// the other refuses the schema.
		if recover() != nil {
			s, faults = nil, fault("", "can't be compiled: simplify the schema")
		}
	}()
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(denyLoader{})
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	if err := compiler.AddResource(location, doc); err != nil {
		return nil, compileFaults(err, doc)
	}
	root, err := compiler.Compile(location)
	if err != nil {
		return nil, compileFaults(err, doc)
	}
	s = &Schema{root: root, all: map[string]*jsonschema.Schema{}, anchors: map[string][]*jsonschema.Schema{}}
	s.collect(root)
	for _, pointer := range dynamicAnchors(doc) {
		// These may be reached at run time only.
		target, err := compiler.Compile(location + "#" + fragment(pointer))
		if err != nil {
			return nil, compileFaults(err, doc)
		}
		s.collect(target)
	}
	s.simple = s.isSimple()
	for _, one := range s.all {
		s.defaults = s.defaults || one.Default != nil
	}
	if faults := s.circles(); faults != nil {
		return nil, faults
	}
	return s, nil
}

// Validate returns what is wrong with a value of [strictjson.Decode], sorted by
// pointer, at most 50 faults; nil if nothing is.
func (s *Schema) Validate(v any) (faults []errclass.FieldError) {
	if faults := s.tooExpensive(v); faults != nil {
		return faults
	}
	defer func() {
		if recover() != nil { // fail closed
			faults = fault("", "can't be checked against its schema")
		}
	}()
	err := s.root.Validate(v)
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return fault("", "can't be checked against its schema")
	}
	e := explainer{schemas: s.all, value: v}
	return tidy(e.faults(invalid))
}

func fault(pointer, format string, args ...any) []errclass.FieldError {
	return []errclass.FieldError{{Field: pointer, Message: fmt.Sprintf(format, args...)}}
}

// denyLoader loads nothing: the compiler's own loader reads local files and
// quotes them in its errors.
type denyLoader struct{}

var errDenied = errors.New("not loaded")

func (denyLoader) Load(string) (any, error) { return nil, errDenied }
