// Package envfile reads files of NAME=value lines, the way secrets are commonly
// handed to programs. [Parse] is all there is.
package envfile

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxBytes bounds a file.
const MaxBytes = 1 << 20

// Entry is one assignment.
type Entry struct{ Name, Value string }

// Parse reads assignments, one a line:
//
//	NAME=value                # to the end of the line; " #" starts a comment
//	export NAME="two\nlines"  # \n \t \r \" \\ are understood
//	NAME='as it stands'
//
// Empty lines and lines that start with # are passed over. Nothing is expanded:
// a $ is a $. A name is given once. Errors name the line and never quote a
// value.
func Parse(data []byte) ([]Entry, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("file exceeds %d bytes", MaxBytes)
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("file is not valid UTF-8")
	}
	var entries []Entry
	seen := make(map[string]bool)
	text := strings.TrimPrefix(string(data), "\ufeff")
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		entry, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if seen[entry.Name] {
			return nil, fmt.Errorf("line %d: %s is given twice", number, entry.Name)
		}
		seen[entry.Name] = true
		entries = append(entries, entry)
	}
	return entries, nil
}

func parseLine(line string) (Entry, error) {
	if rest, ok := strings.CutPrefix(line, "export "); ok {
		line = strings.TrimSpace(rest)
	}
	name, value, ok := strings.Cut(line, "=")
	if !ok {
		return Entry{}, fmt.Errorf("no \"=\": write NAME=value")
	}
	name = strings.TrimSpace(name)
	if !validName(name) {
		return Entry{}, fmt.Errorf("the name before \"=\" must be letters, digits, _ and dots, and not start with a digit")
	}
	value, err := parseValue(strings.TrimSpace(value))
	return Entry{name, value}, err
}

func validName(name string) bool {
	for i, r := range name {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		later := r == '.' || '0' <= r && r <= '9'
		if !letter && (!later || i == 0) {
			return false
		}
	}
	return name != ""
}

func parseValue(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	switch s[0] {
	case '\'':
		value, rest, ok := strings.Cut(s[1:], "'")
		if !ok {
			return "", fmt.Errorf("the single quote is not closed on its line")
		}
		return value, onlyComment(rest)
	case '"':
		return parseQuoted(s[1:])
	}
	if s[0] == '#' {
		return "", nil
	}
	if i := strings.Index(s, " #"); i >= 0 {
		s = s[:i]
	}
	return strings.TrimSpace(s), nil
}

var escapes = map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', '"': '"', '\\': '\\'}

// parseQuoted reads what follows an opening double quote.
func parseQuoted(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), onlyComment(s[i+1:])
		case '\\':
			if i++; i == len(s) {
				continue
			}
			c, ok := escapes[s[i]]
			if !ok {
				return "", fmt.Errorf(`unknown escape in double quotes: only \n \t \r \" \\ are known`)
			}
			b.WriteByte(c)
		default:
			b.WriteByte(s[i])
		}
	}
	return "", fmt.Errorf("the double quote is not closed on its line")
}

// onlyComment refuses text after a closing quote.
func onlyComment(rest string) error {
	rest = strings.TrimSpace(rest)
	if rest != "" && rest[0] != '#' {
		return fmt.Errorf("text follows the closing quote")
	}
	return nil
}
