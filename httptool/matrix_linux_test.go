package httptool_test

import (
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fullQueue is a port that nobody accepts connections on and whose queue has no
// room left: Linux answers further ones with nothing.
func fullQueue(t *testing.T) upstream {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	socket, err := l.(*net.TCPListener).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, socket.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }))
	require.NoError(t, err)
	for range 10 {
		c, err := net.DialTimeout("tcp", l.Addr().String(), 100*time.Millisecond)
		if err != nil {
			return at("http", l.Addr().String())
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Fatal("the queue has room without an end")
	return upstream{}
}
