package queue_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/queue"
)

func TestFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "here")
	e := open(t, queue.Options{Dir: dir})
	require.NoError(t, e.Ready())
	mode := func(name string) os.FileMode {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		return info.Mode().Perm()
	}
	require.EqualValues(t, 0o700, mode(""))
	require.EqualValues(t, 0o700, mode("jetstream"))
	require.EqualValues(t, 0o600, mode("toolrun.sock"))

	_, err := queue.Open(t.Context(), queue.Options{Dir: dir})
	require.ErrorContains(t, err, "is in use by another toolrun")
	require.NoError(t, e.Ready(), "the first one isn't disturbed")

	require.NoError(t, e.Close())
	require.NoError(t, e.Close())
	require.Error(t, e.Ready())
	require.NoFileExists(t, filepath.Join(dir, "toolrun.sock"))
	open(t, queue.Options{Dir: dir})
}

func TestFolderThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, dir := range []string{file, filepath.Join(file, "below")} {
		_, err := queue.Open(t.Context(), queue.Options{Dir: dir})
		require.ErrorContains(t, err, "the data folder")
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600))
	_, err := queue.Open(t.Context(), queue.Options{Dir: dir})
	require.Error(t, err)
	_, err = queue.Open(t.Context(), queue.Options{Join: true})
	require.ErrorContains(t, err, "--data")
}

func TestJoin(t *testing.T) {
	dir := t.TempDir()
	// Without a service it is the one that has the folder.
	alone := open(t, queue.Options{Dir: dir, Join: true})
	require.NoError(t, keys(t, alone).Create(t.Context(), newKey(t, "acme")))
	second := open(t, queue.Options{Dir: dir, Join: true})
	require.NoError(t, second.Ready())
	list, err := keys(t, second).List(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, list, 1)

	// The socket of a process that was killed is in nobody's way.
	require.NoError(t, second.Close())
	require.NoError(t, alone.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "toolrun.sock"), nil, 0o600))
	open(t, queue.Options{Dir: dir})
	require.NoError(t, open(t, queue.Options{Dir: dir, Join: true}).Ready())
}

// The one that has the folder is about to end.
func TestJoinWaits(t *testing.T) {
	dir := t.TempDir()
	first := open(t, queue.Options{Dir: dir})
	require.NoError(t, os.Remove(filepath.Join(dir, "toolrun.sock")))
	joined := make(chan error)
	go func() {
		e, err := queue.Open(t.Context(), queue.Options{Dir: dir, Join: true})
		if err == nil {
			err = e.Close()
		}
		joined <- err
	}()
	require.NoError(t, first.Close())
	require.NoError(t, <-joined)

	open(t, queue.Options{Dir: dir})
	require.NoError(t, os.Remove(filepath.Join(dir, "toolrun.sock")))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := queue.Open(ctx, queue.Options{Dir: dir, Join: true})
	require.ErrorContains(t, err, "doesn't answer on its socket")
}

// A service that starts while a command has the folder waits for it.
func TestFolderInUseForAMoment(t *testing.T) {
	dir := t.TempDir()
	command := open(t, queue.Options{Dir: dir, Join: true})
	opened := make(chan error)
	go func() {
		e, err := queue.Open(t.Context(), queue.Options{Dir: dir})
		if err == nil {
			err = e.Close()
		}
		opened <- err
	}()
	require.NoError(t, command.Close())
	require.NoError(t, <-opened)
}

// A folder whose path is too long for a socket does for everything else.
func TestLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	log := &lines{}
	e := open(t, queue.Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(log, nil))})
	require.NoError(t, e.Ready())
	require.Contains(t, log.String(), "no socket in the data folder")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := queue.Open(ctx, queue.Options{Dir: dir, Join: true})
	require.ErrorContains(t, err, "use a folder with a shorter one")
}

// Who connects and says nothing, or nonsense, neither holds up others nor the end.
func TestSocketNonsense(t *testing.T) {
	dir := t.TempDir()
	e := open(t, queue.Options{Dir: dir})
	var conns []net.Conn
	for range 20 {
		c, err := net.Dial("unix", filepath.Join(dir, "toolrun.sock"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		_, err = c.Write([]byte("nonsense\r\n"))
		require.NoError(t, err)
		conns = append(conns, c)
	}
	silent, err := net.Dial("unix", filepath.Join(dir, "toolrun.sock"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	require.NoError(t, open(t, queue.Options{Dir: dir, Join: true}).Ready())
	for _, c := range conns[:10] {
		_ = c.Close()
	}
	require.NoError(t, e.Close())
}

func TestCloseWhileInUse(t *testing.T) {
	for range 5 {
		e := open(t, queue.Options{})
		r, d := rates(t, e), definitions(t, e)
		ended := make(chan struct{}, 2)
		go func() {
			_ = d.Watch(t.Context(), func(queue.Change) {})
			ended <- struct{}{}
		}()
		go func() {
			for {
				if _, err := r.Spend(t.Context(), "k", []queue.Limit{{N: 1 << 40, Per: time.Hour}}); err != nil {
					break
				}
			}
			ended <- struct{}{}
		}()
		runtime.Gosched()
		require.NoError(t, e.Close())
		<-ended
		<-ended
		_, err := e.Definitions(t.Context())
		require.Error(t, err)
	}
}

// Open, to the first answer.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		e, err := queue.Open(b.Context(), queue.Options{Dir: dir})
		require.NoError(b, err)
		require.NoError(b, e.Ready())
		b.StopTimer()
		require.NoError(b, e.Close())
		b.StartTimer()
	}
}

func BenchmarkOpenWithStores(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		e, err := queue.Open(b.Context(), queue.Options{Dir: dir})
		require.NoError(b, err)
		keys(b, e)
		definitions(b, e)
		rates(b, e)
		require.NoError(b, e.Ready())
		b.StopTimer()
		require.NoError(b, e.Close())
		b.StartTimer()
	}
}
