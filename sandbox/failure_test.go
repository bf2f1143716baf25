package sandbox_test

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

// TestPlaces pins line and column of errors, and the stack, for every way a
// source reaches the engine.
func TestPlaces(t *testing.T) {
	cases := []struct {
		title, name, code string
		detail            string
		stack             []string
	}{
		{"first line", "", `throw new Error("x")`, "Error: x (code:1:7)", []string{"code:1:7"}},
		{"property of undefined", "", `return parameters.x.y`, "TypeError: Cannot read property 'y' of undefined (code:1:21)", []string{"code:1:21"}},
		{"later line", "", "\n\n  throw new RangeError('x')", "RangeError: x (code:3:9)", []string{"code:3:9"}},
		{"windows line ends", "", "\r\n\r\n  throw new Error('x')", "Error: x (code:3:9)", []string{"code:3:9"}},
		{"non-ASCII before it", "", `const é = "ü😀"; throw new Error("x")`, "Error: x (code:1:24)", []string{"code:1:24"}},
		{"not defined", "", "return 1 +\n nope", "ReferenceError: nope is not defined (code:2:2)", []string{"code:2:2"}},
		{"nested functions", "", "function a() { return b() }\nconst b = () => {\n  throw new Error('x')\n}\nreturn a()", "Error: x (code:3:9)",
			[]string{"b (code:3:9)", "a (code:1:24)", "code:5:9"}},
		{"class", "", "class A {\n  m() { null.x }\n}\nnew A().m()", "TypeError: Cannot read property 'x' of undefined (code:2:14)", []string{"m (code:2:14)", "code:4:10"}},
		{"after await", "", "async function a() {\n  await null\n  throw new Error('x')\n}\nawait a()", "Error: x (code:3:9)", []string{"a (code:3:9)", "code:5:8"}},
		{"in a callback of a built-in", "", "return [1].map((x) => x.y.z)", "TypeError: Cannot read property 'z' of undefined (code:1:27)", []string{"code:1:27", "code:1:15"}},
		{"timer", "", "setTimeout(() => {\n  throw new Error('x')\n}, 1); await new Promise(() => {})", "Error: x (code:2:9)", []string{"code:2:9"}},
		{"awaited timer", "", "await new Promise((_, reject) => setTimeout(() =>\n reject(new Error('x')), 1))", "Error: x (code:2:9)", []string{"code:2:9"}},
		{"microtask", "", "queueMicrotask(() => { throw new Error('x') }); await new Promise(() => {})", "Error: x (code:1:30)", []string{"code:1:30"}},
		{"eval", "", "const a = 1;\neval('a +\\n\\nnope')", "ReferenceError: nope is not defined (code:2:5)", []string{"code:2:5"}},
		{"new Function", "", "new Function('nope')()", "ReferenceError: nope is not defined (code:1:21)", []string{"code:1:21"}},
		{"syntax error in eval", "", "eval('1 +')", "", []string{"code:1:5", "code:1:5"}},
		{"require", "", "\nrequire('fs')", `Error: module "fs" is not available in the sandbox; available modules: assert, buffer, crypto, events, path, querystring, string_decoder, timers/promises, url, util (code:2:8)`, []string{"code:2:8"}},
		{"lowered syntax", "", "async function* g() {}\nfor await (const x of g()) {}\nthrow new Error('x')", "Error: x (code:3:7)", []string{"code:3:7"}},

		{"typescript", "pricing.ts", "interface A {\n  a: string\n}\nfunction f(x: any): number {\n  return x.y.z\n}\nreturn f({})", "TypeError: Cannot read property 'z' of undefined (pricing.ts:5:14)", []string{"f (pricing.ts:5:14)", "pricing.ts:7:8"}},
		{"typescript, first line", "pricing.ts", `const s: string = "é"; throw new Error(s)`, "Error: é (pricing.ts:1:30)", []string{"pricing.ts:1:30"}},
		{"typescript tolerated", "", "const s: string = '';\nthrow new Error(s as any)", "Error (code:2:7)", []string{"code:2:7"}},

		{"module", "tool.mjs", "export default async (p) => {\n  return p.q.r\n}", "TypeError: Cannot read property 'r' of undefined (tool.mjs:2:14)", []string{"default (tool.mjs:2:14)"}},
		{"module, first line", "", `export default () => { throw new Error("x") }`, "Error: x (code:1:30)", []string{"default (code:1:30)"}},
		{"module, named", "", "const a = 1;\nexport default function f() {\n  g()\n}\nfunction g() { throw new Error('x') }", "Error: x (code:5:22)", []string{"g (code:5:22)", "f (code:3:3)"}},
		{"module, while it loads", "", "const a = null;\na.b;\nexport default () => 1", "TypeError: Cannot read property 'b' of undefined (code:2:3)", []string{"code:2:3"}},
		{"module, after top-level await", "", "await null;\nthrow new Error('x');\nexport default () => 1", "Error: x (code:2:7)", []string{"code:2:7"}},
		{"module in typescript", "tool.ts", "type A = { a: string }\nexport default (p: A): string =>\n  p.a.b.c", "TypeError: Cannot read property 'b' of undefined (tool.ts:3:7)", []string{"default (tool.ts:3:7)"}},
		{"path of the host", "/srv/secret/tools/pricing.js", "null.x", "TypeError: Cannot read property 'x' of undefined (pricing.js:1:6)", []string{"pricing.js:1:6"}},
		{"name like an eval", "<eval>", "null.x", "TypeError: Cannot read property 'x' of undefined (code:1:6)", []string{"code:1:6"}},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			t.Run(c.title, func(t *testing.T) {
				got := failure(t, pool, named(c.name, c.code))
				require.Equal(t, errclass.SandboxError, got.Class)
				require.Equal(t, errclass.Exception, got.Reason)
				if c.detail != "" {
					require.Equal(t, c.detail, got.Detail)
				}
				require.Equal(t, c.stack, got.Stack)
			})
		}
	})
}

