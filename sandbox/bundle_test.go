package sandbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

// folder writes files below a new folder, by their paths in it.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	return dir
}

func inFolder(dir, name, text string) sandbox.Job {
	return sandbox.Job{Source: sandbox.Source{Name: name, Code: text, Dir: dir}}
}

var bundleFiles = map[string]string{
	"lib.js":                                 "export const two = 2;\nexport default () => 'lib';\nexport function fail() {\n  throw new Error('lib');\n}\n",
	"typed.ts":                               "interface A { a: number }\nexport const f = (a: A): number => a.a;\n",
	"data.json":                              `{"x": [1, 2]}`,
	"common.js":                              "exports.sloppy = function () { return typeof this }; exports.name = 'common'",
	"sub/index.js":                           "export { two } from '../lib.js'; export const here = 'sub';",
	"broken.js":                              "export const é = 'ü';\nlet y z;\n",
	"deep.js":                                strings.Repeat("(", 3000) + strings.Repeat(")", 3000),
	"circle_a.js":                            "import { b } from './circle_b.js'; export const a = () => 'a' + b();",
	"circle_b.js":                            "import { a } from './circle_a.js'; export const b = () => 'b' + typeof a;",
	"await.js":                               "export const late = await new Promise((r) => setTimeout(r, 1, 'late'));",
	"words.js":                               "export const find = (s) => s.match(/\\p{Lu}/gu); export const groups = (a) => Object.groupBy(a, String);",
	"photo.png":                              "x",
	"map.js":                                 "export const m = () => { throw new Error('map') }\n//# sourceMappingURL=/etc/hostname",
	"tsconfig.json":                          "{ broken",
	"package.json":                           "{ broken",
	"needs_fs.js":                            "const fs = require('fs'); module.exports = fs;",
	"maybe.js":                               "let fs; try { fs = require('fs') } catch { fs = 'none' } module.exports = { fs };",
	".hidden/a.js":                           "module.exports = 'hidden'",
	"node_modules/a/package.json":            `{"main": "./lib/main"}`,
	"node_modules/a/lib/main.js":             "const b = require('b'); module.exports = { a: 1, b, fail() { null.x } };",
	"node_modules/a/node_modules/b/index.js": "module.exports = 'inner b'",
	"node_modules/b/index.js":                "module.exports = 'outer b'",
	"node_modules/esm/package.json":          `{"module": "m.js", "main": "c.js"}`,
	"node_modules/esm/m.js":                  "export const kind = 'module'",
	"node_modules/esm/c.js":                  "exports.kind = 'common'",
	"node_modules/@s/p/package.json":         `{"exports": {".": {"node": "./no.js", "import": "./i.js", "require": "./r.js"}, "./sub/*": "./s/*.js", "./x": {"default": "./x.js"}, "./out": "./../../b/index.js"}}`,
	"node_modules/@s/p/i.js":                 "export default 'import'",
	"node_modules/@s/p/r.js":                 "module.exports = 'require'",
	"node_modules/@s/p/s/one.js":             "export default 'sub one'",
	"node_modules/@s/p/x.js":                 "export default 'x'",
	"node_modules/@s/p/secret.js":            "export default 'secret'",
	"node_modules/uses/index.mjs":            "import b from 'b'; export default 'uses ' + b;",
}

