package example

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// maxShown bounds a line of a report, in characters.
const maxShown = 600

// Text writes outcomes for people, one line each:
//
//	ok   price/volume discount  (1 ms)
//	FAIL price/no discount  (1 ms)
//	     /total: expected 90, got 100
type Text struct {
	// W is where the report goes. Errors of it are returned by [Text.Summary].
	W io.Writer
	// Verbose shows input and document of every example, not only of failed
	// ones, and what kind of tool it is.
	Verbose bool
	// Color marks up for a terminal.
	Color bool

	err error
}

// The markup of a terminal (ECMA-48).
const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	red   = "\x1b[31m"
	green = "\x1b[32m"
	plain = "\x1b[0m"
)

// Report writes one outcome.
func (t *Text) Report(o Outcome) {
	var b bytes.Buffer
	status := t.mark(green, "ok  ")
	if !o.Passed {
		status = t.mark(bold+red, "FAIL")
	}
	took := milliseconds(o.Duration)
	if t.Verbose {
		took = string(o.Type) + ", " + took
	}
	fmt.Fprintf(&b, "%s %s  %s\n", status, printable(o.Tool+"/"+o.Example, maxShown), t.mark(dim, "("+took+")"))
	for _, p := range o.Problems {
		t.line(&b, "", p)
	}
	if t.Verbose || !o.Passed {
		for _, l := range o.Logs {
			t.line(&b, dim, l.Level+": "+l.Message)
		}
		t.line(&b, dim, "→ "+string(o.Input))
		t.line(&b, dim, "← "+string(o.Document))
	}
	t.write(b.Bytes())
}

// Summary writes the last lines and returns the first error of the writer.
func (t *Text) Summary(s Summary) error {
	var b bytes.Buffer
	if n := len(s.Untested); n > 0 {
		fmt.Fprintf(&b, "%s: %s\n", without(n), printable(strings.Join(s.Untested, ", "), maxShown))
	}
	counts := t.mark(green, fmt.Sprintf("%d passed", s.Passed))
	if s.Failed > 0 {
		counts = fmt.Sprintf("%d passed, %s", s.Passed, t.mark(bold+red, fmt.Sprintf("%d failed", s.Failed)))
	}
	if s.Passed+s.Failed == 0 {
		counts = "no examples"
	}
	took := fmt.Sprintf("%.1f s", s.Duration.Seconds())
	if s.Duration < 100*time.Millisecond {
		took = milliseconds(s.Duration)
	}
	fmt.Fprintf(&b, "%s in %s\n", counts, took)
	t.write(b.Bytes())
	return t.err
}

func without(n int) string {
	if n == 1 {
		return "1 tool has no examples"
	}
	return fmt.Sprintf("%d tools have no examples", n)
}

func (t *Text) line(b *bytes.Buffer, color, text string) {
	fmt.Fprintf(b, "     %s\n", t.mark(color, printable(text, maxShown)))
}

func (t *Text) mark(color, text string) string {
	if !t.Color || color == "" {
		return text
	}
	return color + text + plain
}

func (t *Text) write(p []byte) {
	if t.err == nil {
		_, t.err = t.W.Write(p)
	}
}

func milliseconds(d time.Duration) string {
	if d < time.Millisecond {
		return "<1 ms"
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

// Printable makes text one line that is safe for a terminal. What can't be seen
// (control characters, line ends, changes of direction) is written as an escape.
func Printable(text string) string { return printable(text, -1) }

// printable is [Printable] of at most limit characters; a negative limit is none.
func printable(text string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n == limit {
			return b.String() + "…"
		}
		n++
		if strconv.IsGraphic(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}
