//go:build linux

package queue_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/almyty-inc/toolrun/internal/queue"
)

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skip("only root can mount a small disk: ", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	e := open(t, queue.Options{Dir: filepath.Join(dir, "data")})
	x := executions(t, e, queue.ExecutionsOptions{Lease: time.Second})
	f := newTools()
	work(t, x, queue.WorkerOptions{Runner: f})
	held := submit(t, x, queue.Submission{Tool: "hold"})
	<-f.entered

	full, err := os.Create(filepath.Join(dir, "full"))
	require.NoError(t, err)
	for chunk := make([]byte, 4096); err == nil; {
		_, err = full.Write(chunk)
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoError(t, full.Close())
	becomes(t, "it says that it isn't ready", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		// On a busy machine one may run out of time before it meets the disk.
		_, _, err := x.Submit(ctx, queue.Submission{Tool: "echo", Parameters: parameters(t, plan{File: string(make([]byte, 1<<18))})})
		return err != nil && e.Ready() != nil
	})
	require.ErrorContains(t, e.Ready(), "is the disk full?")
	close(f.release) // its outcome may have to wait for room

	require.NoError(t, os.Remove(full.Name()))
	becomes(t, "it is ready again", func() bool { return e.Ready() == nil })
	require.Empty(t, wait(t, x, held.ID).Class)
	again := submit(t, x, queue.Submission{Tool: "echo"})
	require.Empty(t, wait(t, x, again.ID).Class)
	empties(t, x)
}
