package sandbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/sandbox"
)

// pricing is the small tool that the project measures itself with.
const pricing = `
const rates = { standard: 0, silver: 0.05, gold: 0.1 };
const items = parameters.items.map((item) => ({ ...item, total: item.price * item.quantity }));
const net = items.reduce((sum, item) => sum + item.total, 0);
const discount = net * (rates[parameters.tier] ?? 0);
return { items, net, discount, gross: Math.round((net - discount) * 119) / 100 };
`

const pricingParameters = `{"tier":"gold","items":[{"sku":"a","price":3.5,"quantity":2},{"sku":"b","price":10,"quantity":1},{"sku":"c","price":0.25,"quantity":40}]}`

// BenchmarkRun and BenchmarkBare run the same program: compare them within one
// go test -bench to see what the sandbox costs.
func BenchmarkRun(b *testing.B) {
	for _, isolation := range isolations {
		b.Run(string(isolation), func(b *testing.B) {
			pool := newPool(b, sandbox.Options{Isolation: isolation})
			job := sandbox.Job{Source: sandbox.Source{Name: "pricing.js", Code: pricing}, Parameters: []byte(pricingParameters)}
			ctx, cancel := context.WithTimeout(b.Context(), time.Hour)
			defer cancel()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pool.Run(ctx, job); err != nil {
					b.Fatal(err, errors.Unwrap(err))
				}
			}
		})
	}
}

// BenchmarkBare is goja without a sandbox: a compiled program, a new runtime,
// parameters and result as JSON text.
func BenchmarkBare(b *testing.B) {
	program := goja.MustCompile("pricing.js", "(async function (text) { const parameters = JSON.parse(text);"+pricing+"})", false)
	b.ReportAllocs()
	for b.Loop() {
		rt := goja.New()
		value, err := rt.RunProgram(program)
		if err != nil {
			b.Fatal(err, errors.Unwrap(err))
		}
		function, _ := goja.AssertFunction(value)
		promise, err := function(goja.Undefined(), rt.ToValue(pricingParameters))
		if err != nil {
			b.Fatal(err, errors.Unwrap(err))
		}
		result := promise.Export().(*goja.Promise).Result().(*goja.Object)
		if _, err := result.MarshalJSON(); err != nil {
			b.Fatal(err, errors.Unwrap(err))
		}
	}
}

// BenchmarkRequire is what a module costs the tool that requires it; one that
// doesn't pays nothing.
func BenchmarkRequire(b *testing.B) {
	for _, text := range []string{
		`return 1`, `return Buffer.from("a").toString("hex")`,
		`return require("crypto").createHmac("sha256", "k").update("d").digest("hex")`,
		`return require("util").inspect({ a: 1 })`, `return typeof require("axios")`,
	} {
		b.Run(text, func(b *testing.B) {
			benchmark(b, sandbox.Job{Source: sandbox.Source{Code: text}, Axios: true})
		})
	}
}

// BenchmarkAdditions is the most that the built-ins of ours cost: a program that
// says eval gets them all.
func BenchmarkAdditions(b *testing.B) {
	benchmark(b, sandbox.Job{Source: sandbox.Source{Code: "return typeof eval"}})
}

func benchmark(b *testing.B, job sandbox.Job) {
	pool := newPool(b, sandbox.Options{Isolation: sandbox.Inline})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := pool.Run(b.Context(), job); err != nil {
			b.Fatal(err)
		}
	}
}
