package httptool_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

const httpError = errclass.HTTPError

const (
	problemType = "Content-Type: application/problem+json\r\n"
	htmlType    = "Content-Type: text/html\r\n"
	textType    = "Content-Type: text/plain\r\n"
)

// retryDate answers 503 with a Retry-After of a date.
func retryDate(from time.Duration) func(*testing.T) upstream {
	return func(t *testing.T) upstream {
		return text("503 X", "Retry-After: "+time.Now().Add(from).UTC().Format(http.TimeFormat)+"\r\n", "")(t)
	}
}

func retryAfter(value string) func(*testing.T) upstream {
	return text("429 X", "Retry-After: "+value+"\r\n", "")
}

var statusFaults = []fault{
	{name: "204", serve: plain(says("HTTP/1.1 204 No Content\r\n\r\n")), want: gives("null")},
	{name: "204 with a body nobody may send", serve: plain(says("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n[1]")), want: gives("null")},
	{name: "201 with JSON", serve: text("201 Created", jsonType, `{"id":1}`), want: gives(`{"id":1}`)},
	{name: "202, empty", serve: text("202 Accepted", "", ""), want: gives("null")},
	{name: "206 without being asked", serve: text("206 Partial Content", jsonType, "[1]"), want: temporary(invalid, errclass.Truncated, "a part of the data")},
	{name: "206 that was asked for", serve: text("206 Partial Content", jsonType, "[1]"), config: httptool.Config{Headers: map[string]any{"Range": "bytes=0-2"}}, want: gives("[1]")},
	{name: "299, unknown but a success", serve: text("299 Odd", jsonType, "[1]"), want: gives("[1]")},

	{name: "400, problem+json (RFC 9457)", serve: text("400 X", problemType, `{"title":"Wrong","detail":"name is short"}`), want: permanent(httpError, errclass.BadRequest, "400 Bad Request: name is short")},
	{name: "400, problem+json with a title only", serve: text("400 X", problemType, `{"type":"about:blank","title":"Wrong","status":400}`), want: permanent(httpError, errclass.BadRequest, "400 Bad Request: Wrong")},
	{name: "400, problem+json that is none", serve: text("400 X", problemType, `{"title":`), want: permanent(httpError, errclass.BadRequest, "400 Bad Request")},
	{name: "401, OAuth's error", serve: text("401 X", jsonType, `{"error":"invalid_client","error_description":"bad secret"}`), want: permanent(httpError, errclass.Auth, "401 Unauthorized: bad secret")},
	{name: "402", serve: text("402 X", "", ""), want: permanent(httpError, errclass.Quota, "402 Payment Required")},
	{name: "403, JSON with an error text", serve: text("403 X", jsonType, `{"error":"not yours"}`), want: permanent(httpError, errclass.Permission, "403 Forbidden: not yours")},
	{name: "404, JSON with a message", serve: text("404 X", jsonType, `{"message":"no such order"}`), want: permanent(httpError, errclass.NotFound, "404 Not Found: no such order")},
	{name: "404, HTML", serve: text("404 X", htmlType, "<html><head><title>Nothing here</title>"), want: permanent(httpError, errclass.NotFound, "404 Not Found: Nothing here")},
	{name: "404, for the sixth time: that says nothing against the target", serve: text("404 X", "", ""), times: 6, want: permanent(httpError, errclass.NotFound, "404 Not Found")},
	{name: "404, empty", serve: text("404 X", "", ""), want: permanent(httpError, errclass.NotFound, "404 Not Found")},
	{name: "407", serve: text("407 X", "", ""), want: permanent(httpError, errclass.Auth, "407 Proxy Authentication Required")},
	{name: "408", serve: text("408 X", "", ""), want: temporary(httpError, errclass.ServerError, "408 Request Timeout")},
	{name: "409, JSON with a nested message", serve: text("409 X", jsonType, `{"error":{"message":"taken"}}`), want: permanent(httpError, errclass.Conflict, "409 Conflict: taken")},
	{name: "410", serve: text("410 X", "", ""), want: permanent(httpError, errclass.NotFound, "410 Gone")},
	{name: "415, XML", serve: text("415 X", "Content-Type: application/xml\r\n", "<error>no</error>"), want: permanent(httpError, errclass.BadRequest, "415 Unsupported Media Type")},
	{name: "416 to a Range", serve: text("416 X", "", ""), config: httptool.Config{Headers: map[string]any{"Range": "bytes=9-"}}, want: permanent(httpError, errclass.BadRequest, "416 Requested Range Not Satisfiable")},
	{name: "418, plain text", serve: text("418 X", textType, "short and stout\nmore"), want: permanent(httpError, errclass.BadRequest, "418 I'm a teapot: short and stout")},
	{name: "422, JSON with a list of errors", serve: text("422 X", jsonType, `{"errors":[{"detail":"too long"}]}`), want: permanent(httpError, errclass.BadRequest, "422 Unprocessable Entity: too long")},
	{name: "425", serve: text("425 X", "", ""), want: temporary(httpError, errclass.ServerError, "425 Too Early")},
	{name: "429, JSON", serve: text("429 X", jsonType, `{"message":"slow down"}`), want: temporary(httpError, errclass.RateLimit, "429 Too Many Requests: slow down")},
	{name: "429, Retry-After in seconds", serve: retryAfter("7"), want: temporary(httpError, errclass.RateLimit, "429").after(7 * time.Second)},
	{name: "429 to a POST", serve: retryAfter("7"), config: posting("{}"), want: temporary(httpError, errclass.RateLimit, "429").after(7 * time.Second)},
	{name: "429, Retry-After of 0", serve: retryAfter("0"), want: temporary(httpError, errclass.RateLimit, "429")},
	{name: "429, a negative Retry-After", serve: retryAfter("-5"), want: temporary(httpError, errclass.RateLimit, "429")},
	{name: "429, Retry-After that is neither number nor date", serve: retryAfter("soon"), want: temporary(httpError, errclass.RateLimit, "429")},
	{name: "429, Retry-After of centuries, believed for a day", serve: retryAfter("99999999999999999999"), want: temporary(httpError, errclass.RateLimit, "429").after(24 * time.Hour)},
	{name: "431", serve: text("431 X", "", ""), want: permanent(httpError, errclass.BadRequest, "431 Request Header Fields Too Large")},
	{name: "451", serve: text("451 X", "", ""), want: permanent(httpError, errclass.Permission, "451 Unavailable For Legal Reasons")},

	{name: "500, HTML", serve: text("500 X", htmlType, "<html><title>Oops &amp; sorry</title><body>x"), want: temporary(httpError, errclass.ServerError, "500 Internal Server Error: Oops & sorry")},
	{name: "500, HTML without a title", serve: text("500 X", htmlType, "<html><body>x"), want: temporary(httpError, errclass.ServerError, "500 Internal Server Error")},
	{name: "500, JSON", serve: text("500 X", jsonType, `{"error":{"code":"E7","message":"boom"}}`), want: temporary(httpError, errclass.ServerError, "500 Internal Server Error: boom")},
	{name: "500, problem+json", serve: text("500 X", problemType, `{"title":"Down","detail":"the store is down"}`), want: temporary(httpError, errclass.ServerError, "500 Internal Server Error: the store is down")},
	{name: "500, a body that is cut", serve: plain(says("HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\nhalf")), want: temporary(httpError, errclass.ServerError, "500 Internal Server Error: half")},
	{name: "500, a body that is reset", serve: plain(resets("HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\nhalf")), want: temporary(httpError, errclass.ServerError, "500 Internal Server Error")},
	{name: "500, gzip", serve: text("500 X", gzJSON, zipped(`{"message":"boom"}`)), want: temporary(httpError, errclass.ServerError, "500 Internal Server Error: boom")},
	{name: "500, gzip that is broken", serve: text("500 X", gzJSON, "no gzip"), want: temporary(httpError, errclass.ServerError, "500 Internal Server Error")},
	{name: "500, a gzip bomb", serve: text("500 X", gzJSON, zipped(bombText)), want: temporary(httpError, errclass.ServerError, "500 Internal Server Error")},
	{name: "500, a body without an end", serve: plain(floods("HTTP/1.1 500 X\r\n" + jsonType + "\r\n")), want: temporary(httpError, errclass.ServerError, "500 Internal Server Error")},
	{name: "500, a message of many lines and control characters", serve: text("500 X", jsonType, `{"message":"a\n\u001b[31mb\u0000\u202ec"}`), want: temporary(httpError, errclass.ServerError, "500 Internal Server Error: a")},
	{name: "500, a message of 100 kB", serve: text("500 X", textType, strings.Repeat("long ", 20_000)), want: temporary(httpError, errclass.ServerError, "500 Internal Server Error: long")},
	{name: "500 to a POST, which may have taken effect", serve: text("500 X", "", ""), config: posting("{}"), want: permanent(httpError, errclass.ServerError, "500")},
	{name: "501", serve: text("501 X", "", ""), want: permanent(httpError, errclass.ServerError, "501 Not Implemented")},
	{name: "502, empty", serve: text("502 X", "", ""), want: temporary(httpError, errclass.ServerError, "502 Bad Gateway")},
	{name: "502, a proxy's HTML labelled as JSON", serve: text("502 X", jsonType, "<html><head><title>502 Bad Gateway</title></head>"), want: temporary(httpError, errclass.ServerError, "502 Bad Gateway")},
	{name: "503, plain text", serve: text("503 X", textType, "maintenance\nmore"), want: temporary(httpError, errclass.Overloaded, "503 Service Unavailable: maintenance")},
	{name: "503, for the sixth time: the breaker is open", serve: text("503 X", "", ""), times: 6, want: temporary(refusedClass, errclass.CircuitOpen, "").after(15 * time.Second)},
	{name: "503, Retry-After as a date", serve: retryDate(10 * time.Minute), want: temporary(httpError, errclass.Overloaded, "503").after(10 * time.Minute)},
	{name: "503, Retry-After of next year, believed for a day", serve: retryDate(365 * 24 * time.Hour), want: temporary(httpError, errclass.Overloaded, "503").after(24 * time.Hour)},
	{name: "503, Retry-After in the past", serve: retryDate(-time.Hour), want: temporary(httpError, errclass.Overloaded, "503")},
	{name: "504", serve: text("504 X", "", ""), want: temporary(httpError, errclass.ServerError, "504 Gateway Timeout")},
	{name: "505", serve: text("505 X", "", ""), want: permanent(httpError, errclass.ServerError, "505 HTTP Version Not Supported")},
	{name: "511", serve: text("511 X", htmlType, "<title>Log in</title>"), want: temporary(httpError, errclass.ServerError, "511 Network Authentication Required: Log in")},
	{name: "599, unknown", serve: text("599 X", "", ""), want: temporary(httpError, errclass.ServerError, "599")},
}
