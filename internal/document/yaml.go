package document

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

func (d *Document) parseYAML(data []byte) (problem *Error) {
	defer func() {
		// The parser is foreign and so is the text: a panic of the one on the
		// other refuses the file.
		if recover() != nil {
			problem = &Error{Message: "can't be read as YAML: check its quotes and indentation"}
		}
	}()
	text, problem := plainText(data)
	if problem != nil {
		return problem
	}
	lines := newSource(text)
	tokens := lexer.Tokenize(strings.Join(lines.bare, "\n"))
	if problem := checkTokens(tokens); problem != nil {
		return problem
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return syntaxFault(err, text)
	}
	body, problem := onlyDocument(file)
	if problem != nil {
		return problem
	}
	r := yamlReader{d: d, source: lines}
	if problem := r.value(body, "", 0, -1, Position{}); problem != nil {
		return problem
	}
	d.JSON = r.out
	return nil
}

// plainText checks the characters (YAML 1.2.2, section 5.1) and makes all line
// breaks \n, which changes no line and no column.
func plainText(data []byte) (string, *Error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
	where := &places{data: data}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return "", fault(where.find(i), "is not valid UTF-8: save the file as UTF-8")
		}
		if unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\u0085' || r == '\ufeff' {
			return "", fault(where.find(i), "a control character is not allowed: remove it, or write it escaped in double quotes")
		}
		i += size
	}
	return string(data), nil
}

// maxKeys and maxTokens bound what the parser is given: its time grows with the
// square of the keys in one mapping (goccy/go-yaml v1.19.2).
const (
	maxKeys   = 10_000
	maxTokens = 200_000
)

// maxIndents bounds the columns at which tokens start within each other, before
// the parser recurses; a few lie within one level.
const maxIndents = 4 * MaxDepth

// checkTokens refuses what isn't supported, and what nests too deeply to be
// handed to the parser.
func checkTokens(tokens token.Tokens) *Error {
	flow, keys := 0, 0
	var columns []int
	for i, t := range tokens {
		if t == nil || t.Position == nil {
			continue
		}
		at := place(t)
		if i >= maxTokens {
			return fault(at, fmt.Sprintf("has more than %d parts: split the file, or write it as JSON", maxTokens))
		}
		if advice := unsupported(t.Type); advice != "" {
			return fault(at, advice)
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow--
		case token.MappingValueType:
			if keys++; keys > maxKeys {
				return fault(at, fmt.Sprintf("has more than %d keys: split the file, or write it as JSON", maxKeys))
			}
		}
		if flow > 0 {
			if flow > MaxDepth {
				return tooDeep(at)
			}
			continue
		}
		for len(columns) > 0 && columns[len(columns)-1] >= at.Column {
			columns = columns[:len(columns)-1]
		}
		if columns = append(columns, at.Column); len(columns) > maxIndents {
			return tooDeep(at)
		}
	}
	return nil
}

// unsupported is the advice against a feature of YAML that is refused.
func unsupported(t token.Type) string {
	switch t {
	case token.AnchorType:
		return "anchors (&) are not supported: write the value out, or quote a string that starts with &"
	case token.AliasType:
		return "aliases (*) are not supported: write the value out, or quote a string that starts with *"
	case token.MergeKeyType:
		return "merge keys (<<) are not supported: write the keys out"
	case token.TagType:
		return "tags (!) are not supported: remove it, or quote a string that starts with !"
	case token.DirectiveType:
		return "directives (%) are not supported: remove the line"
	case token.MappingKeyType:
		return "explicit keys (?) are not supported: write key: value"
	}
	return ""
}

