package llmtool

import (
	"cmp"
	"encoding/json"
	"iter"
	"regexp"
	"slices"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/schema"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// parse finds the JSON in a model's answer and holds it against the tool's
// schema. Its faults are what a repair turn shows the model; both are empty
// where the answer holds no JSON at all.
func (t *Tool) parse(text string) (value json.RawMessage, faults []errclass.FieldError) {
	for candidate := range candidates(text) {
		decoded, err := strictjson.Decode([]byte(candidate))
		if err != nil {
			continue
		}
		fitting, unwrapped, more := t.fit(decoded)
		if len(more) > 0 {
			if faults == nil {
				faults = more
			}
			continue
		}
		if unwrapped {
			value, err = strictjson.Marshal(fitting)
		} else {
			value, err = strictjson.Compact([]byte(candidate)) // keeps the model's order
		}
		if err == nil {
			return value, nil
		}
	}
	return nil, faults
}

// fit unwraps and validates a decoded answer.
func (t *Tool) fit(decoded any) (v any, unwrapped bool, faults []errclass.FieldError) {
	if object, ok := decoded.(map[string]any); ok && t.format.wrapped && len(object) == 1 {
		if inner, ok := object[wrapper]; ok {
			faults := t.validate(inner)
			if len(faults) == 0 || len(t.validate(decoded)) > 0 {
				return inner, true, faults
			}
		}
	}
	return decoded, false, t.validate(decoded)
}

func (t *Tool) validate(v any) []errclass.FieldError {
	if t.schema == nil {
		return nil
	}
	return t.schema.Validate(v)
}

// unfit is the failure of an answer that isn't what the tool promises.
func unfit(faults []errclass.FieldError) *errclass.Error {
	if len(faults) == 0 {
		e := errclass.New(errclass.InvalidResponse, errclass.NotJSON, "the model's answer isn't JSON")
		e.Hint = "Make the prompt ask for JSON more clearly, or use a model that follows outputSchema."
		return e
	}
	return errclass.New(errclass.InvalidResponse, errclass.SchemaMismatch, schema.Message(faults))
}

// maxFaults bounds how many faults the model is shown.
const maxFaults = 20

// complaint asks the model to mend its answer.
func complaint(faults []errclass.FieldError) string {
	if len(faults) == 0 {
		return "That is not valid JSON. Answer again with the JSON value only: no explanation, no code fence."
	}
	var b strings.Builder
	b.WriteString("That JSON does not fit the required schema:\n")
	for _, f := range faults[:min(len(faults), maxFaults)] {
		field := f.Field
		if field == "" {
			field = "the value"
		}
		b.WriteString("- " + field + " " + f.Message + "\n")
	}
	b.WriteString("Answer again with the corrected JSON value only.")
	return b.String()
}

// maxStarts bounds how many places of a chatty answer are tried.
const maxStarts = 64

// candidates yields the stretches of an answer that may be the JSON meant,
// likeliest first: all of it, what stands in code fences, and each balanced
// object or array.
func candidates(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		text = strings.TrimSpace(withoutThoughts(strings.TrimPrefix(text, "\ufeff")))
		if text == "" || !yield(text) {
			return
		}
		for rest := text; ; {
			body, after, ok := fenced(rest)
			if !ok {
				break
			}
			if body != "" && !yield(body) {
				return
			}
			rest = after
		}
		for _, stretch := range stretches(text) {
			if !yield(stretch) {
				return
			}
		}
	}
}

// stretches returns the balanced objects and arrays in a text, likeliest first:
// those that hold an object before such as a reference, [1], and the longest
// first, so that nothing is taken for the whole that it is a part of.
func stretches(text string) []string {
	var found []string
	for at, tries := 0, 0; tries < maxStarts; tries++ {
		next := strings.IndexAny(text[at:], "{[")
		if next < 0 {
			break
		}
		at += next
		if end := balanced(text[at:]); end > 0 {
			found = append(found, text[at:at+end])
		}
		at++ // what is balanced but no JSON may hold JSON
	}
	slices.SortStableFunc(found, func(a, b string) int {
		if structured := holdsObject(a); structured != holdsObject(b) {
			if structured {
				return -1
			}
			return 1
		}
		return cmp.Compare(len(b), len(a))
	})
	return found
}

// holdsObject reports whether JSON has an object with a member. What isn't JSON
// may pass: it is tried in vain.
func holdsObject(text string) bool {
	return memberStart.MatchString(text)
}

var memberStart = regexp.MustCompile(`\{\s*"`)

// withoutThoughts drops the reasoning that some models write before an answer.
func withoutThoughts(text string) string {
	trimmed := strings.TrimSpace(text)
	if !strings.HasPrefix(trimmed, "<think>") {
		return text
	}
	_, answer, _ := strings.Cut(trimmed, "</think>")
	return answer
}

// fenced returns the body of the first code fence, and what follows it.
func fenced(text string) (body, after string, ok bool) {
	const fence = "```"
	_, rest, ok := strings.Cut(text, fence)
	if !ok {
		return "", "", false
	}
	_, rest, ok = strings.Cut(rest, "\n") // drops the language
	if !ok {
		return "", "", false
	}
	body, after, _ = strings.Cut(rest, "\n"+fence)
	return strings.TrimSpace(body), after, true
}

// balanced is the length of the object or array that s starts with, or zero if
// it never ends.
func balanced(s string) int {
	depth, inString := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}
