package httptool_test

import (
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
)

const (
	okLine  = "HTTP/1.1 200 OK\r\n"
	okJSON  = okLine + jsonType
	chunked = okJSON + "Transfer-Encoding: chunked\r\n\r\n"
)

// floods says the text again and again until the peer leaves.
func floods(text string) func(net.Conn) {
	return func(c net.Conn) {
		for {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

// lines is n header lines.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "X-%d: y\r\n", i)
	}
	return b.String()
}

var http1Faults = []fault{
	{name: "No HTTP at all", serve: plain(says("SSH-2.0-OpenSSH\r\n\r\n")), want: permanent(invalid, errclass.Malformed, "status line")},
	{name: "A body without a status line (HTTP/0.9)", serve: plain(says("<p>hello</p>\n")), want: permanent(invalid, errclass.Malformed, "status line")},
	{name: "Garbage without an end of line", serve: plain(floods("garbage")), want: permanent(invalid, errclass.TooLarge, "header section")},
	{name: "HTTP/2 without being asked", serve: plain(says("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00")), want: permanent(refusedClass, errclass.Protocol, "HTTP/2 only")},
	{name: "A version that doesn't exist", serve: plain(says("HTTP/1.9 200 OK\r\nContent-Length: 2\r\n\r\n[]")), want: gives("[]")},
	{name: "A version that is none", serve: plain(says("HTTP/x.y 200 OK\r\n\r\n")), want: permanent(invalid, errclass.Malformed, "")},
	{name: "Status abc", serve: plain(says("HTTP/1.1 abc OK\r\n\r\n")), want: permanent(invalid, errclass.Malformed, "")},
	{name: "Status 000", serve: text("000 Nothing", "", ""), want: permanent(invalid, errclass.Malformed, "answered 0, which is no answer")},
	{name: "Status -20", serve: plain(says("HTTP/1.1 -20 OK\r\n\r\n")), want: permanent(invalid, errclass.Malformed, "")},
	{name: "Status 999", serve: text("999 Go Away", "", ""), want: temporary(errclass.HTTPError, errclass.ServerError, "999")},
	{name: "101 without being asked", serve: plain(says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")), want: permanent(invalid, errclass.Malformed, "101")},
	{name: "A few 100 and 103 before the answer", serve: plain(says(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n", 5) + answer("200 OK", jsonType, "[1]"))), want: gives("[1]")},
	{name: "A flood of 100 Continue", serve: plain(floods("HTTP/1.1 100 Continue\r\n\r\n")), want: permanent(invalid, errclass.TooLarge, "header section")},
	{name: "A flood of 103 Early Hints", serve: plain(floods("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")), want: permanent(invalid, errclass.TooLarge, "header section")},
	{name: "Only 1xx, then closed", serve: plain(says("HTTP/1.1 100 Continue\r\n\r\n")), want: temporary(refusedClass, errclass.Reset, "")},

	{name: "A header line without a colon", serve: plain(says(okLine + "nothing\r\n\r\n")), want: permanent(invalid, errclass.Malformed, "not valid HTTP")},
	{name: "A space before the colon of a header, which is ignored then", serve: plain(says(okLine + "Content-Type : image/png\r\nContent-Length: 3\r\n\r\n[1]")), want: gives("[1]")},
	{name: "A folded header line", serve: text("200 OK", "Content-Type: application/json;\r\n charset=utf-8\r\n", "[1]"), want: gives("[1]")},
	{name: "A NUL in a header", serve: text("200 OK", "X: a\x00b\r\n", "[1]"), want: permanent(invalid, errclass.Malformed, "")},
	{name: "A bare line feed ends each line", serve: plain(says("HTTP/1.1 200 OK\nContent-Length: 3\n\n[1]")), want: gives("[1]")},
	{name: "A header of 64 KiB and more", serve: plain(says(okLine + "X: " + strings.Repeat("a", 64<<10+1) + "\r\n\r\n")), want: permanent(invalid, errclass.TooLarge, "header section")},
	{name: "A status line of 64 KiB and more", serve: plain(says("HTTP/1.1 200 " + strings.Repeat("a", 64<<10+1) + "\r\n\r\n")), want: permanent(invalid, errclass.TooLarge, "header section")},
	{name: "Ten thousand header lines", serve: plain(says(okLine + lines(10_000) + "\r\n")), want: permanent(invalid, errclass.TooLarge, "header section")},
	{name: "Header lines without an end", serve: plain(floods(okLine + "X: y\r\n")), want: permanent(invalid, errclass.Malformed, "")},

	{name: "Content-Length is negative", serve: plain(says(okJSON + "Content-Length: -1\r\n\r\n[1]")), want: permanent(invalid, errclass.Malformed, "Content-Length")},
	{name: "Content-Length is no number", serve: plain(says(okJSON + "Content-Length: three\r\n\r\n[1]")), want: permanent(invalid, errclass.Malformed, "Content-Length")},
	{name: "Content-Length is beyond 64 bits", serve: plain(says(okJSON + "Content-Length: 99999999999999999999\r\n\r\n[1]")), want: permanent(invalid, errclass.Malformed, "Content-Length")},
	{name: "Content-Length claims exabytes", serve: plain(says(okJSON + "Content-Length: 9223372036854775807\r\n\r\n[1]")), want: temporary(invalid, errclass.Truncated, "")},
	{name: "Two different Content-Lengths", serve: plain(says(okJSON + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n[1] ")), want: permanent(invalid, errclass.Malformed, "several lengths")},
	{name: "The same Content-Length twice", serve: plain(says(okJSON + "Content-Length: 3\r\nContent-Length: 3\r\n\r\n[1]")), want: gives("[1]")},
	{name: "Content-Length and chunks at once", serve: plain(says(okJSON + "Content-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1]\r\n0\r\n\r\n")), want: gives("[1]")},
	{name: "The body is shorter than its Content-Length", serve: plain(says(okJSON + "Content-Length: 10\r\n\r\n[1")), want: temporary(invalid, errclass.Truncated, "")},
	{name: "The body is longer than its Content-Length", serve: plain(says(okJSON + "Content-Length: 3\r\n\r\n[1], and more")), want: gives("[1]")},
	{name: "No length, the connection's end is the body's (HTTP/1.0)", serve: plain(says("HTTP/1.0 200 OK\r\n" + jsonType + "\r\n[1]")), want: gives("[1]")},
	{name: "No length, and the connection ends within the JSON", serve: plain(says("HTTP/1.0 200 OK\r\n" + jsonType + "\r\n[1")), want: permanent(invalid, errclass.NotJSON, "ends in the middle")},

	{name: "Chunks end without the last one", serve: plain(says(chunked + "2\r\n[1\r\n")), want: temporary(invalid, errclass.Truncated, "")},
	{name: "A chunk is shorter than it claims", serve: plain(says(chunked + "9\r\n[1")), want: temporary(invalid, errclass.Truncated, "")},
	{name: "A chunk is longer than it claims", serve: plain(says(chunked + "2\r\n[1]\r\n0\r\n\r\n")), want: permanent(invalid, errclass.BadEncoding, "chunked")},
	{name: "A chunk's size is no number", serve: plain(says(chunked + "ZZ\r\n[1\r\n")), want: permanent(invalid, errclass.BadEncoding, "chunked")},
	{name: "A chunk's size is beyond 64 bits", serve: plain(says(chunked + "fffffffffffffffff\r\n[1]")), want: permanent(invalid, errclass.BadEncoding, "chunked")},
	{name: "A chunk's size is negative", serve: plain(says(chunked + "-3\r\n[1]\r\n0\r\n\r\n")), want: permanent(invalid, errclass.BadEncoding, "chunked")},
	{name: "A chunk extension of megabytes", serve: plain(says(chunked + "3;" + strings.Repeat("x", 1<<20) + "\r\n[1]\r\n0\r\n\r\n")), want: permanent(invalid, errclass.BadEncoding, "chunked")},
	{name: "More chunk headers than data", serve: plain(says(chunked + strings.Repeat("1;"+strings.Repeat("x", 99)+"\r\n \r\n", 10_000) + "0\r\n\r\n")), want: permanent(invalid, errclass.BadEncoding, "chunked")},
	{name: "A trailer without a colon", serve: plain(says(chunked + "3\r\n[1]\r\n0\r\nnothing\r\n\r\n")), want: permanent(invalid, errclass.Malformed, "")},
	{name: "A trailer without an end", serve: plain(says(chunked + "3\r\n[1]\r\n0\r\nX: y\r\n")), want: permanent(invalid, errclass.BadEncoding, "trailer")},
	{name: "A trailer of megabytes", serve: plain(says(chunked + "3\r\n[1]\r\n0\r\nX: " + strings.Repeat("y", 1<<20) + "\r\n\r\n")), want: permanent(invalid, errclass.BadEncoding, "trailer")},
	{name: "A trailer that may not be one", serve: plain(says(okLine + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n")), want: permanent(invalid, errclass.Malformed, "trailer")},
	{name: "An unknown Transfer-Encoding", serve: plain(says(okLine + "Transfer-Encoding: rot13\r\n\r\n[1]")), want: permanent(invalid, errclass.BadEncoding, "Transfer-Encoding")},
	{name: "Several Transfer-Encodings", serve: plain(says(okLine + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")), want: permanent(invalid, errclass.BadEncoding, "Transfer-Encoding")},
	{name: "An answer nobody asked for follows the answer", serve: plain(says(answer("200 OK", jsonType, "[1]") + answer("200 OK", jsonType, "[2]"))), want: gives("[1]")},
}
