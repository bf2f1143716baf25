package sandbox

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/dop251/goja/ast"
	"github.com/evanw/esbuild/pkg/api"
	"github.com/go-sourcemap/sourcemap"
)

// gojaLacks is the syntax that esbuild has to lower for goja.
var gojaLacks = map[string]bool{
	"async-generator": false, "for-await": false, "using": false, "decorators": false,
	"unicode-escapes": false, // goja's parser panics on \u{10FFFF}
	"dynamic-import":  false, "import-meta": false, "hashbang": false,
	"top-level-await":     true, // the module becomes an async function's body
	"regexp-set-notation": false,
}

// noSourceMap ends what esbuild is given: of all comments that name a source map
// the last one counts, and without it esbuild would read a file of the host's
// that the source names. A URL of this kind is passed over.
const noSourceMap = "\n//# sourceMappingURL=none:"

// loaders are the languages to try: TypeScript misreads a little JavaScript, so
// it comes second unless the name asks for it.
func (c *compiler) loaders() []api.Loader {
	if c.typescript {
		return []api.Loader{api.LoaderTS}
	}
	return []api.Loader{api.LoaderJS, api.LoaderTS}
}

// transformed compiles a body through esbuild.
func (c *compiler) transformed() (*program, error) {
	// esbuild turns import() into a call of the global require, and renames a
	// parameter that would hide it: so the parameter gets its name afterwards.
	text, prefix := c.wrapped(c.entry + "_require")
	var result api.TransformResult
	for _, loader := range c.loaders() {
		result = api.Transform(text+noSourceMap, api.TransformOptions{
			Loader: loader, Target: api.ESNext, Supported: gojaLacks, Sourcemap: api.SourceMapExternal,
			SourcesContent: api.SourcesContentExclude, LegalComments: api.LegalCommentsNone,
			LogLevel: api.LogLevelSilent, TsconfigRaw: "{}", Sourcefile: entryFile,
		})
		if len(result.Errors) == 0 {
			break
		}
	}
	if len(result.Errors) > 0 {
		return nil, c.esbuildFault(result.Errors[0], prefix)
	}
	smap, err := sourcemap.Parse("", result.Map)
	if err != nil {
		return nil, err
	}
	p := &program{
		places: places{name: c.name, source: c.source, generated: string(result.Code), smap: smap, mapPrefix: prefix},
	}
	return c.finish(p)
}

// finish parses and compiles what esbuild made. Before the wrapper there may be
// esbuild's own helpers; after it there must be nothing.
func (c *compiler) finish(p *program) (*program, error) {
	tree, err := p.parse()
	if err != nil {
		return nil, err
	}
	tree.Body = slices.DeleteFunc(tree.Body, isEmpty)
	if len(tree.Body) == 0 {
		return nil, errUnbalanced
	}
	entry := takeEntry(tree.Body[len(tree.Body)-1], c.entry)
	if entry == nil {
		return nil, errUnbalanced
	}
	for _, binding := range entry.ParameterList.List {
		if id, ok := binding.Target.(*ast.Identifier); ok && id.Name.String() == c.entry+"_require" {
			id.Name = "require"
		}
	}
	return p, p.compile(tree)
}

func isEmpty(statement ast.Statement) bool {
	_, empty := statement.(*ast.EmptyStatement)
	return empty
}

// esbuildFault places a message of esbuild's, which saw prefix bytes before the
// source.
func (c *compiler) esbuildFault(message api.Message, prefix int) *syntaxFault {
	text := strings.ReplaceAll(strings.TrimSuffix(message.Text, "."), `"`+importSpace+":", `"`)
	if message.Location == nil {
		return &syntaxFault{message: text}
	}
	if file, imported := strings.CutPrefix(message.Location.File, importSpace+":"); imported {
		column := utf16Column(message.Location.LineText, message.Location.Column+1)
		return &syntaxFault{text, fileName(file), message.Location.Line, column}
	}
	p := places{name: c.name, source: c.source}
	line, column := message.Location.Line, message.Location.Column+1
	if line == 1 {
		column -= prefix
	}
	if p.beyond(line) {
		text = "the source ends too early, or a bracket is one too many"
	}
	column = utf16Column(lineOf(c.source, line), column)
	at := p.clamp(line, column)
	return &syntaxFault{text, "", at.line, at.column}
}

var importBefore = regexp.MustCompile(`\bimport\s+(type\s+)?$`)

// looksLikeModule reports whether a body doesn't parse because of an import or
// export statement, as opposed to one of these words in a text or comment.
func (c *compiler) looksLikeModule(fault *syntaxFault) bool {
	if fault.message == `Unexpected "export"` {
		return true
	}
	if !strings.HasPrefix(fault.message, "Unexpected") {
		return false
	}
	line := lineOf(c.source, fault.line)
	return importBefore.MatchString(line[:byteOffset(line, fault.column)])
}

// byteOffset is the inverse of utf16Column, as an offset.
func byteOffset(line string, column int) int {
	units := 1
	for i, r := range line {
		if units >= column {
			return i
		}
		units += max(utf16.RuneLen(r), 1)
	}
	return len(line)
}
