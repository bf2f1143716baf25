package service

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

// plainHeader ends the header section of every error that net/http's
// conn.serve writes past its own buffer, in one Write that starts with the
// status line: 400, 431, 501 and 505 (net/http/server.go of Go 1.26).
const plainHeader = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// wireError returns the documented form of an error that net/http answers by
// itself, before any handler runs; nil where p is anything else. Nothing that a
// handler sends can be taken for one: its header section has a Date and JSON's
// media type, and the bytes of a JSON document hold no status line that ends in
// a line break. late says that the client took too long to send its request.
func wireError(p []byte, late bool) []byte {
	const version = "HTTP/1."
	if !bytes.HasPrefix(p, []byte(version)) || len(p) < len("HTTP/1.1 400") {
		return nil
	}
	status, err := strconv.Atoi(string(p[len("HTTP/1.1 "):len("HTTP/1.1 400")]))
	if err != nil || status < 400 {
		return nil
	}
	if status == http.StatusExpectationFailed {
		// Written as an ordinary answer, without a body; net/http leaves the
		// length out only in the answer to HEAD, which must have none.
		return wireDocument(status, "", bytes.Contains(p, []byte("\r\nContent-Length: 0\r\n")))
	}
	line, _, ok := bytes.Cut(p, []byte(plainHeader))
	if !ok || bytes.Contains(line, []byte("\r\n")) {
		return nil
	}
	if late && status == http.StatusBadRequest {
		return wireDocument(http.StatusRequestTimeout, "", true)
	}
	_, why, _ := strings.Cut(string(line), http.StatusText(status)+": ")
	return wireDocument(status, why, true)
}

// wireDocument is a whole HTTP response. why is net/http's own word, which
// quotes nothing of the request.
func wireDocument(status int, why string, body bool) []byte {
	document, err := (&errclass.APIError{
		Code: errclass.CodeBadRequest, Status: status, Message: wireMessage(status, why),
	}).MarshalJSON()
	if err != nil {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"+
		"Content-Length: %d\r\nDate: %s\r\nConnection: close\r\n\r\n",
		status, http.StatusText(status), jsonType, len(document), time.Now().UTC().Format(http.TimeFormat))
	if body {
		b.Write(document)
	}
	return b.Bytes()
}

// wireMessage words what net/http says, with what to do about it.
func wireMessage(status int, why string) string {
	switch status {
	case http.StatusExpectationFailed:
		return "Unsupported Expect header: only 100-continue is understood"
	case http.StatusRequestTimeout:
		return "The request line and header took too long to arrive"
	case http.StatusRequestHeaderFieldsTooLarge:
		return fmt.Sprintf("The request line and header exceed %d bytes", headerBytes)
	case http.StatusNotImplemented:
		return "Unsupported transfer encoding: send Content-Length or Transfer-Encoding: chunked"
	case http.StatusHTTPVersionNotSupported:
		return "Unsupported protocol version: use HTTP/1.1"
	}
	if why == "" {
		return "Malformed HTTP request"
	}
	return "Malformed HTTP request: " + why
}
