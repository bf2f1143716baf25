package httptool_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

// The tool's timeout is that of one attempt, so that one which hangs leaves time
// for the next.
func TestTimeoutIsOfOneAttempt(t *testing.T) {
	const stalledBody = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
	for _, tc := range []struct {
		name, method, key string
		stalled           string
		scheme            string
		retries, hangs    int
		sent              int
		reason            errclass.Reason // empty: success
		stopped           errclass.Stopped
	}{
		{"headers", "GET", "", "", "http", 2, 2, 3, "", ""},
		{"body", "GET", "", stalledBody, "http", 2, 1, 2, "", ""},
		{"body of an error", "GET", "", "HTTP/1.1 503 X\r\nContent-Length: 100\r\n\r\nhalf", "http", 2, 1, 2, "", ""},
		{"used up", "GET", "", "", "http", 1, 9, 2, errclass.PhaseHeaders, errclass.StoppedMaxAttempts},
		{"TLS", "GET", "", "", "https", 1, 9, 2, errclass.PhaseTLS, errclass.StoppedMaxAttempts},
		{"post", "POST", "", "", "http", 2, 9, 1, errclass.PhaseHeaders, errclass.StoppedNotRetryable},
		{"post with key", "POST", "k", "", "http", 2, 1, 2, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var count atomic.Int32
			addr := raw(t, func(c net.Conn) {
				if int(count.Add(1)) <= tc.hangs {
					stalls(tc.stalled)(c)
					return
				}
				says(answer("200 OK", jsonType, `"done"`))(c)
			})
			cfg := httptool.Config{Method: tc.method, URL: tc.scheme + "://" + addr, Timeout: 300, Retries: tc.retries}
			if tc.key != "" {
				cfg.Headers = map[string]any{"Idempotency-Key": tc.key}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			resp, err := compile(t, cfg).Run(ctx, allow(t, addr), httptool.Input{})
			require.EqualValues(t, tc.sent, count.Load())
			if tc.reason == "" {
				require.NoError(t, err)
				require.Equal(t, `"done"`, string(resp.Value))
				require.Equal(t, tc.sent, resp.Attempts)
				return
			}
			e := errclass.Classify(err)
			require.Equal(t, errclass.Timeout, e.Class)
			require.Equal(t, tc.reason, e.Reason)
			require.Equal(t, tc.stopped, e.Stopped)
			require.Equal(t, tc.sent, e.Attempts)
			require.Equal(t, 300*time.Millisecond, e.Limit)
			require.Contains(t, e.Detail, "after 300ms (limit: the tool's request timeout)")
		})
	}
}

// Attempts that time out stop where no other fits in before the run's deadline.
func TestAttemptsFitTheDeadline(t *testing.T) {
	addr := raw(t, stalls(""))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := compile(t, httptool.Config{URL: "http://" + addr, Timeout: 700, Retries: 10}).Run(ctx, allow(t, addr), httptool.Input{})
	e := errclass.Classify(err)
	require.Equal(t, errclass.StoppedDeadline, e.Stopped)
	require.Equal(t, 1, e.Attempts)
	require.Equal(t, 700*time.Millisecond, e.Limit)
	require.NoError(t, ctx.Err())
}

// All pages together may take longer than the tool's timeout, one may not.
func TestTimeoutIsOfOnePage(t *testing.T) {
	const pages = 4
	server, rt := serve(t, func(w http.ResponseWriter, r *http.Request) {
		page := 0
		fmt.Sscan(r.URL.Query().Get("cursor"), &page)
		if r.URL.Path == "/hangs" && page == 1 {
			<-r.Context().Done()
			return
		}
		select {
		case <-time.After(400 * time.Millisecond):
		case <-r.Context().Done():
		}
		w.Header().Set("Content-Type", "application/json")
		next := ""
		if page+1 < pages {
			next = fmt.Sprint(page + 1)
		}
		io.WriteString(w, fmt.Sprintf(`{"items":[%d],"next":%q}`, page, next))
	})
	cfg := httptool.Config{
		URL: server.URL, Timeout: 1500,
		Pagination: &httptool.Pagination{Type: "cursor", CursorPath: "next", ResultsPath: "items"},
	}
	resp, err := compile(t, cfg).Run(t.Context(), rt, httptool.Input{})
	require.NoError(t, err)
	require.Equal(t, "[0,1,2,3]", string(resp.Value))

	cfg.URL += "/hangs"
	_, err = compile(t, cfg).Run(t.Context(), rt, httptool.Input{})
	e := errclass.Classify(err)
	require.Equal(t, errclass.PhaseHeaders, e.Reason)
	require.Contains(t, e.Detail, "page 2: ")
	require.Equal(t, 1500*time.Millisecond, e.Limit)
}
