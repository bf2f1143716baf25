// Package document reads the files people write for toolrun, YAML or JSON, into
// JSON text, and remembers where every value stands, so that whatever is found
// wrong later can be shown as file, line and column.
//
// Start with [Parse]; then [Document.Where].
//
// YAML is read as YAML 1.2 with the core schema: no, on, yes and dates are
// strings. What surprises people or machines is refused with advice: anchors,
// aliases, merge keys, tags, several documents, duplicate keys, and keys that
// aren't strings.
package document

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

const (
	// MaxBytes bounds a document.
	MaxBytes = 1 << 20
	// MaxDepth bounds how deeply its objects and arrays nest.
	MaxDepth = 100
)

// Document is a file that was read. It is not changed after [Parse].
type Document struct {
	// Name is the file's name as it was given to [Parse].
	Name string
	// JSON is the file's value as compact JSON, members in the file's order.
	JSON []byte
	// Positions holds, by JSON pointer (RFC 6901), where each value stands: a
	// member of an object at its key, everything else at its first character.
	Positions map[string]Position

	// blocks holds the lines at which the contents of literal blocks start.
	blocks map[string]int
}

// Position is a place in a file. Both numbers count from 1, columns in
// characters.
type Position struct{ Line, Column int }

// Error says what is wrong with a file and where. It quotes no value.
type Error struct {
	Name    string
	Line    int // 0 where no line is to blame
	Column  int
	Message string
}

// Error is one line: "weather.yaml:12:3: message".
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Name + ": " + e.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Name, e.Line, e.Column, e.Message)
}

// Parse reads a document: JSON where name ends in ".json", YAML otherwise. Its
// error is an [*Error]. The data isn't kept.
func Parse(name string, data []byte) (*Document, error) {
	d := &Document{Name: name, Positions: map[string]Position{}, blocks: map[string]int{}}
	if len(data) > MaxBytes {
		return nil, &Error{Name: name, Message: "is larger than 1 MiB: split it"}
	}
	parse := d.parseYAML
	if strings.EqualFold(path.Ext(name), ".json") {
		parse = d.parseJSON
	}
	if err := parse(data); err != nil {
		err.Name = name
		return nil, err
	}
	return d, nil
}

// Where is the place of the value at a JSON pointer, as in "weather.yaml:12:3";
// where there is no such value, that of the nearest one above it.
func (d *Document) Where(pointer string) string {
	for {
		if at, ok := d.Positions[pointer]; ok {
			return fmt.Sprintf("%s:%d:%d", d.Name, at.Line, at.Column)
		}
		slash := strings.LastIndexByte(pointer, '/')
		if slash < 0 {
			return d.Name
		}
		pointer = pointer[:slash]
	}
}

// LineOf is the file's line at which the content of a literal block scalar
// (YAML's |) starts, so that line n of the text is line LineOf+n-1 of the file.
// ok is false for every other value: their lines don't match the file's.
func (d *Document) LineOf(pointer string) (line int, ok bool) {
	line, ok = d.blocks[pointer]
	return line, ok
}

var escaper = strings.NewReplacer("~", "~0", "/", "~1")

// escape writes a name as a token of a JSON pointer.
func escape(name string) string { return escaper.Replace(name) }

// places finds lines and columns by offset, for offsets that mostly increase.
type places struct {
	data   []byte
	offset int
	at     Position
}

func (p *places) find(offset int) Position {
	if offset < p.offset || p.at.Line == 0 {
		p.offset, p.at = 0, Position{1, 1}
	}
	offset = min(offset, len(p.data))
	for p.offset < offset {
		r, size := utf8.DecodeRune(p.data[p.offset:])
		p.offset += size
		p.at.Column++
		if r == '\n' {
			p.at = Position{p.at.Line + 1, 1}
		}
	}
	return p.at
}
