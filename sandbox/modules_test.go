package sandbox_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

var updateModules = flag.Bool("update-modules", false, "rewrite testdata/modules.txt with node's answers")

// moduleCase is an entry of testdata/modules.txt.
type moduleCase struct {
	section, expression string
	node                string // node's answer in JSON
	ours, reason        string // where ours differs, and why
}

func (c moduleCase) want() string {
	if c.ours != "" {
		return c.ours
	}
	return c.node
}

const moduleCasesFile = "testdata/modules.txt"

func moduleCases(t *testing.T) []moduleCase {
	t.Helper()
	data, err := os.ReadFile(moduleCasesFile)
	require.NoError(t, err)
	var cases []moduleCase
	section := ""
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		line := lines.Text()
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "", "#":
		case "==":
			section = rest
		case ">":
			cases = append(cases, moduleCase{section: section, expression: rest})
		case "=":
			cases[len(cases)-1].node = rest
		case "~":
			cases[len(cases)-1].ours = rest
		case "because":
			cases[len(cases)-1].reason = rest
		default:
			t.Fatalf("%s: %q", moduleCasesFile, line)
		}
	}
	require.NoError(t, lines.Err())
	return cases
}

// moduleHead brings the names that the cases use. What an expression throws is
// its answer, too.
const moduleHead = `const assert = require("assert"), { Buffer, Buffer: B } = require("buffer"), crypto = require("crypto"), EventEmitter = require("events"),
	path = require("path"), qs = require("querystring"), { StringDecoder } = require("string_decoder"), timers = require("timers/promises"),
	url = require("url"), util = require("util"), { inspect } = util;
	const thrown = (f) => { try { return f() } catch (e) { return e } };
	const flat = (e) => e instanceof Error ? [e.name, e.code, e.message] : e;
	const all = (...values) => values.map((v) => typeof v === "function" ? flat(thrown(v)) : v);
	try { return await (`

const moduleTail = `
	) } catch (e) { return flat(e) }`

func moduleSource(expression string) string { return moduleHead + expression + moduleTail }

func TestModules(t *testing.T) {
	cases := moduleCases(t)
	require.Greater(t, len(cases), 150)
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			t.Run(c.section+" "+c.expression, func(t *testing.T) {
				result, failure := run(t, pool, code(moduleSource(c.expression)))
				require.Nil(t, failure)
				require.Equal(t, c.want(), string(result.Value))
				require.Equal(t, c.ours != "", c.reason != "", "a deviation has a reason")
			})
		}
	})
}

// TestModulesOracle holds the answers that the cases call node's to node.
func TestModulesOracle(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("node isn't installed: its answers in " + moduleCasesFile + " go unchecked")
	}
	require.NoError(t, err, "CI checks the answers against node")
	version, err := exec.CommandContext(t.Context(), node, "--version").Output()
	require.NoError(t, err)
	if !strings.HasPrefix(string(version), "v20.") && os.Getenv("CI") == "" {
		t.Skip("messages change with node's major version; the answers are those of node 20, this is " + strings.TrimSpace(string(version)))
	}
	cases := moduleCases(t)
	sources := make([]string, len(cases))
	for i, c := range cases {
		sources[i] = moduleSource(c.expression)
	}
	input, err := json.Marshal(sources)
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), node, "-e", `
		(async () => {
			const answers = [];
			for (const source of JSON.parse(require("fs").readFileSync(0, "utf8"))) {
				const tool = new (async () => {}).constructor("parameters", "credentials", "require", "tools", source);
				answers.push(JSON.stringify((await tool({}, {}, require)) ?? null) ?? "null");
			}
			console.log(JSON.stringify(answers));
		})()`)
	command.Stdin = bytes.NewReader(input)
	var stderr strings.Builder
	command.Stderr = &stderr
	output, err := command.Output()
	require.NoError(t, err, stderr.String())
	var answers []string
	require.NoError(t, json.Unmarshal(output, &answers))
	require.Len(t, answers, len(cases))
	if *updateModules {
		rewriteModuleCases(t, cases, answers)
		return
	}
	for i, c := range cases {
		require.Equal(t, answers[i], c.node, c.expression)
	}
}

