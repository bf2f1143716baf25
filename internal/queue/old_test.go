package queue_test

import (
	"encoding/json"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/queue"
)

// An older server overlooks what it doesn't know in a stream's configuration: this one
// answers as 2.11 does.
func TestServerThatIsTooOld(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true})
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(patience))
	c, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	t.Cleanup(c.Close)
	answer := func(subject string, data func(*nats.Msg) any) {
		_, err := c.Subscribe(subject, func(m *nats.Msg) { m.Respond(must(json.Marshal(data(m)))) })
		require.NoError(t, err)
	}
	answer("$JS.API.INFO", func(*nats.Msg) any { return map[string]any{} })
	stream := func(m *nats.Msg) any {
		var config map[string]any
		json.Unmarshal(m.Data, &config)
		delete(config, "allow_atomic")
		return map[string]any{"config": config, "state": map[string]any{}}
	}
	answer("$JS.API.STREAM.CREATE.*", stream)
	answer("$JS.API.STREAM.UPDATE.*", func(m *nats.Msg) any {
		return map[string]any{"error": map[string]any{"code": 404, "err_code": 10059, "description": "stream not found"}}
	})
	require.NoError(t, c.Flush())

	e := open(t, queue.Options{URL: s.ClientURL(), Replicas: 1})
	_, err = e.Keys(t.Context())
	require.ErrorContains(t, err, "is too old: version 2.12 or later is needed")
	_, err = e.Definitions(t.Context())
	require.ErrorContains(t, err, "is too old")
}
