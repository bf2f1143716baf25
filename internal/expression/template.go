// Package expression is the small language of tool definitions: text with
// {{ }} placeholders over parameters, env and credentials.
//
// Start with [Compile] for one text or [CompileTree] for a JSON value; both
// report every fault they can see without values. A [Template] is then asked
// for its [Template.Value], which keeps the type of a text that is one whole
// placeholder, or its [Template.Text], which puts each value through an escaper
// such as [PathSegment].
//
// # The language
//
// Syntax is that of github.com/expr-lang/expr: its parser reads an expression,
// and this package evaluates the part of it that is allowed. There is member
// access, literals, operators, conditionals, ?? and calls of the functions in
// functions.go; there are no closures, ranges, variables, comments or clock.
// A literal {{ is written {{'{{'}}.
//
// Absence is total: a member that isn't there, an index out of range, a member
// of something that has none, and JSON's null are all absent, never an error.
// Absence spreads through arithmetic and calls, so that an absent optional
// parameter drops whatever was to be made of it. It ends at ??, default(x, y),
// == and !=; a condition or comparison takes it for false. Array and map
// literals leave out what is absent. Only env and credentials are different:
// what they lack is a MissingCredential error, unless ?? or default provides.
//
// # Hostile authors
//
// Expressions run in the host. Source and node count of an expression are
// capped, nothing loops but over its input, a string that a function makes is
// at most 1 MiB, and all that one evaluation makes stays within a budget of 16
// MiB. So the time an evaluation takes is bounded by the size of what it reads.
package expression

import (
	"slices"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
)

const (
	maxSource       = 4 << 10  // bytes of one expression
	maxNodes        = 200      // syntax nodes of one expression
	maxPlaceholders = 1000     // in one text
	maxString       = 1 << 20  // bytes of a string that a function or + makes
	maxOutput       = 16 << 20 // bytes that one evaluation may make in all
)

// Scope is what expressions see. A nil map is an empty one. Values are those of
// internal/strictjson; whatever is none of them fails the evaluation that
// touches it. A scope is only read.
type Scope struct {
	Parameters  map[string]any
	Env         map[string]string
	Credentials map[string]any
}

// Template is a compiled text. It is immutable and safe for concurrent use.
type Template struct {
	parts []part
	// whole is the expression of a text that is one placeholder and nothing else.
	whole *expression
	names
	parameters bool // some are read
	// constant and text hold what a text without dynamic parts amounts to.
	constant bool
	text     string
	boxed    any // text, converted once
}

// part is a piece of literal text or, where expr isn't nil, a placeholder.
type part struct {
	literal string
	expr    *expression
}

// Compile checks and compiles a text with any number of placeholders. Its error
// is an [*Error].
func Compile(src string, d Declared) (*Template, error) {
	return newCompiler(d).template(src)
}

func (c *compiler) template(src string) (*Template, error) {
	pieces, err := scan(src)
	if err != nil {
		return nil, err
	}
	t := &Template{}
	for _, p := range pieces {
		if !p.placeholder {
			t.parts = append(t.parts, part{literal: p.text})
			continue
		}
		e, err := c.expression(p.text, p.offset)
		if err != nil {
			return nil, err
		}
		t.parts = append(t.parts, part{expr: e})
	}
	if len(t.parts) == 1 {
		t.whole = t.parts[0].expr
	}
	t.names, t.parameters = c.names(), c.parameters
	return t, t.foldConstant()
}

// foldConstant precomputes the text of a template that reads nothing.
func (t *Template) foldConstant() error {
	for _, p := range t.parts {
		if p.expr != nil && (!p.expr.constant || p.expr.value == nil) {
			return nil
		}
	}
	text, _, err := t.interpolate(&run{scope: &Scope{}, budget: maxOutput}, nil)
	if err != nil {
		return &Error{Message: "the text is too long"}
	}
	t.constant, t.text, t.boxed = true, text, text
	return nil
}

// Constant returns the text of a template that reads neither parameters nor env
// nor credentials, unescaped, and whether it is one.
func (t *Template) Constant() (string, bool) { return t.text, t.constant }

// ReadsParameters reports whether a value depends on parameters.
func (t *Template) ReadsParameters() bool { return t.parameters }

// IsPath reports whether the template is one whole placeholder that holds nothing
// but a path, such as {{parameters.url}}.
func (t *Template) IsPath() bool { return t.whole != nil && t.whole.path != nil }

