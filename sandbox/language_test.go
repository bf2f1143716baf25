package sandbox_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

func TestResults(t *testing.T) {
	cases := []struct{ name, code, want string }{
		{"code", ``, `null`},
		{"code", `return`, `null`},
		{"code", `return undefined`, `null`},
		{"code", `return null`, `null`},
		{"code", `return true`, `true`},
		{"code", `return 1.5`, `1.5`},
		{"code", `return -0`, `0`},
		{"code", `return 1e21`, `1e+21`},
		{"code", `return NaN`, `null`},
		{"code", `return [NaN, Infinity, undefined, () => 1, Symbol()]`, `[null,null,null,null,null]`},
		{"code", `return {a: undefined, b: () => 1, c: Symbol(), d: 1}`, `{"d":1}`},
		{"code", `return "é\n\u2028"`, "\"é\\n\u2028\""},
		{"code", `return new Date(0)`, `"1970-01-01T00:00:00.000Z"`},
		{"code", `return new Map([[1, 2]])`, `{}`},
		{"code", `return new Set([1])`, `{}`},
		{"code", `return new Proxy([1, 2], {})`, `[1,2]`},
		{"code", `return Infinity`, `null`},
		{"code", `return new Date(NaN)`, `null`},
		{"code", `const m = new Map(); m.set("m", m); return m`, `{}`},
		{"code", `return new WeakMap()`, `{}`},
		{"code", `return new Uint8Array([1, 2])`, `{"0":1,"1":2}`},
		{"code", `return new ArrayBuffer(2)`, `{}`},
		{"code", `return new Error("x")`, `{}`},
		{"code", `return [new Number(1), new String("x"), new Boolean(false), Object(Symbol())]`, `[1,"x",false,null]`},
		{"code", `return [, 1]`, `[null,1]`},
		{"code", `return {get a() { return 1 }, [Symbol()]: 2}`, `{"a":1}`},
		{"code", `return new (class { #x = 1; y = 2; get z() { return 3 } })()`, `{"y":2}`},
		{"code", `return (function* () { yield 1 })()`, `{}`},
		{"code", `return (async function* () { yield 1 })()`, `{}`},
		{"code", `return {toJSON() { return this.x }, x: [1]}`, `[1]`},
		{"code", `return {a: {toJSON(key) { return key }}}`, `{"a":"a"}`},
		{"code", `return {then(resolve) { resolve(1); throw 2 }}`, `1`},
		{"code", `return {then(resolve, reject) { resolve(1); resolve(2); reject(3) }}`, `1`},
		{"code", `return {then(resolve) { resolve({then(resolve) { resolve(7) }}) }}`, `7`},
		{"code", `return {then: 5}`, `{"then":5}`},
		{"code", `return {toJSON() { return 7 }}`, `7`},
		{"code", `return {toJSON() { return undefined }}`, `null`},
		{"code", `String.prototype.toJSON = () => 7; return "x"`, `"x"`},
		{"code", `Object.prototype.toJSON = () => 7; return "x"`, `"x"`},
		{"code", `JSON.stringify = () => "1"; JSON.parse = () => 2; return [3]`, `[3]`},
		{"code", `Object.assign(globalThis, {JSON: 0, Promise: 0, Error: 0}); return [4]`, `[4]`},
		{"code", `return Object.create(null)`, `{}`},
		{"code", `return Promise.resolve(5)`, `5`},
		{"code", `return {then(resolve) { resolve(6) }}`, `6`},
		{"code", `return await new Promise((resolve) => setTimeout(resolve, 1, 8))`, `8`},
		{"code", `return parameters`, `{"a":{"b":[1,"x",null,true]},"__proto__":1}`},
		{"code", `return parameters.__proto__`, `1`},
		{"code", `return credentials.token`, `"s3cret"`},
		{"code", `return [typeof tools, typeof require]`, `["undefined","function"]`},
		{"code", `return this === globalThis`, `true`},
		{"code", `"use strict"; return this === undefined`, `true`},
		{"code", `return 1 // the end`, `1`},
		{"code", "\ufeffreturn 2", `2`},
		{"code", `return arguments.length`, `4`},
		{"code", `return eval("1 + 1")`, `2`},
		{"code", `return new Function("a", "return a + 1")(2)`, `3`},
		{"code", `return '\u{10FFFF}'.length`, `2`},
		{"code", `async function* g() { yield 1; yield 2 } let n = 0; for await (const x of g()) n += x; return n`, `3`},
		{"code", `class A { static #x = 1; static { this.y = A.#x + 1 } } return A.y`, `2`},
		{"code", `const a = {b: null}; a.b ??= 4; return a?.b?.c ?? a.b ** 2`, `16`},
		{"code", `const log = []; { using x = {[Symbol.dispose ?? Symbol.for("Symbol.dispose")]() { log.push("gone") }} } return log`, `["gone"]`},
		{"code", `return "2024-05-06".replace(/(?<y>\d+)-(?<m>\d+)-(?<d>\d+)/u, "$<d>.$<m>.$<y>")`, `"06.05.2024"`},

		{"code", `const s: string = "typed"; return s as any`, `"typed"`},
		{"code", `enum E { A = 3 } return E.A`, `3`},
		{"tool.ts", `interface P { a: number } const f = <T,>(x: T): T => x; return f<number>(1)`, `1`},
		{"tool.ts", `const a = 1, b = 2, c = 3; return a < b && b > (c)`, `false`},
		{"tool.js", `const f = (x) => x, a = 1, b = 2; return [f(a<b, b>(a))]`, `[true]`},

		{"code", `export default () => 1`, `1`},
		{"code", `export default async (p, { credentials }) => [p.a.b[0], credentials.token]`, `[1,"s3cret"]`},
		{"code", `export default (p, scope) => Object.keys(scope)`, `["credentials","tools"]`},
		{"code", `function f() { return 2 } export { f as default, f as other }`, `2`},
		{"code", `const k = await new Promise((r) => setTimeout(r, 1, 3)); export default () => k`, `3`},
		{"code", `export const a = 1; export default function () { return this === undefined }`, `true`},
		{"code", `let tool_default = 1; export default () => tool_default`, `1`},
		{"code", "export default () => `x\nexport {\n  a as default\n};\n`", `"x\nexport {\n  a as default\n};\n"`},
		{"code", `export default () => { arguments = 1 }`, ``},
		{"tool.mjs", `export default () => import.meta.url ?? "none"`, `"none"`},
		{"tool.ts", `import type { X } from "types"; export default (p: X): number => 4`, `4`},
		{"tool.ts", `export default async (p: any): Promise<string> => "export default"`, `"export default"`},

		{"code", `return "export default 1"`, `"export default 1"`},
		{"code", `// export default 1` + "\n" + `return 2`, `2`},
		{"code", `const s: string = "export default"; return s`, `"export default"`},
		{"code", "return `import x from 'y'`", `"import x from 'y'"`},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			t.Run(c.name+" "+c.code, func(t *testing.T) {
				job := named(c.name, c.code)
				job.Parameters = []byte(`{"a":{"b":[1,"x",null,true]},"__proto__":1}`)
				job.Credentials = []byte(`{"token":"s3cret"}`)
				if c.want == "" {
					failure(t, pool, job)
					return
				}
				require.Equal(t, c.want, value(t, pool, job))
				require.NoError(t, pool.Check(t.Context(), job.Source))
			})
		}
	})
}

