package expression_test

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/expression"
)

// patience is how long a hostile expression may take before it counts as hung;
// on an idle machine each takes milliseconds.
const patience = 30 * time.Second

func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%.200s: not done", what)
	}
}

func nest(open, inner, end string, n int) string {
	return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
}

func TestHostileExpressions(t *testing.T) {
	text := strings.Repeat("x", 512<<10)
	array := make([]any, 200_000)
	for i := range array {
		array[i] = int64(i)
	}
	s := &expression.Scope{Parameters: map[string]any{"t": text, "a": array, "n": int64(1 << 40)}}
	for _, c := range []struct{ name, src, message string }{
		{"doubling by replace", nest("replace(", "'xx'", ", 'x', 'xxxxxxxx')", 30), "more than 1 MiB"},
		{"doubling by join", nest("join([", "parameters.t", ", parameters.t])", 6), "more than 1 MiB"},
		{"exploding join", "join(split(parameters.t, ''), parameters.t)", "too large"},
		{"long separator", "join(parameters.a, parameters.t)", "more than 1 MiB"},
		{"replace by much", "replace(parameters.t, 'x', parameters.t)", "more than 1 MiB"},
		{"escapes in escapes", nest("json(", "'\"'", ")", 40), "comes out too long"},
		{"percent in percent", nest("urlEncode(", "'%'", ")", 60), ""},
		{"base64 in base64", nest("base64(", "parameters.t", ")", 20), "more than 1 MiB"},
		{"many splits", "[" + strings.Repeat("split(parameters.t, ''), ", 30) + "1]", "too large"},
		{"many copies", "[" + strings.Repeat("upper(parameters.t), ", 35) + "1]", "too large"},
		{"long sum", nest("parameters.t + ", "'a'", "", 40), "more than 1 MiB"},
		{"giant product", nest("parameters.n * ", "parameters.n", "", 40), "too large"},
		{"giant power", "9 ** 9 ** 9 ** 9", "too large"},
		{"parentheses", nest("(", "1", ")", 2000), ""},
		{"open parentheses", strings.Repeat("(", 4000), "too early"},
		{"minus", strings.Repeat("-", 4000) + "1", "too complex"},
		{"not", strings.Repeat("!", 180) + "true", ""},
		{"brackets", nest("[", "1", "]", 2000), "too complex"},
		{"maps", nest("{a:", "1", "}", 1000), "too complex"},
		{"unclosed brackets", strings.Repeat("[", 4000), "too early"},
		{"chained members", "parameters" + strings.Repeat(".a", 10_000), "4 KiB"},
		{"many members", "parameters" + strings.Repeat(".a", 2000), "too complex"},
		{"members below the limit", "parameters" + strings.Repeat(".a", 90), ""},
		{"calls in calls", nest("upper(", "'a'", ")", 500), "too complex"},
		{"long sum of names", nest("parameters.a + ", "1", "", 300), "4 KiB"},
		{"conditionals", nest("true ? ", "1", " : 2", 300), "too complex"},
		{"chained comparisons", nest("(1 < ", "1", " < 2)", 30), "can't be chained"},
		{"chained comparison of comparisons", nest("(0 <= ", "1", " <= 2)", 60), ""},
		{"shared conditions", nest("(", "1", " ?: 1)", 60), "isn't available"},
		{"coalescing", nest("nil ?? ", "1", "", 60), ""},
		{"ifs", nest("if true {", "1", "} else {2}", 200), "too complex"},
		{"lets", nest("let a = 1; ", "a", "", 300), ""},
		{"predicates", nest("map(1..1000000, ", "1", ")", 10), "no loops"},
		{"repeat", "repeat('x', 1000000000)", "no function"},
		{"long string", "'" + strings.Repeat("x", 5000) + "'", "isn't closed by then"},
		{"long literal", strings.Repeat("9", 4000), "literal"},
		{"big exponent", "1e999999999", "literal"},
		{"unicode", strings.Repeat("é", 2000), "unknown name"},
		{"nulls", strings.Repeat("\x00", 2000), "unrecognized"},
		{"quotes", strings.Repeat("'", 4001), ""},
		{"backticks", strings.Repeat("`", 4000), ""},
		{"search in arrays", nest("(", "parameters.a in [parameters.a]", " || parameters.a in parameters.a)", 10), ""},
		{"comparing arrays", nest("(parameters.a == parameters.a) == ", "true", "", 20), ""},
		{"text of arrays", "json(parameters.a) + json(parameters.a)", "comes out too long"},
		{"parsing", "parseJson('[' + replace(substring(parameters.t, 0, 260000), 'x', '[],') + '1]')", ""},
		{"parsing twice", "[parseJson(json(parameters.a)), parseJson(json(parameters.a))]", "too"},
	} {
		t.Run(c.name, func(t *testing.T) {
			within(t, c.src, func() {
				tm, err := expression.Compile("{{"+c.src+"}}", expression.Declared{Open: true})
				if err == nil {
					_, _, err = tm.Value(s)
				}
				if c.message == "" {
					return // whatever it is, it ends
				}
				if err == nil || !strings.Contains(err.Error(), c.message) {
					t.Errorf("got %v, want …%s…", err, c.message)
				}
				if err != nil && len(err.Error()) > 800 {
					t.Errorf("an error of %d bytes", len(err.Error()))
				}
			})
		})
	}
}

