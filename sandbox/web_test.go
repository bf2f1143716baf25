package sandbox_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/sandbox"
)

// webCases are expressions over the Web APIs and what they give, here and in
// node. A want of "" is whatever node says. A throw is {"throws": name}.
var webCases = []struct{ code, want string }{
	// URL
	{`new URL("HTTPS://User:pa%20ss@Exämple.com:443/a/./b/../c d?x=1&y=ä#f g").href`, `"https://User:pa%20ss@xn--exmple-cua.com/a/c%20d?x=1&y=%C3%A4#f%20g"`},
	{`["protocol","username","password","host","hostname","port","pathname","search","hash","origin","href"].map((k) => new URL("http://u:p@h.x:81/p?q#f")[k])`, `["http:","u","p","h.x:81","h.x","81","/p","?q","#f","http://h.x:81","http://u:p@h.x:81/p?q#f"]`},
	{`["", "x", "//", "http://", "http://a b/", "http://[::1", "http://a:99999/", "http://%zz/", "http://1.2.3.256/", "http://a:b/", "https://exa%mple.org", "a:", "1:"].map((u) => URL.canParse(u))`, ""},
	{`["../x", "//h/y", "?q", "#f", "", "x/./y/..", "http:z", "https:z", "\\\\h\\p", "mailto:a@b", "javascript:alert(1)", ".", "..", "%2e%2E/a"].map((u) => new URL(u, "http://a.b/c/d/e?k#l").href)`, ""},
	{`["http://0x7f.1/", "http://2130706433/", "http://0177.0.0.1/", "http://127.1/", "http://1.2.3./", "http://[2001:db8:0:0:1:0:0:1]/", "http://[::ffff:1.2.3.4]/", "http://[1::]/", "http://[0:0:0:1:2:3:4:5]/", "http://ＧＯ.com/", "http://faß.de/", "http://a_b-.c/"].map((u) => new URL(u).host)`, ""},
	{`["file:///C|/x/../..", "file:c:\\\\foo", "file://localhost/a", "file:///a/../../b", "file://host/share", "file:/x"].map((u) => new URL(u).href)`, ""},
	{`["non-special://H/%41?'#'", "a:/..//b", "a:b c?d e#f g", "web+x:/.//p", "data:text/plain,a b", "blob:https://a.b/c", "a://[::1]:5/"].map((u) => [new URL(u).href, new URL(u).origin])`, ""},
	{`const u = new URL("http://a/b?c#d"); u.protocol = "https"; u.host = "x:8080"; u.port = "443"; u.pathname = "p q?"; u.search = "s=1'"; u.hash = "h i"; u.username = "ü:"; u.password = "p@"; return u.href`, ""},
	{`const u = new URL("http://a.b:81/"); u.hostname = "c:9"; u.port = "x"; u.port = "99999"; u.port = "12x"; u.protocol = "mailto"; u.host = ""; u.host = "d:"; return u.href`, ""},
	{`const u = new URL("mailto:a@b"); u.pathname = "/x"; u.host = "h"; u.search = "q"; u.username = "z"; return u.href`, ""},
	{`const u = new URL("http://a/?x=1"); u.searchParams.append("y", "2 &"); u.searchParams.delete("x"); u.search = "?z=3"; return [u.href, [...u.searchParams], u.searchParams === u.searchParams]`, ""},
	{`const u = new URL("http://a/?x"); u.searchParams.delete("x"); u.href = "https://b/?q=1"; return [u.href, u.searchParams.get("q"), JSON.stringify(u), String(u)]`, ""},
	{`new URL("/x")`, `{"throws":"TypeError"}`},
	{`const u = new URL("http://a/"); u.href = "nope"`, `{"throws":"TypeError"}`},
	{`[URL.parse?.("nope") ?? null, URL.parse?.("/a", "http://b")?.href ?? "http://b/a"]`, `[null,"http://b/a"]`},
	{`URL("http://a")`, `{"throws":"TypeError"}`},
	{`new URL("http://a/\ud800").href`, `"http://a/%EF%BF%BD"`},

	// URLSearchParams
	{`[..."?a=1&b=2&a=3".split(" "), "a=b=c&&d", "%zz=%41+b%20c", "a\ud800=é"].map((s) => [...new URLSearchParams(s)])`, ""},
	{`[{a: 1, b: "x y"}, [["a", "1"], ["a", "2"]], new Map([["k", "v"]]), new URLSearchParams("q=1"), undefined, "", 5].map((i) => String(new URLSearchParams(i)))`, ""},
	{`String(new URLSearchParams(null))`, `"null="`},
	{`const p = new URLSearchParams("a=1&b=2&a=3"); p.append("c", "!~*'() -._é\u{1F600}"); p.set("a", "4"); p.delete("b", "x"); return [p.toString(), p.size, p.has("a", "4"), p.has("a", "1"), p.getAll("a"), p.get("zz"), [...p.keys()], [...p.values()]]`, ""},
	{`const p = new URLSearchParams("z=1&a=2&z=0&\u{1F600}=3&ﬃ=4"); p.sort(); return String(p)`, ""},
	{`const p = new URLSearchParams("a=1&b=2&c=3"), seen = []; for (const [k] of p) { seen.push(k); p.delete("b") } return seen`, `["a","c"]`},
	{`const r = []; new URLSearchParams("a=1").forEach(function (v, k, p) { r.push(v, k, p.size, this.t) }, {t: 7}); return r`, `["1","a",1,7]`},
	{`new URLSearchParams([["a"]])`, `{"throws":"TypeError"}`},
	{`new URLSearchParams([1])`, `{"throws":"TypeError"}`},
	{`new URLSearchParams().get()`, `{"throws":"TypeError"}`},
	{`URLSearchParams.prototype.keys.call({})`, `{"throws":"TypeError"}`},
	{`[Object.prototype.toString.call(new URLSearchParams()), Object.prototype.toString.call(new URLSearchParams().keys()), Object.prototype.toString.call(new URL("a:"))]`, ""},

	// Headers
	{`[...new Headers({"X-B": "2", a: "1", "set-cookie": "x"})]`, `[["a","1"],["set-cookie","x"],["x-b","2"]]`},
	{`const h = new Headers([["a", " 1\t"], ["A", "2"], ["Set-Cookie", "x"], ["set-cookie", "y"]]); return [h.get("a"), h.getSetCookie(), h.get("set-cookie"), [...h], h.has("A"), h.get("none")]`, ""},
	{`const h = new Headers({a: "1"}); h.append("a", "2"); h.set("B", "3"); h.set("a", "4"); h.delete("b"); return [...new Headers(h)]`, `[["a","4"]]`},
	{`new Headers({"a b": "x"})`, `{"throws":"TypeError"}`},
	{`new Headers({a: "x\ny"})`, `{"throws":"TypeError"}`},
	{`new Headers({a: "\u20ac"})`, `{"throws":"TypeError"}`},
	{`new Headers("a")`, `{"throws":"TypeError"}`},
	{`new Headers({a: "é"}).get("a")`, `"é"`},
	{`const h = new Headers({b: "1", a: "2"}), seen = []; h.forEach((v, k) => seen.push(k + v)); return seen`, `["a2","b1"]`},

	// Request
	{`const r = new Request("http://a/b#c", {method: "post", body: "x", headers: {a: "1"}}); return [r.method, r.url, [...r.headers], r.bodyUsed, await r.text(), r.bodyUsed, r.redirect, r.cache, r.credentials, r.mode]`, ""},
	{`["get", "PATCH", "patch", "delete", "x"].map((method) => new Request("http://a", {method}).method)`, ""},
	{`new Request("/rel")`, `{"throws":"TypeError"}`},
	{`new Request("http://u:p@h/")`, `{"throws":"TypeError"}`},
	{`new Request("http://a", {method: "TRACE"})`, `{"throws":"TypeError"}`},
	{`new Request("http://a", {method: "a b"})`, `{"throws":"TypeError"}`},
	{`new Request("http://a", {body: "x"})`, `{"throws":"TypeError"}`},
	{`new Request("http://a", {redirect: "x"})`, `{"throws":"TypeError"}`},
	{`new Request("http://a", {signal: {}})`, `{"throws":"TypeError"}`},
	{`new Request("http://a", 5)`, `{"throws":"TypeError"}`},
	{`const a = new Request("http://a", {method: "PUT", body: "x", headers: {h: "1"}}), b = new Request(a, {headers: {h: "2"}}); return [a.bodyUsed, b.method, b.headers.get("h"), await b.text()]`, ""},
	{`const a = new Request("http://a", {method: "PUT", body: "x"}); await a.text(); return new Request(a)`, `{"throws":"TypeError"}`},
	{`const a = new Request("http://a", {method: "PUT", body: "x"}), b = a.clone(); return [await a.text(), await b.text()]`, `["x","x"]`},
	{`const c = new AbortController(), r = new Request("http://a", {signal: c.signal}); c.abort(5); return [r.signal.aborted, r.signal.reason, r.signal === c.signal]`, `[true,5,false]`},

	// Response and bodies
	{`const r = new Response("x", {status: 201, statusText: "S", headers: {a: "1"}}); return [r.status, r.ok, r.statusText, r.type, r.url, r.redirected, [...r.headers], await r.text()]`, ""},
	{`[199, 600, 200.9, "204", NaN].map((status) => { try { return new Response(null, {status}).status } catch (e) { return e.name } })`, ""},
	{`new Response("x", {status: 204})`, `{"throws":"TypeError"}`},
	{`new Response("", {statusText: "\n"})`, `{"throws":"TypeError"}`},
	{`["s", new URLSearchParams({a: "b c"}), new Blob(["x"], {type: "Text/X"}), new Blob(["x"]), new Uint8Array([1]), new ArrayBuffer(1), 5, {}].map((b) => new Response(b).headers.get("content-type"))`, ""},
	{`new Response(new FormData()).headers.get("content-type").split(";")[0]`, `"multipart/form-data"`},
	{`await Promise.all(["\ufeffé", new Uint16Array([0x4142, 0x43]).subarray(1), new DataView(new Uint8Array([65, 66, 67]).buffer, 1, 1), new URLSearchParams("a=é"), 5, null, undefined].map((b) => new Response(b).text()))`, ""},
	{`[...new Uint8Array(await new Response("é").arrayBuffer())]`, `[195,169]`},
	{`const b = await new Response("é", {headers: {"content-type": "a/b"}}).blob(); return [b.size, b.type]`, `[2,"a/b"]`},
	{`await new Response('{"a":[1]}').json()`, `{"a":[1]}`},
	{`await new Response("{").json()`, `{"throws":"SyntaxError"}`},
	{`await new Response("").json()`, `{"throws":"SyntaxError"}`},
	{`const r = new Response("x"); await r.text(); return r.text()`, `{"throws":"TypeError"}`},
	{`const r = new Response("x"); await r.text(); return r.clone()`, `{"throws":"TypeError"}`},
	{`const r = new Response(); await r.text(); return [r.bodyUsed, r.body, await r.text()]`, `[false,null,""]`},
	{`const r = new Response(""); await r.text(); return [r.bodyUsed, r.body === null]`, `[true,false]`},
	{`const r = new Response("x", {headers: {a: "1"}}), c = r.clone(); c.headers.set("a", "2"); return [r.headers.get("a"), await r.text(), await c.text()]`, `["1","x","x"]`},
	{`const r = Response.json({a: 1}, {status: 202, headers: {x: "y"}}); return [r.status, r.headers.get("content-type"), r.headers.get("x"), await r.json()]`, ""},
	{`Response.json(undefined)`, `{"throws":"TypeError"}`},
	{`Response.json(1n)`, `{"throws":"TypeError"}`},
	{`const r = Response.redirect("http://a/b", 307); return [r.status, r.headers.get("location")]`, `[307,"http://a/b"]`},
	{`Response.redirect("http://a/", 200)`, `{"throws":"RangeError"}`},
	{`Response.redirect("::")`, `{"throws":"TypeError"}`},
	{`const r = Response.error(); return [r.type, r.status, r.ok]`, `["error",0,false]`},
	{`Response.error().headers.set("a", "b")`, `{"throws":"TypeError"}`},
	{`Response.prototype.text.call({})`, `{"throws":"TypeError"}`},
	{`[Object.getPrototypeOf(Response.prototype) === Object.prototype, String(new Response()), Object.keys(Response.prototype).includes("text")]`, ""},

	// streams
	{`const r = new Response("ab"), reader = r.body.getReader(), a = await reader.read(), b = await reader.read(); return [[...a.value], a.done, b.done, r.bodyUsed, r.body.locked]`, `[[97,98],false,true,true,true]`},
	{`let t = ""; for await (const c of new Response("abc").body) t += new TextDecoder().decode(c); return t`, `"abc"`},
	{`const r = new Response("x"); r.body.getReader(); return r.text()`, `{"throws":"TypeError"}`},
	{`const r = new Response("x"), s = r.body; s.getReader(); s.getReader()`, `{"throws":"TypeError"}`},
	{`await new Response(new Response("xy").body).text()`, `"xy"`},
	{`const r = new Response("x"); await r.body.cancel(); return r.bodyUsed`, `true`},
	{`let n = 0; for await (const c of new Blob(["abc"]).stream()) n += c.length; return n`, `3`},

	// forms
	{`const f = new FormData(); f.append("a", 1); f.append("a", "2"); f.set("b", "x"); f.set("a", "3"); f.delete("zz"); return [[...f], f.getAll("a"), f.get("none"), f.has("b")]`, ""},
	{`const f = new FormData(); f.append("f", new Blob(["xy"], {type: "t/t"}), "n.txt"); const v = f.get("f"); return [v instanceof File, v.name, v.type, v.size, await v.text()]`, `[true,"n.txt","t/t",2,"xy"]`},
	{`const f = new FormData(); f.append("f", new Blob(["x"])); return f.get("f").name`, `"blob"`},
	{`new FormData().append("a", "b", "c")`, `{"throws":"TypeError"}`},
	{`new FormData().append("a")`, `{"throws":"TypeError"}`},
	{`const f = new FormData(); f.append('a"\r\nb', "1\n2\r3"); f.append("f", new File(["\0\xff"], 'q"é.bin', {type: "x/y"})); const g = await new Response(f).formData(), v = g.get("f"); return [[...g.keys()], g.get([...g.keys()][0]), v.name, v.type, [...new Uint8Array(await v.arrayBuffer())]]`, ""},
	{`[...await new Response(new URLSearchParams("a=1&b=+%20")).formData()]`, `[["a","1"],["b","  "]]`},
	{`await new Response("x").formData()`, `{"throws":"TypeError"}`},
	{`await new Response("x", {headers: {"content-type": "multipart/form-data; boundary=a"}}).formData()`, `{"throws":"TypeError"}`},
	{`await new Response('--a\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--a--\r\n', {headers: {"content-type": "multipart/form-data; boundary=a"}}).formData().then((f) => [...f])`, `[["x","1"]]`},

	// Blob and File
	{`const b = new Blob(["a", new Uint8Array([98]), new Blob(["c"]), 5, new Uint16Array([0x6564]).buffer], {type: "A/B"}); return [b.size, b.type, await b.text(), await b.slice(1, -2).text(), b.slice(0, 1, "x/y").type]`, `[6,"a/b","abc5de","bc5","x/y"]`},
	{`new Blob("x")`, `{"throws":"TypeError"}`},
	{`new Blob(["a\r\nb"], {endings: "x"})`, `{"throws":"TypeError"}`},
	{`const f = new File(["x"], "n", {lastModified: 5, type: "é"}); return [f.name, f.lastModified, f.type, f instanceof Blob, String(f)]`, `["n",5,"",true,"[object File]"]`},
	{`new File(["x"], "n", {lastModified: 5.7}).lastModified`, `5`},
	{`new File(["x"])`, `{"throws":"TypeError"}`},

	// events
	{`const t = new EventTarget(), log = []; const f = (e) => log.push(e.type, e.target === t, e.currentTarget === t, e.eventPhase); t.addEventListener("a", f); t.addEventListener("a", f); t.addEventListener("a", {handleEvent(e) { log.push("h"); e.preventDefault() }}, {once: true}); const r = [t.dispatchEvent(new Event("a", {cancelable: true})), t.dispatchEvent(new Event("a", {cancelable: true}))]; t.removeEventListener("a", f); t.dispatchEvent(new Event("a")); return [r, log]`, ""},
	{`const t = new EventTarget(), log = []; t.addEventListener("a", (e) => { log.push(1); e.stopImmediatePropagation() }); t.addEventListener("a", () => log.push(2)); t.dispatchEvent(new Event("a")); return log`, `[1]`},
	{`const t = new EventTarget(), c = new AbortController(), log = []; t.addEventListener("a", () => log.push(1), {signal: c.signal}); c.abort(); t.dispatchEvent(new Event("a")); return log`, `[]`},
	{`new EventTarget().dispatchEvent({type: "a"})`, `{"throws":"TypeError"}`},
	{`new Event()`, `{"throws":"TypeError"}`},
	{`const e = new Event("x", {bubbles: true}); return [e.bubbles, e.cancelable, e.composed, e.defaultPrevented, e.isTrusted, Event.AT_TARGET, e.composedPath(), e.target]`, ""},
	{`const e = new Event("x"), t = new EventTarget(), r = []; t.addEventListener("x", (e) => { try { t.dispatchEvent(e) } catch (x) { r.push(x.name) } }); t.dispatchEvent(e); return r`, ""},

	// abort
	{`const c = new AbortController(), log = []; c.signal.onabort = (e) => log.push("on" + e.type); c.signal.addEventListener("abort", () => log.push(c.signal.aborted)); c.abort(); c.abort("again"); return [log, c.signal.reason.name, c.signal.reason instanceof DOMException]`, `[["onabort",true],"AbortError",true]`},
	{`AbortSignal.abort(null).throwIfAborted()`, `{"throws":"null"}`},
	{`const s = AbortSignal.abort(); try { s.throwIfAborted() } catch (e) { return [e.name, e.code, e.message] }`, `["AbortError",20,"This operation was aborted"]`},
	{`const s = AbortSignal.timeout(1); await new Promise((r) => s.onabort = r); return [s.reason.name, s.reason.code]`, `["TimeoutError",23]`},
	{`const a = new AbortController(), b = new AbortController(), s = AbortSignal.any([a.signal, b.signal]); b.abort(1); a.abort(2); return [s.aborted, s.reason, AbortSignal.any([]).aborted, AbortSignal.any([s]).reason]`, `[true,1,false,1]`},
	{`AbortSignal.any([{}])`, `{"throws":"TypeError"}`},
	{`AbortSignal.timeout(-1)`, ""},
	{`new AbortSignal()`, `{"throws":"TypeError"}`},
	{`new AbortController().signal.throwIfAborted()`, `null`},

	// DOMException
	{`const e = new DOMException("m", "AbortError"); return [e.name, e.message, e.code, e instanceof Error, String(e), typeof e.stack, DOMException.ABORT_ERR, e.DATA_CLONE_ERR, DOMException.URL_MISMATCH_ERR, DOMException.INDEX_SIZE_ERR, DOMException.NO_MODIFICATION_ALLOWED_ERR, DOMException.INVALID_STATE_ERR]`, ""},
	{`const e = new DOMException(); return [e.name, e.message, e.code]`, `["Error","",0]`},

	// text
	{`[...new TextEncoder().encode("aé€\u{1F600}\ud800")]`, ""},
	{`const b = new Uint8Array(5); return [new TextEncoder().encodeInto("aé€\u{1F600}", b), [...b], new TextEncoder().encodeInto("\u{1F600}", b.subarray(1))]`, ""},
	{`new TextEncoder().encodeInto("a", [])`, `{"throws":"TypeError"}`},
	{`[[0xc3], [0xe2, 0x82], [0xe2, 0x28], [0xf0, 0x9f, 0x98], [0xed, 0xa0, 0x80], [0xc0, 0x80], [0xff], [0xf4, 0x90, 0x80, 0x80], [0x61, 0xe2, 0x82, 0xac]].map((b) => new TextDecoder().decode(new Uint8Array(b)))`, ""},
	{`new TextDecoder("utf-8", {fatal: true}).decode(new Uint8Array([0xff]))`, `{"throws":"TypeError"}`},
	{`const b = new Uint8Array([0xef, 0xbb, 0xbf, 0x61]); return [new TextDecoder().decode(b), new TextDecoder("utf8", {ignoreBOM: true}).decode(b).length]`, `["a",2]`},
	{`const d = new TextDecoder(); let s = ""; for (const b of [0xef, 0xbb, 0xbf, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x98, 0x80, 0xe2]) s += d.decode(new Uint8Array([b]), {stream: true}) + "|"; return s + d.decode()`, ""},
	{`const d = new TextDecoder("utf-16le"); return [d.encoding, d.decode(new Uint8Array([0x3d, 0xd8, 0x00, 0xde, 0x41, 0])), d.decode(new Uint8Array([0xff, 0xfe, 0x41, 0])), d.decode(new Uint8Array([0x3d])), d.decode(new Uint8Array([0x3d, 0xd8, 0x41, 0]))]`, ""},
	{`const d = new TextDecoder("utf-16be"); let s = ""; for (const b of [0xd8, 0x3d, 0xde, 0, 0, 0x41]) s += d.decode(new Uint8Array([b]), {stream: true}) + "|"; return s + d.decode()`, ""},
	{`["latin1", " ASCII ", "windows-1252", "utf-16", "unicode-1-1-utf-8"].map((l) => new TextDecoder(l).encoding)`, ""},
	{`new TextDecoder("latin1").decode(new Uint8Array([0x41, 0xe9, 0x80, 0x81, 0xff]))`, `"Aé€\u0081ÿ"`},
	{`new TextDecoder("nope")`, `{"throws":"RangeError"}`},
	{`new TextDecoder().decode("x")`, `{"throws":"TypeError"}`},
	{`[new TextDecoder().decode(), new TextDecoder().decode(new ArrayBuffer(0))]`, `["",""]`},
	{`["YQ==", "YQ", " Y Q = = ", "", "YWI=", "//8="].map(atob)`, ""},
	{`["Y", "YQ=", "YQ===", "Y!==", "é", "="].map((s) => { try { return atob(s) } catch (e) { return e.name } })`, ""},
	{`[btoa(""), btoa("a\xff"), btoa(1.5), btoa(null)]`, ""},
	{`btoa("€")`, `{"throws":"InvalidCharacterError"}`},
	{`atob()`, `{"throws":"TypeError"}`},

	// structuredClone
	{`const o = {a: [1, , 3], d: new Date(5), r: /x/gi, m: new Map([[{k: 1}, new Set([1])]]), n: null, u: undefined, b: 1n, t: "x"}; const c = structuredClone(o); return [c.a.length, 1 in c.a, +c.d, String(c.r), [...c.m][0][0].k, c.m.values().next().value.has(1), "u" in c, c.b === 1n, c !== o, c.d instanceof Date]`, ""},
	{`const a = {x: 1}; a.self = a; a.list = [a, a]; const c = structuredClone(a); return [c.self === c, c.list[0] === c, c.list[1] === c]`, `[true,true,true]`},
	{`[() => 1, Symbol(), new WeakMap(), Promise.resolve(), new Proxy({}, {}), (function* () {})()].map((v) => { try { structuredClone({v}); return 1 } catch (e) { return [e.name, e.code] } })`, ""},
	{`const e = structuredClone(new RangeError("m", {cause: {a: 1}})); return [e instanceof RangeError, e.name, e.message, e.cause.a]`, ""},
	{`class A { x = 1; get y() { return 2 } } const c = structuredClone(new A()); return [c, c instanceof A, Object.getPrototypeOf(c) === Object.prototype]`, `[{"x":1},false,true]`},
	{`const b = new Uint8Array([1, 2, 3, 4]), c = structuredClone({v: b.subarray(1, 3), w: new DataView(b.buffer, 2), b: b.buffer}); b[1] = 9; return [[...c.v], c.w.byteOffset, c.v.buffer === c.b, c.w.getUint8(0), c.b.byteLength]`, `[[2,3],2,true,3,4]`},
	{`const c = structuredClone([Object(1), Object("s"), Object(true), Object(1n)].slice(0, 3)); return c.map((x) => [typeof x, x.valueOf()])`, `[["object",1],["object","s"],["object",true]]`},
	{`const c = structuredClone(Object.create({inherited: 1}, {own: {value: 2, enumerable: true}, hidden: {value: 3}})); return c`, `{"own":2}`},
	{`structuredClone({get a() { throw new RangeError("x") }})`, `{"throws":"RangeError"}`},
	{`structuredClone()`, `{"throws":"TypeError"}`},
	{`const b = structuredClone(new Blob(["x"], {type: "a/b"})); return [b.size, b.type]`, `[1,"a/b"]`},

	// crypto
	{`[crypto.randomUUID().length, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID()), crypto.randomUUID() === crypto.randomUUID()]`, `[36,true,false]`},
	{`const a = new Uint8Array(64), b = crypto.getRandomValues(a.subarray(0, 32)); return [b.length, b.some((x) => x > 0), a.subarray(32).every((x) => x === 0)]`, `[32,true,true]`},
	{`crypto.getRandomValues(new Uint8Array(65536)).length`, `65536`},
	{`crypto.getRandomValues(new Uint8Array(65537))`, `{"throws":"QuotaExceededError"}`},
	{`crypto.getRandomValues(new Float32Array(1))`, `{"throws":"TypeMismatchError"}`},
	{`const hex = (b) => [...new Uint8Array(b)].map((x) => x.toString(16).padStart(2, "0")).join(""), d = new TextEncoder().encode("abc"); return Promise.all(["SHA-1", "sha-256", {name: "SHA-384"}, "SHA-512"].map(async (n) => hex(await crypto.subtle.digest(n, d))))`, ""},
	{`crypto.subtle.digest("MD5", new Uint8Array())`, `{"throws":"NotSupportedError"}`},
	{`crypto.subtle.digest("SHA-1", "x")`, `{"throws":"TypeError"}`},
	{`const hex = (b) => [...new Uint8Array(b)].map((x) => x.toString(16).padStart(2, "0")).join(""), t = new TextEncoder(), k = await crypto.subtle.importKey("raw", t.encode("key"), {name: "HMAC", hash: "SHA-256"}, false, ["sign", "verify"]), s = await crypto.subtle.sign("HMAC", k, t.encode("m")); return [hex(s), await crypto.subtle.verify("HMAC", k, s, t.encode("m")), await crypto.subtle.verify("HMAC", k, s, t.encode("n")), await crypto.subtle.verify("HMAC", k, new Uint8Array(3), t.encode("m")), k.type, k.extractable, k.usages, k.algorithm]`, ""},
	{`const k = await crypto.subtle.importKey("jwk", {kty: "oct", k: "a2V5", alg: "HS512"}, {name: "HMAC", hash: {name: "SHA-512"}}, true, ["sign"]); return [(await crypto.subtle.sign({name: "hmac"}, k, new Uint8Array())).byteLength, k.algorithm.length]`, `[64,24]`},
	{`const k = await crypto.subtle.importKey("raw", new Uint8Array(3), {name: "HMAC", hash: "SHA-1"}, false, ["sign"]); await crypto.subtle.verify("HMAC", k, new Uint8Array(), new Uint8Array())`, `{"throws":"InvalidAccessError"}`},
	{`crypto.subtle.importKey("raw", new Uint8Array(3), {name: "HMAC", hash: "SHA-1"}, false, [])`, `{"throws":"SyntaxError"}`},
	{`crypto.subtle.importKey("raw", new Uint8Array(3), {name: "HMAC", hash: "SHA-1"}, false, ["encrypt"])`, `{"throws":"SyntaxError"}`},
	{`crypto.subtle.importKey("raw", new Uint8Array(0), {name: "HMAC", hash: "SHA-1"}, false, ["sign"])`, `{"throws":"DataError"}`},
	{`crypto.subtle.importKey("jwk", {kty: "RSA"}, {name: "HMAC", hash: "SHA-1"}, false, ["sign"])`, `{"throws":"DataError"}`},

	// the rest
	{`[typeof performance.now(), performance.now() >= 0, Math.abs(performance.timeOrigin + performance.now() - Date.now()) < 1000, performance.now() <= performance.now()]`, `["number",true,true,true]`},
	{`["fetch", "Headers", "Request", "Response", "FormData", "Blob", "File", "URL", "URLSearchParams", "AbortController", "AbortSignal", "Event", "EventTarget", "DOMException", "TextEncoder", "TextDecoder", "atob", "btoa", "structuredClone", "crypto", "performance", "setTimeout", "console"].map((n) => [n in globalThis, typeof globalThis[n], Object.keys(globalThis).includes(n) && n === "URL"])`, ""},
	{`[fetch.name, fetch.length, URL.name, URL.length, Headers.length, Response.length, Request.length, atob.length, btoa.name, AbortSignal.timeout.length, Event.length, TextDecoder.length, Blob.length]`, ""},
	{`fetch().catch(() => 0) instanceof Promise`, `true`},
	{`fetch()`, `{"throws":"TypeError"}`},
	{`fetch("nope")`, `{"throws":"TypeError"}`},
	{`fetch("http://a/", {signal: AbortSignal.abort("why")})`, `{"throws":"why"}`},
}

