package sandbox_test

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

// TestUnknownProperties pins where a property that doesn't exist is reported,
// for every way a literal reaches the engine.
func TestUnknownProperties(t *testing.T) {
	const message = "Invalid regular expression: invalid property name"
	cases := []struct{ name, code, where string }{
		{"", `return /\p{Foo}/u.exec("hello")`, "code:1:8"},
		{"", "const a = 1;\nreturn [/a/, /x[^\\P{Foo}]/iu]", "code:2:14"},
		{"", `return /\\\p{Foo}/u`, "code:1:8"},
		{"", "const f = (a = { b: `${/\\p{Foo}/u}` }) => 1", "code:1:24"},
		{"", `class A { static x = /\p{Foo}/u; [/\p{N}/u]() {} }`, "code:1:22"},
		{"", "async function* g() {}\nfor await (const x of g()) {}\nreturn /\\p{Foo}/u", "code:3:8"},
		{"tool.ts", "const s: string = ''\nreturn /\\p{Foo}/u.test(s)", "tool.ts:2:8"},
		{"tool.mjs", "const r = /\\p{Foo}/u\nexport default () => r", "tool.mjs:1:11"},
		{"", `return 1` + strings.Repeat("+1", 100_000) + `+/\p{Foo}/u`, "code:1:200010"},
		{"", strings.Repeat("const f = () => {\n", 60) + `/\p{Foo}/u` + strings.Repeat("\n}", 60), "code:61:1"},
	}
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range cases {
			got := failure(t, pool, named(c.name, c.code))
			require.Equal(t, errclass.SyntaxError, got.Reason, c.code[:min(len(c.code), 80)])
			require.Equal(t, c.where+": "+message, got.Detail)
		}
		require.Equal(t, "SyntaxError: Invalid regular expression: invalid property name (code:1:1)",
			failure(t, pool, code(`new RegExp("\\p{Foo}", "u")`)).Detail)
		require.Equal(t, `["p"]`, value(t, pool, code(`return /\p{L}/u.exec("p{L}")`)))
		require.Equal(t, `"a \\p{L} /\\p{L}/u"`, value(t, pool, code(`return "a \\p{L} /\\p{L}/u" // \p{`)))
	})
}

// TestPropertiesAgainstNode compares the characters of each property with
// node's, as far as both assign them.
func TestPropertiesAgainstNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		missingOracle(t)
	}
	names := strings.Fields(`L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp Cc Cf Co LC
		Alphabetic Lowercase Uppercase Cased Math ID_Start ID_Continue White_Space ASCII Any Hex_Digit AHex Dash
		Ideographic Quotation_Mark Radical Regional_Indicator Soft_Dotted Unified_Ideograph
		Variation_Selector Pattern_Syntax Pattern_White_Space Join_Control Bidi_Control Deprecated Noncharacter_Code_Point
		Emoji Emoji_Presentation Emoji_Modifier Emoji_Modifier_Base Emoji_Component Extended_Pictographic Case_Ignorable
		Default_Ignorable_Code_Point Grapheme_Extend Grapheme_Base sc=Latin sc=Greek sc=Cyrl sc=Arab sc=Hebr sc=Han sc=Hira
		sc=Kana sc=Thai sc=Hang sc=Deva sc=Common sc=Zinh gc=Letter General_Category=Uppercase_Letter`)
	list, err := json.Marshal(names)
	require.NoError(t, err)
	// The versions of Unicode differ: only what Go's knows is asked for.
	var text strings.Builder
	step := rune(1)
	if underRace { // nothing here runs at once
		step = 7
	}
	for c := rune(0); c < 0x20000; c += step {
		if utf8.ValidRune(c) && !unicode.Is(unicode.Categories["Cn"], c) && (c < 0x3400 || c >= 0xfb00 || c%37 == 0) {
			text.WriteRune(c)
		}
	}
	characters, err := json.Marshal(text.String())
	require.NoError(t, err)
	program := fmt.Sprintf(`const text = %s, out = [];
		for (const name of %s) out.push(name + ": " + text.replace(new RegExp("\\P{" + name + "}+", "gu"), ""));
		`, characters, list)
	command := exec.CommandContext(t.Context(), node, "-")
	command.Stdin = strings.NewReader(program + "console.log(JSON.stringify(out))")
	want, err := command.Output()
	require.NoError(t, err)
	var expected, got []string
	require.NoError(t, json.Unmarshal(want, &expected))
	pool := newPool(t, sandbox.Options{})
	require.NoError(t, json.Unmarshal([]byte(value(t, pool, code(program+"return out"))), &got))
	for i := range expected {
		if expected[i] == got[i] {
			continue
		}
		for _, c := range difference(expected[i], got[i]) {
			if !unicode.Is(changedSince15, c) {
				t.Errorf("%s: %U", names[i], c)
			}
		}
	}
}

// TestLargePatterns: what a pattern may cost is bounded.
func TestLargePatterns(t *testing.T) {
	eachIsolation(t, func(t *testing.T, pool *sandbox.Pool) {
		for _, c := range []struct{ code, want string }{
			{`return new RegExp("[" + "\\p{L}".repeat(900) + "]", "u").test("é")`, `true`},
			{`return new RegExp("[\\p{L}" + "1b".repeat(100000) + "]", "u").test("1")`, `true`},
			{`try { new RegExp("[" + "\\p{L}".repeat(1001) + "]", "u") } catch (e) { return e.name }`, `"SyntaxError"`},
			{`try { new RegExp("[a" + "--b".repeat(100000) + "]", "v") } catch (e) { return e.name }`, `"SyntaxError"`},
			{`try { new RegExp("\\p{L}".repeat(1000), "u") } catch (e) { return e.name }`, `"SyntaxError"`},
			{`try { new RegExp("[".repeat(1000) + "]".repeat(1000), "v") } catch (e) { return e.name }`, `"SyntaxError"`},
		} {
			require.Equal(t, c.want, value(t, pool, code(c.code)), c.code)
		}
	})
}

// changedSince15 are the characters whose properties changed after Unicode 15.
var changedSince15 = &unicode.RangeTable{R16: []unicode.Range16{
	{Lo: 0x0295, Hi: 0x0295, Stride: 1},
	{Lo: 0x0363, Hi: 0x036f, Stride: 1},
	{Lo: 0x1dd3, Hi: 0x1de6, Stride: 1},
	{Lo: 0x200c, Hi: 0x200d, Stride: 1},
	{Lo: 0x30fb, Hi: 0x30fb, Stride: 1},
	{Lo: 0xff65, Hi: 0xff65, Stride: 1},
}, R32: []unicode.Range32{{Lo: 0x1171e, Hi: 0x1171e, Stride: 1}}}

// difference lists the characters that only one of two texts has.
func difference(a, b string) (only []rune) {
	for _, c := range a {
		if !strings.ContainsRune(b, c) {
			only = append(only, c)
		}
	}
	for _, c := range b {
		if !strings.ContainsRune(a, c) {
			only = append(only, c)
		}
	}
	return only
}
