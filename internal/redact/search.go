package redact

import "strings"

// search goes over one text.
type search struct {
	redactor *Redactor
	modes    modes
	steps    int // bytes that may still be compared
	open     int // the first place where a secret may begin that the text's end cuts off; at most len
}

// pass replaces what it finds between the markers that s already holds.
func (x *search) pass(s string) string {
	var b strings.Builder
	done := 0 // s[:done] is in b
	for from := 0; from < len(s); {
		to := strings.Index(s[from:], Marker)
		if to < 0 {
			to = len(s)
		} else {
			to += from
		}
		for start, end := x.find(s[:to], from); start >= 0; start, end = x.find(s[:to], end) {
			b.WriteString(s[done:start])
			b.WriteString(Marker)
			done = end
		}
		from = to + len(Marker)
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}

// find returns the first secret in s at or after from, widened by all that
// overlap with it, or -1.
func (x *search) find(s string, from int) (start, end int) {
	for i := from; i+prefixLength <= len(s) && x.steps > 0; i++ {
		if !x.candidate(s, i) {
			continue
		}
		start, end := x.at(s, i, from)
		if end < 0 {
			continue
		}
		for i++; i < end && i+prefixLength <= len(s) && x.steps > 0; i++ {
			if other, further := x.at(s, i, from); further >= 0 {
				start, end = min(start, other), max(end, further)
			}
		}
		return start, end
	}
	return -1, -1
}

// candidate is a cheap test that nearly every position of an innocent text fails.
func (x *search) candidate(s string, i int) bool {
	h := hash(prefixOf(s[i], s[i+1], s[i+2], s[i+3]))
	return x.modes.escapes || x.redactor.prefixes[h/64]>>(h%64)&1 != 0
}

// at returns the extent of the longest secret that begins at s[i], or -1. It may
// begin at a digit of base64 before that, but not before floor.
func (x *search) at(s string, i, floor int) (start, end int) {
	window := s[i : i+prefixLength]
	start, end = x.longest(prefixOf(window[0], window[1], window[2], window[3]), s, i, floor)
	if !x.modes.escapes || !strings.ContainsAny(window, escapes) {
		return start, end
	}
	try := func(m mode, plus byte) {
		prefix, ok := m.prefix(s[i:], plus)
		if !ok {
			x.open = min(x.open, i)
			return
		}
		from, to := x.longest(prefix, s, i, floor)
		if end < 0 || to >= 0 && from < start {
			start = from
		}
		end = max(end, to)
	}
	if x.modes.percent {
		try(percent, '+') // in a path
		try(percent, ' ') // in a query
	}
	if x.modes.json {
		try(json1, '+')
		try(json2, '+')
	}
	return start, end
}

// longest returns the extent of the longest pattern with a prefix at s[i], or -1.
func (x *search) longest(prefix uint32, s string, i, floor int) (start, end int) {
	start, end = -1, -1
	for _, p := range x.redactor.starting(prefix) {
		e := x.match(p, s, i)
		if e < 0 {
			continue
		}
		if p.after && e+len("x==") > len(s) { // what it may be widened by is yet to come
			x.open = min(x.open, i)
		}
		from, to := p.widen(s, i, e, floor)
		if end < 0 || from < start {
			start = from
		}
		end = max(end, to)
	}
	return start, end
}

// match returns the end of p where s[i:] begins with it in any form, or -1.
func (x *search) match(p *pattern, s string, i int) int {
	best := x.matchRaw(p, s, i)
	if x.modes.percent {
		best = max(best, x.matchAs(p, s, i, percent))
	}
	if x.modes.json {
		best = max(best, x.matchAs(p, s, i, json1), x.matchAs(p, s, i, json2))
	}
	return best
}

func (x *search) matchRaw(p *pattern, s string, i int) int {
	x.steps--
	switch {
	case p.fold || x.modes.cut:
		return x.matchAs(p, s, i, raw)
	case strings.HasPrefix(s[i:], p.text):
		return i + len(p.text)
	case strings.HasPrefix(p.text, s[i:]):
		x.open = min(x.open, i)
	}
	return -1
}

func (x *search) matchAs(p *pattern, s string, i int, m mode) int {
	start := i
	for k := 0; k < len(p.text); {
		if i >= len(s) {
			x.open = min(x.open, start)
			return -1
		}
		if x.steps <= 0 {
			return -1
		}
		x.steps--
		if s[i] == p.text[k] && !m.special(s[i]) {
			i, k = i+1, k+1
			continue
		}
		u, n := m.unit(s[i:])
		rest := p.text[k:]
		switch {
		case strings.HasPrefix(rest, u.String()):
			i, k = i+n, k+len(u.String())
		case s[i] == '+' && m == percent && rest[0] == ' ':
			i, k = i+1, k+1
		case p.fold && n == 1 && 'A' <= s[i] && s[i] <= 'F' && rest[0] == s[i]-'A'+'a':
			i, k = i+1, k+1
		case k >= minCut && strings.HasPrefix(s[i:], ellipsis):
			return i
		case k >= minCut && m.special(s[i]) && cutEscape(s[i:]) > 0:
			return i + cutEscape(s[i:])
		case m.special(s[i]) && i+maxEscape > len(s): // what it is an escape of may be yet to come
			x.open = min(x.open, start)
			return -1
		default:
			return -1
		}
	}
	return i
}

// maxEscape is the longest escape, that of a character beyond the basic plane
// in [json2].
const maxEscape = len(`\\ud83d\\ude00`)

// cutEscape is the length of what is left of an escape before an ellipsis, or 0
// for anything else.
func cutEscape(s string) int {
	for i := range min(len(s), maxEscape) {
		if strings.HasPrefix(s[i:], ellipsis) {
			return i
		}
		if s[i] != '%' && s[i] != '\\' && s[i] != 'u' && s[i] != 'x' && hexDigit(s[i]) < 0 {
			return 0
		}
	}
	return 0
}
