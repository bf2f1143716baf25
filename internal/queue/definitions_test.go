package queue_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/queue"
)

// pair starts two engines on one server: the second one comes through the socket.
func pair(t testing.TB) (a, b *queue.Engine) {
	t.Helper()
	dir := t.TempDir()
	a = open(t, queue.Options{Dir: dir})
	return a, open(t, queue.Options{Dir: dir, Join: true})
}

func definitions(t testing.TB, e *queue.Engine) *queue.Definitions {
	t.Helper()
	d, err := e.Definitions(t.Context())
	require.NoError(t, err)
	return d
}

func tool(organization, id, name string) queue.Stored {
	return queue.Stored{
		Organization: organization, ID: id, UpdatedBy: "user:ann",
		Definition: json.RawMessage(fmt.Sprintf(`{"name":%q,"type":"javascript","code":"return 1"}`, name)),
	}
}

// create stores a definition that there is room for.
func create(t testing.TB, d *queue.Definitions, s queue.Stored) queue.Stored {
	t.Helper()
	s, err := d.Create(t.Context(), s)
	require.NoError(t, err)
	return s
}

func TestDefinitions(t *testing.T) {
	a, b := pair(t)
	da, db := definitions(t, a), definitions(t, b)

	first := create(t, da, tool("acme", "t1", "add"))
	require.Equal(t, 1, first.Version)
	require.Equal(t, "add", first.Name)
	require.Equal(t, first.CreatedAt, first.UpdatedAt)
	require.NotZero(t, first.Revision)
	got, err := da.Get(t.Context(), "acme", "t1")
	require.NoError(t, err)
	require.Equal(t, first, got, "what the caller got is what is stored")

	// The other node may write at once, whether it has heard of the first version or not.
	change := tool("acme", "t1", "add")
	change.UpdatedBy = "key:42"
	second, err := db.Update(t.Context(), change, first.Revision)
	require.NoError(t, err)
	require.Equal(t, 2, second.Version)
	require.Equal(t, first.CreatedAt, second.CreatedAt)
	got, err = db.Get(t.Context(), "acme", "t1")
	require.NoError(t, err)
	require.Equal(t, second, got)

	_, err = da.Update(t.Context(), change, first.Revision)
	require.ErrorIs(t, err, queue.ErrStale)
	require.ErrorIs(t, da.Delete(t.Context(), "acme", "t1", first.Revision), queue.ErrStale)
	third, err := da.Update(t.Context(), change, 0)
	require.NoError(t, err)
	require.Equal(t, 3, third.Version)

	versions, err := db.Versions(t.Context(), "acme", "t1")
	require.NoError(t, err)
	require.Equal(t, []queue.Stored{third, second, first}, versions)

	require.NoError(t, da.Delete(t.Context(), "acme", "t1", third.Revision))
	_, err = da.Get(t.Context(), "acme", "t1")
	require.ErrorIs(t, err, queue.ErrNotFound)
	_, err = db.Versions(t.Context(), "acme", "t1")
	require.ErrorIs(t, err, queue.ErrNotFound)
	require.ErrorIs(t, db.Delete(t.Context(), "acme", "t1", 0), queue.ErrNotFound)
	_, err = db.Update(t.Context(), change, 0)
	require.ErrorIs(t, err, queue.ErrNotFound)

	again := create(t, db, tool("acme", "t1", "add"))
	require.Equal(t, 1, again.Version)
	require.Greater(t, again.Revision, third.Revision, "an old ETag never fits")
	versions, err = da.Versions(t.Context(), "acme", "t1")
	require.NoError(t, err)
	require.Equal(t, []queue.Stored{again}, versions)
}

