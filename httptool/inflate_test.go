package httptool_test

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

func deflated(text string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

func rawDeflated(text string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9)
	io.WriteString(w, text)
	w.Close()
	return b.String()
}

// letters is text that hardly compresses.
func letters(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(rand.N(26))
	}
	return string(b)
}

// Codings are undone in the reverse of their order, and bodies that grow like bombs
// or never end are cut off.
func TestInflate(t *testing.T) {
	const mib = 1 << 20
	repeated := `"` + strings.Repeat(letters(64<<10), 24) + `"` // beyond the window of deflate, and so hardly compressed
	for _, tc := range []struct {
		name, coding, body string
		want               string // the result, or how the failure begins
		reason             errclass.Reason
	}{
		{"deflate, then gzip", "deflate, gzip", zipped(deflated("[1]")), "[1]", ""},
		{"three codings", "gzip,gzip , identity, gzip", zipped(zipped(zipped("[1]"))), "[1]", ""},
		{"empty body that claims a coding", "gzip, deflate", "", "null", ""},
		{"large and honest", "gzip", zipped(repeated), repeated, ""},
		{"one MiB that compresses well", "gzip", zipped(`"` + strings.Repeat("a", mib-10) + `"`), `"aaaa`, ""},
		{"four codings", "gzip,gzip,gzip,gzip", zipped(zipped(zipped(zipped("[1]")))), "the body is compressed as gzip,gzip,gzip,gzip", errclass.BadEncoding},
		{"gzip, then br", "gzip, br", zipped("[1]"), "the body is compressed as gzip, br", errclass.BadEncoding},
		{"wrong order", "gzip, deflate", zipped(deflated("[1]")), "the compressed body is broken", errclass.BadEncoding},
		{"gzip bomb", "gzip", zipped(strings.Repeat(" ", 5*mib)), "the compressed body grows more than 200 times", errclass.TooLarge},
		{"deflate bomb", "deflate", deflated(strings.Repeat(" ", 5*mib)), "the compressed body grows more than 200 times", errclass.TooLarge},
		{"nested bomb", "gzip, gzip", zipped(zipped(strings.Repeat(" ", 20*mib))), "the compressed body grows more than 200 times", errclass.TooLarge},
		{"bomb whose content is small", "deflate, gzip", zipped(deflated("[1]") + strings.Repeat("\x00", 5*mib)), "[1]", ""}, // what follows is never read
		{"larger than allowed", "gzip", zipped(letters(3 * mib)), "the answer is larger than 2097152 bytes", errclass.TooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			address := raw(t, says(answer("200 OK", jsonType+"Content-Encoding: "+tc.coding+"\r\n", tc.body)))
			resp, err := compile(t, httptool.Config{URL: "http://" + address, MaxResponseBytes: 2 * mib}).Run(t.Context(), allow(t, address), httptool.Input{})
			if tc.reason == "" {
				require.NoError(t, err)
				require.True(t, strings.HasPrefix(string(resp.Value), tc.want), "%.40s", resp.Value)
				return
			}
			e := errclass.Classify(err)
			require.Equal(t, errclass.InvalidResponse, e.Class, "%v", err)
			require.Equal(t, tc.reason, e.Reason, "%v", err)
			require.True(t, strings.HasPrefix(e.Detail, tc.want), e.Detail)
		})
	}
}

// Members that hold nothing never make a body too large, but what comes over the
// wire is bounded as well, in a success and in a failure.
func TestInflateEndlessEmptyMembers(t *testing.T) {
	many := strings.Repeat(zipped(""), 2000)
	for status, reason := range map[string]errclass.Reason{"200 OK": errclass.TooLarge, "400 X": errclass.BadRequest} {
		address := raw(t, func(c net.Conn) {
			fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Encoding: gzip\r\n%s\r\n", status, jsonType)
			for {
				if _, err := io.WriteString(c, many); err != nil {
					return
				}
			}
		})
		start := time.Now()
		_, err := compile(t, httptool.Config{URL: "http://" + address, MaxResponseBytes: 1 << 20}).Run(t.Context(), allow(t, address), httptool.Input{})
		require.Equal(t, reason, errclass.Classify(err).Reason)
		require.Less(t, time.Since(start), 20*time.Second)
	}
}
