package expression

import "strings"

// Fill is [Template.Text] without an escaper, for texts in which an absent value
// leaves an empty place rather than dropping the whole.
func (t *Template) Fill(s *Scope) (string, error) {
	if t.constant {
		return t.text, nil
	}
	r := newRun(s)
	var b strings.Builder
	for _, p := range t.parts {
		text, _, err := p.text(&r, nil)
		if err != nil {
			return "", err
		}
		b.WriteString(text)
	}
	return b.String(), nil
}
