package queue

import (
	"encoding/base32"
	"fmt"
	"strings"
)

// tokenEncoding has no padding, and only letters and digits that subjects, keys and
// file names of any system tell apart.
var tokenEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// token is text as one token of a subject or of a key of a bucket: any text goes in,
// also the empty one, and different texts are different tokens.
func token(text string) string {
	return "0" + tokenEncoding.EncodeToString([]byte(text))
}

// untoken is the text that [token] was given. It refuses what token doesn't make.
func untoken(tok string) (string, error) {
	encoded, ok := strings.CutPrefix(tok, "0")
	if !ok {
		return "", fmt.Errorf("queue: %q is no token", tok)
	}
	text, err := tokenEncoding.DecodeString(encoded)
	if err != nil || token(string(text)) != tok { // a decoder overlooks line breaks and loose bits
		return "", fmt.Errorf("queue: %q is no token", tok)
	}
	return string(text), nil
}
