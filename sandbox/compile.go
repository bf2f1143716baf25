package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"path"
	"strings"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/parser"

	"github.com/almyty-inc/toolrun/errclass"
)

// maxNesting bounds the nesting of brackets: parsers recurse, and Go's stack
// ends a process that outgrows it.
const maxNesting = 2000

// maxParameterLists bounds arrow functions in the default values of arrow
// functions' parameters: goja's parser takes twice as long for each.
const maxParameterLists = 8

// program is a compiled source. It is bound to no runtime and used by many at
// once.
type program struct {
	places
	module    bool // the program is loaded first, and gives the function to call
	body      bool // a module that ours is: its function takes what a body sees
	code      *goja.Program
	additions []*addition // the built-ins that it may use and the engine lacks
}

// syntaxFault is a fault in a source; line and column are the author's, or zero.
type syntaxFault struct {
	message      string
	file         string // of the bundle; empty for the source itself
	line, column int
}

func (f *syntaxFault) Error() string { return f.message }

// failure is what the caller of Check and Run gets.
func (f *syntaxFault) failure(name string) *errclass.Error {
	if f.file != "" {
		name = f.file
	}
	where := name
	if f.line > 0 {
		where = position{name, f.line, f.column}.String()
	}
	return errclass.New(errclass.SandboxError, errclass.SyntaxError, where+": "+f.message)
}

// compile turns a source into a program: as a body that goja takes as it is,
// else as a body through esbuild, else as a bundle.
func compile(src Source, open func(dir string) (folder, error)) (*program, *errclass.Error) {
	c := newCompiler(src)
	c.open = open
	p, err := c.compile()
	if err == nil {
		return p, nil
	}
	var fault *syntaxFault
	if !errors.As(err, &fault) {
		fault = &syntaxFault{message: "the source can't be compiled"}
	}
	return nil, fault.failure(c.name)
}

type compiler struct {
	name, source string
	dir, file    string // what imports may read, and where in it the source lies; no dir: no imports
	open         func(dir string) (folder, error)
	entry        string
	typescript   bool
}

func newCompiler(src Source) *compiler {
	code := strings.TrimPrefix(src.Code, "\ufeff")
	// The name of the enclosing function can't occur in the source it is made
	// of; so a function of that name in the parsed program is the wrapper's.
	sum := sha256.Sum256([]byte(code))
	ext := path.Ext(src.Name)
	return &compiler{
		name: displayName(src.Name), source: code, dir: src.Dir, file: path.Clean(src.Name),
		entry:      "tool_" + hex.EncodeToString(sum[:16]),
		typescript: ext == ".ts" || ext == ".mts" || ext == ".cts",
	}
}