// syntaxFault is one line of the parser's error, which has several.
func syntaxFault(err error, text string) *Error {
	problem := &Error{Message: "is not valid YAML"}
	var known interface {
		GetMessage() string
		GetToken() *token.Token
	}
	if !errors.As(err, &known) {
		return problem
	}
	if t := known.GetToken(); t != nil && t.Position != nil {
		at := place(t)
		problem.Line, problem.Column = at.Line, at.Column
	}
	message := known.GetMessage()
	switch {
	case bareExpression.MatchString(line(text, problem.Line)):
		problem.Message = "an expression at the start of a value must be in quotes: '{{…}}'"
	case strings.Contains(message, "'\t'") || strings.Contains(message, "tab character"):
		problem.Message = "a tab can't indent or separate here: use spaces"
	case message != "" && !strings.ContainsAny(message, "\"`\n"): // no foreign text
		problem.Message += ": " + message
	}
	return problem
}

// bareExpression finds {{ where YAML takes it for the start of a mapping.
var bareExpression = regexp.MustCompile(`(?:^|[:,\[-])[ \t]+\{\{`)

// line is one line of a text, counted from 1.
func line(text string, n int) string {
	for range n - 1 {
		_, text, _ = strings.Cut(text, "\n")
	}
	text, _, _ = strings.Cut(text, "\n")
	return text
}

// onlyDocument is the content of a file's one document.
func onlyDocument(file *ast.File) (ast.Node, *Error) {
	var body ast.Node
	for i, doc := range file.Docs {
		if i > 0 {
			at := Position{}
			if doc.Start != nil {
				at = place(doc.Start)
			} else if doc.Body != nil {
				at = place(doc.Body.GetToken())
			}
			if at.Line == 0 && doc.Body == nil {
				continue
			}
			return nil, fault(at, "several documents in one file are not supported: use one file each")
		}
		body = doc.Body
	}
	if body == nil {
		return nil, &Error{Line: 1, Column: 1, Message: "is empty"}
	}
	if _, ok := body.(*ast.CommentGroupNode); ok {
		return nil, &Error{Line: 1, Column: 1, Message: "is empty"}
	}
	return body, nil
}

func place(t *token.Token) Position { return Position{t.Position.Line, t.Position.Column} }

func fault(at Position, message string) *Error {
	return &Error{Line: at.Line, Column: at.Column, Message: message}
}

// yamlReader writes a YAML tree as JSON.
type yamlReader struct {
	d      *Document
	source source
	out    []byte
}

// value writes one value; parent is the indentation of what it stands in, -1
// for nothing, and key the place of its key, zero where it has none.
func (r *yamlReader) value(node ast.Node, pointer string, depth, parent int, key Position) *Error {
	at := key
	if at.Line == 0 {
		at = placeOf(node)
	}
	r.d.Positions[pointer] = at
	switch node := node.(type) {
	case *ast.MappingNode:
		return r.mapping(node.Values, pointer, depth, at)
	case *ast.MappingValueNode:
		return r.mapping([]*ast.MappingValueNode{node}, pointer, depth, at)
	case *ast.SequenceNode:
		return r.sequence(node, pointer, depth, at)
	case *ast.LiteralNode:
		header := place(node.Start)
		text, ok := r.source.block(header, parent, node.Value.Value)
		if !ok {
			return fault(header, "can't tell where this block ends: indent all its lines alike, more than the key or dash before it")
		}
		if node.Start.Type == token.LiteralType {
			r.d.blocks[pointer] = header.Line + 1
		}
		return r.text(text, at)
	case nil:
		r.out = append(r.out, "null"...)
		return nil
	}
	at = placeOf(node)
	t := node.GetToken()
	if t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType {
		return r.text(t.Value, at)
	}
	if _, ok := node.(ast.ScalarNode); !ok {
		return fault(at, fmt.Sprintf("%s is not supported here: write a plain value", strings.ToLower(node.Type().String())))
	}
	if t.Type == token.ImplicitNullType {
		r.out = append(r.out, "null"...)
		return nil
	}
	if problem := badPlain(t, at); problem != nil {
		return problem
	}
	text, kind := resolve(t.Value)
	switch kind {
	case notANumber:
		return fault(at, "infinity and not-a-number are not supported: JSON has no such numbers; quote it if a string is meant")
	case tooLong:
		return fault(at, fmt.Sprintf("a number of more than %d digits is not supported: quote it if a string is meant", maxDigits))
	case isString:
		return r.text(t.Value, at)
	}
	r.out = append(r.out, text...)
	return nil
}

