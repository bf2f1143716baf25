package example

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

const (
	maxDifferences = 10  // of one value
	maxQuoted      = 200 // characters of one value in a problem
)

// differences compares two values as [strictjson.Decode] gives them: numbers by
// value, objects whatever their order. Each difference is one line that starts
// with the JSON pointer at, continued.
func differences(at string, want, got any) []string {
	var d diff
	d.compare(at, want, got)
	if d.more > 0 {
		d.lines = append(d.lines, fmt.Sprintf("… and %d more differences", d.more))
	}
	return d.lines
}

type diff struct {
	lines []string
	more  int
}

func (d *diff) add(at, format string, args ...any) {
	if len(d.lines) == maxDifferences {
		d.more++
		return
	}
	if at == "" {
		at = "result"
	}
	d.lines = append(d.lines, at+": "+fmt.Sprintf(format, args...))
}

func (d *diff) compare(at string, want, got any) {
	switch want := want.(type) {
	case map[string]any:
		if got, ok := got.(map[string]any); ok {
			d.objects(at, want, got)
			return
		}
	case []any:
		if got, ok := got.([]any); ok {
			d.lists(at, want, got)
			return
		}
	}
	if !equal(want, got) {
		d.add(at, "expected %s, got %s", quoted(want), quoted(got))
	}
}

func (d *diff) objects(at string, want, got map[string]any) {
	names := maps.Clone(want)
	maps.Copy(names, got)
	for _, name := range sortedKeys(names) {
		below := pointer(at, name)
		w, expected := want[name]
		g, there := got[name]
		switch {
		case !there:
			d.add(below, "expected %s, but it is missing", quoted(w))
		case !expected:
			d.add(below, "not expected, got %s", quoted(g))
		default:
			d.compare(below, w, g)
		}
	}
}

func (d *diff) lists(at string, want, got []any) {
	for i := range max(len(want), len(got)) {
		below := pointer(at, strconv.Itoa(i))
		switch {
		case i >= len(got):
			d.add(below, "expected %s, but it is missing", quoted(want[i]))
		case i >= len(want):
			d.add(below, "not expected, got %s", quoted(got[i]))
		default:
			d.compare(below, want[i], got[i])
		}
	}
}

// equal compares what isn't two objects or two lists.
func equal(a, b any) bool {
	x, aIsNumber := number(a)
	y, bIsNumber := number(b)
	if aIsNumber && bIsNumber {
		return x.Cmp(y) == 0
	}
	return reflect.DeepEqual(a, b)
}

// number is the exact value of a number. Those with exponents beyond what a
// float64 holds are compared by their text, as computing them could take all
// memory.
func number(v any) (*big.Rat, bool) {
	switch v := v.(type) {
	case int64:
		return new(big.Rat).SetInt64(v), true
	case float64:
		r := new(big.Rat).SetFloat64(v)
		return r, r != nil
	case json.Number:
		if _, err := v.Float64(); err != nil || len(v) > 400 {
			return nil, false
		}
		return new(big.Rat).SetString(v.String())
	}
	return nil, false
}

// pointer continues a JSON pointer (RFC 6901).
func pointer(at, name string) string {
	return at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// quoted writes a value as JSON, on one line of bounded length.
func quoted(v any) string { return printable(encoded(v), maxQuoted) }

func encoded(v any) string {
	data, err := strictjson.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