// displayName makes a source's name fit for errors and stack frames.
func displayName(name string) string {
	name = errclass.OneLine(path.Base(strings.ReplaceAll(name, `\`, "/")), 100)
	if name == "" || name == "." || name == "/" || strings.HasPrefix(name, "<") || strings.HasPrefix(name, modulePrefix) {
		return "code"
	}
	return name
}

func (c *compiler) compile() (*program, error) {
	p, b, err := c.read()
	if err != nil || b == nil {
		return p, err
	}
	return c.bundledProgram(b)
}

// bodyProgram compiles a source that is a body and imports nothing.
func (c *compiler) bodyProgram() (*program, error) {
	if !c.typescript {
		p, err := c.direct()
		if err == nil || err == errUnbalanced || strings.HasPrefix(err.Error(), badRegExp) {
			return p, err
		}
	}
	return c.transformed()
}

// imports reports whether a body may import something there is.
func (c *compiler) imports() bool {
	return c.dir != "" && callsImport.MatchString(c.source)
}

// isModule reports whether a source is no body because it is a module.
func (c *compiler) isModule(err error) bool {
	var fault *syntaxFault
	return errors.As(err, &fault) && c.looksLikeModule(fault)
}

// checkNesting refuses what a parser takes for ever for, or exhausts its stack
// with. It doesn't know strings and comments: no honest source comes near the
// bounds either way.
func (c *compiler) checkNesting() error {
	// Each open bracket has the depth of parameter lists within parameter lists
	// that it holds so far.
	var open []int
	for i := range len(c.source) {
		switch c.source[i] {
		case '(', '[', '{':
			if len(open) == maxNesting {
				return c.faultAt(i, "brackets are nested too deeply")
			}
			open = append(open, 0)
		case ')', ']', '}':
			if len(open) == 0 {
				continue
			}
			lists := open[len(open)-1]
			open = open[:len(open)-1]
			if beforeArrow(c.source[i:]) {
				lists++
			}
			if lists > maxParameterLists {
				return c.faultAt(i, "arrow functions are nested too deeply in the default values of their parameters")
			}
			if n := len(open); n > 0 {
				open[n-1] = max(open[n-1], lists)
			}
		}
	}
	return nil
}

// beforeArrow reports whether a text that starts with a closing bracket goes on
// with an arrow. White space is looked through a little only: this must not make
// the scan quadratic.
func beforeArrow(text string) bool {
	if text[0] != ')' {
		return false
	}
	return strings.HasPrefix(strings.TrimLeft(text[1:min(len(text), 64)], " \t\r\n"), "=>")
}

// faultAt is a fault at a byte of the source.
func (c *compiler) faultAt(offset int, message string) *syntaxFault {
	at := positionAt(c.source, offset)
	return &syntaxFault{message: message, line: at.line, column: at.column}
}

// wrapped is the source as an expression: one async function. The first line of
// the source stays the first line.
func (c *compiler) wrapped(require string) (text string, prefix int) {
	head := "(async function " + c.entry + "(parameters, credentials, " + require + ", tools) {"
	return head + c.source + "\n})", len(head)
}

// direct compiles a body that goja understands as it stands.
func (c *compiler) direct() (*program, error) {
	text, prefix := c.wrapped("require")
	p := &program{
		places: places{name: c.name, source: c.source, generated: text, prefix: prefix},
	}
	tree, err := p.parse()
	if err != nil {
		return nil, err
	}
	if len(tree.Body) != 1 || takeEntry(tree.Body[0], c.entry) == nil {
		return nil, errUnbalanced
	}
	return p, p.compile(tree)
}

// errUnbalanced is a body that breaks out of the function around it.
var errUnbalanced error = &syntaxFault{message: `a "}" ends the tool's function before the source ends`}

// takeEntry returns the function of that name if a statement is nothing else,
// and takes the name away, so that it shows in no stack.
func takeEntry(statement ast.Statement, name string) *ast.FunctionLiteral {
	expression, ok := statement.(*ast.ExpressionStatement)
	if !ok {
		return nil
	}
	function, ok := expression.Expression.(*ast.FunctionLiteral)
	if !ok || !function.Async || function.Name == nil || function.Name.Name.String() != name {
		return nil
	}
	function.Name = nil
	return function
}

// parse parses p.generated; goja's parser panics on some legal programs.
func (p *program) parse() (tree *ast.Program, err error) {
	defer func() {
		if x := recover(); x != nil {
			tree, err = nil, &syntaxFault{message: "the JavaScript engine's parser failed on this source"}
		}
	}()
	tree, err = parser.ParseFile(nil, p.name, p.generated, 0, parser.WithDisableSourceMaps)
	var list parser.ErrorList
	if errors.As(err, &list) && len(list) > 0 {
		first := list[0]
		return nil, p.fault(first.Message, first.Position.Line, first.Position.Column)
	}
	return tree, err
}

func (p *program) compile(tree *ast.Program) (err error) {
	defer func() {
		if x := recover(); x != nil {
			err = &syntaxFault{message: "the JavaScript engine's compiler failed on this source"}
		}
	}()
	if fault := p.expandProperties(tree); fault != nil {
		return fault
	}
	p.additions = neededAdditions(p.generated)
	p.code, err = goja.CompileAST(tree, false)
	var syntax *goja.CompilerSyntaxError
	if errors.As(err, &syntax) && syntax.File != nil {
		at := syntax.File.Position(syntax.Offset)
		return p.fault(syntax.Message, at.Line, at.Column)
	}
	return err
}

// fault places a message of goja's at the author's position.
func (p *program) fault(message string, line, column int) *syntaxFault {
	if message == "Invalid group" {
		message = "Invalid group in a regular expression (modifiers, as in (?i:x), are not available)"
	}
	at, ok := p.author(line, column)
	if !ok {
		return &syntaxFault{message: message}
	}
	fault := &syntaxFault{message: message, line: at.line, column: at.column}
	if at.name != p.name {
		fault.file = at.name
	}
	return fault
}
