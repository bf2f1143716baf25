package sandbox_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

const noProperties = `regular expressions can't use \p{…} yet; list the characters or ranges instead`

func TestPropertyEscapesAreRefused(t *testing.T) {
	cases := []struct{ name, code, where string }{
		{"", `return /\p{L}/u.exec("hello")`, "code:1:8"},
		{"", "const a = 1;\nreturn [/a/, /x[^\\P{Lu}]/iu]", "code:2:14"},
		{"", `return /\\\p{L}/u`, "code:1:8"},
		{"", "const f = (a = { b: `${/\\p{L}/u}` }) => 1", "code:1:24"},
		{"", `class A { static x = /\p{L}/u; [/\p{N}/u]() {} }`, "code:1:22"},
		{"", `return /[\p{L}--[a-z]]/v`, "code:1:8"},
		{"", "async function* g() {}\nfor await (const x of g()) {}\nreturn /\\p{L}/u", "code:3:8"},
		{"tool.ts", "const s: string = ''\nreturn /\\p{L}/u.test(s)", "tool.ts:2:8"},
		{"tool.mjs", "const r = /\\p{L}/u\nexport default () => r", "tool.mjs:1:11"},
		{"", `return 1` + strings.Repeat("+1", 100_000) + `+/\p{L}/u`, "code:1:200010"},
		{"", strings.Repeat("const f = () => {\n", 60) + `/\p{L}/u` + strings.Repeat("\n}", 60), "code:61:1"},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			got := failure(t, pool, named(c.name, c.code))
			require.Equal(t, errclass.SyntaxError, got.Reason, c.code[:min(len(c.code), 80)])
			require.Equal(t, c.where+": "+noProperties, got.Detail)
		}
	})
}

// What only looks like a property escape is left alone. A pattern that is put
// together at run time can't be seen and still goes wrong (see the README).
func TestLooksLikePropertyEscape(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range []struct{ code, want string }{
			{`return /\p{L}/.test("p{L}")`, `true`},
			{`return /\\p/u.test("\\p")`, `true`},
			{`return "a \\p{L} /\\p{L}/u" // \p{`, `"a \\p{L} /\\p{L}/u"`},
		} {
			require.Equal(t, c.want, value(t, pool, code(c.code)), c.code)
		}
	})
}