// One evaluation stays within its budget however many placeholders there are.
func TestHostileTexts(t *testing.T) {
	s := &expression.Scope{Parameters: map[string]any{"t": strings.Repeat("x", 1<<20), "o": map[string]any{"k": strings.Repeat("\n", 1<<20)}}}
	open := expression.Declared{Open: true}
	for _, src := range []string{
		strings.Repeat("{{parameters.t}}", 1000), strings.Repeat("{{lower(parameters.t)}} ", 1000), strings.Repeat("{{parameters.o}}", 1000),
		strings.Repeat("{{'a' + parameters.o.k}}", 100),
	} {
		within(t, src, func() {
			tm, err := expression.Compile(src, open)
			if err != nil {
				t.Error(err)
				return
			}
			if _, _, err = tm.Value(s); err == nil {
				t.Error("no error")
			}
		})
	}
	list := make([]any, 1000)
	for i := range list {
		list[i] = "x{{lower(parameters.t)}}"
	}
	tree, faults := expression.CompileTree(list, open)
	require.Empty(t, faults)
	within(t, "tree", func() {
		if _, _, err := tree.Value(s); err == nil {
			t.Error("no error of the tree")
		}
	})
	_, err := expression.Compile(strings.Repeat("{{1}}", 1001), open)
	require.ErrorContains(t, err, "at most 1000 placeholders")
	tm, err := expression.Compile(strings.Repeat("{{1}}", 1000), open)
	require.NoError(t, err)
	text, ok := tm.Constant()
	require.True(t, ok)
	require.Equal(t, strings.Repeat("1", 1000), text)
}

// The host's memory grows by a small multiple of the budget.
func TestHostileMemory(t *testing.T) {
	s := &expression.Scope{Parameters: map[string]any{"t": strings.Repeat("x", 400<<10)}}
	tm, err := expression.Compile("{{["+strings.Repeat("split(parameters.t, ''), ", 20)+"1]}}", expression.Declared{Open: true})
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err = tm.Value(s)
	require.Error(t, err)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(96<<20), "bytes allocated")
}

func FuzzCompile(f *testing.F) {
	for _, c := range values {
		f.Add(c.src)
	}
	for _, src := range []string{"{{a < b < c}}", "{{x?:y}}", "{{'\\u{1F600}'}}", "{{if a {b} else {c}}}", "{{b'x'}}", "{{#}}", "{{.a}}", "{{a?.[b]}}", "{{::upper(1)}}"} {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		within(t, src, func() {
			tm, err := expression.Compile(src, declared)
			if err != nil {
				if text := err.Error(); strings.ContainsAny(text, "\r\n") || len(text) > 1000 {
					t.Errorf("%q", text)
				}
				if fault, ok := err.(*expression.Error); !ok || fault.Offset < 0 || fault.Offset > len(src) {
					t.Errorf("%#v", err)
				}
				return
			}
			_, _, _ = tm.Value(scope)
		})
	})
}

func FuzzEvaluate(f *testing.F) {
	for _, c := range values {
		f.Add(strings.TrimSuffix(strings.TrimPrefix(c.src, "{{"), "}}"), "x{{y}}", int64(3), 1.5)
	}
	f.Fuzz(func(t *testing.T, src, text string, i int64, x float64) {
		if strings.Contains(src, "}}") { // what follows is the author's literal text, which is not escaped
			return
		}
		tm, err := expression.Compile("{{"+src+"}}", declared)
		if err != nil {
			return
		}
		s := &expression.Scope{
			Parameters: map[string]any{"s": text, "qty": i, "price": x, "list": []any{text, i, x, []any{}}, "user": map[string]any{text: i, "id": i}},
			Env:        map[string]string{"USER": text}, Credentials: map[string]any{"token": text},
		}
		within(t, src, func() {
			v, present, err := tm.Value(s)
			if err != nil && present || present != (v != nil) {
				t.Errorf("%v %v %v", v, present, err)
			}
			if out, _, err := tm.Text(s, nil); err == nil && len(out) > 16<<20 {
				t.Errorf("%d bytes", len(out))
			}
			for _, escape := range []func(string) (string, error){expression.PathSegment, expression.QueryComponent, expression.HeaderValue} {
				if out, _, err := tm.Text(s, escape); err == nil && strings.ContainsAny(out, "\r\n\x00") {
					t.Errorf("%q", out)
				}
			}
		})
	})
}
