package expression

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// Tree is a compiled JSON value. It is immutable and safe for concurrent use.
type Tree struct {
	root node
	names
}

// node is one value of a tree; exactly one field is set.
type node struct {
	constant any // nothing beneath is a placeholder
	template *Template
	members  []memberNode
	elements []node
	kind     kind
}

type kind byte

const (
	kindConstant kind = iota
	kindTemplate
	kindObject
	kindArray
)

type memberNode struct {
	name string
	node
}

// CompileTree compiles a JSON value as internal/strictjson decodes it. Each
// string in it may hold placeholders; names of members are literal. It returns
// all faults, each with a JSON pointer into v, and a nil tree where there are
// any. v must not be changed afterwards.
func CompileTree(v any, d Declared) (*Tree, []errclass.FieldError) {
	b := &treeCompiler{compiler: newCompiler(d)}
	root := b.compile(v, "", 0)
	if len(b.faults) > 0 {
		return nil, b.faults
	}
	return &Tree{root: root, names: b.compiler.names()}, nil
}

type treeCompiler struct {
	compiler *compiler // its names are those of the whole tree
	faults   []errclass.FieldError
}

func (b *treeCompiler) compile(v any, pointer string, depth int) node {
	if depth > strictjson.MaxDepth {
		b.faults = append(b.faults, errclass.FieldError{Field: pointer, Message: "is nested too deeply"})
		return node{}
	}
	switch v := v.(type) {
	case string:
		return b.text(v, pointer)
	case []any:
		n := node{kind: kindArray}
		constant := true
		for i, element := range v {
			child := b.compile(element, pointer+"/"+strconv.Itoa(i), depth+1)
			constant = constant && child.kind == kindConstant
			n.elements = append(n.elements, child)
		}
		if !constant {
			return n
		}
		values := make([]any, len(n.elements))
		for i, child := range n.elements {
			values[i] = child.constant
		}
		return node{constant: values}
	case map[string]any:
		n := node{kind: kindObject}
		constant := true
		for _, name := range slices.Sorted(maps.Keys(v)) {
			child := b.compile(v[name], pointer+"/"+escapePointer(name), depth+1)
			constant = constant && child.kind == kindConstant
			n.members = append(n.members, memberNode{name, child})
		}
		if !constant {
			return n
		}
		values := make(map[string]any, len(n.members))
		for _, m := range n.members {
			values[m.name] = m.constant
		}
		return node{constant: values}
	}
	return node{constant: v}
}

func (b *treeCompiler) text(s, pointer string) node {
	t, err := b.compiler.fork().template(s)
	if err != nil {
		b.faults = append(b.faults, errclass.FieldError{Field: pointer, Message: err.Error()})
		return node{}
	}
	for _, name := range t.env {
		b.compiler.env[name] = struct{}{}
	}
	for _, name := range t.credentials {
		b.compiler.credentials[name] = struct{}{}
	}
	if t.constant && t.whole == nil {
		return node{constant: t.text}
	}
	return node{kind: kindTemplate, template: t}
}

func escapePointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// Value evaluates the tree. Members and elements whose value is absent are left
// out; a null that the tree itself holds stays. Parts of the result may belong
// to the scope or the tree, so it must not be changed. present is false where
// the tree is one placeholder and that is absent. An error is an
// [*errclass.Error].
func (t *Tree) Value(s *Scope) (v any, present bool, err error) {
	r := newRun(s)
	return t.root.value(&r)
}

func (n *node) value(r *run) (any, bool, error) {
	switch n.kind {
	case kindTemplate:
		return n.template.value(r)
	case kindObject:
		object := make(map[string]any, len(n.members))
		for i := range n.members {
			m := &n.members[i]
			v, present, err := m.value(r)
			if err != nil {
				return nil, false, err
			}
			if present {
				object[m.name] = v
			}
		}
		return object, true, nil
	case kindArray:
		array := make([]any, 0, len(n.elements))
		for i := range n.elements {
			v, present, err := n.elements[i].value(r)
			if err != nil {
				return nil, false, err
			}
			if present {
				array = append(array, v)
			}
		}
		return array, true, nil
	}
	return n.constant, true, nil
}
