package expression

import (
	"errors"
	"strings"
)

const upperHex = "0123456789ABCDEF"

// unreserved reports the bytes that RFC 3986, section 2.3, lets stand.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// QueryComponent percent-encodes every byte of a value but the unreserved
// characters, so that it stays within one name or value of a query. It never
// fails.
func QueryComponent(s string) (string, error) {
	return escapeURL(s), nil
}

// PathSegment percent-encodes a value as [QueryComponent] does, so that it stays
// within one segment of a path. It refuses "." and "..", which clients and
// servers take for steps however they are encoded, and the empty value, which
// would address the collection rather than one of its members.
//
// A segment made of several values or of text and values can still come out as
// a step: check the finished path with [PathSteps].
func PathSegment(s string) (string, error) {
	switch s {
	case "":
		return "", errors.New("is empty, and a path needs a value here")
	case ".", "..":
		return "", errors.New(`is "." or "..", which would change the path`)
	}
	return escapeURL(s), nil
}

// PathSteps reports whether an encoded path holds a segment that is a step, "."
// or "..", also where its dots are percent-encoded.
func PathSteps(path string) bool {
	for segment := range strings.FieldsFuncSeq(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		dots := strings.ReplaceAll(strings.ToLower(segment), "%2e", ".")
		if dots == "." || dots == ".." {
			return true
		}
	}
	return false
}

// HeaderValue passes a value that can stand in a header field and refuses one
// that holds CR, LF, NUL or another control character except tab.
func HeaderValue(s string) (string, error) {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "", errors.New("holds a line break or control character, which a header can't")
		}
	}
	return s, nil
}

func escapeURL(s string) string {
	extra := encodedExtra(s)
	if extra == 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + extra)
	for i := range len(s) {
		if c := s[i]; unreserved(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		}
	}
	return b.String()
}

// encodedExtra is by how many bytes encoding lengthens s.
func encodedExtra(s string) int {
	extra := 0
	for i := range len(s) {
		if !unreserved(s[i]) {
			extra += 2
		}
	}
	return extra
}

func percentEncode(r *run, s string) (any, error) {
	if err := r.room(len(s) + encodedExtra(s)); err != nil {
		return nil, err
	}
	return r.made(escapeURL(s))
}
