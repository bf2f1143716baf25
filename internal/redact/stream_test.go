package redact_test

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/redact"
)

func TestStream(t *testing.T) {
	const secret, other = "sk-live-1é8aF", "liver pate"
	r := redact.New([]string{secret, other})
	for _, tc := range []struct {
		name   string
		pieces []string
		told   []string // the last is Rest's
	}{
		{"no secret", []string{"Hel", "lo?"}, []string{"He", "llo?", ""}}, // l begins the other one
		{"whole", []string{"a " + secret + "?"}, []string{"a [redacted]?", ""}},
		{"cut", []string{"key sk-li", "ve-1é8aF."}, []string{"key ", "[redacted].", ""}},
		{"cut after one byte", []string{"key: s", "k-live-1é8aF."}, []string{"key: ", "[redacted].", ""}},
		{"only its beginning", []string{"key sk-li", "ght"}, []string{"key ", "sk-light", ""}},
		{"only its beginning, at the end", []string{"key sk-li"}, []string{"key ", "sk-li"}},
		{"cut in a character", []string{"sk-live-1\xc3", "\xa98aF"}, []string{"", "[redacted]", ""}},
		{"its end may be another's beginning", []string{"liver pat", "e sk-li"}, []string{"", "[redacted] ", "sk-li"}},
		{"an ellipsis after it", []string{"sk-live", "… and"}, []string{"", "[redacted]… and", ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := r.Stream()
			var told []string
			for _, piece := range tc.pieces {
				told = append(told, s.Add(piece))
			}
			require.Equal(t, tc.told, append(told, s.Rest()))
		})
	}
	var none *redact.Redactor
	require.Equal(t, "x", none.Stream().Add("x"))
}

// However a text is cut, it reads as if it had come in one.
func TestStreamCutAnywhere(t *testing.T) {
	const secret = "p@ss word/1-8aF3kQz"
	r := redact.New([]string{secret})
	for name, form := range map[string]string{
		"plain": secret, "hex": hex.EncodeToString([]byte(secret)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"base64": base64.StdEncoding.EncodeToString([]byte(secret)), "percent": url.QueryEscape(secret), "path": url.PathEscape(secret),
		"json": strings.ReplaceAll(secret, "@", `\u0040`),
	} {
		text := "Of course: " + form + " is it, p@ss!"
		want := r.String(text)
		for i := range text {
			for j := i; j < len(text); j++ {
				s := r.Stream()
				got := s.Add(text[:i]) + s.Add(text[i:j]) + s.Add(text[j:]) + s.Rest()
				require.Equal(t, want, got, "%s cut at %d and %d", name, i, j)
			}
		}
		s := r.Stream()
		var got strings.Builder
		for piece := range slices.Values(strings.Split(text, "")) {
			got.WriteString(s.Add(piece))
		}
		require.Equal(t, want, got.String()+s.Rest(), name)
	}
}

// FuzzStream puts two secrets into a text that comes in pieces. Neither may be
// left, and what is no secret must come out.
func FuzzStream(f *testing.F) {
	f.Add("sk-live-1", "hunter2", "a ", " b", uint8(3))
	f.Add("aaaa", "aaaab", "aaa", "aab", uint8(1))
	f.Add("abcdef", "defghi", "abc", "ghi", uint8(2))
	f.Add("é\\u00", "%25%é", "\\", "%2", uint8(1))
	f.Add("0001", "%000", "0", "\xa3", uint8(16))
	f.Fuzz(func(t *testing.T, one, two, before, after string, size uint8) {
		if len(one)+len(two)+len(before)+len(after) > 500 {
			t.Skip()
		}
		r := redact.New([]string{one, two})
		text := before + one + after + two
		s := r.Stream()
		var b strings.Builder
		for at := 0; at < len(text); {
			end := min(len(text), at+1+int(size))
			b.WriteString(s.Add(text[at:end]))
			at = end
		}
		got := b.String() + s.Rest()
		if r.String(text) == text && got != text {
			t.Fatalf("%q becomes %q", text, got)
		}
		for _, secret := range []string{one, two} {
			if !hideable(secret) || strings.Contains(text, redact.Marker) {
				continue
			}
			for piece := range strings.SplitSeq(got, redact.Marker) {
				if strings.Contains(piece, secret) {
					t.Fatalf("%q is left in %q", secret, got)
				}
			}
		}
	})
}
