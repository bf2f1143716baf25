package httptool_test

import (
	"net"
	"strings"
	"testing"

	"github.com/almyty-inc/toolrun/errclass"
)

func graphqlBody(body string) func(*testing.T) upstream {
	return typed("application/graphql-response+json", body)
}

var graphqlFaults = []fault{
	{name: "Data", serve: graphqlBody(`{"data":{"a":1}}`), want: gives(`{"a":1}`)},
	{name: "Data and an empty list of errors", serve: graphqlBody(`{"data":{"a":1},"errors":[]}`), want: gives(`{"a":1}`)},
	{name: "Errors without data", serve: graphqlBody(`{"errors":[{"message":"no such field"}]}`), want: permanent(invalid, errclass.UpstreamFailed, "no such field")},
	{name: "Errors beside data", serve: graphqlBody(`{"data":{"a":1},"errors":[{"message":"no b","extensions":{"code":"NOPE"}}]}`), want: permanent(invalid, errclass.UpstreamFailed, "no b")},
	{name: "Errors beside null data", serve: graphqlBody(`{"data":null,"errors":[{"message":"no a"}]}`), want: permanent(invalid, errclass.UpstreamFailed, "no a")},
	{name: "Errors without messages", serve: graphqlBody(`{"errors":[{}]}`), want: permanent(invalid, errclass.UpstreamFailed, "the answer reports an error")},
	{name: "Errors that are a text", serve: graphqlBody(`{"errors":"boom"}`), want: permanent(invalid, errclass.UpstreamFailed, "boom")},
	{name: "Neither data nor errors", serve: graphqlBody(`{}`), want: permanent(invalid, errclass.NoData, "neither data nor errors")},
	{name: "Null data and no errors", serve: graphqlBody(`{"data":null}`), want: permanent(invalid, errclass.NoData, "neither data nor errors")},
	{name: "An array", serve: graphqlBody(`[]`), want: permanent(invalid, errclass.NotJSON, "no GraphQL response")},
	{name: "200, empty", serve: graphqlBody(""), want: permanent(invalid, errclass.NotJSON, "no GraphQL response")},
	{name: "HTML with 200", serve: typed("text/html", "<html>"), want: permanent(invalid, errclass.NotJSON, "no GraphQL response")},
	{name: "400 with errors", serve: text("400 X", jsonType, `{"errors":[{"message":"bad query"}]}`), want: permanent(httpError, errclass.BadRequest, "400 Bad Request: bad query")},
	{name: "401 with errors", serve: text("401 X", jsonType, `{"errors":[{"message":"who are you"}]}`), want: permanent(httpError, errclass.Auth, "401 Unauthorized: who are you")},
	{name: "500: a mutation may have taken effect", serve: text("500 X", "", ""), want: permanent(httpError, errclass.ServerError, "500")},
	{name: "429", serve: text("429 X", "", ""), want: temporary(httpError, errclass.RateLimit, "429")},
	{name: "Silence until the execution's deadline", serve: plain(stalls("")), deadline: patience, want: temporary(errclass.Timeout, errclass.PhaseHeaders, "before the deadline").once()},
	{name: "Closed without an answer", serve: plain(func(net.Conn) {}), want: temporary(refusedClass, errclass.Reset, "").once()},
	{name: "Nobody listens", serve: closed("127.0.0.1:1"), want: temporary(refusedClass, errclass.Refused, "")},
	{name: "A body without an end", serve: plain(floods(okJSON + "\r\n" + strings.Repeat("a", 64<<10))), want: permanent(invalid, errclass.TooLarge, "")},
}

func init() {
	for i := range graphqlFaults {
		graphqlFaults[i].graphql = true
	}
}
