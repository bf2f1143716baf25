package sandbox_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

// hostileWeb are programs that turn on the Web APIs: with getters that throw,
// proxies, built-ins replaced before or after the first use. They may break what
// they get, and nothing else.
var hostileWeb = []string{
	`new Request("http://a", {get method() { throw new RangeError("x") }})`,
	`new Request("http://a", new Proxy({}, {get() { throw 1 }}))`,
	`new Request(new Proxy(new Request("http://a"), {}))`,
	`new Response(new Proxy(new Blob(["x"]), {}))`,
	`new Response({toString() { throw new Error("x") }})`,
	`new Response(Object.create(null))`,
	`new Response(Symbol())`,
	`new Headers(new Proxy({}, {ownKeys() { return ["a", "a"] }}))`,
	`new Headers({get a() { throw null }})`,
	`new Headers({[Symbol()]: 1})`,
	`new Headers([{length: 2}])`,
	`new Headers({[Symbol.iterator]: () => ({next: () => ({get done() { throw 1 }})})})`,
	`new URLSearchParams({[Symbol.iterator]: 5})`,
	`new URL({toString: () => ({})})`,
	`new URL("http://a/", Symbol())`,
	`new Blob({[Symbol.iterator]: () => ({next() { return {value: {toString() { throw 1 }}} }})})`,
	`new File(["x"], {toString() { throw 1 }})`,
	`new TextDecoder("utf-8", new Proxy({}, {get() { throw 1 }}))`,
	`new TextDecoder().decode(new Proxy(new Uint8Array(1), {}))`,
	`new TextDecoder().decode(Object.create(Uint8Array.prototype))`,
	`new TextEncoder().encodeInto("x", Object.create(Uint8Array.prototype))`,
	`crypto.getRandomValues(Object.create(Uint8Array.prototype))`,
	`crypto.getRandomValues(new Proxy(new Uint8Array(4), {}))`,
	`crypto.subtle.digest.call({}, "SHA-1", new Uint8Array(1)).catch(() => 1)`,
	`crypto.subtle.digest({get name() { throw 1 }}, new Uint8Array(1))`,
	`crypto.subtle.importKey("jwk", new Proxy({}, {get() { throw 1 }}), {name: "HMAC", hash: "SHA-1"}, true, ["sign"])`,
	`crypto.subtle.importKey("raw", new Uint8Array(1), {name: "HMAC", hash: "__proto__"}, true, ["sign"])`,
	`crypto.subtle.digest("constructor", new Uint8Array(1))`,
	`structuredClone(new Proxy([], {}))`,
	`structuredClone({get [Symbol.toStringTag]() { throw 1 }})`,
	`structuredClone(new Map([[{get a() { throw 1 }}, 1]]))`,
	`structuredClone([], {get transfer() { throw 1 }})`,
	`structuredClone(Object.defineProperty(new Error, "message", {get() { throw 1 }}))`,
	`structuredClone(Object.defineProperty(new Error, "name", {value: Symbol()}))`,
	`structuredClone(Object.create(Map.prototype))`,
	`structuredClone(Object.create(Uint8Array.prototype))`,
	`let a = []; for (let i = 0; i < 2e4; i++) a = [a]; structuredClone(a)`,
	`AbortSignal.any({[Symbol.iterator]: () => ({next() { throw 1 }})})`,
	`AbortSignal.prototype.throwIfAborted.call({})`,
	`Object.getOwnPropertyDescriptor(AbortSignal.prototype, "aborted").get.call(AbortSignal.prototype)`,
	`const t = new EventTarget(); t.addEventListener("a", {get handleEvent() { throw null }}); t.dispatchEvent(new Event("a"))`,
	`const t = new EventTarget(); let n = 0; t.addEventListener("a", () => n++ < 200 && t.dispatchEvent(new Event("a"))); t.dispatchEvent(new Event("a"))`,
	`const f = (s) => AbortSignal.any([s]); let s = new AbortController().signal; for (let i = 0; i < 1000; i++) s = f(s)`,
	`fetch("http://h/", {get body() { throw 1 }, method: "POST"})`,
	`fetch("http://h/", {signal: new Proxy(new AbortController().signal, {})})`,
	`fetch({toString() { throw new Error("x") }})`,
	`fetch("http://h/", {headers: {host: "x", "content-length": "-1", "transfer-encoding": "chunked"}})`,
	`fetch("http://h/", {method: "POST", body: "x", headers: {"a\0b": "x"}})`,
	`fetch("http://h/" + "%".repeat(2e4) + "\0")`,
	`fetch.call(null, "http://h/")`,
	`new fetch("http://h/")`,
	`new URL("http://" + "ä".repeat(2e4))`,
	`new URL("http://" + "@".repeat(2e4) + "a")`,
	`new URL("http://a/" + "../".repeat(2e4))`,
	`new URL("http://" + "1.".repeat(2e4))`,
	`new URL("http://[" + ":".repeat(2e4) + "]")`,
	`new Response("--a" + "\r\n--a".repeat(1e4), {headers: {"content-type": "multipart/form-data; boundary=a"}}).formData()`,
	`new Response("x", {headers: {"content-type": "multipart/form-data; boundary=" + "a".repeat(2e4)}}).formData()`,
	`const r = new Response("x"); r.json = r.text = null; r.constructor = null; return Response.prototype.json.call(r)`,
	`const it = new Headers({a: "1"}).entries(); it.next.call({})`,
	`console.table(new Proxy({}, {get() { throw 1 }})); console.count({toString() { throw 1 }}); console.group(Object.create(null))`,
	`Object.getPrototypeOf(globalThis).fetch = 1`,
	`Object.setPrototypeOf(Object.getPrototypeOf(globalThis), null); fetch("http://h/")`,
	`Object.setPrototypeOf(globalThis, null); fetch("http://h/")`,
	`Object.defineProperty(globalThis, "fetch", {get() { throw 1 }}); fetch`,
	`Object.freeze(globalThis); fetch("http://h/")`,
	`Object.preventExtensions(globalThis); new URL("http://a")`,
	`Object.defineProperty(globalThis, "URL", {value: 1}); new URL("http://a")`,
	`performance.now.call({}); performance.timeOrigin = 1; self.self = 1`,
}

