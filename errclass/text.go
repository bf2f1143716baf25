package errclass

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// maxMessage bounds the "error" field of an outcome, in characters.
	maxMessage = 500
	// maxDetail bounds a detail. It is longer than any message, because secrets
	// are redacted in the detail first: a cut through a secret would hide it from
	// the redaction, and must not lie in what is shown.
	maxDetail = 2000
)

// OneLine makes foreign text fit for a message: invalid UTF-8 is replaced, runs
// of white space, line breaks, control and format characters become one space,
// and text longer than limit characters is cut, ending in "…".
func OneLine(s string, limit int) string {
	if limit <= 0 {
		return ""
	}
	if isPlain(s, limit) {
		return s
	}
	// A rune costs at most four bytes, and white space may collapse: look at a
	// bounded prefix only, so that a huge body costs no more than a small one.
	whole := true
	if bound := 16*limit + utf8.UTFMax; len(s) > bound {
		for bound > 0 && !utf8.RuneStart(s[bound]) && bound > 16*limit {
			bound--
		}
		s, whole = s[:bound], false
	}
	var b strings.Builder
	count, space := 0, false
	for _, r := range s {
		if isGap(r) {
			space = count > 0
			continue
		}
		need := 1
		if space {
			need = 2
		}
		if count+need > limit {
			return cut(b.String(), count, limit)
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
		count += need
	}
	if !whole {
		return cut(b.String(), count, limit)
	}
	return b.String()
}

// isGap reports whether r is white space or nothing to be seen.
func isGap(r rune) bool {
	if r < utf8.RuneSelf {
		return r <= ' ' || r == 0x7f
	}
	return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
}

// isPlain reports whether s needs nothing done, as most texts do.
func isPlain(s string, limit int) bool {
	if len(s) > limit {
		return false
	}
	last := byte(' ')
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c > '~' || c == ' ' && last == ' ' {
			return false
		}
		last = c
	}
	return s == "" || last != ' '
}

// cut appends an ellipsis to s, which holds count characters, within limit.
func cut(s string, count, limit int) string {
	if count >= limit {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return strings.TrimRight(s, " ") + "…"
}

// textOf is err.Error() for errors of unknown make, whose method may panic.
// The text of nil is empty.
func textOf(err error) (text string) {
	if err == nil {
		return ""
	}
	defer func() {
		if recover() != nil {
			text = "error whose Error method panics"
		}
	}()
	return err.Error()
}