// badPlain refuses an unquoted scalar that the parser lets through although YAML
// doesn't (1.2.2, section 7.3.3), or from whose middle it drops tabs.
func badPlain(t *token.Token, at Position) *Error {
	if t.Value != "" && strings.ContainsRune("[]{},#&*!|>@`%\"'", rune(t.Value[0])) {
		return fault(at, "a string that starts with "+t.Value[:1]+" must be in quotes")
	}
	if strings.Contains(strings.TrimSpace(t.Origin), "\t") {
		return fault(at, "a string with a tab in it must be in quotes")
	}
	return nil
}

func (r *yamlReader) text(s string, at Position) *Error {
	out, err := jsontext.AppendQuote(r.out, s)
	if err != nil {
		return fault(at, "a string isn't valid Unicode: check its \\x and \\u escapes")
	}
	r.out = out
	return nil
}

func (r *yamlReader) mapping(members []*ast.MappingValueNode, pointer string, depth int, at Position) *Error {
	if depth == MaxDepth {
		return tooDeep(at)
	}
	first := make(map[string]Position, len(members))
	r.out = append(r.out, '{')
	for i, member := range members {
		name, problem := keyOf(member.Key)
		if problem != nil {
			return problem
		}
		key := placeOf(member.Key)
		if before, twice := first[name]; twice {
			return fault(key, fmt.Sprintf("duplicate key %s: line %d has it already", quote(name), before.Line))
		}
		first[name] = key
		if i > 0 {
			r.out = append(r.out, ',')
		}
		if problem := r.text(name, key); problem != nil {
			return problem
		}
		r.out = append(r.out, ':')
		if problem := r.value(member.Value, pointer+"/"+escape(name), depth+1, key.Column-1, key); problem != nil {
			return problem
		}
	}
	r.out = append(r.out, '}')
	return nil
}

func (r *yamlReader) sequence(node *ast.SequenceNode, pointer string, depth int, at Position) *Error {
	if depth == MaxDepth {
		return tooDeep(at)
	}
	r.out = append(r.out, '[')
	for i, element := range node.Values {
		if i > 0 {
			r.out = append(r.out, ',')
		}
		dash := node.Start.Position.Column - 1
		if problem := r.value(element, pointer+"/"+strconv.Itoa(i), depth+1, dash, Position{}); problem != nil {
			return problem
		}
	}
	r.out = append(r.out, ']')
	return nil
}

// keyOf is the text of a key, which must be a string.
func keyOf(node ast.MapKeyNode) (string, *Error) {
	at := placeOf(node)
	t := node.GetToken()
	switch node.(type) {
	case *ast.MappingKeyNode:
		return "", fault(at, "explicit keys (?) are not supported: write key: value")
	case *ast.MergeKeyNode:
		return "", fault(at, unsupported(token.MergeKeyType))
	}
	if t.Type == token.SingleQuoteType || t.Type == token.DoubleQuoteType {
		return t.Value, nil
	}
	if _, kind := resolve(t.Value); kind != isString || t.Type == token.ImplicitNullType {
		return "", fault(at, "a key must be a string: put it in quotes")
	}
	return t.Value, badPlain(t, at)
}

// placeOf is where a node's text starts.
func placeOf(node ast.Node) Position {
	switch n := node.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return placeOf(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return placeOf(n.Key)
	case nil:
		return Position{1, 1}
	}
	t := node.GetToken()
	if t == nil || t.Position == nil {
		return Position{1, 1}
	}
	return place(t)
}

// quote quotes a key, shortened.
func quote(name string) string {
	if len(name) > 60 {
		name = strings.ToValidUTF8(name[:60], "") + "…"
	}
	return strconv.Quote(name)
}
