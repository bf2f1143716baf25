package schema

import (
	"errors"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/almyty-inc/toolrun/errclass"
)

// compileFaults words an error of the compiler.
func compileFaults(err error, doc any) []errclass.FieldError {
	var (
		invalid  *jsonschema.SchemaValidationError
		regex    *jsonschema.InvalidRegexError
		load     *jsonschema.LoadURLError
		missing  *jsonschema.JSONPointerNotFoundError
		anchor   *jsonschema.AnchorNotFoundError
		badID    *jsonschema.ParseIDError
		sameID   *jsonschema.DuplicateIDError
		sameName *jsonschema.DuplicateAnchorError
		draft    *jsonschema.UnsupportedDraftError
	)
	switch {
	case errors.As(err, &invalid):
		var validation *jsonschema.ValidationError
		if errors.As(invalid.Err, &validation) {
			base := pointerOf(invalid.URL)
			e := explainer{value: lookup(doc, tokens(base)), patterns: true}
			faults := e.faults(validation)
			for i := range faults {
				faults[i].Field = base + faults[i].Field
			}
			return tidy(faults)
		}
	case errors.As(err, &regex):
		return fault(pointerOf(regex.URL), "%s", regexFault(regex.Err))
	case errors.As(err, &load):
		return loadFault(load.URL, doc)
	case errors.As(err, &missing):
		return refFault(missing.URL, doc)
	case errors.As(err, &anchor):
		return refFault(anchor.Reference, doc)
	case errors.As(err, &badID):
		return fault(pointerOf(badID.URL), "has an $id that is not a URL")
	case errors.As(err, &sameID):
		return fault(sameID.Ptr1, "has the same $id as another part of the schema")
	case errors.As(err, &sameName):
		return fault(sameName.Ptr1, "has the same $anchor as another part of the schema")
	case errors.As(err, &draft):
		return fault("/$schema", "%s", unknownDialect)
	}
	return fault("", "can't be compiled: check its references and its $id")
}

const (
	unknownDialect = `is an unknown dialect: leave it out or use "https://json-schema.org/draft/2020-12/schema"`
	otherDocument  = `refers to another document, which is never loaded: put that schema under "$defs"`
	noTarget       = `refers to a part of the schema that doesn't exist`
)

func loadFault(target string, doc any) []errclass.FieldError {
	var faults []errclass.FieldError
	walk(doc, "", 0, func(at string, _ int, v any) bool {
		object, ok := v.(map[string]any)
		if !ok {
			return true
		}
		if dialect, ok := object["$schema"].(string); ok && sameDocument(dialect, target) {
			faults = append(faults, errclass.FieldError{Field: at + "/$schema", Message: unknownDialect})
		}
		for _, keyword := range []string{"$ref", "$dynamicRef", "$recursiveRef"} {
			if ref, ok := object[keyword].(string); ok && sameDocument(ref, target) {
				faults = append(faults, errclass.FieldError{Field: at + "/" + keyword, Message: otherDocument})
			}
		}
		return true
	})
	if faults == nil {
		return fault("", "%s", otherDocument)
	}
	return tidy(faults)
}

// sameDocument reports whether ref, relative or not, names the document target.
func sameDocument(ref, target string) bool {
	ref, _, _ = strings.Cut(ref, "#")
	target, _, _ = strings.Cut(target, "#")
	ref = strings.TrimLeft(ref, "./")
	return ref != "" && strings.HasSuffix(target, ref)
}

// refFault finds the references that end in target's fragment.
func refFault(target string, doc any) []errclass.FieldError {
	want := pointerOf(target)
	var faults []errclass.FieldError
	walk(doc, "", 0, func(at string, _ int, v any) bool {
		object, ok := v.(map[string]any)
		if !ok {
			return true
		}
		for _, keyword := range []string{"$ref", "$dynamicRef", "$recursiveRef"} {
			if ref, ok := object[keyword].(string); ok && strings.Contains(ref, "#") && pointerOf(ref) == want {
				faults = append(faults, errclass.FieldError{Field: at + "/" + keyword, Message: noTarget})
			}
		}
		return true
	})
	if faults == nil {
		return fault("", "%s", noTarget)
	}
	return tidy(faults)
}

// regexFault says why a pattern doesn't compile.
func regexFault(err error) string {
	var bad *syntax.Error
	if !errors.As(err, &bad) {
		return "must be a valid regular expression (RE2 syntax)"
	}
	lookaround := []string{"(?=", "(?!", "(?<=", "(?<!", "(?<"}
	switch {
	case slices.Contains(lookaround, bad.Expr), strings.HasPrefix(bad.Expr, "(?=") || strings.HasPrefix(bad.Expr, "(?!"),
		strings.HasPrefix(bad.Expr, "(?<=") || strings.HasPrefix(bad.Expr, "(?<!"):
		return "must be a regular expression without lookaround: " + bad.Expr + " is not in RE2's syntax"
	case bad.Code == syntax.ErrInvalidEscape && len(bad.Expr) == 2 && bad.Expr[1] >= '1' && bad.Expr[1] <= '9':
		return "must be a regular expression without back-references: " + bad.Expr + " is not in RE2's syntax"
	}
	return "must be a valid regular expression (RE2 syntax): " + bad.Code.String() + " at " + quote(bad.Expr)
}
