package httptool_test

import (
	"io"
	"net"
	"strings"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

// drips says the beginning at once and the rest a byte at a time, each well
// within any patience, until the peer leaves.
func drips(beginning, rest string) func(net.Conn) {
	return func(c net.Conn) {
		io.WriteString(c, beginning)
		for i := 0; ; i = (i + 1) % len(rest) {
			if _, err := io.WriteString(c, rest[i:i+1]); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// zippedHalf is a gzip stream that stops within its data.
func zippedHalf() string { return zipped(strings.Repeat("[1]", 100))[:20] }

var slowFaults = []fault{
	{name: "Connected, then silence", serve: plain(stalls("")), want: late(errclass.PhaseHeaders, "no response headers from 127.0.0.1")},
	{name: "Half a header section, then silence", serve: plain(stalls("HTTP/1.1 200 OK\r\nContent-")), want: late(errclass.PhaseHeaders, "after 2s (limit: the tool's request timeout)")},
	{name: "A header section that drips", serve: plain(drips(okLine, "X: y\r\n")), want: late(errclass.PhaseHeaders, "")},
	{name: "100 Continue, then silence", serve: plain(stalls("HTTP/1.1 100 Continue\r\n\r\n")), want: late(errclass.PhaseHeaders, "")},
	{name: "A 100 Continue now and then, without an end", serve: plain(drips("", "HTTP/1.1 100 Continue\r\n\r\n")), want: late(errclass.PhaseHeaders, "")},
	{name: "Headers, then silence", serve: plain(stalls(okJSON + "Content-Length: 10\r\n\r\n")), want: late(errclass.PhaseBody, "no complete response body from 127.0.0.1")},
	{name: "Half a body, then silence", serve: plain(stalls(okJSON + "Content-Length: 10\r\n\r\n[1")), want: late(errclass.PhaseBody, "")},
	{name: "32 KiB of a body, then silence", serve: plain(stalls(okJSON + "Content-Length: 65000\r\n\r\n\"" + strings.Repeat("a", 32<<10))), want: late(errclass.PhaseBody, "")},
	{name: "A chunk, then silence", serve: plain(stalls(chunked + "2\r\n[1\r\n")), want: late(errclass.PhaseBody, "")},
	{name: "All data, but no last chunk", serve: plain(stalls(chunked + "3\r\n[1]\r\n")), want: late(errclass.PhaseBody, "")},
	{name: "Half a gzip stream, then silence", serve: plain(stalls(okJSON + "Content-Encoding: gzip\r\nContent-Length: 999\r\n\r\n" + zippedHalf())), want: late(errclass.PhaseBody, "")},
	{name: "A body of no length, then silence", serve: plain(stalls("HTTP/1.0 200 OK\r\n" + jsonType + "\r\n[1]")), want: late(errclass.PhaseBody, "")},
	{name: "A body that drips", serve: plain(drips(okJSON+"Content-Length: 60000\r\n\r\n", " ")), want: late(errclass.PhaseBody, "")},
	{name: "A body that drips, and the execution's deadline", serve: plain(drips(okJSON+"Content-Length: 60000\r\n\r\n", " ")), deadline: patience / 2,
		want: temporary(errclass.Timeout, errclass.PhaseBody, "before the deadline")},
	{name: "A 500 whose body stalls", serve: plain(stalls("HTTP/1.1 500 X\r\nContent-Length: 10\r\n\r\n[1")), want: temporary(errclass.HTTPError, errclass.ServerError, "500 Internal Server Error: [1"),
		hasty: true},
	{name: "A 401 whose body stalls", serve: plain(stalls("HTTP/1.1 401 X\r\nContent-Length: 99\r\n" + jsonType + "\r\n{\"message\":")), want: permanent(errclass.HTTPError, errclass.Auth, "401 Unauthorized"),
		hasty: true},
	{name: "A redirect whose body stalls", serve: plain(stalls("HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 9\r\n\r\n")), want: permanent(invalid, errclass.Redirect, ""), hasty: true},
}
