package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/catalog"
	"github.com/almyty-inc/toolrun/runner"
	"github.com/almyty-inc/toolrun/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	goleak.VerifyTestMain(m)
}

// folder is a directory of definitions and the runner that follows it.
type folder struct {
	dir    string
	files  *catalog.Files
	runner *runner.Runner
	log    strings.Builder
	logger *slog.Logger
	writes int
}

func open(t *testing.T, files map[string]string) *folder {
	f := &folder{dir: t.TempDir()}
	f.logger = slog.New(slog.NewTextHandler(&f.log, nil))
	for name, text := range files {
		f.write(t, name, text)
	}
	var err error
	var defs []*runner.Definition
	f.files, defs, err = catalog.Open(f.dir)
	require.NoError(t, err)
	f.runner, err = runner.New(runner.Options{Tools: defs})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.runner.Close(context.Background())) })
	return f
}

// write changes a file so that its time differs, however coarse the clock is.
func (f *folder) write(t *testing.T, name, text string) {
	path := filepath.Join(f.dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	f.writes++
	at := time.Unix(1_800_000_000+int64(f.writes), 0)
	require.NoError(t, os.Chtimes(path, at, at))
}

func (f *folder) refresh() { f.files.Refresh(f.runner, f.logger) }

func (f *folder) run(t *testing.T, tool string) string {
	result, err := f.runner.Execute(t.Context(), runner.Request{Tool: tool})
	if api, ok := errors.AsType[*errclass.APIError](err); ok {
		return string(api.Code)
	}
	require.NoError(t, err)
	return string(result.Value)
}

func script(name, code string) string {
	return fmt.Sprintf("name: %s\ntype: javascript\ncode: %q\n", name, code)
}

func TestFilesComeChangeAndGo(t *testing.T) {
	f := open(t, map[string]string{"a.yaml": script("a", "return 1"), "sub/b.yaml": "name: b\ntype: javascript\ncodeFile: b.js\n", "sub/b.js": "return 'first'"})
	require.Equal(t, []string{"1", `"first"`}, []string{f.run(t, "a"), f.run(t, "b")})
	f.refresh()
	require.Empty(t, f.log.String(), "nothing has changed")

	f.write(t, "a.yaml", script("a", "return 2"))
	f.write(t, "sub/b.js", "return 'second'")
	f.write(t, "c.yaml", script("c", "return 3"))
	f.refresh()
	require.Equal(t, []string{"2", `"second"`, "3"}, []string{f.run(t, "a"), f.run(t, "b"), f.run(t, "c")})

	require.NoError(t, os.Remove(filepath.Join(f.dir, "a.yaml")))
	f.refresh()
	require.Equal(t, "NOT_FOUND", f.run(t, "a"))
	require.Empty(t, f.files.Broken())
}

func TestBrokenFileKeepsItsLastGoodVersion(t *testing.T) {
	f := open(t, map[string]string{"a.yaml": script("a", "return 1"), "b.yaml": script("b", "return 'b'")})
	for _, broken := range []struct{ text, fault string }{
		{"name: a\ntype: [", "a.yaml:"},
		{"name: a\ntype: javascript\ncoed: x\n", "coed"},
		{script("a", "return (("), "doesn't compile"},
		{script("b", "return 1"), "is taken"},
		{"", "a.yaml"},
	} {
		f.log.Reset()
		f.write(t, "a.yaml", broken.text)
		f.write(t, "b.yaml", script("b", fmt.Sprintf("return %q", broken.fault)))
		f.refresh()
		f.refresh()
		require.Equal(t, "1", f.run(t, "a"), broken.fault)
		require.Contains(t, f.log.String(), broken.fault)
		require.Equal(t, 1, strings.Count(f.log.String(), "level=ERROR"), "said once:\n%s", f.log.String())
		require.Len(t, f.files.Broken(), 1)
		require.True(t, f.files.Broken()[0].Kept)
		if broken.fault != "is taken" { // which of the two would be the good one?
			require.Equal(t, fmt.Sprintf("%q", broken.fault), f.run(t, "b"), "others go on")
		}
	}
	f.write(t, "a.yaml", script("a", "return 'mended'"))
	f.refresh()
	require.Equal(t, `"mended"`, f.run(t, "a"))
	require.Empty(t, f.files.Broken())

	f.write(t, "new.yaml", "nonsense")
	f.refresh()
	require.False(t, f.files.Broken()[0].Kept)
}

// A directory that is gone takes no tool away.
func TestDirectoryGone(t *testing.T) {
	f := open(t, map[string]string{"a.yaml": script("a", "return 1")})
	require.NoError(t, os.Rename(f.dir, f.dir+"-away"))
	f.refresh()
	require.Equal(t, "1", f.run(t, "a"))
	require.Len(t, f.files.Broken(), 1)
	require.NoError(t, os.Rename(f.dir+"-away", f.dir))
	f.refresh()
	require.Empty(t, f.files.Broken())
	require.Equal(t, "1", f.run(t, "a"))
}

func TestWatch(t *testing.T) {
	f := open(t, map[string]string{"a.yaml": script("a", "return 1")})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.files.Watch(ctx, f.runner, slog.New(slog.DiscardHandler))
	}()
	f.write(t, "a.yaml", script("a", "return 2"))
	require.Eventually(t, func() bool { return f.run(t, "a") == "2" }, 20*time.Second, 20*time.Millisecond)
	stop()
	<-done
}

// What is written while a file, or its code, is being read is no less seen.
func TestChangesDuringTheReading(t *testing.T) {
	f := open(t, map[string]string{"a.yaml": script("a", "return 0"), "b.yaml": "name: b\ntype: javascript\ncodeFile: b.js\n", "b.js": "return 0"})
	for round := 1; round <= 50; round++ {
		f.write(t, "a.yaml", script("a", fmt.Sprint("return ", -round)))
		f.write(t, "b.js", fmt.Sprint("return ", -round))
		read := make(chan struct{})
		go func() {
			defer close(read)
			f.refresh()
		}()
		for begun := time.Now(); time.Since(begun) < time.Duration(round)*60*time.Microsecond; {
		}
		f.write(t, "a.yaml", script("a", fmt.Sprint("return ", round)))
		f.write(t, "b.js", fmt.Sprint("return ", round))
		<-read
		f.refresh()
		require.Equal(t, fmt.Sprint(round), f.run(t, "a"))
		require.Equal(t, fmt.Sprint(round), f.run(t, "b"))
	}
}
