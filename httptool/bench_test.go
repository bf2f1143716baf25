package httptool_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/httptool"
)

// BenchmarkAgainstBare runs a tool and a bare client that does the same work
// (request built, JSON decoded) in turns against the same server, and shows the
// ratio of their times.
func BenchmarkAgainstBare(b *testing.B) {
	body := `{"items":[` + strings.Repeat(`{"id":1234,"name":"some name","tags":["a","b"]},`, 30) + `{}]}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, body)
	}))
	b.Cleanup(s.Close)
	rt := allow(b, s.Listener.Addr().String())
	tool := compile(b, httptool.Config{URL: s.URL + "/items/{{parameters.id}}", QueryParams: map[string]any{"q": "{{parameters.q}}"}})
	in := httptool.Input{Parameters: map[string]any{"id": "17", "q": "a b"}}
	client := &http.Client{Transport: &http.Transport{}}
	b.Cleanup(client.CloseIdleConnections)
	bare := func() {
		req, err := http.NewRequestWithContext(b.Context(), "GET", s.URL+"/items/17?q=a%20b", nil)
		require.NoError(b, err)
		resp, err := client.Do(req)
		require.NoError(b, err)
		defer resp.Body.Close()
		var v any
		require.NoError(b, json.NewDecoder(resp.Body).Decode(&v))
	}
	b.ReportAllocs()
	var ours, theirs time.Duration
	for b.Loop() {
		start := time.Now()
		_, err := tool.Run(b.Context(), rt, in)
		middle := time.Now()
		require.NoError(b, err)
		bare()
		ours, theirs = ours+middle.Sub(start), theirs+time.Since(middle)
	}
	b.ReportMetric(float64(ours)/float64(b.N), "tool-ns/op")
	b.ReportMetric(float64(theirs)/float64(b.N), "bare-ns/op")
	b.ReportMetric(float64(ours)/float64(theirs), "ratio")
}
