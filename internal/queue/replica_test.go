package queue_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/queue"
)

// A watch that silently gets nothing any more is noticed.
func TestWatchWithoutConsumer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	k := keys(t, open(t, queue.Options{Dir: dir}))
	s, err := joined(t, dir).Stream(t.Context(), "KV_toolrun_keys")
	require.NoError(t, err)
	consumers := s.ConsumerNames(t.Context())
	for name := range consumers.Name() {
		require.NoError(t, s.DeleteConsumer(t.Context(), name))
	}
	require.NoError(t, consumers.Err())

	key := newKey(t, "acme")
	require.NoError(t, k.Create(t.Context(), key))
	_, ok := k.KeyByHash(key.Hash)
	require.True(t, ok)
}

// A bucket that was lost, or put back from an older copy, is read again.
func TestBucketLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := open(t, queue.Options{Dir: dir})
	k := keys(t, e)
	for range 5 {
		require.NoError(t, k.Create(t.Context(), newKey(t, "acme")))
	}
	js := joined(t, dir)
	require.NoError(t, js.DeleteStream(t.Context(), "KV_toolrun_keys"))
	require.Error(t, e.Ready())
	require.Error(t, k.Create(t.Context(), newKey(t, "acme")))
	again := keys(t, e) // makes the bucket, whose old files are still being removed
	require.NoError(t, e.Ready())

	key := newKey(t, "acme")
	require.NoError(t, again.Create(t.Context(), key))
	require.Eventually(t, func() bool {
		_, ok := k.KeyByHash(key.Hash)
		return ok
	}, 30*time.Second, 10*time.Millisecond)
}
