package expression

import (
	"errors"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"

	"github.com/almyty-inc/toolrun/errclass"
)

// errorAt is a fault at a node of the expression at hand.
func (c *compiler) errorAt(node ast.Node, message string) *Error {
	return &Error{Message: message, Offset: c.offset + byteOffset(c.source, node.Location().From)}
}

// byteOffset turns a position in characters into one in bytes.
func byteOffset(s string, runes int) int {
	for i := range s {
		if runes == 0 {
			return i
		}
		runes--
	}
	return len(s)
}

// The parser's messages carry the names of its token kinds.
var (
	token   = regexp.MustCompile(`\b(?:Operator|Bracket|Identifier|Number|String|Bytes)\((".*?")\)`)
	literal = regexp.MustCompile(`^(invalid \w+ literal): .*`)
)

// syntaxError is what the parser has to say, in one line and our words.
func (c *compiler) syntaxError(err error) *Error {
	var at *file.Error
	if !errors.As(err, &at) {
		return &Error{Message: "can't be read as an expression", Offset: c.offset}
	}
	offset := c.offset + byteOffset(c.source, at.From)
	message := at.Message
	switch {
	case strings.Contains(message, "exceeds maximum allowed nodes"):
		return &Error{Message: "the expression is too complex: at most 200 parts", Offset: c.offset}
	case strings.Contains(message, "EOF"), strings.Contains(message, "unexpected end"):
		return &Error{Message: "the expression ends too early", Offset: c.offset + len(c.source)}
	}
	message = token.ReplaceAllString(message, "$1")
	message = literal.ReplaceAllString(message, "$1")
	message = strings.ReplaceAll(message, "unexpected token", "unexpected")
	return &Error{Message: "syntax error: " + errclass.OneLine(message, maxQuote), Offset: offset}
}