func TestBundle(t *testing.T) {
	dir := folder(t, bundleFiles)
	require.NoError(t, os.Symlink("lib.js", filepath.Join(dir, "link.js")))
	require.NoError(t, os.Symlink("a", filepath.Join(dir, "node_modules", "linked")))
	cases := []struct{ name, code, want string }{
		{"t.js", `import lib, { two } from "./lib.js"; export default () => [lib(), two]`, `["lib",2]`},
		{"t.js", `import * as lib from "./lib"; export default () => Object.keys(lib)`, `["default","fail","two"]`},
		{"t.ts", `import { f } from "./typed"; export default (p: any): number => f({ a: 3 })`, `3`},
		{"t.js", `import { f } from "./typed.js"; export default () => f({ a: 3 })`, `3`},
		{"t.js", `import data from "./data.json"; export default () => data`, `{"x":[1,2]}`},
		{"t.js", `import { here, two } from "./sub"; export default () => here + two`, `"sub2"`},
		{"t.js", `import { a } from "./circle_a.js"; export default () => a()`, `"abfunction"`},
		{"t.js", `import { late } from "./await.js"; export default () => late`, `"late"`},
		{"t.js", `import { two } from "./link.js"; export default () => two`, `2`},
		{"t.js", `import { find, groups } from "./words.js"; export default () => [find("aBC"), groups(["x"])]`, `[["B","C"],{"x":["x"]}]`},
		{"t.js", `import a from "a"; export default () => [a.a, a.b]`, `[1,"inner b"]`},
		{"t.js", `import a from "linked"; export default () => a.b`, `"inner b"`},
		{"t.js", `import { kind } from "esm"; export default () => kind`, `"module"`},
		{"t.js", `import p from "@s/p"; import one from "@s/p/sub/one"; import x from "@s/p/x"; export default () => [p, one, x]`, `["import","sub one","x"]`},
		{"t.js", `import u from "uses/index.mjs"; export default () => u`, `"uses outer b"`},
		{"t.js", `export default async () => (await import("./lib.js")).two`, `2`},
		{"t.js", `import m from "./maybe.js"; export default () => m`, `{"fs":"none"}`},

		{"sub/t.js", `import { two } from "../lib.js"; import b from "b"; export default () => [two, b]`, `[2,"outer b"]`},

		{"code", `const { two } = require("./lib"); return [two, parameters, typeof require, typeof tools]`, `[2,{"p":1},"function","undefined"]`},
		{"code", `return [require("a").a, require("esm").kind, require("@s/p"), require("./data").x]`, `[1,"common","require",[1,2]]`},
		{"code", `return (await import("./lib.js")).default()`, `"lib"`},
		{"code", `return require("./common").name + credentials.c`, `"common2"`},
		{"code", `const s: string = require("b"); return s`, `"outer b"`},
		{"code", `try { require("fs") } catch (e) { return e.message }`, `"module \"fs\" is not available in the sandbox; available modules: assert, buffer, crypto, events, path, querystring, string_decoder, timers/promises, url, util"`},
		{"code", `try { require("./nothing") } catch (e) { return e.message }`, `"module \"./nothing\" is not available in the sandbox; available modules: assert, buffer, crypto, events, path, querystring, string_decoder, timers/promises, url, util"`},
		{"code", `const name = "./lib"; try { require(name) } catch (e) { return e.name }`, `"Error"`},
		{"code", `for await (const x of [require("./data.json").x]) return x`, `[1,2]`},
		{"code", `return "require('x')"`, `"require('x')"`},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			job := inFolder(dir, c.name, c.code)
			job.Parameters, job.Credentials = []byte(`{"p":1}`), []byte(`{"c":2}`)
			require.Equal(t, c.want, value(t, pool, job), c.code)
			require.NoError(t, pool.Check(t.Context(), job.Source))
		}
	})
}

// TestBundlePlaces: errors name the file that they are in.
func TestBundlePlaces(t *testing.T) {
	dir := folder(t, bundleFiles)
	cases := []struct {
		name, code, detail string
		stack              []string
	}{
		{"t.js", "import { fail } from './lib.js';\nexport default () => fail()", "Error: lib (lib.js:4:9)", []string{"fail (lib.js:4:9)", "default (t.js:2:22)"}},
		{"t.js", "import a from 'a';\nexport default () => { a.fail() }", "TypeError: Cannot read property 'x' of undefined (node_modules/a/lib/main.js:1:67)", []string{"fail (node_modules/a/lib/main.js:1:67)", "default (t.js:2:26)"}},
		{"t.js", "import { m } from './map.js';\nexport default () => m()", "Error: map (map.js:1:32)", []string{"m (map.js:1:32)", "default (t.js:2:22)"}},
		{"code", "const { fail } = require('./lib');\n  fail()", "Error: lib (lib.js:4:9)", []string{"fail (lib.js:4:9)", "code:2:3"}},
		{"code", "const x = require('./data.json'); null.x", "TypeError: Cannot read property 'x' of undefined (code:1:40)", []string{"code:1:40"}},
		{"t.ts", "import { two } from './lib';\nconst n: number = two;\nexport default () => {\n  throw new Error(String(n)) }", "Error: 2 (t.ts:4:9)", []string{"default (t.ts:4:9)"}},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			got := failure(t, pool, inFolder(dir, c.name, c.code))
			require.Equal(t, c.detail, got.Detail, c.code)
			require.Equal(t, c.stack, got.Stack, c.code)
		}
	})
}

