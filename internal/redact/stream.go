package redact

import (
	"strings"
	"unicode/utf8"
)

// Stream redacts a text that comes in pieces. What may be the beginning of a
// secret is held back until more has come. It is for one goroutine.
//
// Where a secret was encoded in base64 within a longer text, it may let a digit
// through that stands before it and that a whole text would lose.
type Stream struct {
	redactor *Redactor
	held     string
}

// Stream returns a Stream with nothing in it.
func (r *Redactor) Stream() *Stream { return &Stream{redactor: r} }

// Add takes the next piece and returns what can be told by now, which may be
// nothing.
func (s *Stream) Add(text string) string {
	if s.redactor == nil || len(s.redactor.byPrefix) == 0 {
		return text
	}
	s.held += text
	cut := s.redactor.settled(s.held)
	told := s.held[:cut]
	s.held = s.held[cut:]
	return s.redactor.String(told)
}

// Rest ends the text and returns what was held back of it.
func (s *Stream) Rest() string {
	rest := s.held
	s.held = ""
	return s.redactor.String(rest)
}

// settled is how many bytes of s can't be part of a secret that more text would
// complete. They don't end within a secret.
func (r *Redactor) settled(s string) int {
	x := search{redactor: r, modes: modesOf(s), steps: minSteps + stepsPerByte*len(s), open: len(s)}
	var starts, ends []int
	for from := 0; ; {
		start, end := x.find(s, from)
		if start < 0 {
			break
		}
		starts, ends, from = append(starts, start), append(ends, end), end
	}
	cut := min(x.open, r.tail(s))
	for cut > 0 && cut < len(s) && !utf8.RuneStart(s[cut]) {
		cut--
	}
	for i := len(starts) - 1; i >= 0; i-- {
		if starts[i] < cut && cut < ends[i] {
			cut = starts[i]
		}
	}
	return cut
}

// tail returns where in the last bytes of s, which are too few for a search, a
// secret or an escape may begin, or the length of s.
func (r *Redactor) tail(s string) int {
	end := max(0, len(s)-maxEscape+1)
	if i := strings.IndexAny(s[end:], `%\`); i >= 0 {
		end += i
	} else {
		end = len(s)
	}
	for i := max(0, end-prefixLength+1); i < end; i++ {
		if _, ok := r.beginnings()[s[i:end]]; ok {
			return i
		}
	}
	return end
}

// findBeginnings returns what is shorter than a prefix and begins a pattern.
func (r *Redactor) findBeginnings() map[string]struct{} {
	found := make(map[string]struct{}, 3*len(r.byPrefix))
	for prefix := range r.byPrefix {
		text := string([]byte{byte(prefix >> 24), byte(prefix >> 16), byte(prefix >> 8)})
		for n := 1; n < prefixLength; n++ {
			found[text[:n]] = struct{}{}
		}
	}
	return found
}
