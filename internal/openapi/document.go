package openapi

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// document is a description as it stands, with its references.
type document struct{ root map[string]any }

// maxHops bounds how many references lead from one to the next.
const maxHops = 50

var errExternal = errors.New("refers to another document, which is never read: put what it refers to into this one")

// resolve follows references until there is a value, and returns where that
// stands. The error completes a sentence that begins with what refers.
func (d *document) resolve(v any, place string) (any, string, error) {
	for range maxHops {
		ref, ok := reference(v)
		if !ok {
			return v, place, nil
		}
		next, at, err := d.lookup(ref)
		if err != nil {
			return nil, place, err
		}
		v, place = next, at
	}
	return nil, place, errors.New("refers to itself")
}

// reference is the $ref of v.
func reference(v any) (string, bool) {
	ref, ok := object(v)["$ref"].(string)
	return ref, ok
}

// lookup finds what a $ref names.
func (d *document) lookup(ref string) (v any, place string, err error) {
	fragment, local := strings.CutPrefix(ref, "#")
	if !local {
		return nil, "", fmt.Errorf("%w (%s)", errExternal, cut(ref, 100))
	}
	pointer, err := url.PathUnescape(fragment)
	if err != nil {
		pointer = fragment
	}
	if v, ok := d.at(pointer); ok {
		return v, "#" + pointer, nil
	}
	if v, ok := d.at(fragment); ok { // a name that only looks encoded
		return v, "#" + fragment, nil
	}
	return nil, "", fmt.Errorf("refers to %s, which isn't there", cut(ref, 100))
}

// at finds the value at a JSON pointer (RFC 6901).
func (d *document) at(pointer string) (any, bool) {
	var v any = d.root
	if pointer == "" {
		return v, true
	}
	if pointer[0] != '/' {
		return nil, false
	}
	for token := range strings.SplitSeq(pointer[1:], "/") {
		token = unescaper.Replace(token)
		switch whole := v.(type) {
		case map[string]any:
			next, ok := whole[token]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(whole) {
				return nil, false
			}
			v = whole[i]
		default:
			return nil, false
		}
	}
	return v, true
}

var (
	escaper   = strings.NewReplacer("~", "~0", "/", "~1")
	unescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

// escape writes a name as a token of a JSON pointer.
func escape(name string) string { return escaper.Replace(name) }

// object is v as an object; nil, which reads as an empty one, where it is none.
func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

// list is v as an array; nil where it is none.
func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// text is v as a text: numbers as they are written, as in "swagger: 2.0", and
// nothing for what is no scalar.
func text(v any) string {
	s, _ := strictjson.ScalarText(v)
	return s
}

// cut shortens a text to at most n characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	end, count := 0, 0
	for i := range s {
		if count == n-1 {
			end = i
		}
		if count++; count > n {
			return strings.TrimSpace(s[:end]) + "…"
		}
	}
	return s
}

// short reports whether v is there and takes at most so many bytes of JSON, about;
// it looks no further.
func short(v any, most int) bool { return v != nil && most-length(v, most) >= 0 }

// length is about how many bytes v takes as JSON, or any number over most.
func length(v any, most int) int {
	n := 2
	switch v := v.(type) {
	case string:
		n += len(v)
	case []any:
		for _, element := range v {
			if n += length(element, most-n) + 1; n > most {
				break
			}
		}
	case map[string]any:
		for name, member := range v {
			if n += len(name) + length(member, most-n) + 4; n > most {
				break
			}
		}
	default:
		n += 6
	}
	return n
}
