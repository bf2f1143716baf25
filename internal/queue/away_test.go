package queue_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/queue"
)

// The NATS server is away for longer than a lease while a tool that isn't idempotent
// runs. Its worker lives, so another one that is handed the job leaves it alone.
func TestServerAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opts := server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir}
	s := startServer(t, &opts)
	url := s.ClientURL()
	settings := workerSettings{URL: url, Lease: shortLease, Concurrency: 4}
	x := executions(t, open(t, queue.Options{URL: url, Replicas: 1}), queue.ExecutionsOptions{Lease: shortLease})
	startWorker(t, settings)
	startWorker(t, settings)
	file := filepath.Join(t.TempDir(), "runs")
	id := submit(t, x, queue.Submission{Tool: "echo", Parameters: parameters(t, plan{File: file, Wait: 5 * time.Second})}).ID
	becomes(t, "it runs", func() bool { return noted(t, file, "begin") == 1 })

	s.Shutdown()
	s.WaitForShutdown()
	again := server.Options{Host: "127.0.0.1", Port: opts.Port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir}
	require.NotZero(t, again.Port)
	time.Sleep(3 * shortLease) // the lease is time itself
	startServer(t, &again)

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var done queue.Execution
	becomes(t, "the waiter is through", func() (ok bool) {
		var err error
		done, err = x.Wait(ctx, "acme", id)
		return err == nil
	})
	require.Empty(t, done.Class, "%s", done.Reason)
	require.Equal(t, 1, done.Attempts)
	require.Equal(t, 1, noted(t, file, "begin"))
	empties(t, x)
}

func startServer(t *testing.T, opts *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(opts)
	require.NoError(t, err)
	s.Start()
	require.True(t, s.ReadyForConnections(patience))
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}
