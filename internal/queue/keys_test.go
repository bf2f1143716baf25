package queue_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/access"
	"github.com/almyty-inc/toolrun/internal/queue"
)

func keys(t testing.TB, e *queue.Engine) *queue.Keys {
	t.Helper()
	k, err := e.Keys(t.Context())
	require.NoError(t, err)
	return k
}

func newKey(t testing.TB, organization string) access.Key {
	t.Helper()
	key, _, err := access.NewKey(access.Key{Name: "ci", Organization: organization, Role: access.Member, Tools: []string{"add"}})
	require.NoError(t, err)
	return key
}

func TestKeys(t *testing.T) {
	a, b := pair(t)
	ka, kb := keys(t, a), keys(t, b)
	var _ access.Keys = ka

	key := newKey(t, "acme")
	require.NoError(t, ka.Create(t.Context(), key))
	got, ok := ka.KeyByHash(key.Hash)
	require.True(t, ok, "the node that made it knows it at once")
	require.Equal(t, key, got)
	require.ErrorIs(t, kb.Create(t.Context(), key), queue.ErrTaken)
	_, ok = ka.KeyByHash("")
	require.False(t, ok)
	require.Error(t, ka.Create(t.Context(), access.Key{ID: "x", Organization: "acme"}), "no hash")

	// Who comes later knows all there is.
	got, ok = keys(t, b).KeyByHash(key.Hash)
	require.True(t, ok)
	require.Equal(t, key, got)

	_, err := ka.Revoke(t.Context(), "evil", key.ID)
	require.ErrorIs(t, err, queue.ErrNotFound)
	_, err = ka.Revoke(t.Context(), "acme", "*")
	require.ErrorIs(t, err, queue.ErrNotFound)
	revoked, err := kb.Revoke(t.Context(), "acme", key.ID)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), revoked.RevokedAt, time.Minute)
	got, ok = kb.KeyByHash(key.Hash)
	require.True(t, ok, "the record stays")
	require.Equal(t, revoked, got)
	require.Eventually(t, func() bool {
		got, _ := ka.KeyByHash(key.Hash)
		return !got.RevokedAt.IsZero()
	}, 10*time.Second, time.Millisecond)
	again, err := ka.Revoke(t.Context(), "acme", key.ID)
	require.NoError(t, err)
	require.Equal(t, revoked, again, "the time of the first revocation stays")
}

func TestKeyList(t *testing.T) {
	dir := t.TempDir()
	e := open(t, queue.Options{Dir: dir})
	k := keys(t, e)
	var made []access.Key
	for n := range 3 {
		key := newKey(t, "acme")
		key.CreatedAt = key.CreatedAt.Add(time.Duration(n) * time.Second)
		made = append(made, key)
		require.NoError(t, k.Create(t.Context(), key))
		require.NoError(t, k.Create(t.Context(), newKey(t, "other")))
	}
	made[1], _ = k.Revoke(t.Context(), "acme", made[1].ID)
	list, err := k.List(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, made, list)

	require.NoError(t, e.Close())
	list, err = keys(t, open(t, queue.Options{Dir: dir})).List(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, made, list)
}

// What somebody else put into the bucket opens nothing and takes nothing away.
func TestKeyRecordsAreDistrusted(t *testing.T) {
	dir := t.TempDir()
	k := keys(t, open(t, queue.Options{Dir: dir}))
	key := newKey(t, "acme")
	require.NoError(t, k.Create(t.Context(), key))
	kv, err := joined(t, dir).KeyValue(t.Context(), "toolrun_keys")
	require.NoError(t, err)
	names, err := kv.Keys(t.Context())
	require.NoError(t, err)
	require.Len(t, names, 1)
	for n, record := range []string{"", "{}", "null", `{"id":"x","organization":"acme","hash":"h","role":"admin"}`} {
		_, err = kv.PutString(t.Context(), fmt.Sprintf("a.b%d", n), record)
		require.NoError(t, err)
	}
	_, err = kv.PutString(t.Context(), names[0], `{"id":`)
	require.NoError(t, err)
	require.NoError(t, k.Create(t.Context(), newKey(t, "acme"))) // seen after all of those
	_, ok := k.KeyByHash("h")
	require.False(t, ok)
	got, ok := k.KeyByHash(key.Hash)
	require.True(t, ok)
	require.Equal(t, key, got)
}

func BenchmarkKeyByHash(b *testing.B) {
	k := keys(b, open(b, queue.Options{}))
	var last access.Key
	for range 1000 {
		last = newKey(b, "acme")
		require.NoError(b, k.Create(b.Context(), last))
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := k.KeyByHash(last.Hash); !ok {
			b.Fatal("not found")
		}
	}
}
