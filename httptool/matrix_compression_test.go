package httptool_test

import (
	"strings"
	"testing"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

const gzJSON = jsonType + "Content-Encoding: gzip\r\n"

// coded serves a JSON body under a Content-Encoding.
func coded(coding, body string) func(*testing.T) upstream {
	return text("200 OK", jsonType+"Content-Encoding: "+coding+"\r\n", body)
}

// bombText is what a bomb of four kilobytes goes off to: 64 times the limit.
var bombText = strings.Repeat("0", 4<<20)

// spoiled is text with its byte at i, counted from the end if negative, changed.
func spoiled(text string, i int) string {
	b := []byte(text)
	b[(i+len(b))%len(b)] ^= 0xff
	return string(b)
}

var small = zipped(`{"a":1}`)

// brotliBomb is brotli's for [bombText].
const brotliBomb = "\x9f\xff\xff\x3f\xf8\x25\x60\xe2\xb1\x40\x20\xf7\xfe\x07"

var compressionFaults = []fault{
	{name: "gzip, as it should be", serve: coded("gzip", small), want: gives(`{"a":1}`)},
	{name: "gzip, called x-gzip, in capitals", serve: coded("X-GZIP", small), want: gives(`{"a":1}`)},
	{name: "gzip in two members", serve: coded("gzip", zipped(`{"a":`)+zipped(`1}`)), want: gives(`{"a":1}`)},
	{name: "gzip of nothing", serve: coded("gzip", zipped("")), want: gives("null")},
	{name: "Labelled gzip, and empty", serve: coded("gzip", ""), want: gives("null")},
	{name: "Labelled gzip, but plain", serve: coded("gzip", `{"a":1}`), want: permanent(invalid, errclass.BadEncoding, "compressed body is broken")},
	{name: "Labelled identity", serve: coded("identity", `{"a":1}`), want: gives(`{"a":1}`)},
	{name: "Compressed as gzip without saying so", serve: text("200 OK", jsonType, small), want: permanent(invalid, errclass.NotJSON, "")},
	{name: "gzip, broken inside", serve: coded("gzip", small[:10]+"\xff\xff\xff\xff"), want: permanent(invalid, errclass.BadEncoding, "")},
	{name: "gzip with a wrong checksum", serve: coded("gzip", spoiled(small, -8)), want: permanent(invalid, errclass.BadEncoding, "")},
	{name: "gzip with a wrong length", serve: coded("gzip", spoiled(small, -1)), want: permanent(invalid, errclass.BadEncoding, "")},
	{name: "gzip followed by garbage", serve: coded("gzip", small+"garbage and more"), want: permanent(invalid, errclass.BadEncoding, "")},
	{name: "gzip that ends early, though the body is complete", serve: coded("gzip", small[:14]), want: temporary(invalid, errclass.Truncated, "ends early")},
	{name: "gzip without its checksum", serve: coded("gzip", small[:len(small)-4]), want: temporary(invalid, errclass.Truncated, "ends early")},
	{name: "gzip, half a header", serve: coded("gzip", small[:5]), want: permanent(invalid, errclass.BadEncoding, "")},
	{name: "gzip cut by the connection's end", serve: plain(says(okLine + "Content-Length: 99\r\n" + gzJSON + "\r\n" + small)), want: temporary(invalid, errclass.Truncated, "")},
	{name: "A gzip bomb", serve: coded("gzip", zipped(bombText)), want: permanent(invalid, errclass.TooLarge, "65536 bytes")},
	{name: "A gzip bomb in many members", serve: coded("gzip", strings.Repeat(zipped(strings.Repeat("0", 1000)), 2000)), want: permanent(invalid, errclass.TooLarge, "")},
	{name: "A gzip bomb within a gzip bomb, under one label", serve: coded("gzip", zipped(zipped(bombText))), want: permanent(invalid, errclass.NotJSON, "")},
	{name: "A gzip bomb within the size allowed", serve: coded("gzip", zipped(`"`+bombText+`"`)), config: httptool.Config{MaxResponseBytes: 8 << 20}, want: permanent(invalid, errclass.TooLarge, "")},
	{name: "A bomb of gzip twice over", serve: coded("gzip, gzip", zipped(zipped(bombText))), want: permanent(invalid, errclass.TooLarge, "")},
	{name: "gzip twice over", serve: coded("gzip, gzip", zipped(small)), want: gives(`{"a":1}`)},
	{name: "Twenty codings on top of each other", serve: coded(strings.Repeat("gzip, ", 19)+"gzip", small), want: permanent(invalid, errclass.BadEncoding, "")},
	{name: "deflate", serve: coded("deflate", deflated(`{"a":1}`)), want: gives(`{"a":1}`)},
	{name: "deflate without its frame", serve: coded("deflate", rawDeflated(`{"a":1}`)), want: gives(`{"a":1}`)},
	{name: "deflate, broken", serve: coded("deflate", spoiled(deflated(`{"a":1}`), -1)), want: permanent(invalid, errclass.BadEncoding, "")},
	{name: "A deflate bomb", serve: coded("deflate", deflated(bombText)), want: permanent(invalid, errclass.TooLarge, "")},
	{name: "A br bomb: br wasn't asked for", serve: coded("br", brotliBomb), want: permanent(invalid, errclass.BadEncoding, "compressed as br")},
	{name: "zstd, which wasn't asked for", serve: coded("zstd", "\x28\xb5\x2f\xfd\x04\x00\x01\x00\x00"), want: permanent(invalid, errclass.BadEncoding, "compressed as zstd")},
	{name: "A br bomb within gzip", serve: coded("br, gzip", zipped(brotliBomb)), want: permanent(invalid, errclass.BadEncoding, "")},
	{name: "A coding that doesn't exist", serve: coded("rot13", `{"a":1}`), want: permanent(invalid, errclass.BadEncoding, "rot13")},
}
