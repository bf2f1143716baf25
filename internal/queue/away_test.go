package queue_test

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/queue"
)

// The NATS server is away for longer than a lease while a tool that isn't idempotent
// runs. Its worker lives, though it is back later than another one that is handed the job
// meanwhile and has to leave it alone.
func TestServerAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opts := server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir}
	s := startServer(t, &opts)
	url := s.ClientURL()
	line := newLine(t, s.Addr().String())
	x := executions(t, open(t, queue.Options{URL: url, Replicas: 1}), queue.ExecutionsOptions{Lease: shortLease})
	startWorker(t, workerSettings{URL: "nats://" + line.addr, Lease: shortLease, Concurrency: 4})
	file := filepath.Join(t.TempDir(), "runs")
	id := submit(t, x, queue.Submission{Tool: "echo", Parameters: parameters(t, plan{File: file, Wait: 5 * time.Second})}).ID
	becomes(t, "it runs", func() bool { return noted(t, file, "begin") == 1 })
	startWorker(t, workerSettings{URL: url, Lease: shortLease, Concurrency: 4})

	line.cut()
	s.Shutdown()
	s.WaitForShutdown()
	again := server.Options{Host: "127.0.0.1", Port: opts.Port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: dir}
	require.NotZero(t, again.Port)
	time.Sleep(3 * shortLease) // the lease is time itself
	startServer(t, &again)
	time.Sleep(2 * shortLease)
	line.mend(t)

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

// line leads to a server, and can be cut.
type line struct {
	addr, to string

	mu       sync.Mutex
	listener net.Listener
	open     []net.Conn
}

func newLine(t *testing.T, to string) *line {
	l := &line{addr: "127.0.0.1:0", to: to}
	l.mend(t)
	t.Cleanup(l.cut)
	return l
}

func (l *line) mend(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", l.addr)
	require.NoError(t, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener, l.addr = listener, listener.Addr().String()
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", l.to)
			if err != nil {
				near.Close()
				continue
			}
			l.mu.Lock()
			l.open = append(l.open, near, far)
			l.mu.Unlock()
			for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1])
					pair[0].Close()
				}()
			}
		}
	}()
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener.Close()
	for _, c := range l.open {
		c.Close()
	}
	l.open = nil
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
