package redact_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/almyty-inc/toolrun/internal/redact"
)

// FuzzString puts two secrets into a text in any form. Nothing of them may be
// left, a second call may change nothing, and a text without them stays.
func FuzzString(f *testing.F) {
	f.Add("sk-live-1", "hunter2", "a ", " b")
	f.Add("p@ss/word+1", "a b c d", "%", `\`)
	f.Add("abcdef", "defghi", "abc", "ghi")
	f.Add(`\\\\`, "%25%", `\\`, "%")
	f.Add("😀<&>", "line\nbreak", "\xff", "[redacted]")
	f.Add("aaaa", "aaaab", "aaa", "aab")
	f.Fuzz(func(t *testing.T, one, two, before, after string) {
		if len(one)+len(two)+len(before)+len(after) > 2000 {
			t.Skip()
		}
		r := redact.New([]string{one, two})
		for name, form := range forms {
			text := before + form(one) + after + form(two)
			got := r.String(text)
			if again := r.String(got); again != got {
				t.Fatalf("%s of %q and %q in %q: %q becomes %q", name, one, two, text, got, again)
			}
			for _, secret := range []string{one, two} {
				if !hideable(secret) || strings.Contains(text, redact.Marker) {
					continue
				}
				for piece := range strings.SplitSeq(got, redact.Marker) {
					if strings.Contains(piece, secret) {
						t.Fatalf("%s: %q is left in %q", name, secret, got)
					}
					if encoded := base64.RawStdEncoding.EncodeToString([]byte(secret)); len(secret)%3 == 0 && strings.Contains(piece, encoded) {
						t.Fatalf("%s: base64 of %q is left in %q", name, secret, got)
					}
				}
			}
		}
	})
}

func hideable(secret string) bool {
	return utf8.RuneCountInString(secret) >= 4 && strings.TrimSpace(secret) != "" && !strings.Contains(redact.Marker, secret)
}
