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

	"github.com/stretchr/testify/require"

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