func TestRealmGlobals(t *testing.T) {
	cases := []struct{ code, want string }{
		{`return ["process", "global", "window", "require", "module", "exports", "GoError", "tools", "parameters", "Deno", "Bun"].filter((n) => n in globalThis)`, `[]`},
		{`return [setTimeout, clearTimeout, setInterval, clearInterval, queueMicrotask, console.log, console.debug, require].map((f) => f.name)`,
			`["setTimeout","clearTimeout","setInterval","clearInterval","queueMicrotask","log","debug","require"]`},
		{`return String(setTimeout)`, `"function setTimeout() { [native code] }"`},
		{`try { require("fs") } catch (e) { return [e instanceof Error, e.constructor === Error, e.name, e.message] }`,
			`[true,true,"Error","module \"fs\" is not available in the sandbox; available modules: assert, buffer, crypto, events, path, querystring, string_decoder, timers/promises, url, util"]`},
		{`try { await import("fs") } catch (e) { return e.message }`, `"module \"fs\" is not available in the sandbox; available modules: assert, buffer, crypto, events, path, querystring, string_decoder, timers/promises, url, util"`},
		{`return Object.getOwnPropertyNames(require).filter((n) => n.includes("/"))`, `[]`},
		{`return [typeof setTimeout.constructor, setTimeout instanceof Function]`, `["function",true]`},
		{`try { new setTimeout() } catch (e) { return e.name }`, `"TypeError"`},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			require.Equal(t, c.want, value(t, pool, code(c.code)), c.code)
		}
	})
}

