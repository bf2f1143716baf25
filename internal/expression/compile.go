package expression

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// expression is the compiled inside of one placeholder.
type expression struct {
	source   string
	eval     eval
	path     *path // where the expression is nothing but a path
	constant bool  // it reads nothing, and value is what it amounts to
	value    any
}

// eval computes a value; nil is absent. An error is a [fault] or [missing].
type eval func(*run) (any, error)

// value1 evaluates e. Its error is an [*errclass.Error].
func (e *expression) value1(r *run) (v any, err error) {
	switch {
	case e.constant:
		return e.value, nil
	case e.path != nil:
		v, err = e.path.lookup(r.scope)
	default:
		v, err = e.eval(r)
	}
	if err != nil {
		return nil, outer(err, e.source)
	}
	return v, nil
}

// names are the members of env and credentials that are read.
type names struct{ env, credentials []string }

// Names returns which members of env and credentials are read, sorted; of a
// nested credential the first name only.
func (n names) Names() (env, credentials []string) { return n.env, n.credentials }

// compiler turns syntax trees into closures. expr's own compiler and virtual
// machine are left out: their operators fail on absent members, wrap integers
// silently, name Go types in their errors and bound neither strings nor the
// cost of shared nodes, so that each would have had to be replaced.
type compiler struct {
	declared         Declared
	config           *conf.Config
	env, credentials map[string]struct{}
	parameters       bool // some are read

	// Of the expression at hand:
	source  string
	offset  int
	dynamic bool
	seen    map[ast.Node]struct{}
}

func newCompiler(d Declared) *compiler {
	return &compiler{declared: d, config: parserConfig(), env: map[string]struct{}{}, credentials: map[string]struct{}{}}
}

// fork returns a compiler that notes the names of another text.
func (c *compiler) fork() *compiler {
	return &compiler{declared: c.declared, config: c.config, env: map[string]struct{}{}, credentials: map[string]struct{}{}}
}

func (c *compiler) names() names {
	return names{slices.Sorted(maps.Keys(c.env)), slices.Sorted(maps.Keys(c.credentials))}
}

// expression compiles the inside of a placeholder that begins at offset.
func (c *compiler) expression(source string, offset int) (*expression, error) {
	c.source, c.offset, c.dynamic, c.seen = source, offset, false, map[ast.Node]struct{}{}
	if strings.TrimSpace(source) == "" {
		return nil, &Error{Message: "{{ }} holds no expression", Offset: offset}
	}
	if len(source) > maxSource {
		return nil, &Error{Message: "an expression is at most 4 KiB long", Offset: offset}
	}
	node, err := c.parse(source)
	if err != nil {
		return nil, c.syntaxError(err)
	}
	op, err := c.compile(node)
	if err != nil {
		return nil, err
	}
	e := &expression{source: strings.TrimSpace(source), eval: op.eval, path: op.path}
	if op.path != nil && op.path.root != rootParameters && len(op.path.keys) == 0 {
		return nil, c.wholeRoot(node, op.path.root)
	}
	if !c.dynamic {
		v, err := op.eval(&run{scope: &Scope{}, budget: maxOutput})
		if err != nil {
			return nil, &Error{Message: err.Error(), Offset: offset}
		}
		e.constant, e.value = true, v
	}
	return e, nil
}

// parse reads source with expr's parser.
func (c *compiler) parse(source string) (node ast.Node, err error) {
	// Authors' text meets somebody else's parser: a defect there is a fault of
	// the text, not the end of the process.
	defer func() {
		if recover() != nil {
			node, err = nil, &file.Error{Message: "can't be read"}
		}
	}()
	tree, err := parser.ParseWithConfig(source, c.config)
	if err != nil {
		return nil, err
	}
	return tree.Node, nil
}

// parserConfig switches expr's own functions off: every call that we allow is
// one of ours.
func parserConfig() *conf.Config {
	config := &conf.Config{MaxNodes: maxNodes, Disabled: make(map[string]bool, len(builtin.Names)), Functions: conf.FunctionsTable{}}
	for _, name := range builtin.Names {
		config.Disabled[name] = true
	}
	for name := range functions {
		config.Functions[name] = nil // read as a call even where expr has a predicate of that name
	}
	return config
}

