package queue

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/nats-io/nats.go"
)

// maxSocketPath is what every system takes: macOS has room for 103 bytes, Linux for 107.
const maxSocketPath = 103

// socket lets other processes of the same user use the embedded server, which
// listens nowhere else.
type socket struct {
	listener net.Listener
	dial     func() (net.Conn, error)

	mu      sync.Mutex
	closed  bool
	conns   map[net.Conn]struct{}
	running sync.WaitGroup
}

func socketPath(dir string) (string, error) {
	path := filepath.Join(dir, "toolrun.sock")
	if len(path) > maxSocketPath {
		return "", fmt.Errorf("%s is longer than the %d bytes of a socket's path: use a folder with a shorter one", path, maxSocketPath)
	}
	return path, nil
}

// listenSocket bridges connections to the socket in dir to what dial makes. The caller
// holds the lock of dir, so a socket that is there already is a dead one's.
func listenSocket(dir string, dial func() (net.Conn, error)) (*socket, error) {
	path, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	s := &socket{listener: listener, dial: dial, conns: make(map[net.Conn]struct{})}
	s.running.Go(s.accept)
	return s, nil
}

func (s *socket) accept() {
	for {
		outside, err := s.listener.Accept()
		if err != nil {
			return
		}
		inside, err := s.dial()
		if err != nil {
			_ = outside.Close()
			continue
		}
		if !s.track(outside, inside) {
			return
		}
		s.running.Go(func() { s.pipe(outside, inside) })
		s.running.Go(func() { s.pipe(inside, outside) })
	}
}

// track remembers connections for close; it closes them when that was already.
func (s *socket) track(conns ...net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range conns {
		if s.closed {
			_ = c.Close()
			continue
		}
		s.conns[c] = struct{}{}
	}
	return !s.closed
}

// pipe copies until one side ends, which ends both.
func (s *socket) pipe(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range []net.Conn{to, from} {
		_ = c.Close()
		delete(s.conns, c)
	}
}

// close ends all connections. A nil socket has none.
func (s *socket) close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.closed = true
	_ = s.listener.Close() // also removes the file
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

// socketDialer is how the NATS client reaches a socket.
type socketDialer string

func (path socketDialer) InProcessConn() (net.Conn, error) {
	return net.DialTimeout("unix", string(path), dialPatience)
}

// joinSocket connects to the process that has dir.
func joinSocket(dir string, opts []nats.Option) (*nats.Conn, error) {
	path, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	return nats.Connect("", append(opts, nats.InProcessServer(socketDialer(path)))...)
}
