package sandbox

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

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
			LogLevel: api.LogLevelSilent, TsconfigRaw: "{}", Sourcefile: "tool",
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
	text := strings.TrimSuffix(message.Text, ".")
	if message.Location == nil {
		return &syntaxFault{message: text}
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
	return &syntaxFault{text, at.line, at.column}
}

var importBefore = regexp.MustCompile(`\bimport\s+(type\s+)?$`)

// looksLikeModule reports whether a body doesn't parse because of an import or
// export statement, as opposed to one of these words in a text or comment.
func (c *compiler) looksLikeModule(fault *syntaxFault) bool {
	if fault.message == `Unexpected "export"` {
		return true
	}
	line := lineOf(c.source, fault.line)
	before := line[:byteOffset(line, fault.column)]
	return strings.HasPrefix(fault.message, "Unexpected") && importBefore.MatchString(before)
}

// byteOffset is the inverse of utf16Column, as an offset.
func byteOffset(line string, column int) int {
	for i := range line {
		if utf16Column(line, i+1) >= column {
			return i
		}
	}
	return len(line)
}

// exportList is the one export statement that esbuild's bundler ends a module
// with, whatever the author's own looked like.
var exportList = regexp.MustCompile(`(?s)^export \{\n((?:  [^\s,;]+(?: as [^\s,;]+)?,?\n)+)\};\n*$`)

var defaultExport = regexp.MustCompile(`(?m)^  (\S+) as default,?$|^  (default),?$`)

// moduleProgram compiles a module: bundling (of this one file) brings its
// exports into one known form, which then becomes an async function's return.
func (c *compiler) moduleProgram() (*program, error) {
	var result api.BuildResult
	for _, loader := range c.loaders() {
		result = api.Build(c.moduleOptions(loader))
		if len(result.Errors) == 0 || strings.HasSuffix(result.Errors[0].Text, availableModules) {
			break // TypeScript would drop an import that isn't used
		}
	}
	if len(result.Errors) > 0 {
		return nil, c.esbuildFault(result.Errors[0], 0)
	}
	var text string
	var mapping []byte
	for _, file := range result.OutputFiles {
		if strings.HasSuffix(file.Path, ".map") {
			mapping = file.Contents
		} else {
			text = string(file.Contents)
		}
	}
	at := strings.LastIndex("\n"+text, "\nexport {\n")
	if at < 0 {
		return nil, errNoDefaultExport
	}
	exports := exportList.FindStringSubmatch(text[at:])
	if exports == nil {
		return nil, errNoDefaultExport
	}
	name := defaultExport.FindStringSubmatch(exports[1])
	if name == nil {
		return nil, errNoDefaultExport
	}
	smap, err := sourcemap.Parse("", mapping)
	if err != nil {
		return nil, err
	}
	head := `(async function ` + c.entry + `(require) {"use strict";`
	p := &program{
		places: places{
			name: c.name, source: c.source, smap: smap, prefix: len(head),
			generated: head + text[:at] + "return " + name[1] + ";\n})",
		},
		module: true,
	}
	return c.finish(p)
}

var errNoDefaultExport = &syntaxFault{message: "the module has no default export; write export default async (parameters, { credentials, tools }) => …"}

func (c *compiler) moduleOptions(loader api.Loader) api.BuildOptions {
	return api.BuildOptions{
		Stdin:  &api.StdinOptions{Contents: c.source + noSourceMap, Sourcefile: "tool", Loader: loader},
		Bundle: true, Write: false, Outfile: "/tool.js", AbsWorkingDir: "/", // bundling reads no file: see resolveImports
		Format: api.FormatESModule, Platform: api.PlatformNeutral, Target: api.ESNext, Supported: gojaLacks,
		Sourcemap: api.SourceMapExternal, SourcesContent: api.SourcesContentExclude, LegalComments: api.LegalCommentsNone,
		LogLevel: api.LogLevelSilent, TsconfigRaw: "{}",
		Plugins: []api.Plugin{{Name: "imports", Setup: resolveImports}},
	}
}

// resolveImports makes an import of a module that can be required a require of
// it, and refuses the others.
func resolveImports(build api.PluginBuild) {
	build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: "module"}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
		text := "module.exports = require(" + strconv.Quote(args.Path) + ")"
		return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
	})
	build.OnResolve(api.OnResolveOptions{Filter: ".*"}, func(args api.OnResolveArgs) (api.OnResolveResult, error) {
		switch args.Kind {
		case api.ResolveEntryPoint:
			return api.OnResolveResult{}, nil
		case api.ResolveJSRequireCall, api.ResolveJSRequireResolve, api.ResolveJSDynamicImport:
			// These may stand in code that never runs; require refuses when it does.
			return api.OnResolveResult{Path: args.Path, External: true}, nil
		}
		if moduleNamed(args.Path) {
			return api.OnResolveResult{Path: args.Path, Namespace: "module"}, nil
		}
		return api.OnResolveResult{Errors: []api.Message{{Text: notAvailable(args.Path)}}}, nil
	})
}
