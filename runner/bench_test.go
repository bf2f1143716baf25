package runner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/runner"
	"github.com/almyty-inc/toolrun/sandbox"
)

const pricing = `
const price = parameters.quantity * 9.5
const discount = parameters.quantity >= 100 ? 0.1 : 0
return {total: Math.round(price * (1 - discount) * 100) / 100, discount}`

// What the runner adds to the sandbox: the same program through Execute and
// through Pool.Run, in turns, so that the ratio holds on a noisy machine.
func BenchmarkExecute(b *testing.B) {
	ctx := context.Background()
	r, err := runner.New(runner.Options{Tools: []*runner.Definition{script("price", pricing)}})
	require.NoError(b, err)
	defer func() { _ = r.Close(ctx) }()
	pool, err := sandbox.New(sandbox.Options{})
	require.NoError(b, err)
	defer func() { _ = pool.Close() }()
	params := []byte(`{"quantity":120}`)

	var whole, bare time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		result, err := r.Execute(ctx, runner.Request{Tool: "price", Parameters: params})
		if err != nil || result.Failure != nil {
			b.Fatal(err, result)
		}
		middle := time.Now()
		if _, err := pool.Run(ctx, sandbox.Job{Source: sandbox.Source{Name: "code", Code: pricing}, Parameters: params}); err != nil {
			b.Fatal(err)
		}
		whole += middle.Sub(start)
		bare += time.Since(middle)
	}
	report(b, whole, bare)
}

// What toolrun adds to an HTTP call: the same request through Execute and
// through a bare client, in turns.
func BenchmarkExecuteHTTP(b *testing.B) {
	ctx := context.Background()
	server := upstream(b, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"rate":0.94}`)
	}).URL
	def, err := runner.Parse("rate.yaml", []byte("name: rate\ntype: http\nexecutionConfig: {url: '"+server+"'}\n"))
	require.NoError(b, err)
	r, err := runner.New(runner.Options{Tools: []*runner.Definition{def}, Egress: policy(strings.TrimPrefix(server, "http://"))})
	require.NoError(b, err)
	defer func() { _ = r.Close(ctx) }()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()

	var whole, bare time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		result, err := r.Execute(ctx, runner.Request{Tool: "rate"})
		if err != nil || result.Failure != nil {
			b.Fatal(err, result)
		}
		middle := time.Now()
		get(b, client, server)
		whole += middle.Sub(start)
		bare += time.Since(middle)
	}
	report(b, whole, bare)
}

// get does what an HTTP tool does, by hand: request, read, check the JSON.
func get(b *testing.B, client *http.Client, url string) {
	resp, err := client.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !json.Valid(body) {
		b.Fatal(err, body)
	}
}

func report(b *testing.B, whole, bare time.Duration) {
	b.ReportMetric(float64(whole.Nanoseconds())/float64(b.N), "execute-ns")
	b.ReportMetric(float64(bare.Nanoseconds())/float64(b.N), "bare-ns")
	b.ReportMetric(float64(whole)/float64(bare), "ratio")
}
