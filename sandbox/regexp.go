package sandbox

import (
	"reflect"
	"strings"

	"github.com/dop251/goja/ast"
)

// noPropertyEscapes refuses what goja takes for the letters p{L} without a word.
const noPropertyEscapes = `regular expressions can't use \p{…} yet; list the characters or ranges instead`

// propertyEscape reports whether a regular expression has a property escape: only
// these flags make it one.
func propertyEscape(pattern, flags string) bool {
	if !strings.ContainsAny(flags, "uv") {
		return false
	}
	for i := 0; i+2 < len(pattern); i++ {
		if pattern[i] != '\\' {
			continue
		}
		i++
		if (pattern[i] == 'p' || pattern[i] == 'P') && pattern[i+1] == '{' {
			return true
		}
	}
	return false
}

func mentionsProperties(source string) bool {
	return strings.Contains(source, `\p{`) || strings.Contains(source, `\P{`)
}

// refuseProperties finds the first literal with a property escape.
func (p *program) refuseProperties(tree *ast.Program) *syntaxFault {
	if !mentionsProperties(p.generated) {
		return nil
	}
	first := -1
	found := func(index int) {
		if first < 0 || index < first {
			first = index
		}
	}
	walk(tree.Body, func(node any) {
		switch node := node.(type) {
		case *ast.RegExpLiteral:
			if propertyEscape(node.Pattern, node.Flags) {
				found(int(node.Idx))
			}
		case *ast.NewExpression: // esbuild's form of a literal with the v flag
			callee, _ := node.Callee.(*ast.Identifier)
			if callee == nil || callee.Name != "RegExp" || len(node.ArgumentList) != 2 {
				return
			}
			pattern, _ := node.ArgumentList[0].(*ast.StringLiteral)
			flags, _ := node.ArgumentList[1].(*ast.StringLiteral)
			if pattern != nil && flags != nil && strings.Contains(flags.Value.String(), "v") &&
				propertyEscape(pattern.Value.String(), "v") {
				found(int(node.New))
			}
		}
	})
	if first < 0 {
		return nil
	}
	at := tree.File.Position(first - tree.File.Base())
	return p.fault(noPropertyEscapes, at.Line, at.Column)
}

var astPackage = reflect.TypeFor[ast.Program]().PkgPath()

// walk visits every node beneath a root once. It doesn't recurse: trees may be
// deep. Functions list the declarations that their bodies hold again, so nodes
// must be known.
func walk(root any, visit func(node any)) {
	known := map[any]struct{}{}
	for todo := []reflect.Value{reflect.ValueOf(root)}; len(todo) > 0; {
		v := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		switch v.Kind() {
		case reflect.Interface:
			if !v.IsNil() {
				todo = append(todo, v.Elem())
			}
		case reflect.Pointer:
			if v.IsNil() || !v.CanInterface() || v.Type().Elem().PkgPath() != astPackage {
				continue
			}
			node := v.Interface()
			if _, again := known[node]; again {
				continue
			}
			known[node] = struct{}{}
			visit(node)
			todo = append(todo, v.Elem())
		case reflect.Slice:
			for i := range v.Len() {
				todo = append(todo, v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				todo = append(todo, v.Field(i))
			}
		}
	}
}
