package queue_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/queue"
)

// receiver takes webhooks; answer gets how many of this execution came before.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    map[string]int
	faults []string
}

func receive(t testing.TB, answer func(w http.ResponseWriter, before int)) *receiver {
	t.Helper()
	r := &receiver{got: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		before := r.got[req.Header.Get("Webhook-Id")]
		r.got[req.Header.Get("Webhook-Id")]++
		if fault := verify(req, body); fault != "" {
			r.faults = append(r.faults, fault)
		}
		r.mu.Unlock()
		answer(w, before)
	}))
	t.Cleanup(func() {
		r.Close()
		require.Empty(t, r.faults)
	})
	return r
}

func (r *receiver) count(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[id]
}

var master = []byte("master")

// verify checks a webhook as the Standard Webhooks specification says.
func verify(req *http.Request, body []byte) (fault string) {
	secret, ok := strings.CutPrefix(queue.WebhookSecret(master, "acme"), "whsec_")
	key, err := base64.StdEncoding.DecodeString(secret)
	if !ok || err != nil || len(key) != 32 {
		return "secret"
	}
	at := req.Header.Get("Webhook-Timestamp")
	if seconds, err := strconv.ParseInt(at, 10, 64); err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute {
		return "timestamp"
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(req.Header.Get("Webhook-Id") + "." + at + "." + string(body)))
	if req.Header.Get("Webhook-Signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		return "signature"
	}
	var document struct {
		Type, Timestamp string
		Data            struct {
			ID, State string
			Outcome   struct{ Success *bool }
		}
	}
	switch err := json.Unmarshal(body, &document); {
	case err != nil:
		return err.Error()
	case document.Type != "execution.done" || document.Data.ID != req.Header.Get("Webhook-Id") || document.Data.State != "done":
		return string(body)
	case document.Data.Outcome.Success == nil || req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/json":
		return "request"
	}
	return ""
}

// delivered waits until an execution's webhook is no longer pending.
func delivered(t testing.TB, x *queue.Executions, id string) queue.Delivery {
	t.Helper()
	var last queue.Delivery
	becomes(t, "the webhook ends", func() bool {
		e, err := x.Get(t.Context(), "acme", id)
		if err != nil || e.Webhook == nil {
			return false
		}
		last = *e.Webhook
		return last.State != "pending"
	})
	return last
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	schedule := []time.Duration{0, 10 * time.Millisecond, 20 * time.Millisecond}
	work(t, x, queue.WorkerOptions{Runner: newTools(), Webhooks: queue.WebhookOptions{
		Transport: transport, Secret: master, Schedule: schedule, Timeout: 200 * time.Millisecond}})
	over := make(chan struct{})
	elsewhere := receive(t, func(http.ResponseWriter, int) {})
	tests := []struct {
		name   string
		answer func(w http.ResponseWriter, before int)
		want   queue.Delivery
	}{
		{"at once", func(w http.ResponseWriter, _ int) { w.WriteHeader(204) }, queue.Delivery{State: "delivered", Attempts: 1, Status: 204}},
		{"at the third try", func(w http.ResponseWriter, before int) {
			if before < 2 {
				w.WriteHeader(503)
			}
		}, queue.Delivery{State: "delivered", Attempts: 3, Status: 200}},
		{"never", func(w http.ResponseWriter, _ int) { w.WriteHeader(500) },
			queue.Delivery{State: "failed", Attempts: 3, Status: 500, Error: "the receiver answered 500: it must answer 2xx"}},
		{"gone", func(w http.ResponseWriter, _ int) { w.WriteHeader(410) },
			queue.Delivery{State: "failed", Attempts: 1, Status: 410, Error: "the receiver answered 410 Gone: it wants no more webhooks"}},
		{"redirect", func(w http.ResponseWriter, _ int) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(307)
		}, queue.Delivery{State: "failed", Attempts: 3, Status: 307,
			Error: "the receiver answered 307: redirects aren't followed; give the address that they lead to"}},
		{"slow", func(http.ResponseWriter, int) { <-over }, queue.Delivery{State: "failed", Attempts: 3,
			Error: "Timeout: 127.0.0.1. The target is slow to answer; try again or raise the tool's timeout."}},
	}
	for _, tt := range tests {
		r := receive(t, tt.answer)
		e := submit(t, x, queue.Submission{Tool: "echo", Webhook: r.URL + "/hook"})
		got := delivered(t, x, e.ID)
		if tt.name == "slow" {
			require.Contains(t, got.Error, "Timeout")
			got.Error = tt.want.Error
			close(over)
		}
		require.Equal(t, tt.want, got, tt.name)
		require.Equal(t, tt.want.Attempts, r.count(e.ID), tt.name)
	}
	require.Empty(t, elsewhere.got)

	r := receive(t, func(http.ResponseWriter, int) {})
	cancelled := submit(t, x, queue.Submission{Tool: "hold", Webhook: r.URL})
	_, err := x.Cancel(t.Context(), "acme", cancelled.ID)
	require.NoError(t, err)
	require.Equal(t, "delivered", delivered(t, x, cancelled.ID).State)
	becomes(t, "no webhook is left", func() bool {
		_, _, _, hooks, err := x.StreamState(t.Context())
		return err == nil && hooks == 0
	})
	address := "https://" + strings.Repeat("x", 992) // 1000 bytes
	submit(t, x, queue.Submission{Tool: "echo", Webhook: address})
	_, _, err = x.Submit(t.Context(), queue.Submission{Organization: "acme", Tool: "echo", Webhook: address + "x"})
	require.ErrorContains(t, err, "longer than 1000 bytes")
}