// TestBundleRefusals: nothing outside the folder is read, and what can't be
// imported is named where it is imported.
func TestBundleRefusals(t *testing.T) {
	outside := folder(t, map[string]string{"secret.js": "export default 's3cret'", "node_modules/up/index.js": "export default 's3cret'",
		"package.json": `{"main": "secret.js"}`})
	dir := filepath.Join(outside, "tools")
	require.NoError(t, os.Rename(folder(t, bundleFiles), dir))
	require.NoError(t, os.Symlink("../secret.js", filepath.Join(dir, "out.js")))
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "outdir")))
	require.NoError(t, os.Symlink("../../node_modules/up", filepath.Join(dir, "node_modules", "escape")))
	half := "/*" + strings.Repeat("x", 5<<20) + "*/"
	for _, name := range []string{"big1.js", "big2.js"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(half), 0o600))
	}
	cases := []struct{ name, code, detail string }{
		{"t.js", `import s from "../secret.js"; export default s`, `t.js:1:15: "../secret.js" lies outside the tool's folder, which is all that it can import from`},
		{"t.js", `import s from "./sub/../../secret.js"; export default s`, `t.js:1:15: "./sub/../../secret.js" lies outside the tool's folder, which is all that it can import from`},
		{"t.js", `import s from ".."; export default s`, `t.js:1:15: ".." lies outside the tool's folder, which is all that it can import from`},
		{"t.js", `import s from "./out.js"; export default s`, `t.js:1:15: "./out.js" lies outside the tool's folder: it is a symbolic link`},
		{"t.js", `import s from "./outdir/secret.js"; export default s`, `t.js:1:15: "./outdir/secret.js" lies outside the tool's folder: it is a symbolic link`},
		{"t.js", `import s from "escape"; export default s`, `t.js:1:15: "escape" lies outside the tool's folder: it is a symbolic link`},
		{"t.js", `import s from "/etc/passwd"; export default s`, `t.js:1:15: "/etc/passwd" can't be imported: paths must be relative`},
		{"t.js", `import s from "up"; export default s`, `t.js:1:15: module "up" is not available in the sandbox; available modules: assert, buffer, crypto, events, path, querystring, string_decoder, timers/promises, url, util`},
		{"t.js", `import s from "file:///etc/passwd"; export default s`, ``},
		{"t.js", `import s from "data:text/javascript,1"; export default s`, ``},
		{"t.js", `import s from "./nothing"; export default s`, `t.js:1:15: "./nothing" can't be imported: there is no such file`},
		{"t.js", `import s from "./photo.png"; export default s`, `t.js:1:15: photo.png can't be imported: files that can end in .js, .mjs, .cjs, .jsx, .ts, .mts, .cts, .tsx or .json`},
		{"t.js", `import s from "fs"; export default s`, `t.js:1:15: module "fs" is not available in the sandbox; available modules: assert, buffer, crypto, events, path, querystring, string_decoder, timers/promises, url, util`},
		{"t.js", `import s from "@s/p/secret.js"; export default s`, `t.js:1:15: "@s/p/secret.js" can't be imported: its package.json doesn't export it`},
		{"t.js", "\nimport { é } from './broken.js'; export default é", `broken.js:2:7: Expected ";" but found "z"`},
		{"t.js", `import "./deep.js"; export default 1`, `deep.js:1:2001: brackets are nested too deeply`},
		{"t.js", `import "./big1.js"; import "./big2.js"; export default 1`, ``},
		{"t.js", `import { nope } from "./lib.js"; export default nope`, `t.js:1:10: No matching export in "lib.js" for import "nope"`},
		{"code", `const x = 1;` + "\n" + `return require("../secret.js")`, `code:2:16: "../secret.js" lies outside the tool's folder, which is all that it can import from`},
		{"code", `return require("./broken")`, `broken.js:2:7: Expected ";" but found "z"`},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			got := failure(t, pool, inFolder(dir, c.name, c.code))
			require.Equal(t, errclass.SyntaxError, got.Reason, c.code)
			require.NotContains(t, got.Detail, outside, c.code)
			if c.detail != "" {
				require.Equal(t, c.detail, got.Detail, c.code)
			}
		}
		got := failure(t, pool, inFolder(dir, "t.js", `import "./big1.js"; import "./big2.js"; export default 1`))
		require.Contains(t, got.Detail, "can't be imported: the imported files are larger than 8 MiB together")
		require.Contains(t, failure(t, pool, inFolder(filepath.Join(dir, "gone"), "t.js", `import "./x"; export default 1`)).Detail, "folder can't be read")
		// Without a folder nothing can be imported, as ever.
		require.Equal(t, `t.js:1:8: module "./lib.js" is not available in the sandbox; available modules: assert, buffer, crypto, events, path, querystring, string_decoder, timers/promises, url, util`,
			failure(t, pool, named("t.js", `import "./lib.js"; export default 1`)).Detail)
	})
}
