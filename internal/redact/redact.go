// Package redact keeps secrets out of what leaves the process: errors, logs,
// details.
//
// Start with [Collect], which finds the secret values in credentials, and [New],
// whose [Redactor.String] then replaces them in a text, also where they are
// encoded. [Redactor.Handler] does the same for a logger.
package redact

import (
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/almyty-inc/toolrun/errclass"
)

// Marker stands in a text for each secret that was removed.
const Marker = "[redacted]"

// ellipsis ends a text that was cut to a length.
const ellipsis = "…"

const (
	// minSecret is the length in characters below which a value is too common
	// to be hidden.
	minSecret = 4
	// minCut is how many bytes of a secret must stand before an ellipsis for
	// them to be taken for its beginning.
	minCut = 6
	// minSteps and stepsPerByte bound the bytes that are compared for a text.
	minSteps     = 1 << 18
	stepsPerByte = 64
	// maxPasses bounds how often a text is gone over; two are all that anything
	// but a constructed text takes.
	maxPasses = 8
)

// Redactor replaces secrets in texts. It is immutable and safe for concurrent
// use. A nil Redactor changes nothing.
type Redactor struct {
	// prefixes has a bit for the hash of each four bytes that a pattern begins
	// with: nearly every position of an innocent text is dismissed by it.
	prefixes [1 << 16 / 64]uint64
	byPrefix map[uint32][]*pattern
	// beginnings are the first bytes of the prefixes; only a [Stream] needs them.
	beginnings func() map[string]struct{}
}

// New returns a Redactor for the given secrets. Values of less than 4 characters
// or of nothing but white space are ignored, and so are those that are part of
// [Marker].
func New(secrets []string) *Redactor {
	r := &Redactor{byPrefix: make(map[uint32][]*pattern, 8*len(secrets))}
	r.beginnings = sync.OnceValue(r.findBeginnings)
	known := make(map[string]struct{}, len(secrets))
	for _, secret := range secrets {
		for _, form := range formsOf(secret) {
			if utf8.RuneCountInString(form) < minSecret || strings.Contains(Marker, form) {
				continue
			}
			if _, again := known[form]; again {
				continue
			}
			known[form] = struct{}{}
			for _, p := range patternsOf(form) {
				r.add(&p)
			}
			// A host name loses its case on the way to an error.
			if lower := strings.ToLower(form); lower != form && len(lower) >= prefixLength && !strings.Contains(Marker, lower) {
				r.add(&pattern{text: lower})
			}
		}
	}
	return r
}

// formsOf are the ways in which programs write a value before they encode it.
func formsOf(secret string) []string {
	trimmed := strings.TrimSpace(secret)
	if trimmed == "" {
		return nil
	}
	// A message is one line, so a key of many may stand in one.
	forms := []string{secret, trimmed, errclass.OneLine(secret, len(secret)+1)}
	if strings.Contains(trimmed, "\n") { // as Windows and many protocols end lines
		unix := strings.ReplaceAll(trimmed, "\r\n", "\n")
		forms = append(forms, unix, strings.ReplaceAll(unix, "\n", "\r\n"))
	}
	return forms
}

func (r *Redactor) add(p *pattern) {
	for _, first := range p.cases(p.text[0]) {
		for _, second := range p.cases(p.text[1]) {
			for _, third := range p.cases(p.text[2]) {
				for _, fourth := range p.cases(p.text[3]) {
					prefix := prefixOf(first, second, third, fourth)
					r.byPrefix[prefix] = append(r.byPrefix[prefix], p)
					h := hash(prefix)
					r.prefixes[h/64] |= 1 << (h % 64)
				}
			}
		}
	}
}

// prefixLength is how many bytes of a text the filter looks at; no pattern is
// shorter.
const prefixLength = 4

// starting returns the patterns that begin with a prefix.
func (r *Redactor) starting(prefix uint32) []*pattern {
	h := hash(prefix)
	if r.prefixes[h/64]>>(h%64)&1 == 0 {
		return nil
	}
	return r.byPrefix[prefix]
}

func prefixOf(a, b, c, d byte) uint32 {
	return uint32(a)<<24 | uint32(b)<<16 | uint32(c)<<8 | uint32(d)
}

// hash spreads prefixes over 16 bits (Fibonacci hashing).
func hash(prefix uint32) uint32 { return prefix * 2654435769 >> 16 }

// String replaces every secret in s by [Marker]: as it is, percent-encoded (of
// whichever characters, in either case, with + for a space), escaped as in JSON
// (once or twice), in hex, and in base64 of either alphabet and any alignment,
// so also inside a longer text that was encoded. Secrets that overlap become one
// marker. The beginning of a secret that an ellipsis cuts off is replaced too.
//
// What it returns holds no more secrets: a second call changes nothing. A text
// made to be searched for ever, which takes a secret that repeats itself and
// somebody who knows it, comes back as nothing but a marker.
func (r *Redactor) String(s string) string {
	if r == nil || len(r.byPrefix) == 0 {
		return s
	}
	steps := minSteps + stepsPerByte*len(s)
	for range maxPasses {
		search := search{redactor: r, modes: modesOf(s), steps: steps}
		changed := search.pass(s)
		if steps = search.steps; steps <= 0 {
			return Marker
		}
		if changed == s {
			break
		}
		s = changed
	}
	return s
}