func TestSyntaxErrors(t *testing.T) {
	cases := []struct{ name, code, detail string }{
		{"", "let x = 1;\nlet y z = 2", `code:2:7: Expected ";" but found "z"`},
		{"", `let é = "😀", y z`, `code:1:17: Expected ";" but found "z"`},
		{"", `return "abc`, "code:1:12: Unterminated string literal"},
		{"", `return 1 +`, `code:1:11: the source ends too early, or a bracket is one too many`},
		{"", `if (a) { return 1`, `code:1:18: the source ends too early, or a bracket is one too many`},
		{"", `return 1 }`, `code:1:11: the source ends too early, or a bracket is one too many`},
		{"", "return `abc", ""},
		{"", "/* abc", ""},
		{"", "let a = 1;\nlet a = 2;", `code:2:5: The symbol "a" has already been declared`},
		{"", "break", ""},
		{"", "@", ""},
		{"", "\xff\xfe", ""},
		{"pricing.ts", "const a: = 1", `pricing.ts:1:10: Unexpected "="`},
		{"", "import fs from 'fs'\nexport default () => fs", `code:1:16: module "fs" is not available in the sandbox; available modules: assert, buffer, crypto, events, path, querystring, string_decoder, timers/promises, url, util`},
		{"", "import 'fs'", ""},
		{"", "return /a(?i:b)/", "code:1:8: Invalid group in a regular expression (modifiers, as in (?i:x), are not available)"},
		{"", "return /a/d", "code:1:8: Invalid flags supplied to RegExp constructor 'd'"},
		{"", "import fs from 'fs'\nreturn 1", ""},
		{"", "export * from './x'\nexport default () => 1", `code:1:15: module "./x" is not available in the sandbox; available modules: assert, buffer, crypto, events, path, querystring, string_decoder, timers/promises, url, util`},
		{"", "export const a = 1", "code: the module has no default export; write export default async (parameters, { credentials, tools }) => …"},
		{"", "const s = `\nexport {\n  a as default\n};\n`; export const b = s", "code: the module has no default export; write export default async (parameters, { credentials, tools }) => …"},
		{"", "export {}", "code: the module has no default export; write export default async (parameters, { credentials, tools }) => …"},
		{"", "export default () => {\n  let y z\n}", `code:2:9: Expected ";" but found "z"`},
		{"", "if (1) { export default 1 }", `code:1:10: Unexpected "export"`},

		// Out of the wrapper, in every way that leaves a program that parses.
		{"", "}); evil(); (async function () {", `code: a "}" ends the tool's function before the source ends`},
		{"", "}, evil(), async function () {", `code: a "}" ends the tool's function before the source ends`},
		{"", "})(), (async function () {", `code: a "}" ends the tool's function before the source ends`},
		{"", "}).call(evil, async function () {", `code: a "}" ends the tool's function before the source ends`},
		{"", "} + function () {", `code: a "}" ends the tool's function before the source ends`},
		{"", "const a: any = 1 }); evil(); (async function () {", `code: a "}" ends the tool's function before the source ends`},
		{"x.ts", "}); var __x = evil(); (async function (parameters, credentials, require, tools) {", `x.ts: a "}" ends the tool's function before the source ends`},
		{"x.ts", "}, [evil()] = async function () {", ""},

		{"", strings.Repeat("(", 3000) + strings.Repeat(")", 3000), "code:1:2001: brackets are nested too deeply"},
		{"", strings.Repeat("(a = ", 20) + "1" + strings.Repeat(") => 1", 20), "code:1:150: arrow functions are nested too deeply in the default values of their parameters"},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			t.Run(c.code[:min(len(c.code), 40)], func(t *testing.T) {
				job := named(c.name, c.code)
				got := failure(t, pool, job)
				require.Equal(t, errclass.SandboxError, got.Class, got)
				require.Equal(t, errclass.SyntaxError, got.Reason, got)
				if c.detail != "" {
					require.Equal(t, c.detail, got.Detail)
				}
				require.Equal(t, error(got), pool.Check(t.Context(), job.Source), "Check says what Run says")
			})
		}
	})
}

