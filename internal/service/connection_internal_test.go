package service

import (
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The longest idle connection makes room first, and none that was answered just now.
func TestLongestIdleMakesRoom(t *testing.T) {
	l := newBoundListener(nil, nil, 3, time.Second)
	gone := make(map[*connection]net.Conn)
	open := func() *connection {
		client, server := net.Pipe()
		t.Cleanup(func() { client.Close() })
		c := &connection{Conn: server, raw: server}
		gone[c] = client
		return c
	}
	first, second, busy := open(), open(), open()
	for _, c := range []*connection{second, first, busy} {
		l.track(c, http.StateIdle)
	}
	for _, c := range []*connection{second, busy} {
		l.track(c, http.StateActive)
	}
	l.track(second, http.StateIdle)

	require.Equal(t, idleMoment/2, l.makeRoom(first.idleSince.Add(idleMoment/2)))
	later := second.idleSince.Add(idleMoment)
	for _, c := range []*connection{first, second} {
		require.Zero(t, l.makeRoom(later))
		_, err := gone[c].Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		l.track(c, http.StateClosed)
	}
	require.Equal(t, idleMoment, l.makeRoom(later.Add(time.Hour)))
	require.NoError(t, gone[busy].SetReadDeadline(time.Unix(1, 0)))
	_, err := gone[busy].Read(make([]byte, 1))
	require.False(t, errors.Is(err, io.EOF), "one that is asked stays")
}
