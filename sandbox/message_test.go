package sandbox

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/weburl"
)

func TestReadForm(t *testing.T) {
	part := func(head, body string) string { return "--b\r\n" + head + "\r\n\r\n" + body + "\r\n" }
	const disposition = `Content-Disposition: form-data; name="a"`
	for _, c := range []struct {
		title, body string
		want        string // the parts; "none" for no form
	}{
		{"empty", "--b--\r\n", "[]"},
		{"a field", part(disposition, "1") + "--b--", "[{a   false [49]}]"},
		{"a file", part(disposition+`; filename="n.x"`+"\r\nContent-Type: a/b", "1") + "--b--", "[{a n.x a/b true [49]}]"},
		{"a file of no type", part(disposition+`; filename=""`, "") + "--b--", "[{a  text/plain true []}]"},
		{"a path is a name", part(disposition+`; filename="../../etc/passwd"`, "") + "--b--", "[{a ../../etc/passwd text/plain true []}]"},
		{"escapes", part(`Content-Disposition: form-data; name="%22%0D%0A%41"`, "") + "--b--", "[{\"\r\n%41   false []}]"},
		{"preamble", "x\r\n" + part(disposition, "1") + "--b--", "[{a   false [49]}]"},
		{"no name", part("Content-Disposition: form-data", "1") + "--b--", "none"},
		{"no disposition", part("X: y", "1") + "--b--", "none"},
		{"another disposition", part(`Content-Disposition: attachment; name="a"`, "1") + "--b--", "none"},
		{"no end", part(disposition, "1"), "none"},
		{"nothing", "", "none"},
	} {
		parts, ok := readForm([]byte(c.body), "multipart/form-data; boundary=b")
		got := "none"
		if ok {
			got = fmt.Sprint(parts)
		}
		require.Equal(t, c.want, got, c.title)
	}
	_, ok := readForm([]byte("--b--"), "multipart/form-data")
	require.False(t, ok, "no boundary")
	for n, want := range map[int]bool{maxFormParts - 1: true, maxFormParts: true, maxFormParts + 1: false} {
		_, ok := readForm([]byte(strings.Repeat(part(disposition, ""), n)+"--b--"), "multipart/form-data; boundary=b")
		require.Equal(t, want, ok, n)
	}
}

// FuzzForm: whatever comes, reading it ends, and its parts are of the body.
func FuzzForm(f *testing.F) {
	f.Add([]byte("--b\r\nContent-Disposition: form-data; name=\"a\"; filename=\"x\"\r\nContent-Type: a/b\r\n\r\nbody\r\n--b--\r\n"), "multipart/form-data; boundary=b")
	f.Add([]byte("--b\nContent-Disposition: form-data; name*=utf-8''%ff\n\n\n--b--"), `multipart/form-data; boundary="b"`)
	f.Add([]byte("--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=41\r\n--b--"), "multipart/form-data; boundary=b; boundary=c")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		parts, ok := readForm(body, contentType)
		if !ok {
			return
		}
		for _, part := range parts {
			if len(part.data) > len(body) || !bytes.Contains(body, part.data) {
				t.Fatalf("%q is not of the body", part.data)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("a\xe2\x82\xacb\xf0\x9f"), 3)
	f.Add([]byte("\x3d\xd8\x00\xde"), 1)
	f.Fuzz(func(t *testing.T, data []byte, at int) {
		if at < 0 || at > len(data) {
			return
		}
		// A stream cut anywhere decodes to the same text.
		whole, rest := splitUTF8(data[:at], true)
		again := append(bytes.Clone(rest), data[at:]...)
		if got := weburl.Text(whole) + weburl.Text(again); got != weburl.Text(data) {
			t.Fatalf("%q cut at %d: %q instead of %q", data, at, got, weburl.Text(data))
		}
		for _, big := range []bool{false, true} {
			text, rest, _ := fromUTF16(data[:at], big, true)
			end, _, _ := fromUTF16(append(bytes.Clone(rest), data[at:]...), big, false)
			want, _, _ := fromUTF16(data, big, false)
			if text+end != want {
				t.Fatalf("%q cut at %d: %q instead of %q", data, at, text+end, want)
			}
		}
	})
}
