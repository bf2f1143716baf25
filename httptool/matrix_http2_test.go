package httptool_test

import (
	"io"
	"strings"

	"golang.org/x/net/http2"

	"github.com/almyty-inc/toolrun/errclass"
)

const h2JSON = "application/json"

// half answers with the beginning of a body.
func (p *peer) half() {
	p.headers(false, ":status", "200", "content-type", h2JSON)
	p.WriteData(p.stream, false, []byte("[1"))
}

// whole answers with [1].
func (p *peer) whole() {
	p.headers(false, ":status", "200", "content-type", h2JSON)
	p.WriteData(p.stream, true, []byte("[1]"))
}

func (p *peer) leave() { p.conn.Close() }

var http2Faults = []fault{
	{name: "Works", serve: frames((*peer).whole), want: gives("[1]")},
	{name: "No settings, then closed", serve: framesAfter(func(p *peer) { p.leave() }, (*peer).whole), want: temporary(refusedClass, errclass.Reset, "")},
	{name: "Speaks HTTP/1.1 where HTTP/2 was agreed", serve: frames(func(p *peer) { io.WriteString(p.conn, answer("200 OK", jsonType, "[1]")) }), want: permanent(invalid, errclass.Malformed, "HTTP/2")},
	{name: "Garbage instead of frames", serve: frames(func(p *peer) { io.WriteString(p.conn, strings.Repeat("garbage", 10)) }), want: permanent(invalid, errclass.Malformed, "HTTP/2")},
	{name: "Settings, then silence", serve: frames(nothing), want: late(errclass.PhaseHeaders, "")},
	{name: "Silence, without settings", serve: framesAfter(nothing, nothing), want: late(errclass.PhaseHeaders, "")},
	{name: "Closed without a word", serve: frames((*peer).leave), want: temporary(refusedClass, errclass.Reset, "")},
	{name: "Goes away with an error", serve: frames(func(p *peer) { p.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, []byte(secret)) }), want: temporary(refusedClass, errclass.Reset, "")},
	{name: "Goes away before the answer, then closes", serve: frames(func(p *peer) {
		p.WriteGoAway(p.stream, http2.ErrCodeInternal, []byte(secret))
		p.leave()
	}), want: temporary(refusedClass, errclass.Reset, "")},
	{name: "Goes away from each connection, without an error", serve: frames(func(p *peer) { p.WriteGoAway(0, http2.ErrCodeNo, nil) }), want: temporary(refusedClass, errclass.Reset, "closed 64 connections before it answered")},
	{name: "Goes away within the body, then closes", serve: frames(func(p *peer) {
		p.half()
		p.WriteGoAway(p.stream, http2.ErrCodeInternal, []byte(secret))
		p.leave()
	}), want: temporary(invalid, errclass.Truncated, "")},
	{name: "Goes away, but finishes its answer", serve: frames(func(p *peer) {
		p.WriteGoAway(p.stream, http2.ErrCodeNo, nil)
		p.whole()
	}), want: gives("[1]")},
	{name: "Resets the stream: REFUSED_STREAM, each time", serve: frames(func(p *peer) { p.WriteRSTStream(p.stream, http2.ErrCodeRefusedStream) }), want: late(errclass.PhaseHeaders, "")},
	{name: "Resets the stream: INTERNAL_ERROR", serve: frames(func(p *peer) { p.WriteRSTStream(p.stream, http2.ErrCodeInternal) }), want: temporary(refusedClass, errclass.Reset, "INTERNAL_ERROR")},
	{name: "Resets the stream: CANCEL", serve: frames(func(p *peer) { p.WriteRSTStream(p.stream, http2.ErrCodeCancel) }), want: temporary(refusedClass, errclass.Reset, "CANCEL")},
	{name: "Resets the stream: ENHANCE_YOUR_CALM", serve: frames(func(p *peer) { p.WriteRSTStream(p.stream, http2.ErrCodeEnhanceYourCalm) }), want: temporary(refusedClass, errclass.Reset, "ENHANCE_YOUR_CALM")},
	{name: "Resets the stream: HTTP_1_1_REQUIRED", serve: frames(func(p *peer) { p.WriteRSTStream(p.stream, http2.ErrCodeHTTP11Required) }), want: permanent(refusedClass, errclass.Protocol, "over HTTP/2")},
	{name: "Resets the stream with a code of its own", serve: frames(func(p *peer) { p.WriteRSTStream(p.stream, 0xbeef) }), want: temporary(refusedClass, errclass.Reset, "0xbeef")},
	{name: "Resets the stream within the body", serve: frames(func(p *peer) {
		p.half()
		p.WriteRSTStream(p.stream, http2.ErrCodeInternal)
	}), want: temporary(invalid, errclass.Truncated, "INTERNAL_ERROR")},
	{name: "Closes within the body", serve: frames(func(p *peer) { p.half(); p.leave() }), want: temporary(invalid, errclass.Truncated, "")},
	{name: "Stalls within the body", serve: frames((*peer).half), want: late(errclass.PhaseBody, "")},
	{name: "Lets nothing be sent (window 0), and a body waits", serve: framesAfter(func(p *peer) {
		p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	}, nothing), config: posting(`{"a":1}`), want: late(errclass.PhaseHeaders, "").once()},
	{name: "Allows no stream at all", serve: framesAfter(func(p *peer) {
		p.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
	}, nothing), want: late(errclass.PhaseHeaders, "")},
	{name: "Works, with PUSH_PROMISE", serve: frames(func(p *peer) {
		p.WritePushPromise(http2.PushPromiseParam{StreamID: p.stream, PromiseID: 2, BlockFragment: block(":method", "GET"), EndHeaders: true})
		p.whole()
	}), want: permanent(invalid, errclass.Malformed, "HTTP/2")},
	{name: "No status", serve: frames(func(p *peer) { p.headers(true, "a", "b") }), want: permanent(invalid, errclass.Malformed, "HTTP/2")},
	{name: "Status abc", serve: frames(func(p *peer) { p.headers(true, ":status", "abc") }), want: permanent(invalid, errclass.Malformed, "HTTP/2")},
	{name: "A header name in upper case", serve: frames(func(p *peer) { p.headers(true, ":status", "200", "X-Upper", "y") }), want: permanent(invalid, errclass.Malformed, "HTTP/2")},
	{name: "A line break in a header", serve: frames(func(p *peer) { p.headers(true, ":status", "200", "x", "a\r\nb") }), want: permanent(invalid, errclass.Malformed, "HTTP/2")},
	{name: "A header section that can't be decompressed", serve: frames(func(p *peer) {
		p.WriteHeaders(http2.HeadersFrameParam{StreamID: p.stream, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, EndHeaders: true})
	}), want: permanent(invalid, errclass.Malformed, "HTTP/2")},
	{name: "A header section over the limit", serve: frames(func(p *peer) { p.headers(true, many(64, "x-long", strings.Repeat("y", 1000))...) }), want: permanent(invalid, errclass.TooLarge, "header section")},
	{name: "A header section far over the limit", serve: frames(func(p *peer) { p.headers(true, ":status", "200", "x-long", strings.Repeat("y", 1<<20)) }), want: permanent(invalid, errclass.Malformed, "HTTP/2")},
	{name: "A flood of 103", serve: frames(func(p *peer) {
		for range 5000 {
			p.headers(false, ":status", "103", "link", "</a.css>; rel=preload")
		}
	}), want: permanent(invalid, errclass.TooLarge, "")},
	{name: "Continuations without an end", serve: frames(func(p *peer) {
		p.WriteHeaders(http2.HeadersFrameParam{StreamID: p.stream, BlockFragment: block(":status", "200")})
		for p.WriteContinuation(p.stream, false, block("x", strings.Repeat("y", 8000))) == nil {
		}
	}), want: permanent(invalid, errclass.Malformed, "HTTP/2")},
	{name: "Data before the headers", serve: frames(func(p *peer) { p.WriteData(p.stream, true, []byte("[1]")) }), want: permanent(invalid, errclass.Malformed, "HTTP/2")},
	{name: "Data on stream 0", serve: frames(func(p *peer) { p.WriteRawFrame(http2.FrameData, 0, 0, []byte("[1]")) }), want: permanent(invalid, errclass.Malformed, "HTTP/2")},
	{name: "A frame larger than allowed", serve: frames(func(p *peer) { p.WriteRawFrame(http2.FrameData, 0, p.stream, make([]byte, 1<<20)) }), want: permanent(invalid, errclass.Malformed, "HTTP/2")},
	{name: "More data than the window allows", serve: frames(func(p *peer) {
		p.headers(false, ":status", "200")
		for range 1000 {
			p.WriteData(p.stream, false, make([]byte, 16<<10))
		}
	}), want: permanent(invalid, errclass.TooLarge, "65536 bytes")},
	{name: "The body is shorter than its content-length", serve: frames(func(p *peer) {
		p.headers(false, ":status", "200", "content-length", "9")
		p.WriteData(p.stream, true, []byte("[1]"))
	}), want: temporary(invalid, errclass.Truncated, "")},
	{name: "The body is longer than its content-length", serve: frames(func(p *peer) {
		p.headers(false, ":status", "200", "content-length", "1")
		p.WriteData(p.stream, true, []byte("[1]"))
	}), want: permanent(invalid, errclass.Malformed, "longer than its Content-Length")},
	{name: "Status 429 by HTTP/2", serve: frames(func(p *peer) { p.headers(true, ":status", "429", "retry-after", "7") }), want: temporary(errclass.HTTPError, errclass.RateLimit, "429").after(7e9)},
}

func nothing(*peer) {}

// many is a header section of n fields beside the status.
func many(n int, name, value string) []string {
	fields := []string{":status", "200"}
	for range n {
		fields = append(fields, name, value)
	}
	return fields
}
