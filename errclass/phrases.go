package errclass

import "strings"

// phrases is the last resort, for errors that net/http and crypto/tls make with
// errors.New. A text is compared only where it is no wrapper's, and only from
// its beginning: what an upstream or a caller wrote stands further back. Each row
// has a test that makes net/http produce the error.
var phrases = []struct {
	start   string
	meaning func(*chain) *Error
}{
	{"stopped after 10 redirects", means(InvalidResponse, RedirectLoop, "more than 10 redirects")},
	{"failed to parse Location header", means(InvalidResponse, Malformed, "the redirect leads to no valid URL")},
	{"net/http: server response headers exceeded", means(InvalidResponse, TooLarge, "the header section of the answer is too large")},
	// The beginning of a TLS alert, and of an HTTP/2 settings frame.
	{`malformed HTTP response "\x15\x03`, means(ConnectionRefused, Protocol, "the port speaks TLS; the URL must begin with https")},
	{`malformed HTTP response "\x00\x00`, means(ConnectionRefused, Protocol, "the port speaks HTTP/2 only")},
	{"malformed HTTP ", means(InvalidResponse, Malformed, "the answer's status line is not valid HTTP")},
	{"bad Content-Length ", means(InvalidResponse, Malformed, "the answer's Content-Length is not valid")},
	{"invalid empty Content-Length ", means(InvalidResponse, Malformed, "the answer's Content-Length is not valid")},
	{"http: message cannot contain multiple Content-Length", means(InvalidResponse, Malformed, "the answer has several lengths")},
	{"unsupported transfer encoding", means(InvalidResponse, BadEncoding, "the answer's Transfer-Encoding is unknown")},
	{"too many transfer encodings", means(InvalidResponse, BadEncoding, "the answer's Transfer-Encoding is unknown")},
	{"bad trailer key ", means(InvalidResponse, Malformed, "the answer announces a forbidden trailer")},
	{"malformed chunked encoding", means(InvalidResponse, BadEncoding, brokenChunks)},
	{"invalid byte in chunk length", means(InvalidResponse, BadEncoding, brokenChunks)},
	{"empty hex number for chunk length", means(InvalidResponse, BadEncoding, brokenChunks)},
	{"http chunk length too large", means(InvalidResponse, BadEncoding, brokenChunks)},
	{"chunked line ends with bare LF", means(InvalidResponse, BadEncoding, brokenChunks)},
	{"invalid CR in chunked line", means(InvalidResponse, BadEncoding, brokenChunks)},
	{"chunked encoding contains too much non-data", means(InvalidResponse, BadEncoding, brokenChunks)},
	{"http: suspiciously long trailer after chunked body", means(InvalidResponse, BadEncoding, "the trailer of the answer is cut short or too long")},
	{"http: unexpected EOF reading trailer", means(InvalidResponse, Truncated, "the answer ended within its trailer")},
	{"http2: response header list larger than advertised limit", means(InvalidResponse, TooLarge, "the header section of the answer is too large")},
	{"header list too large", means(InvalidResponse, TooLarge, "the header section of the answer is too large")}, // of many 1xx
	{"http2: frame too large", func(*chain) *Error { return malformedHTTP2("FRAME_SIZE_ERROR") }},
	{"net/http: server replied with more than declared Content-Length", means(InvalidResponse, Malformed, "the answer is longer than its Content-Length")},
	{"http: server closed idle connection", (*chain).broken},
	{"http2: Transport received GOAWAY", (*chain).broken},
	{"http2: Transport: cannot retry err", (*chain).broken},
	{"http2: client connection lost", (*chain).broken},
	{"http2: client conn could not be established", (*chain).broken},
	{"http: read on closed response body", (*chain).closedHere},
	{"http2: response body closed", (*chain).closedHere},
	{"tls: ", means(ConnectionRefused, TLSHandshake, "the TLS handshake failed")},
	{"net/http: request canceled", means(Cancelled, CallerCancelled, "")},
	{"unsupported protocol scheme", means(ConfigurationError, BadDefinition, "the URL must begin with http or https")},
	{"http: no Host in request URL", means(ConfigurationError, BadDefinition, "the URL names no host")},
	{"net/http: invalid header ", means(ConfigurationError, BadDefinition, "a header of the request is not valid")},
	{"net/http: invalid method ", means(ConfigurationError, BadDefinition, "the request's method is not valid")},
}

const brokenChunks = "the chunked encoding of the answer is broken"

func means(class Class, reason Reason, detail string) func(*chain) *Error {
	return func(*chain) *Error { return New(class, reason, detail) }
}

func byText(c *chain) *Error {
	if c.cut {
		return nil
	}
	return c.meaning(c.leaf())
}

// meaning looks the text of err up.
func (c *chain) meaning(err error) *Error {
	text := textOf(err)
	for _, p := range phrases {
		if strings.HasPrefix(text, p.start) {
			return p.meaning(c)
		}
	}
	return nil
}
