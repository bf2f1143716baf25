package example_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/example"
)

var reported = []example.Outcome{
	{
		Tool: "price", Type: "javascript", Example: "volume discount", Passed: true, Input: []byte(`{"quantity":12}`),
		Document: []byte(`{"success":true,"data":{"result":90,"duration":1,"status":"success"}}`), Duration: 1500 * time.Microsecond,
	},
	{
		Tool: "price", Type: "javascript", Example: "bad \x00\x1b]0;\u202e<&>\xff", Input: []byte(`{}`),
		Document: []byte(`{"success":false}`), Problems: []string{"/total: expected 90, got 100", "result:\x07 two"},
		Logs: []errclass.LogLine{{Level: "warn", Message: "one\ntwo ]]>"}},
	},
	{Tool: "stock", Type: "http", Example: "one", Passed: true, Input: []byte(`{}`), Document: []byte(`{}`), Duration: 2 * time.Second},
}

var counted = example.Summary{Passed: 2, Failed: 1, Untested: []string{"a", "b"}, Duration: 840 * time.Millisecond}

func text(t *testing.T, options example.Text, summary example.Summary) string {
	t.Helper()
	var b bytes.Buffer
	options.W = &b
	for _, o := range reported {
		options.Report(o)
	}
	require.NoError(t, options.Summary(summary))
	return b.String()
}

func TestText(t *testing.T) {
	got := text(t, example.Text{}, counted)
	require.Equal(t, strings.Join([]string{
		"ok   price/volume discount  (1 ms)",
		`FAIL price/bad \x00\x1b]0;\u202e<&>�  (<1 ms)`,
		"     /total: expected 90, got 100",
		`     result:\a two`,
		`     warn: one\ntwo ]]>`,
		"     → {}",
		`     ← {"success":false}`,
		"ok   stock/one  (2000 ms)",
		"2 tools have no examples: a, b",
		"2 passed, 1 failed in 0.8 s",
		"",
	}, "\n"), got)
	require.NotContains(t, got, "\x1b")
}

func TestTextVerbose(t *testing.T) {
	got := text(t, example.Text{Verbose: true}, example.Summary{Passed: 3, Untested: []string{"a"}})
	require.Contains(t, got, "ok   price/volume discount  (javascript, 1 ms)\n     → {\"quantity\":12}\n     ← {\"success\":true,")
	require.Contains(t, got, "1 tool has no examples: a\n3 passed in <1 ms\n")
	require.Contains(t, text(t, example.Text{}, example.Summary{}), "no examples in <1 ms\n")
}

func TestTextColor(t *testing.T) {
	got := text(t, example.Text{Color: true}, counted)
	require.Contains(t, got, "\x1b[32mok  \x1b[0m price/volume discount")
	require.Contains(t, got, "\x1b[1m\x1b[31mFAIL\x1b[0m")
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWritersReportErrors(t *testing.T) {
	broken := example.Text{W: brokenWriter{}}
	broken.Report(reported[0])
	require.ErrorContains(t, broken.Summary(counted), "disk full")
	require.ErrorContains(t, example.WriteJUnit(brokenWriter{}, reported, counted), "disk full")
}

func TestJUnit(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, example.WriteJUnit(&b, reported, counted))
	require.True(t, strings.HasPrefix(b.String(), "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites "))

	var got struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Time     string `xml:"time,attr"`
			Cases    []struct {
				Class   string `xml:"classname,attr"`
				Name    string `xml:"name,attr"`
				Time    string `xml:"time,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
				Output string `xml:"system-out"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	require.NoError(t, xml.Unmarshal(b.Bytes(), &got))
	require.Equal(t, 3, got.Tests)
	require.Equal(t, 1, got.Failures)
	require.Len(t, got.Suites, 2)
	price := got.Suites[0]
	require.Equal(t, "price", price.Name)
	require.Equal(t, 2, price.Tests)
	require.Equal(t, 1, price.Failures)
	require.Equal(t, "0.002", price.Cases[0].Time)
	require.Nil(t, price.Cases[0].Failure)
	require.Equal(t, "/total: expected 90, got 100", price.Cases[1].Failure.Message)
	require.Equal(t, "/total: expected 90, got 100\nresult:\ufffd two", price.Cases[1].Failure.Text)
	require.Equal(t, "bad \ufffd\ufffd]0;\u202e<&>\ufffd", price.Cases[1].Name)
	require.Contains(t, price.Cases[1].Output, "warn: one\ntwo ]]>")
	require.NoError(t, example.WriteJUnit(io.Discard, nil, example.Summary{}))
}
