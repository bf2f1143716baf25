package openapi

import (
	"regexp"
	"slices"
	"strings"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// reach is the expression for a member of what another expression reaches.
func reach(of, name string) string {
	if identifier.MatchString(name) && !slices.Contains(words, name) {
		return of + "." + name
	}
	return of + "[" + quote(name) + "]"
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// words mean something to the expression language.
var words = []string{"and", "contains", "else", "endsWith", "false", "if", "in", "let", "matches", "nil", "not", "or", "startsWith", "true"}

// quote writes a text as a literal of the expression language.
func quote(s string) string {
	literal, err := strictjson.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(literal)
}

// placeholder puts an expression into a text.
func placeholder(expression string) string { return "{{" + expression + "}}" }

// literal makes a text of the description stand for itself, whatever it holds.
func literal(s string) string { return strings.ReplaceAll(s, "{{", "{{'{{'}}") }
