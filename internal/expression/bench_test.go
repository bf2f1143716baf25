package expression_test

import (
	"testing"

	"github.com/almyty-inc/toolrun/internal/expression"
)

func BenchmarkValue(b *testing.B) {
	for name, src := range map[string]string{
		"whole":        "{{parameters.user.id}}",
		"constant":     "application/json",
		"interpolated": "Bearer {{credentials.token}} for {{parameters.user.name}}",
		"call":         "Basic {{base64(env.USER + ':' + env.PASS)}}",
		"arithmetic":   "{{parameters.qty * 2 + 1}}",
	} {
		b.Run(name, func(b *testing.B) {
			tm, err := expression.Compile(src, declared)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := tm.Value(scope); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkTree(b *testing.B) {
	tree, faults := expression.CompileTree(map[string]any{
		"a": "{{parameters.user.id}}", "b": "{{parameters.qty}}", "c": "{{parameters.price * 2}}", "d": "x {{parameters.s}}", "e": "constant",
		"f": int64(1), "g": []any{"{{parameters.ok}}", "y"}, "h": "{{parameters.absent}}", "i": map[string]any{"k": "v"}, "j": "{{parameters.user.tags}}",
	}, declared)
	if faults != nil {
		b.Fatal(faults)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := tree.Value(scope); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := expression.Compile("Basic {{base64(env.USER + ':' + env.PASS)}}", declared); err != nil {
			b.Fatal(err)
		}
	}
}
