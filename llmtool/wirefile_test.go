package llmtool_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
)

// wireCase is one answer of a provider, byte for byte, and what becomes of it.
//
// Each file of testdata/wire holds the dialect of one provider. It begins with
// prose and the provider itself (type, key, model), then come the cases: a line of
// prose, what is expected, a blank line, and the response. What is expected are
// the lines reason, message (whole), class (llm_error by default), retry (no, yes,
// or yes after a wait), code and request (the provider's words for the failure and
// the request; none by default). mode is that of the tool: text by default.
//
// A body whose headers say "Transfer-Encoding: chunked" is a stream: the answer is
// then wanted as one, and each event is a chunk. "ends: cut" leaves the last, empty
// chunk out.
type wireCase struct {
	file, name       string
	kind, key, model string // the provider's
	mode             string
	class            errclass.Class
	reason           errclass.Reason
	retryable        bool
	wait             time.Duration
	message          string
	code, request    string
	response         wireResponse
}

// wireResponse is what the server sends: see [wireResponse.write].
type wireResponse struct {
	head string // status line and headers
	body string
	cut  bool
}

// chunked reports whether the body is a stream.
func (r wireResponse) chunked() bool { return strings.Contains(r.head, "\nTransfer-Encoding: chunked") }

// write sends the response. It states the body's length where the headers don't.
func (r wireResponse) write(w io.Writer) {
	head, body := strings.ReplaceAll(r.head, "\n", "\r\n"), r.body
	switch {
	case r.chunked():
		body = ""
		for event := range strings.SplitAfterSeq(r.body+"\n\n", "\n\n") {
			if event != "" {
				body += fmt.Sprintf("%x\r\n%s\r\n", len(event), event)
			}
		}
		if !r.cut {
			body += "0\r\n\r\n"
		}
	case !strings.Contains(r.head, "\nContent-Length: "):
		head += fmt.Sprintf("\r\nContent-Length: %d", len(body))
	}
	_, _ = io.WriteString(w, head+"\r\nConnection: close\r\n\r\n"+body)
}

// status is the response's.
func (r wireResponse) status(t testing.TB) int {
	res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(strings.ReplaceAll(r.head, "\n", "\r\n")+"\r\n\r\n")), nil)
	require.NoError(t, err, r.head)
	res.Body.Close()
	return res.StatusCode
}

// serve plays the provider on loopback, with the same answer to every request.
func (r wireResponse) serve(t testing.TB) (baseURL string) {
	return raw(t, func(conn net.Conn) {
		readRequest(conn)
		r.write(conn)
	})
}

// wireCases reads all files of testdata/wire.
func wireCases(t testing.TB) []wireCase {
	files, err := filepath.Glob("testdata/wire/*.txtar")
	require.NoError(t, err)
	var cases []wireCase
	for _, path := range files {
		archive, err := txtar.ParseFile(path)
		require.NoError(t, err)
		file := strings.TrimSuffix(filepath.Base(path), ".txtar")
		_, provider, ok := strings.Cut(string(archive.Comment), "\n\n")
		require.True(t, ok, "%s: no prose", file)
		for _, f := range archive.Files {
			c := wireCase{file: file, name: f.Name, class: errclass.LLMError, mode: "text"}
			about, rest, _ := strings.Cut(string(f.Data), "\n")
			require.Regexp(t, `[.?!:]$`, about, "%s/%s: no prose", file, f.Name)
			expected, response, _ := strings.Cut(rest, "\n\n")
			c.response.head, c.response.body, _ = strings.Cut(response, "\n\n")
			c.response.head = strings.TrimSuffix(c.response.head, "\n")
			c.response.body = strings.TrimSuffix(c.response.body, "\n")
			for line := range strings.Lines(provider + "\n" + expected) {
				if line = strings.TrimSpace(line); line != "" {
					c.set(t, line)
				}
			}
			require.True(t, c.class.Valid(), "%s/%s", file, f.Name)
			require.True(t, c.reason.Valid(), "%s/%s", file, f.Name)
			cases = append(cases, c)
		}
	}
	return cases
}

// set reads one line of a file.
func (c *wireCase) set(t testing.TB, line string) {
	name, value, _ := strings.Cut(line, ": ")
	switch name {
	case "type":
		c.kind = value
	case "key":
		c.key = value
	case "model":
		c.model = value
	case "mode":
		c.mode = value
	case "class":
		c.class = errclass.Class(value)
	case "reason":
		c.reason = errclass.Reason(value)
	case "retry":
		wait, waits := strings.CutPrefix(value, "yes after ")
		c.retryable = waits || value == "yes"
		if waits {
			var err error
			c.wait, err = time.ParseDuration(wait)
			require.NoError(t, err)
		}
	case "ends":
		require.Equal(t, "cut", value)
		c.response.cut = true
	case "message":
		c.message = value
	case "code":
		c.code = value
	case "request":
		c.request = value
	default:
		require.Fail(t, "unknown line", "%s/%s: %s", c.file, c.name, line)
	}
}
