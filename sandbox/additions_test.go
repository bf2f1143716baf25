package sandbox

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNeededAdditions pins what a program makes its realm pay for.
func TestNeededAdditions(t *testing.T) {
	var all []string
	for _, a := range additions {
		all = append(all, a.name)
	}
	for text, want := range map[string][]string{
		``: nil,
		`return [1].map((x) => x).filter(Boolean).find(String)`:   nil,
		`return Object.keys(a).map((k) => k) + Object.entries(b)`: nil,
		`try { a } catch {} class A { constructor() {} }`:         nil,
		`escape("x")`:                           nil,
		`m.keys().map(String)`:                  {"iterator"},
		`m.keys( ).next()`:                      nil,
		`function* g() { yield 1 } g().take(2)`: {"iterator"},
		`x.Promise.try(f)`:                      {"promise"},
		`Promise["try"]`:                        {"promise"},
		`Object["groupBy"](a)`:                  {"grouping"},
		`regroupBy(a)`:                          nil,
		`RegExp.escape(s)`:                      {"text", "regexp"},
		`for await (const x of y) {}`:           nil,
		`__knownSymbol("asyncIterator")`:        {"symbols"},
		`new DisposableStack()`:                 {"symbols", "dispose"},
		`eval(x)`:                               all,
		`new Function(x)`:                       all,
		`(() => {}).constructor("x")`:           all,
		`e.constructor === Error || f instanceof Function`: nil,
		`Function.prototype.constructor ("x")`:             all,
	} {
		var got []string
		for _, a := range neededAdditions(text) {
			got = append(got, a.name)
		}
		require.Equal(t, want, got, text)
	}
}