// TestGlobalsOnDemand pins that what is made at the first touch looks as if it had
// always been there.
func TestGlobalsOnDemand(t *testing.T) {
	cases := []struct{ code, want string }{
		{`return ["fetch" in globalThis, typeof fetch, fetch === fetch, globalThis.fetch === fetch, self.fetch === fetch, this.fetch === fetch]`, `[true,"function",true,true,true,true]`},
		{`URL; const d = Object.getOwnPropertyDescriptor(globalThis, "URL"); return [d.writable, d.configurable, d.enumerable, typeof d.value]`, `[true,true,false,"function"]`},
		{`return [typeof nope, "nope" in globalThis, (() => { try { return nope } catch (e) { return e.name } })()]`, `["undefined",false,"ReferenceError"]`},
		{`globalThis.fetch = 1; return fetch`, `1`},
		{`fetch = 2; return globalThis.fetch`, `2`},
		{`"use strict"; fetch; fetch = 3; return fetch`, `3`}, // untouched, goja takes it for undeclared
		{`var URL = 4; return URL`, `4`},
		{`const fetch = 5; return fetch`, `5`},
		{`fetch; delete globalThis.fetch; return typeof fetch`, `"undefined"`},
		{`globalThis.fetch = 1; return Object.keys(globalThis)`, `["fetch"]`},
		{`const keys = []; for (const k in globalThis) keys.push(k); return [keys, Object.keys(globalThis)]`, `[[],[]]`},
		{`Object.defineProperty(globalThis, "atob", {value: 6}); return atob`, `6`},
		{`return [globalThis instanceof Object, globalThis.hasOwnProperty("setTimeout"), String(globalThis), typeof globalThis.toString]`, `[true,false,"[object global]","function"]`},
		{`with (globalThis) { return typeof structuredClone }`, `"function"`},
		{`return (0, eval)("typeof TextEncoder")`, `"function"`},
		{`return new Function("return typeof Response")()`, `"function"`},
		{`return new Response("x") instanceof Response && new File([], "") instanceof Blob && AbortSignal.abort() instanceof EventTarget`, `true`},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			require.Equal(t, c.want, value(t, pool, code(c.code)), c.code)
		}
	})
}

func TestTimersAndMicrotasks(t *testing.T) {
	cases := []struct{ code, want string }{
		{`const log = [];
		  setTimeout(() => log.push("timer"), 0);
		  queueMicrotask(() => log.push("micro"));
		  Promise.resolve().then(() => log.push("then"));
		  log.push("sync");
		  await new Promise((r) => setTimeout(r, 2));
		  return log`, `["sync","micro","then","timer"]`},
		{`const log = [];
		  setTimeout(() => log.push(3), 30); setTimeout(() => log.push(1), 10); setTimeout(() => log.push(2), 20);
		  await new Promise((r) => setTimeout(r, 40)); return log`, `[1,2,3]`},
		{`const log = [];
		  for (let i = 0; i < 5; i++) setTimeout((x) => log.push(x), 1, i);
		  await new Promise((r) => setTimeout(r, 10)); return log.join("")`, `"01234"`},
		{`let n = 0;
		  await new Promise((r) => { const id = setInterval(() => { if (++n === 3) { clearInterval(id); r() } }, 1) });
		  return n`, `3`},
		{`let n = 0; const id = setTimeout(() => n++, 1); clearTimeout(id); clearTimeout(id); clearTimeout(); clearTimeout({});
		  await new Promise((r) => setTimeout(r, 5)); return n`, `0`},
		{`setTimeout(() => { throw 1 }, 100000); setInterval(() => {}, 100000); return "dropped"`, `"dropped"`},
		{`const r = []; for (const f of [setTimeout, setInterval, queueMicrotask]) try { f("code") } catch (e) { r.push(e.name) } return r`,
			`["TypeError","TypeError","TypeError"]`},
		{`return await Promise.race([new Promise((r) => setTimeout(r, 1e10, "clamped")), new Promise((r) => setTimeout(r, 5000, "late"))])`, `"clamped"`},
		{`return await Promise.all([1, Promise.resolve(2), new Promise((r) => setTimeout(r, 1, 3))])`, `[1,2,3]`},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			require.Equal(t, c.want, value(t, pool, code(c.code)), c.code)
		}
	})
}

