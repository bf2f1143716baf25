package expression

import "strings"

// piece is a stretch of a text: literal, or the inside of a placeholder.
type piece struct {
	text        string
	offset      int // of text in the whole, in bytes
	placeholder bool
}

// scan cuts a text into literal pieces and placeholders.
func scan(src string) ([]piece, error) {
	if !strings.Contains(src, "{{") {
		return []piece{{text: src}}, nil
	}
	var pieces []piece
	pos, count := 0, 0
	for {
		i := strings.Index(src[pos:], "{{")
		if i < 0 {
			if pos < len(src) {
				pieces = append(pieces, piece{text: src[pos:], offset: pos})
			}
			return pieces, nil
		}
		if i > 0 {
			pieces = append(pieces, piece{text: src[pos : pos+i], offset: pos})
		}
		open := pos + i
		if count++; count > maxPlaceholders {
			return nil, &Error{Message: "a text holds at most 1000 placeholders", Offset: open}
		}
		length, fault := inside(src[open+2:])
		if fault != nil {
			fault.Offset += open + 2
			if fault.unterminated {
				fault.Offset = open
			}
			return nil, &fault.Error
		}
		pieces = append(pieces, piece{text: src[open+2 : open+2+length], offset: open + 2, placeholder: true})
		pos = open + 2 + length + 2
	}
}

// scanFault is an [Error] whose offset is relative to the inside of a
// placeholder.
type scanFault struct {
	Error
	unterminated bool
}

// inside returns the length of the expression that s begins with, up to the }}
// that ends its placeholder. Quoted strings and braces of map literals belong to
// the expression.
func inside(s string) (int, *scanFault) {
	depth := 0
	for i := 0; i < len(s) && i <= maxSource; i++ {
		switch s[i] {
		case '\'', '"', '`':
			n := quoted(s[i:])
			if n < 0 {
				return 0, &scanFault{Error: Error{Message: "a string literal isn't closed", Offset: i}}
			}
			i += n - 1
		case '{':
			depth++
		case '}':
			switch {
			case depth > 0:
				depth--
			case strings.HasPrefix(s[i:], "}}"):
				return i, nil
			default:
				return 0, &scanFault{Error: Error{Message: "unexpected }", Offset: i}}
			}
		case '/':
			// A comment would hide the end of the placeholder.
			if strings.HasPrefix(s[i:], "//") || strings.HasPrefix(s[i:], "/*") {
				return 0, &scanFault{Error: Error{Message: "an expression can't hold comments", Offset: i}}
			}
		}
	}
	if len(s) > maxSource {
		return 0, &scanFault{Error: Error{Message: "an expression is at most 4 KiB long, and this {{ isn't closed by then"}, unterminated: true}
	}
	return 0, &scanFault{Error: Error{Message: "{{ isn't closed by }} (a literal {{ is written {{'{{'}})"}, unterminated: true}
}

// quoted returns the length of the string literal that s begins with, or -1
// where it doesn't end. A backtick inside a raw string is written twice, which
// reads here as two strings side by side.
func quoted(s string) int {
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == quote:
			return i + 1
		case s[i] == '\\' && quote != '`':
			i++
		case s[i] == '\n' && quote != '`':
			return -1
		}
	}
	return -1
}