// otherThanNode are the cases in which we differ, each with its reason.
var otherThanNode = map[string]string{
	`String(new URLSearchParams(null))`:                      "node takes null for nothing, the standard for a text",
	`new File(["x"], "n", {lastModified: 5.7}).lastModified`: "the standard's long long has no fraction",
	`const e = new Event("x"), t = new EventTarget(), r = []; t.addEventListener("x", (e) => { try { t.dispatchEvent(e) } catch (x) { r.push(x.name) } }); t.dispatchEvent(e); return r`: "node throws an error of its own",
	`AbortSignal.timeout(-1)`: "node throws a RangeError, the standard a TypeError",
	`new TextDecoder("latin1").decode(new Uint8Array([0x41, 0xe9, 0x80, 0x81, 0xff]))`: "node 20 takes latin1 for ISO 8859-1",
}

// webProgram wraps a case so that what it throws is told, in both engines.
func webProgram(expression string) string {
	if first, _, _ := strings.Cut(expression, " "); first != "const" && first != "let" && first != "class" {
		expression = "return " + expression
	}
	return `try { return await (async () => { ` + expression + ` })() ?? null } catch (e) { return {throws: typeof e === "object" && e !== null ? e.name : String(e)} }`
}

func TestWebAPIs(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range webCases {
			got := value(t, pool, code(webProgram(c.code)))
			if c.want != "" {
				require.JSONEq(t, c.want, got, c.code)
			}
		}
	})
}

