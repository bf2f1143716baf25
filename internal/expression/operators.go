package expression

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/expr-lang/expr/ast"
)

func (c *compiler) unary(n *ast.UnaryNode) (operand, error) {
	x, err := c.value(n.Node)
	if err != nil {
		return operand{}, err
	}
	if n.Operator == "!" || n.Operator == "not" {
		return operand{eval: func(r *run) (any, error) {
			ok, err := condition(r, x)
			return !ok, err
		}}, nil
	}
	negate := n.Operator == "-"
	return operand{eval: func(r *run) (any, error) {
		v, err := x(r)
		if v == nil || err != nil {
			return nil, err
		}
		m, err := numberOf(v)
		if err != nil {
			return nil, err
		}
		if negate {
			return arithmetic("*", m, integer(-1))
		}
		return m.value()
	}}, nil
}

func (c *compiler) binary(n *ast.BinaryNode) (operand, error) {
	switch n.Operator {
	case "..":
		return operand{}, c.errorAt(n, "ranges aren't available")
	case "matches":
		return operand{}, c.errorAt(n, "matches isn't available: use contains, startsWith or endsWith")
	}
	x, err := c.value(n.Left)
	if err != nil {
		return operand{}, err
	}
	y, err := c.value(n.Right)
	if err != nil {
		return operand{}, err
	}
	switch n.Operator {
	case "??":
		return operand{eval: fallback(x, y)}, nil
	case "&&", "and", "||", "or":
		return operand{eval: logical(x, y, n.Operator == "||" || n.Operator == "or")}, nil
	}
	op, ok := operators[n.Operator]
	if !ok {
		return operand{}, c.errorAt(n, fmt.Sprintf("the operator %s isn't available", n.Operator))
	}
	return operand{eval: func(r *run) (any, error) {
		a, err := x(r)
		if err != nil {
			return nil, err
		}
		b, err := y(r)
		if err != nil {
			return nil, err
		}
		return op(r, a, b)
	}}, nil
}

// fallback is x, or y where x is absent or reads an env or credential that is.
func fallback(x, y eval) eval {
	return func(r *run) (any, error) {
		v, err := x(r)
		var lacks missing
		if v != nil || err != nil && !errors.As(err, &lacks) {
			return v, err
		}
		return y(r)
	}
}

// condition is the truth of x; what is absent is false.
func condition(r *run, x eval) (bool, error) {
	v, err := x(r)
	if err != nil {
		return false, err
	}
	switch v := v.(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	}
	return false, fault("a condition must be true or false: compare with ==, != or use ?? for a fallback")
}

// logical is x || y where or is set, else x && y.
func logical(x, y eval, or bool) eval {
	return func(r *run) (any, error) {
		ok, err := condition(r, x)
		if err != nil {
			return nil, err
		}
		if ok == or {
			return or, nil
		}
		return condition2(condition(r, y))
	}
}

// condition2 is its arguments as an [eval] returns them.
func condition2(ok bool, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return ok, nil
}

// operators compute from two values, either of which may be absent.
var operators = map[string]func(r *run, a, b any) (any, error){
	"+":  add,
	"-":  calculate("-"),
	"*":  calculate("*"),
	"/":  calculate("/"),
	"%":  calculate("%"),
	"**": calculate("**"),
	"^":  calculate("**"),

	"==": func(_ *run, a, b any) (any, error) { return equal(a, b), nil },
	"!=": func(_ *run, a, b any) (any, error) { return !equal(a, b), nil },
	"<":  comparison(func(c int) bool { return c < 0 }),
	"<=": comparison(func(c int) bool { return c <= 0 }),
	">":  comparison(func(c int) bool { return c > 0 }),
	">=": comparison(func(c int) bool { return c >= 0 }),

	"contains":   search(strings.Contains),
	"startsWith": search(strings.HasPrefix),
	"endsWith":   search(strings.HasSuffix),
	"in":         within,
}

// add joins texts and adds numbers. With a text on one side, a number or boolean
// on the other is written as JSON writes it.
func add(r *run, a, b any) (any, error) {
	if a == nil || b == nil {
		return nil, nil
	}
	_, left := a.(string)
	_, right := b.(string)
	if !left && !right {
		return calculate("+")(r, a, b)
	}
	x, err := scalarText(a)
	if err != nil {
		return nil, err
	}
	y, err := scalarText(b)
	if err != nil {
		return nil, err
	}
	if err := r.room(len(x) + len(y)); err != nil {
		return nil, err
	}
	return r.made(x + y)
}

func calculate(operator string) func(*run, any, any) (any, error) {
	return func(_ *run, a, b any) (any, error) {
		if a == nil || b == nil {
			return nil, nil
		}
		x, err := numberOf(a)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", operator, err)
		}
		y, err := numberOf(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", operator, err)
		}
		return arithmetic(operator, x, y)
	}
}

func comparison(holds func(int) bool) func(*run, any, any) (any, error) {
	return func(_ *run, a, b any) (any, error) {
		if a == nil || b == nil {
			return false, nil
		}
		s, left := a.(string)
		t, right := b.(string)
		if left && right {
			return holds(order(s, t)), nil
		}
		x, errX := numberOf(a)
		y, errY := numberOf(b)
		if errX != nil || errY != nil {
			return nil, fault("only two numbers or two texts can be compared by size")
		}
		return holds(x.compare(y)), nil
	}
}

func search(holds func(text, part string) bool) func(*run, any, any) (any, error) {
	return func(_ *run, a, b any) (any, error) {
		if a == nil || b == nil {
			return false, nil
		}
		text, ok := a.(string)
		part, also := b.(string)
		if !ok || !also {
			return nil, fault("contains, startsWith and endsWith take two texts")
		}
		return holds(text, part), nil
	}
}

// within is membership: of a value in an array, of a name in an object.
func within(_ *run, a, b any) (any, error) {
	switch b := b.(type) {
	case nil:
		return false, nil
	case []any:
		for _, element := range b {
			if equal(a, element) {
				return true, nil
			}
		}
		return false, nil
	case map[string]any:
		name, ok := a.(string)
		_, there := b[name]
		return ok && there, nil
	}
	return nil, fault("in needs an array or object on its right: use contains for texts")
}

// equal compares by value; numbers of different kinds are equal where they are
// the same number.
func equal(a, b any) bool {
	switch x := a.(type) {
	case nil:
		return b == nil
	case string:
		y, ok := b.(string)
		return ok && x == y
	case bool:
		y, ok := b.(bool)
		return ok && x == y
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for name := range x {
			if other, ok := y[name]; !ok || !equal(x[name], other) {
				return false
			}
		}
		return true
	}
	return equalNumbers(a, b)
}

func equalNumbers(a, b any) bool {
	if s, ok := a.(json.Number); ok { // perhaps one that can't be computed with
		if t, ok := b.(json.Number); ok && s == t {
			return true
		}
	}
	x, errX := numberOf(a)
	y, errY := numberOf(b)
	return errX == nil && errY == nil && x.compare(y) == 0
}
