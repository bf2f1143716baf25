package openapi

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// YAML writes JSON as YAML: members in their order, long texts as blocks, and
// quotes around every text that could be taken for anything else.
func YAML(source json.RawMessage) []byte {
	w := yamlWriter{dec: jsontext.NewDecoder(strings.NewReader(string(source)))}
	w.value(0, "")
	return []byte(w.out.String())
}

type yamlWriter struct {
	dec *jsontext.Decoder
	out strings.Builder
}

// value writes the next value: on the line at hand if it is short, after lead;
// below, indented, if it isn't.
func (w *yamlWriter) value(indent int, lead string) {
	switch kind := w.dec.PeekKind(); kind {
	case '{', '[':
		raw, err := w.dec.ReadValue()
		if err != nil {
			return // the source is JSON that we wrote
		}
		inner := yamlWriter{dec: jsontext.NewDecoder(strings.NewReader(string(raw)))}
		if flow, ok := flowList(raw); ok {
			w.out.WriteString(lead + flow + "\n")
			return
		}
		if lead != "" {
			w.out.WriteString("\n")
		}
		if kind == '{' {
			inner.mapping(indent)
		} else {
			inner.sequence(indent)
		}
		w.out.WriteString(inner.out.String())
	case '"':
		token, _ := w.dec.ReadToken()
		w.out.WriteString(lead + quoted(token.String(), indent) + "\n")
	default:
		raw, _ := w.dec.ReadValue()
		w.out.WriteString(lead + string(raw) + "\n")
	}
}

func (w *yamlWriter) mapping(indent int) {
	_, _ = w.dec.ReadToken()
	for w.dec.PeekKind() == '"' {
		name, _ := w.dec.ReadToken()
		w.out.WriteString(strings.Repeat(" ", indent) + key(name.String()) + ":")
		w.value(indent+2, " ")
	}
}

func (w *yamlWriter) sequence(indent int) {
	_, _ = w.dec.ReadToken()
	for w.dec.PeekKind() != ']' && w.dec.PeekKind() != 0 {
		w.out.WriteString(strings.Repeat(" ", indent) + "-")
		w.value(indent+2, " ")
	}
}

// maxFlow bounds a list that is written on one line.
const maxFlow = 80

// flowList writes an empty object or array, or a short array of plain texts and
// numbers, on one line.
func flowList(raw jsontext.Value) (string, bool) {
	if len(raw) > maxFlow {
		return "", false
	}
	v, err := strictjson.Decode(raw)
	if err != nil {
		return "", false
	}
	if o, ok := v.(map[string]any); ok {
		return "{}", len(o) == 0
	}
	var parts []string
	for _, element := range list(v) {
		s, isText := element.(string)
		if !isText {
			s = text(element)
		}
		if s == "" || isText && (!plain.MatchString(s) || reserved.MatchString(s)) {
			return "", false
		}
		parts = append(parts, s)
	}
	return "[" + strings.Join(parts, ", ") + "]", true
}

var (
	// plain texts need no quotes, also within a list on one line.
	plain = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./ ()-]*[A-Za-z0-9_./)-]$|^[A-Za-z]$`)
	// reserved are texts that YAML of some version takes for something else.
	reserved = regexp.MustCompile(`(?i)^(true|false|null|yes|no|on|off|y|n)$`)
)

func key(name string) string {
	if name == "$ref" || name == "$defs" {
		return name
	}
	return quoted(name, -1)
}

// quoted writes a text; indent is that of a block, and negative where there can't
// be one.
func quoted(s string, indent int) string {
	switch {
	case plain.MatchString(s) && !reserved.MatchString(s):
		return s
	case indent >= 0 && isBlock(s):
		margin := strings.Repeat(" ", max(indent, 2))
		lines := strings.Split(s, "\n")
		for i, line := range lines {
			if line != "" {
				lines[i] = margin + line
			}
		}
		return "|-\n" + strings.Join(lines, "\n")
	case !strings.ContainsFunc(s, isSpecial):
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
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

// isBlock reports whether a text can stand as a literal block: some lines, the
// first not indented, the last not empty.
func isBlock(s string) bool {
	lines := strings.Split(s, "\n")
	if len(lines) < 2 || lines[len(lines)-1] == "" || lines[0] == "" {
		return false
	}
	for _, line := range lines {
		if strings.ContainsFunc(line, isSpecial) || strings.TrimSpace(line) == "" && line != "" {
			return false
		}
	}
	return lines[0][0] != ' ' && lines[0][0] != '#'
}

// isSpecial reports what is written escaped.
func isSpecial(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }
