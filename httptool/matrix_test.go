package httptool_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

// matrix is every fault there is a server for. The README's table is made of it.
var matrix = []struct {
	name   string
	faults []fault
}{
	{"Names and connections", connectionFaults},
	{"TLS", tlsFaults},
	{"HTTP/1.1", http1Faults},
	{"HTTP/2", http2Faults},
	{"Time", slowFaults},
	{"Redirects and the egress policy", redirectFaults},
	{"Compression", compressionFaults},
	{"Bodies", bodyFaults},
	{"Statuses", statusFaults},
	{"GraphQL", graphqlFaults},
	{"Pages", pageFaults},
}

// fault is a row of the matrix: a server that misbehaves in one way, and what a
// tool's caller gets of it.
type fault struct {
	name     string // in plain words, for the README
	serve    func(*testing.T) upstream
	want     expectation
	config   httptool.Config // beyond address, secrets and time
	graphql  bool            // the tool is a graphql one; config counts for nothing
	deadline time.Duration   // of the whole run; zero: none
	hasty    bool            // the tool's timeout is patience, also where that isn't what fails
	times    int             // how often the tool runs, the last of which counts; zero: once
	pending  string          // what this row waits for: it isn't run, nor in the README
}

// expectation is either a failure or, where class is empty, a result.
type expectation struct {
	value    string // JSON
	class    errclass.Class
	reason   errclass.Reason
	retry    bool
	detail   string // a part of it
	wait     time.Duration
	requests int
	least    time.Duration
	most     time.Duration
}

// permanent is a failure that the same request meets again.
func permanent(class errclass.Class, reason errclass.Reason, detail string) expectation {
	return expectation{class: class, reason: reason, detail: detail, requests: 1, most: 15 * time.Second}
}

// temporary is a failure that a later request may not meet.
func temporary(class errclass.Class, reason errclass.Reason, detail string) expectation {
	e := permanent(class, reason, detail)
	e.retry = true
	return e
}

// gives is no fault, but a result that looks like one.
func gives(value string) expectation {
	return expectation{value: value, requests: 1, most: 15 * time.Second}
}

// late is running out of the [patience].
func late(phase errclass.Reason, detail string) expectation {
	e := temporary(errclass.Timeout, phase, detail)
	e.least = patience
	return e
}

// after is the wait that the upstream asks for.
func (e expectation) after(wait time.Duration) expectation { e.wait = wait; return e }

// once is said of a request that may have taken effect, and must not be repeated
// without a thought.
func (e expectation) once() expectation { e.retry = false; return e }

// sent is the number of requests until the outcome.
func (e expectation) sent(n int) expectation { e.requests = n; return e }

const (
	// patience is the tool's timeout where a row expects one: long enough for a
	// busy machine to get as far as the row wants. All that isn't slow has plenty.
	patience = 2 * time.Second
	plenty   = 30 * time.Second
	// mostBytes is the tool's maxResponseBytes where the row sets none.
	mostBytes = 64 << 10
	// secret begins each value that must not come out.
	secret = "SEKRET"
)

func TestMatrix(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Run("faults", func(t *testing.T) {
		var waiting sync.WaitGroup
		for _, family := range matrix {
			for _, f := range family.faults {
				name := family.name + "/" + f.name
				if f.slow() { // all at once, however few tests run in parallel
					waiting.Go(func() { t.Run(name, f.run) })
					continue
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					f.run(t)
				})
			}
		}
		waiting.Wait()
	})
	goleak.VerifyNone(t, before)
}

// slow rows wait for the tool's timeout.
func (f *fault) slow() bool { return f.hasty || f.want.class == errclass.Timeout }

func (f *fault) run(t *testing.T) {
	if f.pending != "" {
		t.Skip("pending: " + f.pending)
	}
	up := f.serve(t)
	rt, err := httptool.LoopbackTransport(up.policy, up.resolver, up.tls)
	require.NoError(t, err)
	t.Cleanup(rt.CloseIdleConnections)
	tool := f.tool(t, up.url)
	ctx := t.Context()
	if f.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.deadline)
		defer cancel()
	}
	for range f.times - 1 {
		_, err := tool.Run(ctx, rt, httptool.Input{})
		require.Error(t, err)
	}
	began := time.Now()
	resp, err := tool.Run(ctx, rt, httptool.Input{})
	took := time.Since(began)
	require.GreaterOrEqual(t, took, f.want.least)
	require.Less(t, took, f.want.most)
	if f.want.class == "" {
		require.NoError(t, err)
		require.Equal(t, f.want.value, string(resp.Value))
		require.Equal(t, f.want.requests, resp.Attempts)
		return
	}
	require.Nil(t, resp)
	var e *errclass.Error
	require.ErrorAs(t, err, &e)
	f.want.check(t, e)
	if f.want.class == errclass.Timeout && f.deadline == 0 {
		require.Equal(t, patience, e.Limit)
	}
}

func (f *fault) tool(t *testing.T, address string) *httptool.Tool {
	headers := map[string]any{"X-Key": secret + "-header"}
	maps.Copy(headers, f.config.Headers)
	auth := &httptool.Auth{Type: "bearer", Config: map[string]any{"token": secret + "-token"}}
	address += "/x?key=" + secret + "-query"
	if f.graphql {
		tool, faults := httptool.CompileGraphQL(httptool.GraphQLConfig{Endpoint: address, Headers: headers, Query: "{a}"}, auth, nil)
		require.Empty(t, faults)
		return tool
	}
	cfg := f.config
	cfg.URL, cfg.Headers = address, headers
	if cfg.MaxResponseBytes == 0 {
		cfg.MaxResponseBytes = mostBytes
	}
	cfg.Timeout = int(plenty / time.Millisecond)
	if f.slow() {
		cfg.Timeout = int(patience / time.Millisecond)
	}
	return compile(t, cfg, auth)
}

func (e expectation) check(t *testing.T, got *errclass.Error) {
	require.Equal(t, e.class, got.Class, "%v (%v)", got, got.Cause)
	require.Equal(t, e.reason, got.Reason, "%v", got)
	require.Equal(t, e.retry, got.Retryable, "%v", got)
	require.Contains(t, got.Detail, e.detail)
	require.Equal(t, e.requests, got.Attempts)
	require.LessOrEqual(t, got.RetryAfter, e.wait)
	if e.wait < 10*time.Second {
		require.Equal(t, e.wait, got.RetryAfter)
	} else { // time goes on while a row runs
		require.Greater(t, got.RetryAfter, e.wait-10*time.Second)
	}
	require.Equal(t, e.stopped(got), got.Stopped)
	require.NotEmpty(t, got.Upstream.Host)
	require.Equal(t, got.Class == errclass.HTTPError, got.Upstream.Status >= 400)
	require.Equal(t, got.Class == errclass.Timeout, errors.Is(got, context.DeadlineExceeded))
	document, err := errclass.Outcome{Err: got, Details: got.Details()}.AppendJSON(nil)
	require.NoError(t, err)
	require.NotContains(t, string(document), secret)
}

// stopped is why there was no further attempt: the rows have no retries left.
func (e expectation) stopped(got *errclass.Error) errclass.Stopped {
	switch {
	case !e.retry:
		return errclass.StoppedNotRetryable
	case got.Class == errclass.Timeout && got.Limit == 0:
		return errclass.StoppedDeadline
	}
	return errclass.StoppedMaxAttempts
}