// TestWebAPIsLikeNode asks node for the same. CI has it; without CI the test is
// left out where node is missing.
func TestWebAPIsLikeNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("no node here")
	}
	require.NoError(t, err, "CI must have node")
	var script strings.Builder
	script.WriteString("(async () => { const alive = setInterval(() => {}, 1000), answers = []; for (const f of [\n")
	for _, c := range webCases {
		script.WriteString("async () => { " + webProgram(c.code) + " },\n")
	}
	script.WriteString("]) answers.push(await f() ?? null); console.log(JSON.stringify(answers)); clearInterval(alive) })()")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	command := exec.CommandContext(ctx, node, "--no-warnings", "-")
	command.Stdin = strings.NewReader(script.String())
	output, err := command.Output()
	require.NoError(t, err, "%s", output)
	var answers []json.RawMessage
	require.NoError(t, json.Unmarshal(output, &answers), "%s", output)
	require.Len(t, answers, len(webCases))
	pool := newPool(t, sandbox.Options{})
	for i, c := range webCases {
		t.Run(c.code, func(t *testing.T) {
			got := value(t, pool, code(webProgram(c.code)))
			if reason := otherThanNode[c.code]; reason != "" {
				require.NotEqual(t, string(answers[i]), got, "no longer other: %s", reason)
				return
			}
			require.JSONEq(t, string(answers[i]), got)
		})
	}
}
