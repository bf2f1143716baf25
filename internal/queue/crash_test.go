package queue_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/queue"
)

// A commit that a crash cut off leaves names without definitions; they are free, and nothing
// else is.
func TestTornCommits(t *testing.T) {
	for _, tc := range []struct {
		name string
		// torn makes what is left; name→id are put back as names.
		torn     func(t *testing.T, d *queue.Definitions)
		leftover map[string]string
	}{
		{"create: only the name", func(*testing.T, *queue.Definitions) {}, map[string]string{"free": "t9"}},
		{"rename: only the new name", func(t *testing.T, d *queue.Definitions) {
			create(t, d, tool("acme", "t1", "kept"))
		}, map[string]string{"free": "t1"}},
		{"rename: the old name stays", func(t *testing.T, d *queue.Definitions) {
			create(t, d, tool("acme", "t1", "free"))
			_, err := d.Update(t.Context(), tool("acme", "t1", "kept"), 0)
			require.NoError(t, err)
		}, map[string]string{"free": "t1"}},
		{"delete: the name stays", func(t *testing.T, d *queue.Definitions) {
			create(t, d, tool("acme", "t1", "free"))
			require.NoError(t, d.Delete(t.Context(), "acme", "t1", 0))
		}, map[string]string{"free": "t1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			d := definitions(t, open(t, queue.Options{Dir: dir}))
			tc.torn(t, d)
			kv, err := joined(t, dir).KeyValue(t.Context(), "toolrun_definitions")
			require.NoError(t, err)
			for name, id := range tc.leftover {
				_, err := kv.PutString(t.Context(), queue.NameKey("acme", name), id)
				require.NoError(t, err)
			}
			kept, err := d.List(t.Context(), "acme")
			require.NoError(t, err)

			taken := create(t, d, tool("acme", "t2", "free"))
			_, err = d.Create(t.Context(), tool("acme", "t3", "free"))
			require.ErrorIs(t, err, queue.ErrTaken)
			for _, s := range kept {
				_, err := d.Create(t.Context(), tool("acme", "t4", s.Name))
				require.ErrorIs(t, err, queue.ErrTaken)
				_, err = d.Update(t.Context(), tool("acme", s.ID, s.Name), s.Revision)
				require.NoError(t, err)
				require.NoError(t, d.Delete(t.Context(), "acme", s.ID, 0))
			}
			_, err = d.Create(t.Context(), tool("acme", "t3", "free"))
			require.ErrorIs(t, err, queue.ErrTaken, "the former owner's end doesn't free it")
			require.NoError(t, d.Delete(t.Context(), "acme", taken.ID, 0))
			create(t, d, tool("acme", "t3", "free"))
		})
	}
}

// A node that dies before it commits leaves nothing.
func TestAbandonedCommit(t *testing.T) {
	dir := t.TempDir()
	d := definitions(t, open(t, queue.Options{Dir: dir}))
	conn := joined(t, dir).Conn()
	for n := range 3 {
		msg := nats.NewMsg("$KV.toolrun_definitions." + queue.NameKey("acme", "add"))
		msg.Header.Set("Nats-Batch-Id", fmt.Sprint("left", n))
		msg.Header.Set("Nats-Batch-Sequence", "1")
		msg.Header.Set("Nats-Expected-Last-Subject-Sequence", "0")
		msg.Data = []byte("t9")
		require.NoError(t, conn.PublishMsg(msg))
	}
	require.NoError(t, conn.Flush())
	create(t, d, tool("acme", "t1", "add"))
	_, err := d.Update(t.Context(), tool("acme", "t1", "sub"), 0)
	require.NoError(t, err)
	create(t, d, tool("acme", "t2", "add"))
}

const crashDir = "TOOLRUN_TEST_CRASH_DIR"

// Not a test, but the process that TestKill kills: it writes for ever and says what was
// acknowledged.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("run by TestKill")
	}
	d := definitions(t, open(t, queue.Options{Dir: dir}))
	run := os.Getpid()
	for n := 0; ; n++ {
		id := fmt.Sprintf("t%d-%d", run, n)
		name := fmt.Sprintf("n%d", n%7)
		create(t, d, tool("acme", id, name))
		fmt.Println("created", id, name)
		_, err := d.Update(t.Context(), tool("acme", id, id), 0) // frees the name
		require.NoError(t, err)
		fmt.Println("renamed", id, id)
		if n%3 != 0 {
			continue
		}
		fmt.Println("deleting", id)
		require.NoError(t, d.Delete(t.Context(), "acme", id, 0))
		fmt.Println("deleted", id)
	}
}

// What was acknowledged survives SIGKILL, and names still fit to definitions.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := make(map[string]string) // id → name
	for round := range 3 {
		last := killAfter(t, dir, 50+37*round, want)
		e := open(t, queue.Options{Dir: dir})
		d := definitions(t, e)
		list, err := d.List(t.Context(), "acme")
		require.NoError(t, err)
		names := make(map[string]string)
		for _, s := range list {
			require.NotContains(t, names, s.Name)
			names[s.Name] = s.ID
			if name, ok := want[s.ID]; ok && (s.ID != last || s.Name != s.ID) { // it may have been renamed unsaid
				require.Equal(t, name, s.Name)
			}
			delete(want, s.ID)
			_, err := d.Create(t.Context(), tool("acme", "probe", s.Name))
			require.ErrorIs(t, err, queue.ErrTaken)
		}
		require.Empty(t, want, "acknowledged, but lost")
		for n := range 7 {
			name := fmt.Sprintf("n%d", n)
			if _, taken := names[name]; taken {
				require.NoError(t, d.Delete(t.Context(), "acme", names[name], 0))
			}
			create(t, d, tool("acme", "probe", name))
			require.NoError(t, d.Delete(t.Context(), "acme", "probe", 0))
		}
		for _, s := range list {
			if s.Name == s.ID {
				want[s.ID] = s.Name
			}
		}
		require.NoError(t, e.Close())
	}
}

// killAfter kills the child when it has said so many lines, and notes in want what these
// promise. It returns the id that was spoken of last.
func killAfter(t *testing.T, dir string, lines int, want map[string]string) (last string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	scan := bufio.NewScanner(out)
	for n := 0; scan.Scan(); n++ {
		if n == lines {
			require.NoError(t, cmd.Process.Kill())
		}
		switch word := strings.Fields(scan.Text()); word[0] {
		case "created", "renamed":
			last, want[word[1]] = word[1], word[2]
		case "deleting", "deleted":
			last = word[1]
			delete(want, last)
		default:
			require.Fail(t, "the child failed", scan.Text()+stderr.String())
		}
	}
	require.Error(t, cmd.Wait())
	return last
}