func rewriteModuleCases(t *testing.T, cases []moduleCase, answers []string) {
	t.Helper()
	data, err := os.ReadFile(moduleCasesFile)
	require.NoError(t, err)
	head, _, _ := strings.Cut(string(data), "\n== ")
	var b strings.Builder
	b.WriteString(head)
	section := ""
	for i, c := range cases {
		if c.section != section {
			section = c.section
			fmt.Fprintf(&b, "\n== %s\n", section)
		}
		fmt.Fprintf(&b, "> %s\n= %s\n", c.expression, answers[i])
		if c.ours != "" {
			fmt.Fprintf(&b, "~ %s\nbecause %s\n", c.ours, c.reason)
		}
	}
	require.NoError(t, os.WriteFile(moduleCasesFile, []byte(b.String()), 0o600))
}

func TestRequire(t *testing.T) {
	const refusal = `available modules: assert, buffer, crypto, events, path, querystring, string_decoder, timers/promises, url, util`
	cases := []struct{ name, code, want string }{
		{"code", `const r = []; for (const n of ["fs", "child_process", "http", "net", "os", "process", "vm", "worker_threads", "node:fs", "fs/promises", "lodash", "", "./x", "_errors", "node:_errors", "node:axios", "toString", "__proto__", "constructor"]) try { r.push(typeof require(n)) } catch (e) { if (!e.message.endsWith("` + refusal + `")) r.push(n + e.message) } return r`, `[]`},
		{"code", `try { require("fs") } catch (e) { return [e.constructor === Error, e.message] }`, `[true,"module \"fs\" is not available in the sandbox; ` + refusal + `"]`},
		{"code", `const r = []; for (const n of [undefined, 5, null, {toString: () => "util"}, Symbol()]) try { require(n) } catch (e) { r.push(e.name) } return r`, `["TypeError","TypeError","TypeError","TypeError","TypeError"]`},
		{"code", `return [require("util") === require("node:util"), require("buffer").Buffer === Buffer, typeof require("timers/promises").setTimeout]`, `[true,true,"function"]`},
		{"code", `const { createHash } = await import("node:crypto"); return createHash("md5").update("a").digest("hex")`, `"0cc175b9c0f1b6a831c399e269772661"`},
		{"code", `return ["process", "global", "__dirname", "__filename", "module", "exports", "setImmediate"].filter((n) => n in globalThis)`, `[]`},
		{"code", `try { return process.env.HOME } catch (e) { return [e.name, e.message] }`, `["ReferenceError","process is not defined"]`},
		{"code", `return [typeof Buffer, Buffer.from("a").length, delete globalThis.Buffer, typeof Buffer]`, `["function",1,true,"undefined"]`},
		{"code", `Buffer = 5; return Buffer`, `5`},
		{"code", `const B = Buffer; globalThis.Buffer = 7; return [B === require("buffer").Buffer, Buffer]`, `[true,7]`},
		{"code", `String.prototype.slice = null; Promise = null; JSON = null; return require("buffer").Buffer.from("é").toString("hex")`, `"c3a9"`},
		{"code", `import { createHmac } from "crypto"
import util, { format } from "node:util"
import * as path from "path"
import EventEmitter, { once } from "events"
import assert from "node:assert"
import { setTimeout as sleep } from "timers/promises"
export default async () => {
	await sleep(1); assert(1); assert.ok(2)
	return [createHmac("sha1", "k").update("d").digest("hex").length, util.format === format, path.join("a", "b"), typeof EventEmitter, typeof once]
}`, `[40,true,"a/b","function","function"]`},
		{"tool.ts", `import { Buffer } from "node:buffer"; import type { Hash } from "crypto"; export default (): string => Buffer.from("x").toString("hex")`, `"78"`},
		{"code", `export default () => require("util").inspect({ a: 1 })`, `"{ a: 1 }"`},
		{"code", `import x from "fs"; export default () => x`, ``},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			if c.want == "" {
				require.Contains(t, failure(t, pool, named(c.name, c.code)).Detail, refusal)
				continue
			}
			require.Equal(t, c.want, value(t, pool, named(c.name, c.code)), c.code)
		}
	})
}

