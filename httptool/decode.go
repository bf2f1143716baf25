package httptool

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/almyty-inc/toolrun/errclass"
)

// rawSlack is how much more than its content a compressed body may have: what its
// format needs, many times over.
const rawSlack = 64 << 10

// read reads a body and inflates it, within the budget.
func (c *call) read(resp *http.Response) ([]byte, error) {
	raw := &rawBody{from: resp.Body, limit: c.budget + rawSlack}
	body, compressed, err := inflate(raw, resp.Header)
	began := err == nil
	var buf bytes.Buffer
	if began {
		if n := resp.ContentLength; n > 0 && n <= c.budget && !compressed {
			buf.Grow(int(min(n, 1<<20)) + bytes.MinRead)
		}
		var n int64
		if n, err = buf.ReadFrom(io.LimitReader(body, c.budget+1)); n > c.budget {
			err = errBodyTooLarge
		}
	}
	switch {
	case errors.Is(err, errBodyTooLarge):
		return nil, errclass.Newf(errclass.InvalidResponse, errclass.TooLarge, "the answer is larger than %d bytes", c.tool.maxBytes)
	case errors.Is(err, errRatio):
		return nil, errRatio
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

// readSome reads the beginning of a body for the sake of a message in it; what
// can't be read is left out.
func readSome(resp *http.Response) []byte {
	body, _, err := inflate(&rawBody{from: resp.Body, limit: maxErrorBody + rawSlack}, resp.Header)
	if err != nil {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(body, maxErrorBody))
	return text
}
