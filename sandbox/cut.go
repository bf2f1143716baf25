package sandbox

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// ellipsis ends a text that was cut: redaction looks for the beginning of a
// secret before it.
const ellipsis = "…"

// maxWord bounds how much of a word is dropped at a cut, in bytes.
const maxWord = 256

// cut bounds a text to a number of bytes. The word that the limit falls into is
// dropped as a whole, as the beginning of a secret may be too short for
// redaction to know it; only a text without a gap keeps what fits of it.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit - len(ellipsis)
	if end < 0 {
		return ""
	}
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:lastGap(s[:end])] + ellipsis
}

// lastGap is where the last word of a text begins and the gap before it: white
// space, else, as JSON has none, a quote, which stays. Without either it is the
// start of a short text and the end of a long one.
func lastGap(s string) int {
	low := max(len(s)-maxWord, 0)
	for low > 0 && !utf8.RuneStart(s[low]) {
		low--
	}
	tail := s[low:]
	if at := strings.LastIndexFunc(tail, unicode.IsSpace); at >= 0 {
		return len(strings.TrimRightFunc(s[:low+at], unicode.IsSpace))
	}
	if at := strings.LastIndexByte(tail, '"'); at >= 0 {
		return low + at + 1
	}
	if low == 0 {
		return 0
	}
	return len(s)
}