// TestModulesLeakNothing looks at every function that modules export: none shows
// a symbol or a value of Go's, and none of their frames is the author's.
func TestModulesLeakNothing(t *testing.T) {
	const look = `
		const names = ["assert", "buffer", "crypto", "events", "path", "querystring", "string_decoder", "timers/promises", "url", "util", "axios"];
		const seen = new Set(), found = [];
		const visit = (value, at, depth) => {
			if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value) || depth > 6) return;
			seen.add(value);
			if (typeof value === "function" && /[\/]|github|\.go\b|func\d/.test(value.name)) found.push(at + " is named " + value.name);
			for (const key of Reflect.ownKeys(value)) {
				const own = Object.getOwnPropertyDescriptor(value, key);
				for (const inner of [own.value, own.get, own.set]) visit(inner, at + "." + String(key), depth + 1);
			}
			visit(Object.getPrototypeOf(value), at + ".proto", depth + 1);
		};
		for (const name of names) visit(require(name), name, 0);
		visit(require("crypto").createHash("md5"), "hash", 0);
		return [seen.size > 500, found]`
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		require.Equal(t, `[true,[]]`, value(t, pool, axiosJob(look)))
		failure := failure(t, pool, code("const b = require('buffer');\nfunction f() { return b.Buffer.alloc(-1) }\nf()"))
		require.Equal(t, []string{"f (code:2:37)", "code:3:2"}, failure.Stack)
		require.Contains(t, failure.Detail, `The value of "size" is out of range`)
		require.Contains(t, failure.Detail, `(code:2:37)`)
	})
}

// TestModulesStayLinear: no text makes a module's own regular expressions, which
// nothing stops, take longer than its length.
func TestModulesStayLinear(t *testing.T) {
	size := 200_000
	if underRace {
		size /= 4
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, text := range []string{
			`require("path").dirname(s("/") + "x"); require("path").parse(s("/") + "x"); require("path").basename(s("/") + "x")`,
			`require("path").normalize(s("../")); require("path").extname(s("."))`,
			`try { Buffer.alloc(8).writeBigInt64LE(BigInt("1" + "0".repeat(3000))) } catch {}`,
			`require("util").inspect(s("\n"), { maxStringLength: null }); require("util").inspect([s("\ud800")], { maxStringLength: null })`,
			`require("util").stripVTControlCharacters(s("\x1b]")); require("util").stripVTControlCharacters(s("\x1b["))`,
			`require("url").parse(s("a-")); require("url").parse("//" + s("x@")); require("url").parse("http://" + s(":1")[0])`,
			`require("querystring").parse(s("a&")); require("querystring").unescape(s("%").slice(0, 20000))`,
			`require("crypto").createHash("md5").update(s("x")).digest(); try { require("crypto").createHash(s("sha-")) } catch {}`,
			`new axios.AxiosHeaders(s(":\n")); axios.getUri({ url: s("/"), baseURL: s("/") + "x", params: { a: s(" ") } })`,
		} {
			_, failure := runFor(t, pool, axiosJob(fmt.Sprintf("const s = (t) => t.repeat(%d / t.length);", size)+text), 20*time.Second)
			require.Nil(t, failure, text)
		}
	})
}

// TestModulesStop: what a module's host function computes for long ends with the
// execution.
func TestModulesStop(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, text := range []string{
			`require("crypto").pbkdf2Sync("p", "s", 2 ** 31 - 1, 64, "sha512")`,
			`require("crypto").pbkdf2Sync("p", "s", 1, 2 ** 26, "sha512")`,
			`const { inspect } = require("util"); const a = []; for (let i = 0; i < 5000; i++) a.push({ a, i }); while (true) inspect(a, { depth: null, maxArrayLength: null })`,
		} {
			_, failure := runFor(t, pool, code(text), 200*time.Millisecond)
			require.NotNil(t, failure, text)
			require.Equal(t, errclass.Timeout, failure.Class, text)
		}
		require.Eventually(t, func() bool { return pool.Abandoned() == 0 }, 10*time.Second, time.Millisecond)
	})
}
