package queue_test

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// joined is JetStream as any client of the socket in dir sees it.
func joined(t testing.TB, dir string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect("", nats.InProcessServer(unixDialer(filepath.Join(dir, "toolrun.sock"))))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return js
}

type unixDialer string

func (path unixDialer) InProcessConn() (net.Conn, error) { return net.Dial("unix", string(path)) }

// node is a NATS server on loopback, with JetStream.
type node struct {
	*server.Server
	opts server.Options
}

func serve(t testing.TB, adapt func(*server.Options)) *node {
	t.Helper()
	n := &node{opts: server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		JetStreamMaxMemory: 1 << 28, JetStreamMaxStore: 1 << 30,
	}}
	if adapt != nil {
		adapt(&n.opts)
	}
	t.Cleanup(n.stop)
	n.start(t)
	require.True(t, n.ReadyForConnections(10*time.Second))
	return n
}

func (n *node) start(t testing.TB) {
	t.Helper()
	opts := n.opts
	s, err := server.NewServer(&opts)
	require.NoError(t, err)
	n.Server = s
	n.Start()
}

func (n *node) stop() {
	if addr, ok := n.Addr().(*net.TCPAddr); ok {
		n.opts.Port = addr.Port
	}
	n.Shutdown()
	n.WaitForShutdown()
}
