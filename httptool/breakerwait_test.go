package httptool_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

// That we have no connection to spare says nothing about the upstream: no breaker
// opens, neither where the wait for one ends by the caller's deadline nor by ours.
func TestBreakerWaitForRoom(t *testing.T) {
	for _, tc := range []struct {
		name     string
		patience time.Duration
		bare     bool // no tool, as llm tools have it
	}{
		{"caller's deadline", 300 * time.Millisecond, false},
		{"our own limit", time.Minute, false},
		{"caller's deadline, bare", 300 * time.Millisecond, true},
		{"our own limit, bare", time.Minute, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			held := make(chan struct{})
			var once sync.Once
			slow := raw(t, func(c net.Conn) { once.Do(func() { close(held) }); stalls("")(c) })
			healthy := raw(t, says(answer("200 OK", jsonType, "1")))
			rt := quick(t, time.Minute, 1, slow, healthy)

			ctx, cancel := context.WithCancel(t.Context())
			var holder sync.WaitGroup
			holder.Go(func() { failure(ctx, compile(t, httptool.Config{URL: "http://" + slow}), rt) })
			defer holder.Wait()
			defer cancel()
			<-held

			tool := compile(t, httptool.Config{URL: "http://" + healthy})
			ask := func(ctx context.Context) error {
				_, err := tool.Run(ctx, rt, httptool.Input{})
				return err
			}
			if tc.bare {
				ask = func(ctx context.Context) error {
					req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+healthy, nil)
					_, err := rt.RoundTrip(req)
					return err
				}
			}
			var waiting sync.WaitGroup
			for range 6 {
				waiting.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), tc.patience)
					defer cancel()
					err := ask(ctx)
					if e := errclass.Classify(err); e.Class != errclass.Timeout {
						t.Errorf("%s: %s", e.Class, e.Detail)
					}
				})
			}
			waiting.Wait()
			require.Empty(t, rt.Breakers())
		})
	}
}
