package queue

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestToken(t *testing.T) {
	plain := regexp.MustCompile(`^[0-9a-v]+$`)
	seen := make(map[string]string)
	for _, text := range []string{
		"", "a", "A", "acme", "acme.*.>", " ", "\x00", "ümläut", "日本", "\xff\xfe", strings.Repeat("x", 128), "a\n", "0", "00",
	} {
		tok := token(text)
		require.Regexp(t, plain, tok)
		require.NotContains(t, seen, tok)
		seen[tok] = text
		back, err := untoken(tok)
		require.NoError(t, err)
		require.Equal(t, text, back)
	}
	for _, tok := range []string{"", "x", "c4", "0w", "0C4", "0c4=", "0c", "0c5", "0c\n4", "*", ">"} {
		_, err := untoken(tok)
		require.Error(t, err, "%q", tok)
	}
}

func FuzzToken(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		back, err := untoken(token(text))
		require.NoError(t, err)
		require.Equal(t, text, back)
		if text, err := untoken(back); err == nil {
			require.Equal(t, back, token(text))
		}
	})
}