// A receiver of one organization that never answers leaves others' webhooks to be sent.
func TestSlowReceiverDelaysOthersLittle(t *testing.T) {
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	work(t, x, queue.WorkerOptions{Runner: newTools(), Webhooks: queue.WebhookOptions{
		Transport: transport, Secret: master, Timeout: patience, Concurrency: 2, Schedule: []time.Duration{0}}})
	entered, over := make(chan struct{}, 10), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		entered <- struct{}{}
		<-over
	}))
	t.Cleanup(slow.Close)
	for range 10 {
		submit(t, x, queue.Submission{Organization: "flood", Tool: "echo", Webhook: slow.URL})
	}
	<-entered
	<-entered
	r := receive(t, func(http.ResponseWriter, int) {})
	for range 5 {
		id := submit(t, x, queue.Submission{Tool: "echo", Webhook: r.URL}).ID
		require.Equal(t, "delivered", delivered(t, x, id).State)
	}
	require.Empty(t, entered, "not more than two of the slow one at once")
	close(over)
}

// An address that the egress policy forbids is never called, and the record says why.
func TestWebhookBlocked(t *testing.T) {
	guarded, err := httptool.NewTransport(httptool.Policy{})
	require.NoError(t, err)
	t.Cleanup(guarded.CloseIdleConnections)
	x := executions(t, open(t, queue.Options{}), queue.ExecutionsOptions{})
	work(t, x, queue.WorkerOptions{Runner: newTools(), Webhooks: queue.WebhookOptions{Transport: guarded, Secret: master}})
	r := receive(t, func(http.ResponseWriter, int) {})
	got := delivered(t, x, submit(t, x, queue.Submission{Tool: "echo", Webhook: r.URL}).ID)
	require.Equal(t, "failed", got.State)
	require.Equal(t, 1, got.Attempts)
	require.Contains(t, got.Error, "Request blocked")
	require.Contains(t, got.Error, "add it to the egress policy's allow list")
	require.Empty(t, r.got)
}

// The node starts again between two tries.
func TestWebhookSurvivesRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	first := make(chan struct{}, 10)
	r := receive(t, func(w http.ResponseWriter, before int) {
		first <- struct{}{}
		if before == 0 {
			w.WriteHeader(500)
		}
	})
	hooks := queue.WebhookOptions{Transport: transport, Secret: master, Schedule: []time.Duration{0, 300 * time.Millisecond}, Timeout: time.Second}
	e, err := queue.Open(t.Context(), queue.Options{Dir: dir})
	require.NoError(t, err)
	x, err := e.Executions(t.Context(), queue.ExecutionsOptions{Lease: shortLease})
	require.NoError(t, err)
	stop := work(t, x, queue.WorkerOptions{Runner: newTools(), Webhooks: hooks})
	id := submit(t, x, queue.Submission{Tool: "echo", Webhook: r.URL}).ID
	<-first
	stop()
	require.NoError(t, x.Close())
	require.NoError(t, e.Close())

	x = executions(t, open(t, queue.Options{Dir: dir}), queue.ExecutionsOptions{Lease: shortLease})
	work(t, x, queue.WorkerOptions{Runner: newTools(), Webhooks: hooks})
	require.Equal(t, queue.Delivery{State: "delivered", Attempts: 2, Status: 200}, delivered(t, x, id))
}