// Value evaluates the template. One whole placeholder keeps the type of its
// value, which may be a part of the scope and must not be changed; any other
// text is interpolated. present is false where the value, or one of the values
// that the text interpolates, is absent. An error is an [*errclass.Error].
func (t *Template) Value(s *Scope) (v any, present bool, err error) {
	if t.whole == nil && t.constant {
		return t.boxed, true, nil
	}
	if t.whole != nil && t.whole.path != nil && s != nil {
		v, err = t.whole.path.lookup(s)
		return v, err == nil && v != nil, outer(err, t.whole.source)
	}
	r := newRun(s)
	return t.value(&r)
}

func (t *Template) value(r *run) (v any, present bool, err error) {
	if t.whole != nil {
		v, err = t.whole.value1(r)
		return v, err == nil && v != nil, err
	}
	if t.constant {
		return t.boxed, true, nil
	}
	text, present, err := t.interpolate(r, nil)
	if !present {
		return nil, false, err
	}
	return text, true, nil
}

// Text evaluates the template to a text. Numbers and booleans read as JSON
// writes them, arrays and objects are compact JSON. escape, where not nil, is
// applied to each substituted value and not to the text around it; its error
// becomes the evaluation's. present is false where one of the values is absent.
// An error is an [*errclass.Error].
func (t *Template) Text(s *Scope, escape func(string) (string, error)) (text string, present bool, err error) {
	if t.constant && (escape == nil || !t.placeholders()) {
		return t.text, true, nil
	}
	r := newRun(s)
	return t.interpolate(&r, escape)
}

func (t *Template) placeholders() bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.expr != nil })
}

func (t *Template) interpolate(r *run, escape func(string) (string, error)) (string, bool, error) {
	if len(t.parts) == 1 {
		return t.parts[0].text(r, escape)
	}
	var b strings.Builder
	for _, p := range t.parts {
		text, present, err := p.text(r, escape)
		if !present {
			return "", false, err
		}
		b.WriteString(text)
	}
	return b.String(), true, nil
}

func (p part) text(r *run, escape func(string) (string, error)) (string, bool, error) {
	if p.expr == nil {
		if err := r.spend(len(p.literal)); err != nil {
			return "", false, outer(err, "")
		}
		return p.literal, true, nil
	}
	v, err := p.expr.value1(r)
	if err != nil || v == nil {
		return "", false, err
	}
	text, err := textOf(v, r.budget)
	if err != nil {
		return "", false, outer(err, p.expr.source)
	}
	if escape != nil {
		if text, err = escape(text); err != nil {
			return "", false, outer(err, p.expr.source)
		}
	}
	if err := r.spend(len(text)); err != nil {
		return "", false, outer(err, p.expr.source)
	}
	return text, true, nil
}

// run is one evaluation.
type run struct {
	scope  *Scope
	budget int // bytes that may still be made
}

func newRun(s *Scope) run {
	if s == nil {
		s = &Scope{}
	}
	return run{scope: s, budget: maxOutput}
}

// spend takes n bytes from the budget.
func (r *run) spend(n int) error {
	if n > r.budget {
		return fault("the result is too large")
	}
	r.budget -= n
	return nil
}

// made accounts for a string that a function or operator made.
func (r *run) made(s string) (any, error) {
	if err := r.room(len(s)); err != nil {
		return nil, err
	}
	return s, r.spend(len(s))
}

// room reports a string of n bytes as a fault where that is too long, before it
// is made.
func (r *run) room(n int) error {
	if n > maxString {
		return fault("a string of more than 1 MiB comes out")
	}
	return nil
}

// outer turns an error of an evaluation into what the caller gets.
func outer(err error, source string) error {
	if err == nil {
		return nil
	}
	if known, ok := err.(*errclass.Error); ok {
		return known
	}
	if missing, ok := err.(missing); ok {
		return errclass.Newf(errclass.ConfigurationError, errclass.MissingCredential, "%s is not set", string(missing))
	}
	if source == "" {
		return errclass.New(errclass.ConfigurationError, errclass.BadExpression, err.Error())
	}
	return errclass.Newf(errclass.ConfigurationError, errclass.BadExpression,
		"{{%s}}: %s", errclass.OneLine(source, maxQuote), err.Error())
}

// maxQuote bounds how much of an expression's source an error quotes, in
// characters.
const maxQuote = 120
