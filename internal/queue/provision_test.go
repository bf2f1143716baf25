package queue

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

func openMemory(t testing.TB) *Engine {
	t.Helper()
	e, err := Open(t.Context(), Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

func TestProvision(t *testing.T) {
	e := openMemory(t)
	said := func(code jetstream.ErrorCode) error { return &jetstream.APIError{ErrorCode: code, Description: "said"} }
	for _, tc := range []struct {
		name  string
		fails []error
		tries int
		err   string
		left  int // replicas
	}{
		{"at once", nil, 1, "", 3},
		{"a leader has to be elected", []error{said(codeUnavailable), said(codeNotLeader), said(codeStreamOffline)}, 4, "", 3},
		{"servers come one after the other", []error{said(codeNoPeers), nats.ErrNoResponders, context.DeadlineExceeded}, 4, "", 3},
		{"another node made it just now", []error{said(codeStreamExists)}, 2, "", 3},
		{"no cluster", []error{said(codeNoReplicas)}, 2, "", 1},
		{"for good", []error{said(10052)}, 1, "can't set up x: nats: API error: code=0 err_code=10052 description=said", 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tries, replicas := 0, 3
			err := e.provision(t.Context(), "x", &replicas, func(context.Context) error {
				tries++
				if tries <= len(tc.fails) {
					return tc.fails[tries-1]
				}
				return nil
			})
			if tc.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, tc.err)
			}
			require.Equal(t, tc.tries, tries)
			require.Equal(t, tc.left, replicas)
		})
	}

	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	defer cancel()
	replicas := 3
	err := e.provision(ctx, "x", &replicas, func(context.Context) error { return said(codeNoPeers) })
	require.ErrorContains(t, err, "with 3 copies: are there as many servers")
}

// Nodes that start at once make the same streams.
func TestProvisionAtOnce(t *testing.T) {
	e := openMemory(t)
	const nodes = 8
	errs := make(chan error, nodes)
	for range nodes {
		go func() {
			_, err1 := e.Keys(t.Context())
			_, err2 := e.Definitions(t.Context())
			_, err3 := e.Rates(t.Context())
			_, err4 := e.bucket(t.Context(), jetstream.KeyValueConfig{Bucket: "toolrun_test", TTL: time.Minute})
			errs <- errors.Join(err1, err2, err3, err4)
		}()
	}
	for range nodes {
		require.NoError(t, <-errs)
	}
}

// Copies that a server can't keep are refused, where somebody asked for them.
func TestReplicasWithoutCluster(t *testing.T) {
	e, err := Open(t.Context(), Options{Replicas: 3, SyncAlways: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	_, err = e.Keys(t.Context())
	require.ErrorContains(t, err, "non-clustered")
}

func BenchmarkPublish(b *testing.B) {
	for _, bench := range []struct {
		name string
		sync bool
	}{{"plain", false}, {"sync-always", true}} {
		b.Run(bench.name, func(b *testing.B) {
			e, err := Open(b.Context(), Options{Dir: b.TempDir(), SyncAlways: bench.sync})
			require.NoError(b, err)
			b.Cleanup(func() { require.NoError(b, e.Close()) })
			_, err = e.stream(b.Context(), jetstream.StreamConfig{Name: "bench", Subjects: []string{"bench.>"}})
			require.NoError(b, err)
			msg := &nats.Msg{Subject: "bench.x", Data: make([]byte, 1024)}
			b.ReportAllocs()
			for b.Loop() {
				_, err := e.publish(b.Context(), msg)
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkCommit(b *testing.B) {
	e, err := Open(b.Context(), Options{Dir: b.TempDir()})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, e.Close()) })
	l, err := e.ledger(b.Context(), "bench", 5)
	require.NoError(b, err)
	for name, keys := range map[string][]string{"one": {"a"}, "two": {"a", "b"}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				var writes []write
				for _, key := range keys {
					_, revision, err := l.get(b.Context(), key)
					require.NoError(b, err)
					writes = append(writes, write{key: key, value: []byte("x"), revision: revision})
				}
				_, err := l.commit(b.Context(), writes...)
				require.NoError(b, err)
			}
		})
	}
}

// Who makes a stream at the same time as others may get no answer. The first try doesn't
// wait long for one; later ones, of a cluster that is slow, do.
func TestProvisionWithoutAnAnswer(t *testing.T) {
	var patience []time.Duration
	replicas := 1
	require.NoError(t, openMemory(t).provision(t.Context(), "x", &replicas, func(ctx context.Context) error {
		end, ok := ctx.Deadline()
		require.True(t, ok)
		patience = append(patience, time.Until(end))
		if len(patience) == 1 {
			<-ctx.Done()
			return ctx.Err()
		}
		if len(patience) < 6 {
			return nats.ErrTimeout
		}
		return nil
	}))
	require.InDelta(t, firstProvisionTry, patience[0], float64(firstProvisionTry)/2)
	require.InDelta(t, provisionTry, patience[5], float64(provisionTry)/2)
}
