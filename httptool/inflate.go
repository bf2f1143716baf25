package httptool

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
)

const (
	// maxRatio bounds how many times a body grows when it is inflated, after its
	// first MiB: data that somebody wrote stays far below, a bomb reaches 1000.
	maxRatio    = 200
	ratioExempt = 1 << 20
	maxCodings  = 3
)

// errRatio is what a body ends with that grows like a bomb.
var errRatio = errclass.Newf(errclass.InvalidResponse, errclass.TooLarge, "the compressed body grows more than %d times", maxRatio)

// inflate undoes the codings of a body: gzip, which requests ask for, and deflate,
// also several on top of each other. Doing so here and not in net/http tells a
// broken body from a broken connection. A coding that wasn't asked for and isn't
// known stays, with its header.
func inflate(raw *rawBody, h http.Header) (body io.Reader, compressed bool, err error) {
	codings := contentCodings(h)
	if len(codings) == 0 {
		return raw, false, nil
	}
	body = raw
	for i := len(codings) - 1; i >= 0; i-- {
		if body, err = inflater(codings[i], body); err != nil {
			return nil, true, err
		}
		body = &cappedRatio{from: body, raw: raw}
	}
	h.Del("Content-Encoding")
	return body, true, nil
}

// contentCodings lists the codings in the order in which they were applied (RFC
// 9110, section 8.4); none where one of them isn't known here.
func contentCodings(h http.Header) []string {
	if len(h["Content-Encoding"]) == 0 {
		return nil
	}
	var codings []string
	for coding := range strings.SplitSeq(strings.Join(h["Content-Encoding"], ","), ",") {
		switch coding = strings.ToLower(strings.TrimSpace(coding)); coding {
		case "identity", "":
		case "gzip", "x-gzip", "deflate":
			codings = append(codings, coding)
		default:
			return nil
		}
	}
	if len(codings) > maxCodings {
		return nil
	}
	return codings
}

// inflater undoes one coding. An empty body is none, whatever it claims to be.
func inflater(coding string, from io.Reader) (io.Reader, error) {
	buffered := bufio.NewReader(from)
	start, err := buffered.Peek(2)
	if errors.Is(err, io.EOF) && len(start) == 0 {
		return bytes.NewReader(nil), nil
	}
	if coding != "deflate" {
		return gzip.NewReader(buffered)
	}
	// The coding is zlib's format (RFC 9110, section 8.4.1.2); some send what is inside it.
	if len(start) == 2 && start[0]&0x0f == 8 && (int(start[0])<<8|int(start[1]))%31 == 0 {
		return zlib.NewReader(buffered)
	}
	return flate.NewReader(buffered), nil
}

// cappedRatio compares what came out of an inflater with what came over the wire.
type cappedRatio struct {
	from io.Reader
	raw  *rawBody
	out  int64
}

func (c *cappedRatio) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.out += int64(n)
	if c.out > ratioExempt && c.out > maxRatio*c.raw.read {
		return 0, errRatio
	}
	return n, err
}

// rawBody counts the bytes of a body as it comes, up to a limit, and remembers the
// error of its connection.
type rawBody struct {
	from  io.Reader
	limit int64
	read  int64
	err   error
}

// errBodyTooLarge ends a body that is larger than what it may hold.
var errBodyTooLarge = errors.New("the body is larger than its limit")

func (r *rawBody) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	r.read += int64(n)
	switch {
	case r.read > r.limit:
		return 0, errBodyTooLarge
	case err != nil && !errors.Is(err, io.EOF):
		r.err = err
	}
	return n, err
}