// operand is a compiled node; path is set where it is nothing but a path.
type operand struct {
	eval eval
	path *path
}

func (c *compiler) compile(node ast.Node) (operand, error) {
	if _, again := c.seen[node]; again {
		// The parser shares the middle of a < b < c, which would double the
		// work with each level.
		return operand{}, c.errorAt(node, "comparisons can't be chained: write a < b && b < c")
	}
	c.seen[node] = struct{}{}
	switch n := node.(type) {
	case *ast.NilNode:
		return constant(nil), nil
	case *ast.BoolNode:
		return constant(n.Value), nil
	case *ast.IntegerNode:
		return constant(int64(n.Value)), nil
	case *ast.FloatNode:
		return constant(n.Value), nil
	case *ast.StringNode:
		return constant(n.Value), nil
	case *ast.IdentifierNode:
		return c.identifier(n)
	case *ast.ChainNode:
		return c.compile(n.Node) // member access is total anyway
	case *ast.MemberNode:
		return c.member(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.ArrayNode:
		return c.array(n)
	case *ast.MapNode:
		return c.mapping(n)
	case *ast.CallNode:
		return c.call(n)
	case *ast.BuiltinNode:
		return operand{}, c.errorAt(n, fmt.Sprintf("there is no function %q: expressions have no loops", n.Name))
	case *ast.SliceNode:
		return operand{}, c.errorAt(n, "slices aren't available: use substring(text, start, end)")
	case *ast.VariableDeclaratorNode:
		return operand{}, c.errorAt(n, "variables aren't available")
	case *ast.SequenceNode:
		return operand{}, c.errorAt(n, "an expression can't be a sequence: remove the semicolon")
	case *ast.BytesNode:
		return operand{}, c.errorAt(n, "byte strings aren't available: write a plain string")
	}
	return operand{}, c.errorAt(node, "this kind of expression isn't available")
}

func constant(v any) operand {
	return operand{eval: func(*run) (any, error) { return v, nil }}
}

// value compiles a node whose whole value is used, which env and credentials
// don't have.
func (c *compiler) value(node ast.Node) (eval, error) {
	op, err := c.compile(node)
	if err != nil {
		return nil, err
	}
	if op.path != nil && op.path.root != rootParameters && len(op.path.keys) == 0 {
		return nil, c.wholeRoot(node, op.path.root)
	}
	return op.eval, nil
}

func (c *compiler) wholeRoot(node ast.Node, root string) error {
	return c.errorAt(node, fmt.Sprintf("%s can't be used as a whole: name one of its members, as in %s.NAME", root, root))
}

func (c *compiler) values(nodes []ast.Node) ([]eval, error) {
	evals := make([]eval, len(nodes))
	for i, node := range nodes {
		var err error
		if evals[i], err = c.value(node); err != nil {
			return nil, err
		}
	}
	return evals, nil
}

func (c *compiler) identifier(n *ast.IdentifierNode) (operand, error) {
	if !slices.Contains(roots, n.Value) {
		return operand{}, c.errorAt(n, c.unknownName(n.Value))
	}
	c.parameters = c.parameters || n.Value == rootParameters
	return c.at(&path{root: n.Value}), nil
}

func (c *compiler) unknownName(name string) string {
	message := fmt.Sprintf("unknown name %q: values start at parameters, env or credentials", shown(name))
	if slices.Contains(c.declared.Parameters, name) {
		return message + fmt.Sprintf(" (did you mean %q?)", rootParameters+"."+name)
	}
	if name == "null" || name == "undefined" {
		return message + ` (did you mean "nil"?)`
	}
	if hint := didYouMean(name, roots); hint != "" {
		return message + hint
	}
	return message
}

// at is the operand that reads p.
func (c *compiler) at(p *path) operand {
	c.dynamic = true
	return operand{path: p, eval: func(r *run) (any, error) { return p.lookup(r.scope) }}
}

func (c *compiler) member(n *ast.MemberNode) (operand, error) {
	of, err := c.compile(n.Node)
	if err != nil {
		return operand{}, err
	}
	key, known := constantKey(n.Property)
	if of.path != nil && known {
		p := of.path.with(key)
		return c.at(p), c.note(n, p)
	}
	if of.path != nil && of.path.root != rootParameters && len(of.path.keys) == 0 {
		return operand{}, c.errorAt(n, fmt.Sprintf("members of %s are named, not computed: write %s.NAME", of.path.root, of.path.root))
	}
	index, err := c.value(n.Property)
	if err != nil {
		return operand{}, err
	}
	return operand{eval: func(r *run) (any, error) {
		v, err := of.eval(r)
		if v == nil || err != nil {
			return nil, err
		}
		key, err := index(r)
		if err != nil {
			return nil, err
		}
		return plain(member(v, wholeNumber(key)))
	}}, nil
}

// constantKey is the key that a property node stands for, where it is constant.
func constantKey(node ast.Node) (any, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode:
		return int64(n.Value), true
	case *ast.UnaryNode:
		if i, ok := n.Node.(*ast.IntegerNode); ok && n.Operator == "-" {
			return -int64(i.Value), true
		}
	}
	return nil, false
}