// TestSourceMapOfTheSource guards against the habit of goja and of esbuild to
// read a file that the source names as its source map: the map named here would
// move every error to line 78.
func TestSourceMapOfTheSource(t *testing.T) {
	text := `{"version":3,"sources":["elsewhere"],"mappings":"AA6EA"}`
	file := filepath.Join(t.TempDir(), "tool.map")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, url := range []string{
			"file://" + file, file,
			"data:application/json;base64," + base64.StdEncoding.EncodeToString([]byte(text)),
		} {
			comment := "\n//# sourceMappingURL=" + url
			require.Equal(t, "Error: x (code:1:7)", failure(t, pool, code(`throw new Error("x")`+comment)).Detail)
			require.Equal(t, "Error: x (x.ts:1:7)", failure(t, pool, named("x.ts", `throw new Error("x")`+comment)).Detail)
			require.Equal(t, "Error: x (x.mjs:1:30)", failure(t, pool, named("x.mjs", `export default () => { throw new Error("x") }`+comment)).Detail)
			got := value(t, pool, code("try { eval('throw new Error(1)\\n//# sourceMappingURL="+url+"') } catch (e) { return e.stack }"))
			require.Contains(t, got, "<eval>:1:7")
		}
	})
}

func TestThrownValues(t *testing.T) {
	cases := []struct{ code, detail string }{
		{`throw "text"`, `Uncaught "text"`},
		{`throw ""`, `Uncaught ""`},
		{`throw null`, `Uncaught null`},
		{`throw undefined`, `Uncaught undefined`},
		{`throw 42`, `Uncaught 42`},
		{`throw 10n`, `Uncaught 10`},
		{`throw Symbol("s")`, `Uncaught Symbol(s)`},
		{`throw {code: 7}`, `Uncaught {"code":7}`},
		{`throw [1, 2]`, `Uncaught [1,2]`},
		{`throw () => 1`, `Uncaught a function`},
		{`throw Object.create(null)`, `Uncaught {}`},
		{`const a = {}; a.a = a; throw a`, `Uncaught an object`},
		{`throw {toJSON() { throw 1 }}`, `Uncaught an object`},
		{`throw {toString() { throw 1 }, get message() { throw 2 }}`, `Uncaught an object`},
		{`throw new Proxy(new Error("x"), {get() { throw 1 }})`, `Uncaught an object`},
		{`throw new Proxy({}, {get() { throw 1 }, ownKeys() { throw 2 }})`, `Uncaught an object`},
		{`const {proxy, revoke} = Proxy.revocable({}, {}); revoke(); throw proxy`, `Uncaught an object`},
		{`const {proxy, revoke} = Proxy.revocable(() => 1, {}); revoke(); throw proxy`, ``},
		{`throw new Error()`, `Error (code:1:7)`},
		{`throw new Error("one\ntwo\u0000three")`, `Error: one two three (code:1:7)`},
		{`const e = new Error("x"); e.name = "Custom"; throw e`, `Custom: x (code:1:11)`},
		{`const e = new Error("x"); e.name = ""; throw e`, `x (code:1:11)`},
		{`const e = new Error("x"); e.name = Symbol("n"); throw e`, ``},
		{`const e = new Error("x"); e.message = {toString() { throw 1 }}; throw e`, `Error (code:1:11)`},
		{`const e = new Error("x"); Object.defineProperty(e, "message", {get() { throw 1 }}); throw e`, `Error (code:1:11)`},
		{`const e = new Error("x"); Object.defineProperty(e, "name", {get() { throw e }}); throw e`, `x (code:1:11)`},
		{`const e = new Error("x"); e.stack = "\tat forged (code:99:99(1))"; throw e`, `Error: x (code:1:11)`},
		{`const e = new Error("x"); Object.setPrototypeOf(e, null); throw e`, `x (code:1:11)`},
		{`class Mine extends TypeError { get name() { return "Mine" } } throw new Mine("x")`, `Mine: x (code:1:69)`},
		{`throw new AggregateError([new Error("a")], "all")`, `AggregateError: all (code:1:7); errors[0]: Error: a (code:1:27)`},
		{`throw new AggregateError([1, {b: 2}, null, "c", new Error("d"), 6, 7], "all")`,
			`AggregateError: all (code:1:7); errors[0]: 1; errors[1]: {"b":2}; errors[2]: null; errors[3]: "c"; errors[4]: Error: d (code:1:49); and 2 more`},
		{`await Promise.any([Promise.reject(new Error("one")), Promise.reject(2)])`, `AggregateError; errors[0]: Error: one (code:1:35); errors[1]: 2`},
		{`const e = new AggregateError([], "x"); e.errors = new Proxy([1], {get() { throw 1 }}); throw e`, `AggregateError: x (code:1:11)`},
		{`const e = new AggregateError([], "x"); e.errors = [1, 2]; Object.defineProperty(e.errors, 0, {get() { throw 1 }}); throw e`, `AggregateError: x (code:1:11); errors[1]: 2`},
		{`const e = new AggregateError([], "x"); e.errors = {length: 5}; throw e`, `AggregateError: x (code:1:11)`},
		{`throw new Error("outer", {cause: new Error("inner", {cause: "text"})})`, `Error: outer (code:1:7); cause: Error: inner (code:1:34); cause: "text"`},
		{"throw new Error('a', {cause:\nnew Error('b', {cause:\nnew Error('c', {cause:\nnew Error('d', {cause:\nnew Error('e')})})})})",
			`Error: a (code:1:7); cause: Error: b (code:2:1); cause: Error: c (code:3:1); cause: Error: d (code:4:1)`},
		{`throw new Error("a", {cause: null})`, `Error: a (code:1:7); cause: null`},
		{`throw new Error("a", {cause: undefined})`, `Error: a (code:1:7)`},
		{`const e = new Error("x"); e.cause = e; throw e`, `Error: x (code:1:11); cause: an error above`},
		{`const e = new Error("x"); Object.defineProperty(e, "cause", {get() { throw 1 }}); throw e`, `Error: x (code:1:11)`},
		{`const e = new Error("x"); e.cause = new Proxy({}, {get() { throw 1 }}); throw e`, `Error: x (code:1:11); cause: an object`},
		{`const {proxy, revoke} = Proxy.revocable({}, {}); revoke(); return [proxy]`, `TypeError: Proxy already revoked`},
		{`setTimeout(() => { throw "timer" }, 1); await new Promise(() => {})`, `Uncaught "timer" (code:1:20)`},
		{`setInterval(() => { throw new Error("interval") }, 1); await new Promise(() => {})`, `Error: interval (code:1:27)`},
		{`return {then(_, reject) { reject() }}`, `Uncaught undefined`},
		{`return Promise.reject(Promise.resolve(1))`, `Uncaught {}`},
		{`return {get x() { throw new Error("getter") }}`, `Error: getter (code:1:25)`},
		{`return {toJSON() { throw new Error("toJSON") }}`, `Error: toJSON (code:1:26)`},
		{`return {then(_, reject) { reject(new Error("thenable")) }}`, `Error: thenable (code:1:34)`},
		{`return {get then() { throw new Error("then") }}`, `Error: then (code:1:28)`},
		{`new Array(-1)`, `RangeError: Invalid array length (code:1:1)`},
		{`throw new RangeError("Maximum call stack size exceeded")`, `RangeError: Maximum call stack size exceeded (code:1:7)`},
		{`export default 5`, `the default export of code is not a function but a number`},
		{`export default class {}`, ``},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			t.Run(c.code, func(t *testing.T) {
				got := failure(t, pool, code(c.code))
				require.Equal(t, errclass.SandboxError, got.Class)
				require.Equal(t, errclass.Exception, got.Reason, got)
				if c.detail != "" {
					require.Equal(t, c.detail, got.Detail)
				}
				require.NotEmpty(t, got.Detail)
			})
		}
	})
}

func TestUnserializable(t *testing.T) {
	cases := []struct{ code, detail string }{
		{`return 1n`, "the result can't be JSON: it is a BigInt"},
		{`return Object(1n)`, "the result can't be JSON: inside is a BigInt"},
		{`return new BigInt64Array([1n])`, "the result can't be JSON: inside is a BigInt"},
		{`const f = () => 1; f.toJSON = () => 2; return f`, "the result can't be JSON: it is a function"},
		{`return Symbol.iterator`, "the result can't be JSON: it is a Symbol"},
		{`return {a: [1n]}`, "the result can't be JSON: inside is a BigInt"},
		{`return () => 1`, "the result can't be JSON: it is a function"},
		{`return class {}`, "the result can't be JSON: it is a function"},
		{`return Symbol("s")`, "the result can't be JSON: it is a Symbol"},
		{`const a = {}; a.b = [a]; return a`, "the result can't be JSON: inside is a circular reference"},
		{`return "\ud800"`, "the result can't be JSON: inside is a lone surrogate (half of a character)"},
		{`return {a: ["x\udc00\ud800"]}`, "the result can't be JSON: inside is a lone surrogate (half of a character)"},
		{`return {"\ud800x": 1}`, "the result can't be JSON: inside is a lone surrogate (half of a character)"},
		{`return {toJSON: () => "é\ud800"}`, "the result can't be JSON: inside is a lone surrogate (half of a character)"},
		{`let a = 1; for (let i = 0; i < 1001; i++) a = [a]; return a`, "the result can't be JSON: inside is a value nested more than 1000 deep"},
		{`let a = 1; for (let i = 0; i < 2000; i++) a = {a}; return a`, "the result can't be JSON: inside is a value nested more than 1000 deep"},
		{`await tools.invoke("x", "\ud800")`, `tool "x": the parameters can't be JSON: inside is a lone surrogate (half of a character)`},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			job := code(c.code)
			job.Invoke = func(_ context.Context, _ string, parameters []byte) ([]byte, error) { return parameters, nil }
			got := failure(t, pool, job)
			require.Equal(t, errclass.Unserializable, got.Reason, c.code)
			require.Equal(t, c.detail, got.Detail, c.code)
		}
		for text, want := range map[string]string{
			`return "😀\ud83d\ude00"`: `"😀😀"`,
			`return ["\\ud800"]`:     `["\\ud800"]`,
			`let a = 1; for (let i = 0; i < 1000; i++) a = [a]; return a`: strings.Repeat("[", 1000) + "1" + strings.Repeat("]", 1000),
		} {
			require.Equal(t, want, value(t, pool, code(text)))
		}
	})
}

