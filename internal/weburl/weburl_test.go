package weburl_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/weburl"
)

// The sandbox's tests hold this package to node; here is what they don't reach.

func parse(t *testing.T, input, base string) string {
	t.Helper()
	var on *weburl.URL
	if base != "" {
		u, ok := weburl.Parse(base, nil)
		require.True(t, ok, base)
		on = u
	}
	u, ok := weburl.Parse(input, on)
	if !ok {
		return "none"
	}
	return u.Href()
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ input, base, want string }{
		{" \t\nhttp://a/\n", "", "http://a/"},
		{"ht\ntp://a\t/b\rc", "", "http://a/bc"},
		{"http:a", "http://b/c", "http://b/a"},
		{"http:/a", "", "http://a/"},
		{"http:\\\\a\\b", "", "http://a/b"},
		{"//a", "file:///c", "file://a/"},
		{"/x", "file:///C:/y", "file:///C:/x"},
		{"D|/x", "file:///C:/y", "file:///D:/x"},
		{"..", "file:///C:/", "file:///C:/"},
		{"?q", "file:///a/b#c", "file:///a/b?q"},
		{"#x", "mailto:a", "mailto:a#x"},
		{"x", "mailto:a", "none"},
		{"", "mailto:a", "none"},
		{"a:/", "", "a:/"},
		{"a://", "", "a://"},
		{"a:///b", "", "a:///b"},
		{"a://h:80", "", "a://h:80"},
		{"a:b?c#d", "", "a:b?c#d"},
		{"http://a:b@c:d@e/", "", "http://a:b%40c%3Ad@e/"},
		{"http://@a/", "", "http://a/"},
		{"http://:@a/", "", "http://a/"},
		{"http://a@/", "", "none"},
		{"http://u@:80/", "", "none"},
		{"http://a:/", "", "http://a/"},
		{"http://a:00080/", "", "http://a/"},
		{"http://a:65535/", "", "http://a:65535/"},
		{"http://a:65536/", "", "none"},
		{"http://a:184467440737095516160/", "", "none"},
		{"http://[::1/", "", "none"},
		{"http://[::1]x/", "", "none"},
		{"http://[fe80::1%25eth0]/", "", "none"},
		{"http://[1:2:3:4:5:6:7:8]/", "", "http://[1:2:3:4:5:6:7:8]/"},
		{"http://[::]/", "", "http://[::]/"},
		{"http://[0:0:1::]/", "", "http://[0:0:1::]/"},
		{"http://256/", "", "http://0.0.1.0/"},
		{"http://0xffffffff/", "", "http://255.255.255.255/"},
		{"http://0x100000000/", "", "none"},
		{"http://1.2.3.4.5/", "", "none"},
		{"http://09/", "", "none"},
		{"http://a.0x/", "", "none"},
		{"http://0x/", "", "http://0.0.0.0/"},
		{"http://xn--/", "", "none"},
		{"http://XN--.a/", "", "none"},
		{"http://a/^", "", "http://a/%5E"}, // the standard since 2025; node 20 leaves it
		{"a:b #", "", "a:b%20#"},
		{"\"#\"", "a:b", "none"}, // node 20 reads it
		{"http://a%00b/", "", "none"},
		{"http://a%41/", "", "http://aa/"},
		{"http://\u00ad/", "", "none"},
		{"a://a b/", "", "none"},
		{"a://%zz/", "", "a://%zz/"},
		{"a://ä/", "", "a://%C3%A4/"},
		{"http://a/%2e/%2E%2e/b/.%2e", "", "http://a/"},
		{"http://a/b/..", "", "http://a/"},
		{"ws://a:80/", "", "ws://a/"},
		{"wss://a:80/", "", "wss://a:80/"},
		{"ftp://a:21/", "", "ftp://a/"},
		{"1a:b", "", "none"},
		{"", "", "none"},
		{":", "", "none"},
	} {
		require.Equal(t, c.want, parse(t, c.input, c.base), "%q on %q", c.input, c.base)
	}
}

// TestParseInProportion pins that no input takes time by the square: nothing can
// stop the parser.
func TestParseInProportion(t *testing.T) {
	const n = 1 << 17
	for _, input := range []string{
		"http://" + strings.Repeat("@", n) + "a/", "http://" + strings.Repeat(":", n) + "@a/", "http://a/" + strings.Repeat("../", n),
		"http://a/" + strings.Repeat("a/", n), "http://" + strings.Repeat("a.", n), "http://" + strings.Repeat("1.", n), "http://" + strings.Repeat("ä", n),
		"http://" + strings.Repeat("xn--a.", n), "http://[" + strings.Repeat(":", n) + "]", "a:" + strings.Repeat(" ", n), "a:" + strings.Repeat("?", n), strings.Repeat("a", n) + ":",
		"http://a/" + strings.Repeat("%2e%2e/", n), "http://a/?" + strings.Repeat("'", n), "http://a:" + strings.Repeat("0", n),
	} {
		start := time.Now()
		weburl.Parse(input, nil)
		require.Less(t, time.Since(start), 10*time.Second, "%.20s…", input) // by the square it is minutes
	}
}

func TestForm(t *testing.T) {
	require.Equal(t, []string{"a", "1 2", "", "x", "b", ""}, weburl.DecodeForm("a=1+2&&=x&b"))
	require.Equal(t, []string{"\ufffd", "%"}, weburl.DecodeForm("%ff=%"))
	require.Empty(t, weburl.DecodeForm("&&"))
	require.Equal(t, "a+%26%C3%A9*-._%7E", weburl.EncodeField("a &é*-._~"))
}

// FuzzURL: what was parsed reads back as itself, also after a setter.
func FuzzURL(f *testing.F) {
	for _, seed := range []string{"http://u:p@a.b:8/c?d#e", "a:/..//b", "file:///C|/x", "http://[::1]:5", "mailto:x y#", "//h\\p", "non:// h"} {
		f.Add(seed, "http://x/y?z#w", "hostname", "q:1/")
		f.Add(seed, "a:b", "pathname", "//x")
	}
	parts := []string{"protocol", "username", "password", "host", "hostname", "port", "pathname", "search", "hash"}
	f.Fuzz(func(t *testing.T, input, base, part, value string) {
		on, _ := weburl.Parse(base, nil)
		u, ok := weburl.Parse(input, on)
		if !ok {
			return
		}
		check := func() {
			again, ok := weburl.Parse(u.Href(), nil)
			if !ok || again.Href() != u.Href() {
				t.Fatalf("%q on %q: %q doesn't read back", input, base, u.Href())
			}
			_, _, _ = again.Origin(), again.Search(), again.Hash()
		}
		check()
		u.Set(part, value)
		for _, p := range parts {
			u.Set(p, value)
		}
		check()
	})
}
