package queue

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// All or nothing, whichever write can't be.
func TestCommit(t *testing.T) {
	l, err := openMemory(t).ledger(t.Context(), "ledger", 5)
	require.NoError(t, err)
	holds := func(key, want string) (revision uint64) {
		value, revision, err := l.get(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, want, string(value))
		return revision
	}

	last, err := l.commit(t.Context(), write{key: "a", value: []byte("1")}, write{key: "b", value: []byte("2")})
	require.NoError(t, err)
	a, b := holds("a", "1"), holds("b", "2")
	require.Equal(t, []uint64{last - 1, last}, []uint64{a, b})

	for _, writes := range [][]write{
		{{key: "c", value: []byte("3")}, {key: "a", value: []byte("3")}},
		{{key: "a", value: []byte("3")}, {key: "c", value: []byte("3")}},
		{{key: "a", value: []byte("3"), revision: a}, {key: "b", revision: b + 1}},
		{{key: "a", revision: a}, {key: "c", value: []byte("3"), revision: 1}},
	} {
		_, err = l.commit(t.Context(), writes...)
		require.ErrorIs(t, err, errConflict)
		require.Equal(t, a, holds("a", "1"))
		require.Equal(t, b, holds("b", "2"))
		require.Zero(t, holds("c", ""))
	}

	last, err = l.commit(t.Context(), write{key: "a", revision: a}, write{key: "b", value: []byte("4"), revision: b})
	require.NoError(t, err)
	require.Equal(t, last-1, holds("a", ""), "a key that was removed has a revision")
	require.Equal(t, last, holds("b", "4"))
	_, err = l.commit(t.Context())
	require.Error(t, err)
}
