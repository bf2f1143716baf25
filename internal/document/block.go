package document

import "strings"

// source is a file's text, for block scalars. They are read here and not taken
// from the parser, which loses spaces and line breaks at their edges
// (goccy/go-yaml v1.19.2).
type source struct {
	lines []string // without their line breaks; the last one ends the file
	// bare are the lines with white space emptied where they hold nothing else,
	// as the parser got them.
	bare []string
}

func newSource(text string) source {
	s := source{lines: strings.Split(text, "\n")}
	s.bare = make([]string, len(s.lines))
	for i, l := range s.lines {
		if strings.Trim(l, " \t") != "" {
			s.bare[i] = l
		}
	}
	return s
}

// block reads the block scalar whose | or > stands at the given place, within a
// node that is indented by parent spaces, -1 for none. parsed is what the parser
// made of it; ok is false if that is another text, which means that the parser
// took the scalar to end elsewhere.
func (s source) block(at Position, parent int, parsed string) (text string, ok bool) {
	header := []rune(s.lines[at.Line-1])[at.Column-1:]
	folded := header[0] == '>'
	var chomp rune
	indent := 0
	for _, c := range header[1:] {
		if c == '+' || c == '-' {
			chomp = c
		} else if c >= '1' && c <= '9' {
			indent = max(parent, 0) + int(c-'0')
		} else {
			break
		}
	}
	if indent == 0 && ragged(s.lines[at.Line:], parent) {
		return "", false
	}
	const edge = " \t\n"
	if strings.TrimRight(scalar(s.bare[at.Line:], parent, indent, folded, chomp), edge) != strings.TrimRight(parsed, edge) {
		return "", false
	}
	return scalar(s.lines[at.Line:], parent, indent, folded, chomp), true
}

// scalar is the value of a block scalar (YAML 1.2.2, section 8.1) whose content
// starts with the first of lines; indent is 0 where the header doesn't say it.
func scalar(lines []string, parent, indent int, folded bool, chomp rune) string {
	if indent == 0 {
		indent = contentIndent(lines, parent)
	}
	var content []string
	blank := 0 // lines at the end of content that hold nothing
	ended := false
	for i, l := range lines {
		spaces := len(l) - len(strings.TrimLeft(l, " "))
		empty := spaces == len(l)
		if !empty && spaces < indent || parent < 0 && (strings.HasPrefix(l, "---") || strings.HasPrefix(l, "...")) {
			ended = true
			break
		}
		if last := i == len(lines)-1; last && len(l) <= indent && empty {
			ended = true // the file ends with a line break before it
			break
		}
		if empty && spaces <= indent {
			content = append(content, "")
			blank++
			continue
		}
		content, blank = append(content, l[indent:]), 0
	}
	text := content[:len(content)-blank]
	joined := strings.Join(text, "\n")
	if folded {
		joined = fold(text)
	}
	if !ended && blank == 0 {
		return joined // the file ends within its last line
	}
	switch {
	case chomp == '-':
		return joined
	case chomp == '+' && len(text) > 0:
		return joined + strings.Repeat("\n", blank+1)
	case chomp == '+':
		return strings.Repeat("\n", blank)
	case len(text) > 0:
		return joined + "\n"
	}
	return ""
}

// contentIndent is the indentation of the first line that holds something, at
// least one more than the parent's; where none does, more than any line has.
func contentIndent(lines []string, parent int) int {
	longest := 0
	for _, l := range lines {
		rest := strings.TrimLeft(l, " ")
		if rest != "" {
			return max(len(l)-len(rest), parent+1)
		}
		longest = max(longest, len(l))
	}
	return max(parent, longest) + 1
}

// ragged reports whether an empty line before the content is longer than the
// content's indentation, which YAML forbids: what it means is anyone's guess.
func ragged(lines []string, parent int) bool {
	indent := contentIndent(lines, parent)
	for _, l := range lines {
		if strings.TrimLeft(l, " ") != "" {
			return false
		}
		if len(l) > indent {
			return true
		}
	}
	return false
}

// fold joins lines with spaces, except around empty and more indented ones.
func fold(lines []string) string {
	var b strings.Builder
	breaks := 0 // since the last line that holds something
	free := false
	started := false
	for _, l := range lines {
		if l == "" {
			breaks++
			continue
		}
		indented := l[0] == ' ' || l[0] == '\t'
		switch {
		case !started:
			b.WriteString(strings.Repeat("\n", breaks))
		case free || indented:
			b.WriteString(strings.Repeat("\n", breaks+1))
		case breaks == 0:
			b.WriteByte(' ')
		default:
			b.WriteString(strings.Repeat("\n", breaks))
		}
		b.WriteString(l)
		breaks, free, started = 0, indented, true
	}
	return b.String()
}