func TestConsole(t *testing.T) {
	cases := []struct {
		code string
		want []errclass.LogLine
	}{
		{`console.log("a"); console.info("b"); console.warn("c"); console.error("d"); console.debug("e")`,
			[]errclass.LogLine{{Level: "info", Message: "a"}, {Level: "info", Message: "b"}, {Level: "warn", Message: "c"}, {Level: "error", Message: "d"}, {Level: "debug", Message: "e"}}},
		{`console.log()`, []errclass.LogLine{{Level: "info"}}},
		{`console.log("x", 1, true, null, undefined, 2n, Symbol("s"), [1, "y"], {a: {b: 1}}, () => 1)`,
			[]errclass.LogLine{{Level: "info", Message: `x 1 true null undefined 2 Symbol(s) [1,"y"] {"a":{"b":1}} [Function]`}}},
		{`console.log("%s is %d%% of %j%s", "x", 5, {a: 1})`, []errclass.LogLine{{Level: "info", Message: `x is 5% of {"a":1}%s`}}},
		{`console.log("%s", "x", "y"); console.log("100%"); console.log("%q", 1)`,
			[]errclass.LogLine{{Level: "info", Message: "x y"}, {Level: "info", Message: "100%"}, {Level: "info", Message: "%q 1"}}},
		{"console.error(\n  new TypeError('bad'))", []errclass.LogLine{{Level: "error", Message: "TypeError: bad\n    at code:2:3"}}},
		{`const a = {}; a.a = a; console.log(a, {x: 1n}, {get x() { throw 1 }}, new Proxy({}, {ownKeys() { throw 1 }}))`,
			[]errclass.LogLine{{Level: "info", Message: "[object Object] [object Object] [object Object] [object Object]"}}},
		{`console.dir({a: 1}); console.table([{a: 1}]); console.dir()`,
			[]errclass.LogLine{{Level: "info", Message: `{"a":1}`}, {Level: "info", Message: `[{"a":1}]`}, {Level: "info", Message: "undefined"}}},
		{`console.assert(1, "no"); console.assert(0); console.assert(null, "%s!", "x")`,
			[]errclass.LogLine{{Level: "error", Message: "Assertion failed"}, {Level: "error", Message: "Assertion failed: x!"}}},
		{`console.count(); console.count("a"); console.count(); console.countReset(); console.count(); console.countReset("b")`,
			[]errclass.LogLine{{Level: "info", Message: "default: 1"}, {Level: "info", Message: "a: 1"}, {Level: "info", Message: "default: 2"}, {Level: "info", Message: "default: 1"},
				{Level: "warn", Message: "Count for 'b' does not exist"}}},
		{`console.group("g"); console.log("a\nb"); console.group(); console.warn("c"); console.groupEnd(); console.groupEnd(); console.groupEnd(); console.log("d")`,
			[]errclass.LogLine{{Level: "info", Message: "g"}, {Level: "info", Message: "  a\n  b"}, {Level: "warn", Message: "    c"}, {Level: "info", Message: "d"}}},
		{`console.timeEnd(); console.time("t"); console.time("t")`,
			[]errclass.LogLine{{Level: "warn", Message: "No such label 'default' for console.timeEnd()"}, {Level: "warn", Message: "Label 't' already exists for console.time()"}}},
		{"function f() {\n  console.trace('x', 1)\n}\nf()", []errclass.LogLine{{Level: "info", Message: "Trace: x 1\n    at f (code:2:16)\n    at code:4:2"}}},
		{`console.time({toString() { throw 1 }}); console.count(Symbol("s")); console.group({get a() { throw 1 }})`,
			[]errclass.LogLine{{Level: "info", Message: "Symbol(s): 1"}, {Level: "info", Message: "[object Object]"}}},
		{`Promise.reject(new RangeError("nobody")); const p = Promise.reject(1); await null; p.catch(() => {})`,
			[]errclass.LogLine{{Level: "error", Message: "Unhandled rejection: RangeError: nobody (code:1:16)"}}},
		{`setTimeout(async () => { throw new Error("timer") }, 1); await new Promise((r) => setTimeout(r, 20))`,
			[]errclass.LogLine{{Level: "error", Message: "Unhandled rejection: Error: timer (code:1:32)"}}},
		{`console.log(new Error("outer", {cause: 1}))`, []errclass.LogLine{{Level: "info", Message: "Error: outer; cause: 1\n    at code:1:13"}}},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			result, failure := run(t, pool, code(c.code))
			require.Nil(t, failure, c.code)
			require.Equal(t, c.want, result.Logs, c.code)
			require.False(t, result.LogsTruncated)
		}
		result, failure := run(t, pool, code(`console.time("t"); console.timeLog("t", "x"); console.timeEnd("t"); console.timeEnd("t")`))
		require.Nil(t, failure)
		require.Regexp(t, `^t: \d+\.\d{3}ms x t: \d+\.\d{3}ms No such label`, result.Logs[0].Message+" "+result.Logs[1].Message+" "+result.Logs[2].Message)
		result, failure = run(t, pool, code(`console.log("before"); throw new Error("x")`))
		require.NotNil(t, failure)
		require.Equal(t, []errclass.LogLine{{Level: "info", Message: "before"}}, result.Logs, "logs survive a failure")
	})
}

func TestNothingCarriesOver(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		spoil := `globalThis.leak = 1; Object.prototype.leak = 2; Array.prototype.map = null; JSON = null;
			Promise.prototype.then = null; Error.prototype.message = "x"; console.log = null; return "leak" in globalThis`
		probe := `return [typeof leak, typeof {}.leak, typeof [].map, typeof JSON, typeof Promise.prototype.then, new Error().message, typeof console.log]`
		for range 3 {
			require.Equal(t, `true`, value(t, pool, code(spoil)))
			require.Equal(t, `["undefined","undefined","function","object","function","","function"]`, value(t, pool, code(probe)))
		}
	})
}

func TestLongSources(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		text := "let n = 0;\n" + strings.Repeat("n += 1; // é counts as one character\n", 5000) + "return n + nope"
		require.Equal(t, "ReferenceError: nope is not defined (code:5002:12)", failure(t, pool, code(text)).Detail)
	})
}