// note checks the first step of a path and remembers what it reads.
func (c *compiler) note(n *ast.MemberNode, p *path) error {
	if len(p.keys) != 1 {
		return nil
	}
	name, ok := p.keys[0].(string)
	if !ok {
		return c.errorAt(n, fmt.Sprintf("members of %s have names, not numbers", p.root))
	}
	switch p.root {
	case rootEnv:
		c.env[name] = struct{}{}
	case rootCredentials:
		c.credentials[name] = struct{}{}
	default:
		if !c.declared.Open && !slices.Contains(c.declared.Parameters, name) {
			return c.errorAt(n, fmt.Sprintf("parameter %q isn't declared in the parameter schema", shown(name))+
				didYouMean(name, c.declared.Parameters))
		}
	}
	return nil
}

func (c *compiler) conditional(n *ast.ConditionalNode) (operand, error) {
	if n.Cond == n.Exp1 { // a ?: b
		return operand{}, c.errorAt(n, "?: isn't available: write a ?? b")
	}
	evals, err := c.values([]ast.Node{n.Cond, n.Exp1, n.Exp2})
	if err != nil {
		return operand{}, err
	}
	return operand{eval: func(r *run) (any, error) {
		ok, err := condition(r, evals[0])
		if err != nil {
			return nil, err
		}
		if ok {
			return evals[1](r)
		}
		return evals[2](r)
	}}, nil
}

func (c *compiler) array(n *ast.ArrayNode) (operand, error) {
	elements, err := c.values(n.Nodes)
	if err != nil {
		return operand{}, err
	}
	return operand{eval: func(r *run) (any, error) {
		all := make([]any, 0, len(elements))
		for _, element := range elements {
			v, err := element(r)
			if err != nil {
				return nil, err
			}
			if v != nil {
				all = append(all, v)
			}
		}
		return all, nil
	}}, nil
}

func (c *compiler) mapping(n *ast.MapNode) (operand, error) {
	keys, values := make([]eval, len(n.Pairs)), make([]eval, len(n.Pairs))
	for i, node := range n.Pairs {
		pair, ok := node.(*ast.PairNode)
		if !ok {
			return operand{}, c.errorAt(node, "this kind of expression isn't available")
		}
		both, err := c.values([]ast.Node{pair.Key, pair.Value})
		if err != nil {
			return operand{}, err
		}
		keys[i], values[i] = both[0], both[1]
	}
	return operand{eval: func(r *run) (any, error) {
		object := make(map[string]any, len(keys))
		for i := range keys {
			key, err := keys[i](r)
			if err != nil {
				return nil, err
			}
			v, err := values[i](r)
			if err != nil {
				return nil, err
			}
			name, ok := key.(string)
			if !ok {
				return nil, fault("the key of a map is not a string")
			}
			if v != nil {
				object[name] = v
			}
		}
		return object, nil
	}}, nil
}
