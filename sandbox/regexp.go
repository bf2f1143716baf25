package sandbox

import (
	"errors"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/dop251/goja/ast"
)

// goja takes \p{L} for the letters p{L} without a word, and doesn't know the flag
// v. Patterns that have either are rewritten: properties and sets become ranges
// of characters, which flag u takes.

// badRegExp begins the message of a pattern that is refused here.
const badRegExp = "Invalid regular expression: "

// maxPattern bounds a rewritten pattern: one property may need 10 KB. maxSets
// bounds the properties and the operations on sets in it, each of which is work.
const (
	maxPattern = 1 << 20
	maxSets    = 1000
)

var (
	errPatternTooLong = errors.New("it has too many property escapes or operations on classes")
	errProperty       = errors.New("invalid property name")
	errClass          = errors.New("invalid character class")
	errSetStrings     = errors.New(`classes can't hold strings (\q{…} and properties of strings) in the sandbox`)
)

// propertyEscape reports whether a literal has a property escape, which only the
// flag makes one.
func propertyEscape(pattern, flags string) bool {
	if !strings.Contains(flags, "u") {
		return false
	}
	for i := 0; i+1 < len(pattern); i++ {
		if pattern[i] != '\\' {
			continue
		}
		i++
		if pattern[i] == 'p' || pattern[i] == 'P' {
			return true
		}
	}
	return false
}

func mentionsProperties(source string) bool {
	return strings.Contains(source, `\p`) || strings.Contains(source, `\P`)
}

// expandProperties rewrites the literals with property escapes.
func (p *program) expandProperties(tree *ast.Program) *syntaxFault {
	if !mentionsProperties(p.generated) {
		return nil
	}
	var fault error
	first := -1
	walk(tree.Body, func(node any) {
		literal, ok := node.(*ast.RegExpLiteral)
		// esbuild makes a call of the constructor of one with flag v.
		if !ok || strings.Contains(literal.Flags, "v") || !propertyEscape(literal.Pattern, literal.Flags) {
			return
		}
		pattern, err := translatePattern(literal.Pattern, false)
		if err == nil {
			literal.Pattern = pattern
			return
		}
		if at := int(literal.Idx); first < 0 || at < first {
			first, fault = at, err
		}
	})
	if first < 0 {
		return nil
	}
	at := tree.File.Position(first - tree.File.Base())
	return p.fault(badRegExp+fault.Error(), at.Line, at.Column)
}

// translated keeps patterns for the realms to come; programs make few.
var translated struct {
	sync.Mutex
	patterns map[patternKey]string
	bytes    int
}

type patternKey struct {
	pattern string
	sets    bool
}

// translatedBytes bounds what translated holds.
const translatedBytes = 4 << 20

// translatePattern turns a pattern of flag u or, with sets, of flag v into one of
// flag u without property escapes.
func translatePattern(pattern string, sets bool) (string, error) {
	key := patternKey{pattern, sets}
	translated.Lock()
	known, ok := translated.patterns[key]
	translated.Unlock()
	if ok {
		return known, nil
	}
	reader := &patternReader{text: pattern, sets: sets}
	out, err := reader.pattern()
	if err != nil {
		return "", err
	}
	translated.Lock()
	defer translated.Unlock()
	if translated.patterns == nil || translated.bytes > translatedBytes {
		translated.patterns, translated.bytes = make(map[patternKey]string), 0
	}
	translated.patterns[key] = out
	translated.bytes += len(pattern) + len(out)
	return out, nil
}

type patternReader struct {
	text  string
	at    int
	depth int
	count int // of properties and operations
	sets  bool
	out   strings.Builder
}

func (r *patternReader) pattern() (string, error) {
	for r.at < len(r.text) {
		if r.out.Len() > maxPattern {
			return "", errPatternTooLong
		}
		var err error
		switch rest := r.text[r.at:]; {
		case isProperty(rest):
			err = r.property()
		case rest[0] == '\\' && len(rest) > 1:
			_, width := utf8.DecodeRuneInString(rest[1:])
			r.copy(1 + width)
		case rest[0] == '[':
			err = r.class()
		default:
			r.copy(1)
		}
		if err != nil {
			return "", err
		}
	}
	return r.out.String(), nil
}

func isProperty(text string) bool {
	return len(text) > 1 && text[0] == '\\' && (text[1] == 'p' || text[1] == 'P')
}

func (r *patternReader) copy(n int) {
	r.out.WriteString(r.text[r.at : r.at+n])
	r.at += n
}

// property writes a property escape outside a class.
func (r *patternReader) property() error {
	set, err := r.readProperty()
	if err != nil {
		return err
	}
	set.write(&r.out, false)
	return nil
}

// readProperty reads \p{…} or \P{…}.
func (r *patternReader) readProperty() (runeSet, error) {
	if r.count++; r.count > maxSets {
		return nil, errPatternTooLong
	}
	negated := r.text[r.at+1] == 'P'
	name, ok := strings.CutPrefix(r.text[r.at+2:], "{")
	end := strings.IndexByte(name, '}')
	if !ok || end < 0 {
		return nil, errProperty
	}
	set, err := propertySet(name[:end])
	if err != nil {
		return nil, err
	}
	r.at += len(`\p{`) + end + len("}")
	if negated {
		set = set.complement()
	}
	return set, nil
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