func TestDefinitionNames(t *testing.T) {
	d := definitions(t, open(t, queue.Options{}))
	create(t, d, tool("acme", "t1", "add"))
	other := create(t, d, tool("acme", "t2", "sub"))
	create(t, d, tool("", "t1", "add")) // another organization

	for name, s := range map[string]queue.Stored{"id": tool("acme", "t1", "new"), "name": tool("acme", "t3", "add")} {
		_, err := d.Create(t.Context(), s)
		require.ErrorIs(t, err, queue.ErrTaken, name)
	}
	_, err := d.Update(t.Context(), tool("acme", "t2", "add"), 0)
	require.ErrorIs(t, err, queue.ErrTaken)

	// A new name takes effect, and frees the old one.
	renamed, err := d.Update(t.Context(), tool("acme", "t2", "minus"), other.Revision)
	require.NoError(t, err)
	got, err := d.Get(t.Context(), "acme", "t2")
	require.NoError(t, err)
	require.Equal(t, renamed, got)
	_, err = d.Update(t.Context(), tool("acme", "t2", "minus"), renamed.Revision)
	require.NoError(t, err, "the revision that a rename returns is the definition's")
	create(t, d, tool("acme", "t3", "sub"))
	_, err = d.Create(t.Context(), tool("acme", "t4", "minus"))
	require.ErrorIs(t, err, queue.ErrTaken)

	require.NoError(t, d.Delete(t.Context(), "acme", "t2", 0))
	create(t, d, tool("acme", "t2", "minus"))

	list, err := d.List(t.Context(), "acme")
	require.NoError(t, err)
	ids := make([]string, 0, len(list))
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	require.ElementsMatch(t, []string{"t1", "t2", "t3"}, ids)
	list, err = d.List(t.Context(), "nobody")
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestDefinitionRefused(t *testing.T) {
	d := definitions(t, open(t, queue.Options{}))
	for _, s := range []queue.Stored{
		tool("acme", "a.b", "add"), tool("acme", "", "add"), tool("acme", "t", "a*"), tool("acme", "t", ""),
		{Organization: "acme", ID: "t", Definition: json.RawMessage(`{"name":"a","name":"b"}`)},
		{Organization: "acme", ID: "t"},
	} {
		_, err := d.Create(t.Context(), s)
		require.Error(t, err)
		_, err = d.Update(t.Context(), s, 0)
		require.Error(t, err)
	}
	require.ErrorIs(t, d.Delete(t.Context(), "acme", "*", 0), queue.ErrNotFound)
	_, err := d.Versions(t.Context(), "acme", ">")
	require.ErrorIs(t, err, queue.ErrNotFound)
}

func TestDefinitionHistoryIsBounded(t *testing.T) {
	d := definitions(t, open(t, queue.Options{}))
	create(t, d, tool("acme", "t1", "add"))
	for range 69 {
		_, err := d.Update(t.Context(), tool("acme", "t1", "add"), 0)
		require.NoError(t, err)
	}
	versions, err := d.Versions(t.Context(), "acme", "t1")
	require.NoError(t, err)
	require.Len(t, versions, 64)
	require.Equal(t, 70, versions[0].Version)
	require.Equal(t, 7, versions[63].Version)
}

// Of many who want one name at once, on two nodes, one gets it; nobody loses an update.
func TestDefinitionRaces(t *testing.T) {
	a, b := pair(t)
	stores := []*queue.Definitions{definitions(t, a), definitions(t, b)}
	const contenders = 16
	race := func(do func(d *queue.Definitions, n int) error) (won int64) {
		var wins atomic.Int64
		var wg sync.WaitGroup
		start := make(chan struct{})
		for n := range contenders {
			wg.Go(func() {
				<-start
				if do(stores[n%2], n) == nil {
					wins.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
		return wins.Load()
	}
	require.EqualValues(t, 1, race(func(d *queue.Definitions, n int) error {
		_, err := d.Create(t.Context(), tool("acme", fmt.Sprintf("t%d", n), "add"))
		return err
	}))
	require.EqualValues(t, 1, race(func(d *queue.Definitions, n int) error {
		_, err := d.Create(t.Context(), tool("acme", "same", fmt.Sprintf("n%d", n)))
		return err
	}))
	for n := range contenders {
		create(t, stores[0], tool("acme", fmt.Sprintf("r%d", n), fmt.Sprintf("old%d", n)))
	}
	require.EqualValues(t, 1, race(func(d *queue.Definitions, n int) error {
		_, err := d.Update(t.Context(), tool("acme", fmt.Sprintf("r%d", n), "wanted"), 0)
		return err
	}))
	require.EqualValues(t, contenders, race(func(d *queue.Definitions, _ int) error {
		_, err := d.Update(t.Context(), tool("acme", "same", "quiet"), 0)
		return err
	}))
	versions, err := stores[0].Versions(t.Context(), "acme", "same")
	require.NoError(t, err)
	require.Equal(t, contenders+1, versions[0].Version)
}

func TestDefinitionWatch(t *testing.T) {
	a, b := pair(t)
	da, db := definitions(t, a), definitions(t, b)
	create(t, da, tool("acme", "t1", "add"))

	changes := make(chan queue.Change, 10)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- da.Watch(ctx, func(c queue.Change) { changes <- c }) }()
	require.Equal(t, "add", (<-changes).Stored.Name)
	require.True(t, (<-changes).Complete)

	second := create(t, da, tool("acme", "t2", "sub"))
	require.Len(t, changes, 1, "Create returns after the watchers were told")
	require.Equal(t, queue.Change{Stored: second}, <-changes)
	require.NoError(t, db.Delete(t.Context(), "acme", "t2", 0))
	gone := <-changes
	require.True(t, gone.Deleted)
	require.Equal(t, "acme/t2", gone.Stored.Organization+"/"+gone.Stored.ID)

	stop()
	require.ErrorIs(t, <-ended, context.Canceled)
	create(t, da, tool("acme", "t3", "mul"))
	require.Empty(t, changes)
}

func TestDefinitionsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	e := open(t, queue.Options{Dir: dir})
	s := create(t, definitions(t, e), tool("Ümläut AG", "t1", "add"))
	require.NoError(t, e.Close())

	d := definitions(t, open(t, queue.Options{Dir: dir}))
	got, err := d.Get(t.Context(), "Ümläut AG", "t1")
	require.NoError(t, err)
	require.Equal(t, s, got)
	_, err = d.Create(t.Context(), tool("Ümläut AG", "t2", "add"))
	require.ErrorIs(t, err, queue.ErrTaken)
}
