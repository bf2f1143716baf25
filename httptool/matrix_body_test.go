package httptool_test

import (
	"net"
	"strings"
	"testing"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

// typed serves a body under a Content-Type.
func typed(contentType, body string) func(*testing.T) upstream {
	return text("200 OK", "Content-Type: "+contentType+"\r\n", body)
}

func jsonBody(body string) func(*testing.T) upstream { return typed("application/json", body) }

func mapped(data, failure, success string) httptool.Config {
	return httptool.Config{ResponseMapping: &httptool.ResponseMapping{DataPath: data, ErrorPath: failure, SuccessCondition: success}}
}

var bodyFaults = []fault{
	{name: "200, empty", serve: jsonBody(""), want: gives("null")},
	{name: "200, blank", serve: jsonBody(" \r\n\t"), want: gives("null")},
	{name: "HTML with 200, labelled as JSON", serve: jsonBody("<!DOCTYPE html><title>x</title>"), want: permanent(invalid, errclass.NotJSON, "the body is HTML, not JSON")},
	{name: "HTML with 200, labelled as HTML", serve: typed("text/html", "<p>"), want: gives(`"<p>"`)},
	{name: "HTML with 200, and the tool wants a member", serve: typed("text/html", "<p>"), config: mapped("items", "", ""), want: permanent(invalid, errclass.NotJSON, "the answer is text and has nothing at items")},
	{name: "JSON with blanks between", serve: jsonBody(" {\"a\" : 1.50} "), want: gives(`{"a":1.50}`)},
	{name: "JSON labelled as text", serve: typed("text/plain", `{"a":1}`), want: gives(`"{\"a\":1}"`)},
	{name: "JSON without a label", serve: text("200 OK", "", "[1, 2]"), want: gives("[1,2]")},
	{name: "Text without a label", serve: text("200 OK", "", "hello"), want: gives(`"hello"`)},
	{name: "A broken label", serve: typed("application/json; ;;=", "[1]"), want: gives("[1]")},
	{name: "Two labels", serve: text("200 OK", jsonType+textType, "[1]"), want: gives("[1]")},
	{name: "JSON of a vendor", serve: typed("application/vnd.x+json; charset=utf-8", "[1]"), want: gives("[1]")},
	{name: "An image", serve: typed("image/png", "\x89PNG"), want: permanent(invalid, errclass.BadEncoding, "image/png")},
	{name: "Bytes of no kind", serve: typed("application/octet-stream", "\x00\x01"), want: permanent(invalid, errclass.BadEncoding, "application/octet-stream")},

	{name: "JSON cut short", serve: jsonBody(`{"a":[1`), want: permanent(invalid, errclass.NotJSON, "ends in the middle")},
	{name: "JSON followed by something", serve: jsonBody(`{"a":1} x`), want: permanent(invalid, errclass.NotJSON, "after the value")},
	{name: "Several JSON values, labelled as JSON", serve: jsonBody("{\"a\":1}\n{\"a\":2}\n"), want: permanent(invalid, errclass.NotJSON, "after the value")},
	{name: "NDJSON, labelled as such", serve: typed("application/x-ndjson", "{}\n{}"), want: gives(`"{}\n{}"`)},
	{name: "JSON with comments", serve: jsonBody("{/* a */\"a\":1}"), want: permanent(invalid, errclass.NotJSON, "")},
	{name: "JSON with a comma too many", serve: jsonBody(`[1,]`), want: permanent(invalid, errclass.NotJSON, "")},
	{name: "JSON in single quotes", serve: jsonBody(`{'a':1}`), want: permanent(invalid, errclass.NotJSON, "")},
	{name: "JavaScript's NaN", serve: jsonBody(`{"a":NaN}`), want: permanent(invalid, errclass.NotJSON, "")},
	{name: "JSONP", serve: jsonBody(`callback({"a":1})`), want: permanent(invalid, errclass.NotJSON, "")},
	{name: "JSON behind a guard against inclusion", serve: jsonBody(")]}',\n{\"a\":1}"), want: permanent(invalid, errclass.NotJSON, "")},
	{name: "JSON with a control character in a string", serve: jsonBody("\"a\x00b\""), want: permanent(invalid, errclass.NotJSON, "control character")},
	{name: "JSON with half a surrogate pair", serve: jsonBody(`"\ud800"`), want: permanent(invalid, errclass.NotJSON, "escape")},
	{name: "JSON with a NUL after it", serve: jsonBody("[1]\x00"), want: permanent(invalid, errclass.NotJSON, "")},
	{name: "The same name twice", serve: jsonBody(`{"a":1,"a":2}`), want: permanent(invalid, errclass.NotJSON, "duplicate name")},
	{name: "The same name twice, written differently", serve: jsonBody(`{"a":1,"\u0061":2}`), want: permanent(invalid, errclass.NotJSON, "duplicate name")},
	{name: "Arrays nested 5000 deep", serve: jsonBody(strings.Repeat("[", 5000) + strings.Repeat("]", 5000)), want: permanent(invalid, errclass.NotJSON, "nest")},
	{name: "Objects nested without an end", serve: jsonBody(strings.Repeat(`{"a":`, 10_000)), want: permanent(invalid, errclass.NotJSON, "nest")},
	{name: "An integer beyond 64 bits", serve: jsonBody("123456789012345678901234567890"), want: gives("123456789012345678901234567890")},
	{name: "A number beyond 64-bit floats", serve: jsonBody("1e400"), want: gives("1e400")},
	{name: "A number of 10,000 digits", serve: jsonBody(strings.Repeat("9", 10_000)), want: gives(strings.Repeat("9", 10_000))},
	{name: "A number of 10,000 digits, read by a mapping", serve: jsonBody(`{"a":` + strings.Repeat("9", 10_000) + `}`), config: mapped("a", "", ""), want: gives(strings.Repeat("9", 10_000))},
	{name: "A number with a leading zero", serve: jsonBody("007"), want: permanent(invalid, errclass.NotJSON, "")},

	{name: "A body larger than allowed", serve: jsonBody(`"` + strings.Repeat("a", mostBytes) + `"`), want: permanent(invalid, errclass.TooLarge, "larger than 65536 bytes")},
	{name: "A body exactly as large as allowed", serve: jsonBody(`"` + strings.Repeat("a", mostBytes-2) + `"`), want: gives(`"` + strings.Repeat("a", mostBytes-2) + `"`)},
	{name: "A body without an end", serve: plain(floods(okJSON + "\r\n")), want: permanent(invalid, errclass.TooLarge, "larger than 65536 bytes")},
	{name: "Chunks without an end", serve: plain(func(c net.Conn) { says(chunked)(c); floods("5\r\n[1,2,\r\n")(c) }), want: permanent(invalid, errclass.TooLarge, "")},

	{name: "UTF-8's byte order mark before JSON", serve: jsonBody("\ufeff{}"), want: gives("{}")},
	{name: "Invalid UTF-8 in JSON", serve: jsonBody("\"\xff\""), want: permanent(invalid, errclass.NotJSON, "UTF-8")},
	{name: "Invalid UTF-8 in text", serve: typed("text/plain", "\xff"), want: permanent(invalid, errclass.BadEncoding, "not valid UTF-8")},
	{name: "Latin-1 that says so", serve: typed("text/plain; charset=iso-8859-1", "\xe4"), want: gives(`"ä"`)},
	{name: "Latin-1 that doesn't say so", serve: typed("text/plain", "caf\xe9"), want: permanent(invalid, errclass.BadEncoding, "not valid UTF-8")},
	{name: "JSON in windows-1252", serve: typed("application/json; charset=windows-1252", "\"\x80\""), want: gives(`"€"`)},
	{name: "Russian in KOI8-R", serve: typed("text/plain; charset=KOI8-R", "\xd4\xc5\xd3\xd4"), want: gives(`"тест"`)},
	{name: "Japanese in Shift_JIS", serve: typed("text/csv; charset=Shift_JIS", "\x93\xfa\x96\x7b"), want: gives(`"日本"`)},
	{name: "Chinese JSON in GBK", serve: typed("application/json; charset=gbk", "[\"\xd6\xd0\"]"), want: gives(`["中"]`)},
	{name: "Shift_JIS, broken", serve: typed("text/plain; charset=Shift_JIS", "\x93"), want: permanent(invalid, errclass.BadEncoding, "not valid shift_jis")},
	{name: "UTF-16, little-endian, by its byte order mark", serve: jsonBody("\xff\xfe[\x001\x00]\x00"), want: gives("[1]")},
	{name: "UTF-16, big-endian, by its byte order mark", serve: jsonBody("\xfe\xff\x00[\x001\x00]"), want: gives("[1]")},
	{name: "UTF-16 by its charset, a surrogate pair", serve: typed("text/plain; charset=utf-16le", "\x3d\xd8\x00\xde"), want: gives(`"😀"`)},
	{name: "UTF-16 with half a surrogate pair", serve: typed("text/plain; charset=utf-16le", "\x3d\xd8a\x00"), want: permanent(invalid, errclass.BadEncoding, "not valid utf-16le")},
	{name: "UTF-16 of an odd number of bytes", serve: typed("text/plain; charset=utf-16le", "a\x00b"), want: permanent(invalid, errclass.BadEncoding, "")},
	{name: "UTF-16 without a mark or charset", serve: jsonBody("{\x00}\x00"), want: permanent(invalid, errclass.NotJSON, "")},
	{name: "UTF-8 with its mark, labelled as Latin-1", serve: typed("text/plain; charset=iso-8859-1", "\ufeffä"), want: gives(`"ä"`)},
	{name: "UTF-8 labelled as ASCII", serve: typed("text/plain; charset=us-ascii", "ä"), want: gives(`"ä"`)},
	{name: "UTF-7, which hides markup", serve: typed("text/plain; charset=utf-7", "+ADw-script+AD4-"), want: permanent(invalid, errclass.BadEncoding, "utf-7")},
	{name: "UTF-32", serve: typed("text/plain; charset=utf-32", "a\x00\x00\x00"), want: permanent(invalid, errclass.BadEncoding, "utf-32")},
	{name: "A charset that hides markup by escapes", serve: typed("text/plain; charset=iso-2022-kr", "x"), want: permanent(invalid, errclass.BadEncoding, "iso-2022-kr")},
	{name: "A charset that doesn't exist", serve: typed("text/plain; charset=klingon", "x"), want: permanent(invalid, errclass.BadEncoding, "klingon")},

	{name: "The data isn't where the tool looks", serve: jsonBody(`{"a":1}`), config: mapped("items[0].id", "", ""), want: permanent(invalid, errclass.NoData, "nothing at items[0].id")},
	{name: "200, and the body reports an error", serve: jsonBody(`{"error":{"message":"boom"}}`), config: mapped("", "error", ""), want: permanent(invalid, errclass.UpstreamFailed, "boom")},
	{name: "200, and the tool's successCondition fails", serve: jsonBody(`{"ok":false,"message":"quota"}`), config: mapped("", "", "response.body.ok"), want: permanent(invalid, errclass.UpstreamFailed, "successCondition: quota")},
}
