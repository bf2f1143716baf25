package sandbox

import (
	"slices"
	"strings"
	"sync"

	"github.com/dop251/goja"

	"github.com/almyty-inc/toolrun/errclass"
)

// logBook collects log lines within a budget of bytes. It is safe for concurrent
// use: an execution that was left behind may still write.
type logBook struct {
	mu        sync.Mutex
	left      int
	lines     []errclass.LogLine
	truncated bool
	// emit, where set, gets every line in place of lines, uncut: a child process
	// keeps none, so that none is lost with it, and its host cuts.
	emit func(errclass.LogLine)
	// tell, where set, is told of each line that was added to lines.
	tell func(errclass.LogLine)
}

// add appends a line, or the part of it that fits. A line costs one byte more
// than its message, so that empty ones aren't free.
func (b *logBook) add(level, message string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.truncated {
		return
	}
	if b.emit != nil {
		b.emit(errclass.LogLine{Level: level, Message: message})
	}
	if len(message)+1 > b.left {
		b.truncated = true
		message = cut(message, b.left-1)
		if message == "" {
			return
		}
	}
	b.left -= len(message) + 1
	if b.emit == nil {
		b.lines = append(b.lines, errclass.LogLine{Level: level, Message: message})
		if b.tell != nil {
			b.tell(b.lines[len(b.lines)-1])
		}
	}
}

// full reports whether more lines are in vain.
func (b *logBook) full() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.truncated
}

func (b *logBook) snapshot() ([]errclass.LogLine, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tell = nil // the result is out: what is left behind has nobody to tell
	return slices.Clone(b.lines), b.truncated
}

// lineBytes bounds what is rendered of a line: more than the log takes, so that
// what is cut here is cut again there, which marks the log as truncated.
func (e *execution) lineBytes() int {
	return e.job.Limits.LogBytes + 2*maxWord
}

// message renders what console.log was given: texts as they are, the rest as
// JSON or, for errors, as message and stack. Placeholders in the first text are
// replaced as node does (%s %d %i %f %j %o %O %c %%), what is left follows,
// separated by spaces.
func (e *execution) message(values []goja.Value) string {
	var b strings.Builder
	if len(values) > 1 && goja.IsString(values[0]) {
		values = e.format(&b, e.text(values[0], e.lineBytes()), values[1:])
		if len(values) > 0 {
			b.WriteByte(' ')
		}
	}
	for i, value := range values {
		if b.Len() > e.job.Limits.LogBytes {
			break
		}
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(e.inspect(value))
	}
	return b.String()
}

// format writes a text with its placeholders replaced and returns the values
// that it didn't use.
func (e *execution) format(b *strings.Builder, text string, values []goja.Value) []goja.Value {
	for {
		before, after, found := strings.Cut(text, "%")
		b.WriteString(before)
		if !found {
			return values
		}
		verb := byte(0)
		if after != "" {
			verb = after[0]
		}
		switch {
		case verb == '%':
			b.WriteByte('%')
		case strings.IndexByte("sdifjoOc", verb) < 0 || verb == 0 || len(values) == 0:
			b.WriteByte('%')
			text = after
			continue
		case verb == 'c': // a style sheet, for browsers
			values = values[1:]
		default:
			b.WriteString(e.inspect(values[0]))
			values = values[1:]
		}
		text = after[1:]
	}
}

// inspect renders a value for the log.
func (e *execution) inspect(value goja.Value) string {
	object, ok := value.(*goja.Object)
	if !ok {
		return e.text(value, e.lineBytes())
	}
	if isError(object) {
		message, frames := e.describe(object)+e.behind(object, nil), e.frames(e.stackOf(object))
		if len(frames) == 0 {
			return message
		}
		return message + "\n    at " + strings.Join(frames, "\n    at ")
	}
	if _, ok := goja.AssertFunction(object); ok {
		return "[Function]"
	}
	if json, err := object.MarshalJSON(); err == nil {
		return cut(string(json), e.lineBytes())
	}
	return "[object Object]"
}