func TestNeverSettles(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, text := range []string{
			`await new Promise(() => {})`,
			`return {then() {}}`,
			`await Promise.all([new Promise(() => {}), 1])`,
			`for await (const x of [new Promise(() => {})]) {}`,
			`await {then() {}}`,
			`setTimeout(() => {}, 1); await new Promise(() => {})`,
			`await new Promise(() => {}); export default () => 1`,
			`export default () => new Promise(() => {})`,
		} {
			got := failure(t, pool, code(text))
			require.Equal(t, errclass.NeverSettles, got.Reason, text)
			require.Equal(t, "code awaits a promise that nothing will settle", got.Detail, text)
		}
	})
}

func TestEngineFaults(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, text := range []string{
			`return Array.from({length: 3}, Math.sqrt)`,
			`return [, 1].find(Boolean)`,
			`await {then: Array.from}`,
		} {
			got := failure(t, pool, code(text))
			require.Equal(t, errclass.SandboxError, got.Class, text)
			require.Equal(t, errclass.EngineFault, got.Reason, text)
			require.Empty(t, got.Details().Causes, text)
			require.ErrorContains(t, got.Cause, "panic: ", text)
			require.Equal(t, "2", value(t, pool, code("return 1 + 1")), "the pool lives on")
		}
	})
}
