package envfile_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/envfile"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"comment and blank lines", "# a\n\n  # b\n", ""},
		{"plain", "A=b", "A=b"},
		{"spaces around", "  A = b c  ", "A=b c"},
		{"empty value", "A=\nB=", "A=|B="},
		{"comment after value", "A=b # c", "A=b"},
		{"hash inside value", "A=b#c", "A=b#c"},
		{"only a comment after =", "A=# c", "A="},
		{"equals inside value", "A=b=c==", "A=b=c=="},
		{"export", "export A=b", "A=b"},
		{"single quotes", `A='b # "c" \n' # d`, `A=b # "c" \n`},
		{"double quotes", `A="b # \"c\" \\ \n\t\r" # d`, "A=b # \"c\" \\ \n\t\r"},
		{"dollar stays", `A=$HOME` + "\n" + `B="${X}"`, "A=$HOME|B=${X}"},
		{"dotted name", "credentials.token=x", "credentials.token=x"},
		{"CRLF", "A=b\r\nB=c\r\n", "A=b|B=c"},
		{"byte order mark", "\ufeffA=b", "A=b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			entries, err := envfile.Parse([]byte(tc.in))
			require.NoError(t, err)
			var got []string
			for _, e := range entries {
				got = append(got, e.Name+"="+e.Value)
			}
			require.Equal(t, tc.want, strings.Join(got, "|"))
		})
	}
}

func TestParseRefuses(t *testing.T) {
	const secret = "SEKRET"
	for _, tc := range []struct{ name, in, want string }{
		{"no equals", "A=1\n" + secret, `line 2: no "=": write NAME=value`},
		{"bad name", "A B=" + secret, "line 1: the name before"},
		{"digit first", "1A=" + secret, "line 1: the name before"},
		{"no name", "=" + secret, "line 1: the name before"},
		{"twice", "A=1\nA=" + secret, "line 2: A is given twice"},
		{"open single quote", "A='" + secret, "line 1: the single quote is not closed"},
		{"open double quote", `A="` + secret + `\"`, "line 1: the double quote is not closed"},
		{"ends in backslash", `A="` + secret + `\`, "line 1: the double quote is not closed"},
		{"unknown escape", `A="\x` + secret + `"`, "line 1: unknown escape"},
		{"text after quote", "A='1'" + secret, "line 1: text follows the closing quote"},
		{"not UTF-8", "A=\xff", "file is not valid UTF-8"},
		{"too large", "A=" + strings.Repeat("x", envfile.MaxBytes-1), "file exceeds 1048576 bytes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := envfile.Parse([]byte(tc.in))
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), secret)
		})
	}
	_, err := envfile.Parse([]byte("A=" + strings.Repeat("x", envfile.MaxBytes-2)))
	require.NoError(t, err)
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("A=b\nexport C='d'\nE=\"f\\n\" # g"))
	f.Add([]byte("A=\"\\"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entries, err := envfile.Parse(data)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		for _, e := range entries {
			require.NotEmpty(t, e.Name)
			require.Contains(t, string(data), e.Name)
		}
	})
}
