package httptool

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
)

// read reads a body and inflates it, within the budget.
func (c *call) read(resp *http.Response) ([]byte, error) {
	raw := &rawBody{from: resp.Body}
	body, compressed, err := inflate(raw, resp.Header)
	began := err == nil
	var buf bytes.Buffer
	if began {
		if n := resp.ContentLength; n > 0 && n <= c.budget {
			buf.Grow(int(min(n, 1<<20)) + bytes.MinRead)
		}
		var n int64
		if n, err = buf.ReadFrom(io.LimitReader(body, c.budget+1)); n > c.budget {
			return nil, errclass.Newf(errclass.InvalidResponse, errclass.TooLarge, "the answer is larger than %d bytes", c.tool.maxBytes)
		}
	}
	switch {
	case raw.err != nil: // the connection failed, whatever the decompressor makes of that
		return nil, raw.err
	case compressed && began && errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errclass.New(errclass.InvalidResponse, errclass.Truncated, "the compressed body ends early").WithCause(err)
	case err != nil && compressed:
		return nil, errclass.New(errclass.InvalidResponse, errclass.BadEncoding, "the compressed body is broken").WithCause(err)
	case err != nil:
		return nil, err
	}
	c.budget -= int64(buf.Len())
	return buf.Bytes(), nil
}

// inflate undoes the compression that the request asked for. Doing so here and
// not in net/http tells a broken body from a broken connection.
func inflate(raw io.Reader, h http.Header) (body io.Reader, compressed bool, err error) {
	switch strings.ToLower(h.Get("Content-Encoding")) {
	case "gzip", "x-gzip":
	default:
		return raw, false, nil
	}
	h.Del("Content-Encoding")
	unzipped, err := gzip.NewReader(raw)
	if errors.Is(err, io.EOF) { // no body at all
		return strings.NewReader(""), true, nil
	}
	return unzipped, true, err
}

// readSome reads the beginning of a body for the sake of a message in it; what
// can't be read is left out.
func readSome(resp *http.Response) []byte {
	body, _, err := inflate(resp.Body, resp.Header)
	if err != nil {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(body, maxErrorBody))
	return text
}

// rawBody remembers the error of a connection.
type rawBody struct {
	from io.Reader
	err  error
}

func (r *rawBody) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
