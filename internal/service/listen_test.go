package service_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/runner"
)

func TestListenStaysOnLoopback(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "127.9.8.7:0", "localhost:0", "[::ffff:127.0.0.1]:0"} {
		l, err := service.Listen(t.Context(), addr)
		require.NoError(t, err, addr)
		require.True(t, l.Addr().(*net.TCPAddr).IP.IsLoopback(), addr)
		require.NoError(t, l.Close())
	}
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "10.0.0.1:8080", "[fe80::1]:0", "[::ffff:0.0.0.0]:0"} {
		_, err := service.Listen(t.Context(), addr)
		require.ErrorContains(t, err, "refusing to listen on", addr)
		require.ErrorContains(t, err, "use 127.0.0.1", addr)
	}
	for _, addr := range []string{"", "127.0.0.1", "8080", "::1:80:"} {
		_, err := service.Listen(t.Context(), addr)
		require.ErrorContains(t, err, "must read host:port", addr)
	}
	_, err := service.Listen(t.Context(), "name.invalid:0")
	require.ErrorContains(t, err, "can't be resolved")
}

func TestListenSaysThatThePortIsTaken(t *testing.T) {
	l, err := service.Listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	_, err = service.Listen(t.Context(), l.Addr().String())
	require.ErrorContains(t, err, "can't listen on "+l.Addr().String())
}

func TestServeRefusesForeignListeners(t *testing.T) {
	r, err := runner.New(runner.Options{})
	require.NoError(t, err)
	defer r.Close(t.Context())
	server, err := service.New(service.Options{Runner: r})
	require.NoError(t, err)
	require.ErrorContains(t, server.Serve(t.Context(), nil), "there is no listener")
	l, err := net.Listen("tcp", "0.0.0.0:0")
	require.NoError(t, err)
	defer l.Close()
	require.ErrorContains(t, server.Serve(t.Context(), l), "refusing to listen on")
}
