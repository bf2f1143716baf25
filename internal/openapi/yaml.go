package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

// YAML writes JSON as YAML: members in their order, long texts as blocks, and
// quotes around every text that could be taken for anything else.
func YAML(source json.RawMessage) []byte {
	w := yamlWriter{dec: jsontext.NewDecoder(bytes.NewReader(source))}
	w.value(0, "", "")
	return w.out.Bytes()
}

// yamlWriter writes what it reads from JSON of our own making, which has no
// faults.
type yamlWriter struct {
	dec *jsontext.Decoder
	out bytes.Buffer
}

// value writes the next value and a line break. What fits on the line at hand
// stands there, after a space where there is something before it; a mapping or
// sequence stands indented, after what below is.
func (w *yamlWriter) value(indent int, space, below string) {
	switch kind := w.dec.PeekKind(); kind {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		raw, _ := w.dec.ReadValue()
		if line, ok := flow(raw); ok {
			w.out.WriteString(space + line + "\n")
			return
		}
		inner := yamlWriter{dec: jsontext.NewDecoder(bytes.NewReader(raw))}
		if kind == jsontext.KindBeginObject {
			inner.mapping(indent)
		} else {
			inner.sequence(indent)
		}
		text := inner.out.String()
		if below == " " { // the first line goes beside a dash
			text = text[indent:]
		}
		w.out.WriteString(below + text)
	case jsontext.KindString:
		token, _ := w.dec.ReadToken()
		w.out.WriteString(space + scalarText(token.String(), indent) + "\n")
	default:
		raw, _ := w.dec.ReadValue()
		w.out.WriteString(space + string(raw) + "\n")
	}
}

func (w *yamlWriter) mapping(indent int) {
	_, _ = w.dec.ReadToken()
	for w.dec.PeekKind() == jsontext.KindString {
		name, _ := w.dec.ReadToken()
		w.out.WriteString(strings.Repeat(" ", indent) + keyText(name.String()) + ":")
		w.value(indent+2, " ", "\n")
	}
}

func (w *yamlWriter) sequence(indent int) {
	_, _ = w.dec.ReadToken()
	for w.dec.PeekKind() != jsontext.KindEndArray && w.dec.PeekKind() != jsontext.KindInvalid {
		w.out.WriteString(strings.Repeat(" ", indent) + "-")
		w.value(indent+2, " ", " ")
	}
}

// maxFlow bounds, in bytes of JSON, what is written on one line.
const maxFlow = 80

// flow writes what is empty, or short and made of plain texts and numbers, on one
// line.
func flow(raw jsontext.Value) (string, bool) {
	if len(raw) > maxFlow {
		return "", false
	}
	dec := jsontext.NewDecoder(bytes.NewReader(raw))
	var out strings.Builder
	for {
		inObject, length := dec.StackIndex(dec.StackDepth())
		token, err := dec.ReadToken()
		if err != nil || dec.StackDepth() > 1 {
			return out.String(), out.Len() > 0 && dec.StackDepth() == 0
		}
		s, plain := token.String(), true
		switch token.Kind() {
		case jsontext.KindBeginObject, jsontext.KindBeginArray, jsontext.KindEndObject, jsontext.KindEndArray:
			out.WriteString(s)
			continue
		case jsontext.KindString:
			plain = isPlain(s)
		}
		switch isValue := inObject == jsontext.KindBeginObject && length%2 == 1; {
		case !plain:
			return "", false
		case isValue:
			out.WriteString(": ")
		case length > 0:
			out.WriteString(", ")
		}
		out.WriteString(s)
	}
}

var (
	// plainText needs no quotes, also within brackets.
	plainText = regexp.MustCompile(`^[A-Za-z/]([A-Za-z0-9_./ ()-]*[A-Za-z0-9_./)-])?$`)
	// reserved are texts that YAML of some version takes for something else.
	reserved = regexp.MustCompile(`(?i)^(true|false|null|yes|no|on|off|y|n)$`)
)

func isPlain(s string) bool { return plainText.MatchString(s) && !reserved.MatchString(s) }

func keyText(name string) string {
	if name == "$ref" || name == "$defs" {
		return name
	}
	return quotedText(name)
}

// scalarText writes a text as a value, of several lines as a literal block.
func scalarText(s string, indent int) string {
	if !isBlock(s) {
		return quotedText(s)
	}
	margin := strings.Repeat(" ", max(indent, 2))
	var out strings.Builder
	out.WriteString("|-")
	for line := range strings.SplitSeq(s, "\n") {
		out.WriteByte('\n')
		if line != "" {
			out.WriteString(margin + line)
		}
	}
	return out.String()
}

// isBlock reports whether a text can stand as a literal block: several lines, the
// first neither empty nor indented, the last not empty.
func isBlock(s string) bool {
	lines := strings.Split(s, "\n")
	if len(lines) < 2 || lines[0] == "" || lines[0][0] == ' ' || lines[len(lines)-1] == "" {
		return false
	}
	for _, line := range lines {
		if strings.ContainsFunc(line, isSpecial) || line != "" && strings.TrimSpace(line) == "" {
			return false
		}
	}
	return true
}

func quotedText(s string) string {
	switch {
	case isPlain(s):
		return s
	case !strings.ContainsFunc(s, isSpecial):
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r == '\n':
			b.WriteString(`\n`)
		case !isSpecial(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// isSpecial reports what is written escaped.
func isSpecial(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }
