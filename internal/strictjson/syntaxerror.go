package strictjson

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// SyntaxError says what is wrong with a JSON text and where. It quotes names of
// members, never a value.
type SyntaxError struct {
	// Offset counts the bytes before the fault; -1 for a fault of the Go value
	// that was to be written.
	Offset int64
	// Pointer is the JSON pointer of the innermost value known to hold the
	// fault; empty for the whole text.
	Pointer string
	Message string
}

// Error is one line: the place, then the message.
func (e *SyntaxError) Error() string {
	var b strings.Builder
	b.WriteString("invalid JSON")
	if e.Offset >= 0 {
		b.WriteString(" at offset ")
		b.WriteString(strconv.FormatInt(e.Offset, 10))
	}
	if e.Pointer != "" {
		b.WriteString(" (in ")
		b.WriteString(shorten(e.Pointer, 100))
		b.WriteString(")")
	}
	b.WriteString(": ")
	b.WriteString(e.Message)
	return b.String()
}

func tooDeep(offset int64) *SyntaxError {
	return &SyntaxError{Offset: offset, Message: fmt.Sprintf("nested more than %d levels deep: send flatter data", MaxDepth)}
}

// fault is what is wrong with the grammar of data, which a parser has refused.
// All functions report through it, so that one text gives one message whichever
// of them is asked.
func fault(data []byte) error {
	dec := newDecoder(data)
	_, err := dec.ReadValue()
	if err == nil {
		err = atEnd(dec, data)
	}
	if err == nil {
		return &SyntaxError{Message: "can't be read"}
	}
	if known, ok := err.(*SyntaxError); ok {
		return known
	}
	var syntactic *jsontext.SyntacticError
	if !errors.As(err, &syntactic) || errors.Is(err, io.ErrUnexpectedEOF) {
		e := &SyntaxError{Offset: int64(len(data)), Message: endsEarly(data)}
		if syntactic != nil {
			e.Pointer = string(syntactic.JSONPointer)
		}
		return e
	}
	return &SyntaxError{
		Offset: syntactic.ByteOffset, Pointer: string(syntactic.JSONPointer),
		Message: describe(syntactic, data),
	}
}

// explain makes a [*SyntaxError] of any error that reading data gave.
func explain(err error, data []byte) error {
	if err == nil {
		return nil
	}
	var known *SyntaxError
	if errors.As(err, &known) {
		return known
	}
	var syntactic *jsontext.SyntacticError
	var semantic *json.SemanticError
	if errors.As(err, &semantic) && !errors.As(err, &syntactic) {
		return &SyntaxError{
			Offset: semantic.ByteOffset, Pointer: string(semantic.JSONPointer),
			Message: mismatch(semantic),
		}
	}
	return fault(data)
}

func endsEarly(data []byte) string {
	for _, c := range data {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return "ends in the middle of a value: send it whole"
		}
	}
	return "there is no value: send one"
}

// describe words a fault of the grammar without the foreign text that the
// parser's own message quotes.
func describe(e *jsontext.SyntacticError, data []byte) string {
	text := e.Err.Error()
	switch {
	case errors.Is(e.Err, jsontext.ErrDuplicateName):
		return "duplicate name " + quoteName(e.JSONPointer.LastToken())
	case strings.HasPrefix(text, "invalid UTF-8"):
		return "a string isn't valid UTF-8"
	case strings.HasPrefix(text, "invalid escape sequence"), strings.HasPrefix(text, "invalid surrogate pair"):
		return "invalid escape sequence in a string"
	case strings.HasSuffix(text, "(expecting non-control character)"):
		return "a control character in a string must be escaped"
	case strings.HasSuffix(text, "in number (expecting digit)"):
		return "malformed number"
	case e.ByteOffset == 0 && strings.HasPrefix(string(data), "\ufeff"):
		return "starts with a byte order mark: send it without"
	}
	return "unexpected " + character(data, e.ByteOffset) + expectation(text)
}

// expectation is the part of the parser's message that follows the character it
// quotes, as far as it is one of the known ones.
func expectation(text string) string {
	for _, known := range []string{
		" at start of value", " after top-level value", " after object name (expecting ':')",
		" after object value (expecting ',' or '}')", " after array element (expecting ',' or ']')",
	} {
		if strings.HasSuffix(text, known) {
			return known
		}
	}
	if strings.HasSuffix(text, ` at start of string (expecting '"')`) {
		return " where a name in double quotes must stand"
	}
	if strings.Contains(text, " in literal ") {
		return " in a literal (true, false and null are the only ones)"
	}
	return ""
}

// character names the byte at offset if it is punctuation, which helps and
// gives nothing away.
func character(data []byte, offset int64) string {
	if offset < 0 || offset >= int64(len(data)) {
		return "end"
	}
	switch c := data[offset]; c {
	case '{', '}', '[', ']', ',', ':', '"', '<', '/', '\'', '#':
		return "'" + string(rune(c)) + "'"
	}
	return "character"
}

// quoteName quotes a member's name, shortened.
func quoteName(name string) string { return strconv.Quote(shorten(name, 60)) }

// shorten cuts text to about limit bytes, in the middle.
func shorten(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	half := limit / 2
	return strings.ToValidUTF8(text[:half], "") + "…" + strings.ToValidUTF8(text[len(text)-half:], "")
}