// spoilers change the realm before a hostile program begins.
var spoilers = []string{
	``,
	`Object.prototype.get = Object.prototype.value = Object.prototype.set = 1;`,
	`Object.defineProperty(Object.prototype, "signal", {get() { return {aborted: false} }});`,
	`Object.prototype.headers = {a: "1"}; Object.prototype.body = "x"; Object.prototype.method = "POST";`,
	`for (const p of [Array, String, Map, Set, Promise, WeakMap, RegExp].map((c) => c.prototype)) for (const k of Object.getOwnPropertyNames(p)) try { p[k] = () => { throw new Error("spoiled") } } catch {};`,
	`for (const k of ["Array", "Object", "Promise", "Map", "Set", "WeakMap", "TypeError", "RangeError", "Error", "Symbol", "Uint8Array", "ArrayBuffer", "JSON", "String", "Number", "Math", "Reflect"]) globalThis[k] = undefined;`,
	`Array.prototype[Symbol.iterator] = function* () { yield this; yield globalThis };`,
	`Object.defineProperty(Array.prototype, 0, {set(v) { globalThis.stolen = v }, get() { return globalThis.stolen }});`,
	`Function.prototype.call = Function.prototype.apply = function () { return this };`,
	`Object.defineProperty(Object.prototype, "then", {get() { globalThis.seen = this; return undefined }});`,
	`Error.prototype.constructor = null; Object.setPrototypeOf(Error.prototype, null); Object.setPrototypeOf(TypeError, null);`,
	`const define = Object.defineProperty; Object.defineProperty = (o, k, d) => { globalThis.defined = o; return define(o, k, d) };`,
	`globalThis.Map = class { constructor() { globalThis.map = this } get() {} set() { return this } has() { return true } };`,
}

// goLeak is what only Go writes.
var goLeak = regexp.MustCompile(`goroutine|runtime error|github\.com|\.go:|0xc0|interface \{\}|\*goja|func1|prelude`)

func TestHostileWebPrograms(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, spoiler := range spoilers {
			for _, program := range sample(hostileWeb, 4) {
				text := spoiler + "\n" + `const tell = (e) => { try { return [typeof e, String(e?.stack), Object.getOwnPropertyNames(e ?? {}).join()].join() } catch { return "untold" } };
					try { await (async () => { ` + program + ` })() } catch (e) { throw tell(e) }`
				job := code(text)
				job.Fetch = network
				result, failure := run(t, pool, job)
				if failure == nil {
					require.NotRegexp(t, goLeak, string(result.Value), text)
					continue
				}
				require.NotEqual(t, errclass.InternalError, failure.Class, "%s: %v", text, failure)
				require.NotEqual(t, errclass.EngineFault, failure.Reason, "%s: %v: %v", text, failure, failure.Cause)
				// A stack names the preludes, which is all that is seen of them.
				require.NotRegexp(t, goLeak, strings.ReplaceAll(failure.Error(), "toolrun:prelude", ""), text)
			}
		}
		require.Equal(t, `"http://a/"`, value(t, pool, code(`return new URL("http://a").href`)))
	})
}

// TestNoGoValuesInTheWebAPIs looks at everything that can be reached from the
// globals: no function is named as a symbol of Go's, no object is one of Go's.
func TestNoGoValuesInTheWebAPIs(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		names := value(t, pool, code(`
			const names = ["fetch", "Headers", "Request", "Response", "FormData", "Blob", "File", "URL", "URLSearchParams", "AbortController", "AbortSignal", "Event", "EventTarget",
				"DOMException", "TextEncoder", "TextDecoder", "atob", "btoa", "structuredClone", "crypto", "CryptoKey", "performance", "console", "self", "setTimeout", "queueMicrotask"];
			const seen = new Set(), bad = [];
			const walk = (x, path) => {
				if ((typeof x !== "object" && typeof x !== "function") || x === null || seen.has(x)) return;
				seen.add(x);
				if (typeof x === "function" && /[/]|github|\bfunc\d|goja/.test(x.name)) bad.push(path + ": " + x.name);
				for (const k of Reflect.ownKeys(x)) {
					const d = Reflect.getOwnPropertyDescriptor(x, k);
					for (const part of ["value", "get", "set"]) if (d[part] !== undefined) walk(d[part], path + "." + String(k));
				}
				walk(Object.getPrototypeOf(x), path + ".__proto__");
			};
			for (const n of names) { if (globalThis[n] === undefined) bad.push(n); walk(globalThis[n], n) }
			for (const v of [new Response("x").body, new Response("x").body.getReader(), new Headers().entries(), await crypto.subtle.importKey("raw", new Uint8Array(1), {name: "HMAC", hash: "SHA-1"}, true, ["sign"])]) walk(v, "v");
			return [bad, seen.size > 500]`))
		require.Equal(t, `[[],true]`, names)
	})
}
