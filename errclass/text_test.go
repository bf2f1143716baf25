package errclass_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
)

func TestOneLine(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in    string
		limit int
		want  string
	}{
		{"", 10, ""},
		{"plain", 10, "plain"},
		{"plain", 5, "plain"},
		{"plain", 4, "pla…"},
		{"plain", 1, "…"},
		{"plain", 0, ""},
		{"plain", -1, ""},
		{"a b", 3, "a b"},
		{"a b", 2, "a…"},
		{"ab c", 3, "ab…"},
		{"  a \t\r\n b  ", 10, "a b"},
		{"\n\n", 10, ""},
		{" ", 10, ""},
		{"a\x00b\x1bc\x7fd", 10, "a b c d"},
		{"a\u2028b\u2029c\u0085d", 10, "a b c d"},
		{"safe\u202etxt.exe", 20, "safe txt.exe"},
		{"a\u200bb\ufeffc\u00add", 10, "a b c d"},
		{"\xff\xfe", 10, "��"},
		{"ok\xe2\x82", 10, "ok��"},
		{"äöü", 3, "äöü"},
		{"äöüß", 3, "äö…"},
		{"𝄞𝄞𝄞", 2, "𝄞…"},
		{"a" + strings.Repeat(" ", 1000), 2, "a…"}, // not looked at to its end
		{strings.Repeat(" ", 1000) + "a", 2, "…"},
		{strings.Repeat("ä", 1000), 3, "ää…"},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, errclass.OneLine(tt.in, tt.limit), "%q to %d", tt.in, tt.limit)
	}
}

// A detail is kept longer than it is shown, so that a secret which the cut would
// split is still whole when the detail is redacted.
func TestDetailOutlastsTheMessage(t *testing.T) {
	t.Parallel()
	e := errclass.New(errclass.HTTPError, errclass.BadRequest, strings.Repeat("x", 440)+secret+strings.Repeat("y", 5000))
	require.Contains(t, e.Detail, secret)
	require.Equal(t, 2000, utf8.RuneCountInString(e.Detail))
	require.Equal(t, 500, utf8.RuneCountInString(e.Message()))
}

func FuzzOneLine(f *testing.F) {
	f.Add("plain", 5)
	f.Add(" a\n\tb\xff\u2028 ", 3)
	f.Add(strings.Repeat("𝄞 ", 100), 7)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = min(limit, 1<<16)
		line := errclass.OneLine(s, limit)
		require.True(t, utf8.ValidString(line))
		require.LessOrEqual(t, utf8.RuneCountInString(line), max(0, limit))
		require.False(t, strings.ContainsFunc(line, unicode.IsControl))
		require.Equal(t, strings.TrimSpace(line), line)
		require.NotContains(t, line, "  ")
		require.Equal(t, line, errclass.OneLine(line, limit))
		if limit > len(s) { // nothing to cut: all that isn't white space is there
			require.False(t, strings.HasSuffix(line, "…") && !strings.Contains(s, "…"))
		}
	})
}
