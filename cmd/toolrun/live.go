package main

import (
	"io"
	"strings"
)

// live prints an answer as it comes. Its lines stay lines; whatever else a terminal
// would obey is written as an escape.
type live struct {
	to  io.Writer
	mid bool // a line has begun
}

func (l *live) add(delta string) {
	l.mid = !strings.HasSuffix(delta, "\n")
	_, _ = io.WriteString(l.to, printable(delta)) // the document on stdout says it all
}

// end ends the last line.
func (l *live) end() {
	if l.mid {
		_, _ = io.WriteString(l.to, "\n")
	}
}
