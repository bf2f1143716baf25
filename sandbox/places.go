package sandbox

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-sourcemap/sourcemap"
)

// position is a place in a source: line and column count from one, columns in
// UTF-16 units as editors and other engines do.
type position struct {
	name         string
	line, column int
}

func (p position) String() string {
	return p.name + ":" + strconv.Itoa(p.line) + ":" + strconv.Itoa(p.column)
}

// places knows how the text that goja parsed lies over the author's source.
type places struct {
	name      string
	source    string // the author's
	generated string // goja's
	prefix    int    // bytes that precede the author's (or esbuild's) text on the first line
	smap      *sourcemap.Consumer
	mapPrefix int // the prefix that esbuild saw
}

// author translates a position of goja's, whose column counts bytes, into the
// author's source. It reports false for text that isn't the author's.
func (p *places) author(line, column int) (position, bool) {
	column = utf16Column(lineOf(p.generated, line), column)
	if line == 1 {
		column -= p.prefix
	}
	if p.smap == nil {
		return p.clamp(line, column), true
	}
	file, _, line, zeroColumn, ok := p.smap.Source(line, column-1)
	if !ok {
		return position{}, false
	}
	column = zeroColumn + 1
	if path, imported := strings.CutPrefix(file, importSpace+":"); imported {
		return position{fileName(path), line, column}, true
	}
	if line == 1 {
		column -= p.mapPrefix
	}
	return p.clamp(line, column), true
}

// clamp moves what lies in the wrapper to the nearest end of the source.
func (p *places) clamp(line, column int) position {
	end := positionAt(p.source, len(p.source))
	if line > end.line || line == end.line && column > end.column {
		line, column = end.line, end.column
	}
	return position{p.name, line, max(column, 1)}
}

// beyond reports whether a position in the wrapped source lies after its end.
func (p *places) beyond(line int) bool {
	return line > positionAt(p.source, len(p.source)).line
}

// positionAt is the position of a byte offset.
func positionAt(text string, offset int) position {
	line := 1
	for {
		next := lineEnd(text)
		if next < 0 || next > offset {
			break
		}
		text, offset = text[next:], offset-next
		line++
	}
	return position{line: line, column: utf16Column(text, offset+1)}
}

// lineOf is the text of a line, its terminator included.
func lineOf(text string, line int) string {
	for ; line > 1; line-- {
		next := lineEnd(text)
		if next < 0 {
			return ""
		}
		text = text[next:]
	}
	return text
}

// lineEnd is the offset of the next line, or -1; lines end as ECMAScript's do.
func lineEnd(text string) int {
	for i, r := range text {
		switch r {
		case '\n':
			return i + 1
		case '\r':
			if i+1 < len(text) && text[i+1] == '\n' {
				return i + 2
			}
			return i + 1
		case '\u2028', '\u2029':
			return i + 3
		}
	}
	return -1
}

// utf16Column turns a column in bytes into one in UTF-16 units; both count from
// one.
func utf16Column(line string, column int) int {
	units := 1
	for i := 0; i < column-1 && i < len(line); {
		r, width := utf8.DecodeRuneInString(line[i:])
		units += max(utf16.RuneLen(r), 1)
		i += width
	}
	return units
}
