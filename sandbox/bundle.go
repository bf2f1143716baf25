package sandbox

import (
	"regexp"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
	"github.com/go-sourcemap/sourcemap"
)

// bundled is a source and all that it imports, in one text.
type bundled struct {
	// Text is a module that imports nothing.
	Text string
	// Map is its source map. The author's source is called entryFile there, each
	// other file by its path in Source.Dir.
	Map []byte
	// Body says that the source is a body: the default export is a function of
	// parameters, credentials, require and tools. Else it is the author's own.
	Body bool
	// Prefix is how many bytes precede the source on its first line.
	Prefix int
}

// entryFile is what esbuild calls the author's source.
const entryFile = "tool"

// maxBundleBytes bounds the files of a bundle together, the source itself not
// counted.
const maxBundleBytes = 8 << 20

// callsImport finds what a body could import with. It also finds words in
// texts and comments; those cost a little time only.
var callsImport = regexp.MustCompile(`\b(require|import)\s*[(.]`)

// read makes the program of a source, or the bundle that it is to be made of.
func (c *compiler) read() (p *program, b *bundled, err error) {
	if err := c.checkNesting(); err != nil {
		return nil, nil, err
	}
	p, err = c.bodyProgram()
	switch {
	case err == nil && c.imports():
		b, err = c.bundleBody()
		return nil, b, err
	case c.isModule(err):
		b, err = c.bundleModule()
		return nil, b, err
	}
	return p, nil, err
}

// bundleBody makes a module of a body. Its function has no name, which would
// show in stacks; that it is the only one is known already.
func (c *compiler) bundleBody() (*bundled, error) {
	head := "export default (async function (parameters, credentials, " + c.entry + "_require, tools) {"
	b, err := c.build(head+c.source+"\n})", len(head))
	if err == nil {
		b.Body = true
	}
	return b, err
}

func (c *compiler) bundleModule() (*bundled, error) {
	return c.build(c.source, 0)
}

// build bundles a module whose first line begins with prefix bytes of ours.
func (c *compiler) build(text string, prefix int) (*bundled, error) {
	var result api.BuildResult
	for _, loader := range c.loaders() {
		files, err := openImports(c.open, c.dir, c.file)
		if err != nil {
			return nil, err
		}
		result = api.Build(c.bundleOptions(text, loader, files))
		files.close()
		if files.fault != nil {
			return nil, files.fault
		}
		if len(result.Errors) == 0 || isRefusal(result.Errors[0].Text) {
			break // TypeScript would drop an import that isn't used
		}
	}
	if len(result.Errors) > 0 {
		return nil, c.esbuildFault(result.Errors[0], prefix)
	}
	b := &bundled{Prefix: prefix}
	for _, file := range result.OutputFiles {
		if strings.HasSuffix(file.Path, ".map") {
			b.Map = file.Contents
		} else {
			b.Text = string(file.Contents)
		}
	}
	return b, nil
}

// bundleOptions let esbuild read no file by itself: all go through the plugin,
// and none is in the namespace of files.
func (c *compiler) bundleOptions(text string, loader api.Loader, files *imports) api.BuildOptions {
	return api.BuildOptions{
		Stdin:  &api.StdinOptions{Contents: text + noSourceMap, Sourcefile: entryFile, Loader: loader},
		Bundle: true, Write: false, Outfile: "/tool.js", AbsWorkingDir: "/",
		Format: api.FormatESModule, Platform: api.PlatformNeutral, Target: api.ESNext, Supported: gojaLacks,
		Sourcemap: api.SourceMapExternal, SourcesContent: api.SourcesContentExclude, LegalComments: api.LegalCommentsNone,
		LogLevel: api.LogLevelSilent, TsconfigRaw: "{}",
		Plugins: []api.Plugin{{Name: "imports", Setup: files.setup}},
	}
}

// exportList is the one export statement that esbuild's bundler ends a module
// with, whatever the author's own looked like.
var exportList = regexp.MustCompile(`(?s)^export \{\n((?:  [^\s,;]+(?: as [^\s,;]+)?,?\n)+)\};\n*$`)

var defaultExport = regexp.MustCompile(`(?m)^  (\S+) as default,?$|^  (default),?$`)

var errNoDefaultExport = &syntaxFault{message: "the module has no default export; write export default async (parameters, { credentials, tools }) => …"}

// bundledProgram compiles a bundle: its default export becomes what an async
// function returns.
func (c *compiler) bundledProgram(b *bundled) (*program, error) {
	at := strings.LastIndex("\n"+b.Text, "\nexport {\n")
	if at < 0 {
		return nil, errNoDefaultExport
	}
	exports := exportList.FindStringSubmatch(b.Text[at:])
	if exports == nil {
		return nil, errNoDefaultExport
	}
	name := defaultExport.FindStringSubmatch(exports[1])
	if name == nil {
		return nil, errNoDefaultExport
	}
	smap, err := sourcemap.Parse("", b.Map)
	if err != nil {
		return nil, err
	}
	head := `(async function ` + c.entry + `(require) {`
	if !b.Body { // a body may be sloppy
		head += `"use strict";`
	}
	p := &program{
		places: places{
			name: c.name, source: c.source, smap: smap, prefix: len(head), mapPrefix: b.Prefix,
			generated: head + b.Text[:at] + "return " + name[1] + ";\n})",
		},
		module: true, body: b.Body,
	}
	return c.finish(p)
}
