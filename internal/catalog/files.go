// Package catalog keeps a runner's tools the same as the definitions that they come
// from: files of a directory, and those that organizations store.
//
// Start with [Open], which reads a directory, and [Files.Watch], which follows it;
// [Stored] follows a store.
package catalog

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/runner"
)

// interval is how often a directory is looked at. Looking, and not being told, works
// also for what Kubernetes mounts, for network file systems and without a limit of
// the kernel's.
const interval = time.Second

// Broken is a definition that can't be used as it stands.
type Broken struct {
	Source string // the file, or the tool's id
	Fault  string
	Kept   bool // the last good version is still in use
}

// Files are the definitions of a directory. It is safe for concurrent use.
type Files struct {
	dir string

	mu     sync.Mutex
	files  map[string]*file // by path
	broken map[string]Broken
	clash  string // why the files as they stand can't be used together
}

// file is a definition file as it was read last.
type file struct {
	mark string             // what it and its code looked like
	next *runner.Definition // the last good version; nil where there was none
	used *runner.Definition // the one in use, which differs while the files clash
}

// Open reads the definitions of a directory, which may have none yet. All of them must
// be good: see [runner.Load] for the error.
func Open(dir string) (*Files, []*runner.Definition, error) {
	f := &Files{dir: dir, files: make(map[string]*file), broken: make(map[string]Broken)}
	marks := make(map[string]string) // before the reading: what changes meanwhile is seen later
	paths, err := runner.DefinitionFiles(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, path := range paths {
		marks[path] = mark(path)
	}
	if len(paths) == 0 {
		return f, nil, nil
	}
	defs, err := runner.Load(dir)
	if err != nil {
		return nil, nil, err
	}
	if len(defs) != len(paths) {
		return nil, nil, fmt.Errorf("catalog: %s changed while it was read", dir)
	}
	for i, path := range paths { // Load reads them in this order
		f.files[path] = &file{mark: marks[path] + codeMark(path, defs[i]), next: defs[i], used: defs[i]}
	}
	return f, defs, nil
}

// Broken lists the files that can't be used, sorted by name.
func (f *Files) Broken() []Broken {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := slices.SortedFunc(maps.Values(f.broken), func(a, b Broken) int { return strings.Compare(a.Source, b.Source) })
	if f.clash != "" {
		list = append(list, Broken{Source: f.dir, Fault: f.clash, Kept: true})
	}
	return list
}

// Watch keeps the runner's tools as the directory has them until ctx ends. A file
// that breaks leaves its last good version in use, and the log says so.
func (f *Files) Watch(ctx context.Context, r *runner.Runner, log *slog.Logger) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.Refresh(r, log)
		}
	}
}

// Refresh looks at the directory once.
func (f *Files) Refresh(r *runner.Runner, log *slog.Logger) {
	f.mu.Lock()
	defer f.mu.Unlock()
	paths, err := runner.DefinitionFiles(f.dir)
	if err != nil { // unmounted, perhaps: what is known stays
		f.note(log, f.dir, err.Error(), true)
		return
	}
	delete(f.broken, f.dir)
	changed := f.forget(paths, log)
	for _, path := range paths {
		changed = f.look(path, r, log) || changed
	}
	if changed {
		f.apply(paths, r, log)
	}
}

// forget drops the files that are gone.
func (f *Files) forget(paths []string, log *slog.Logger) (changed bool) {
	there := make(map[string]bool, len(paths))
	for _, path := range paths {
		there[path] = true
	}
	for path := range f.files {
		if !there[path] {
			log.Info("definition removed", slog.String("file", f.name(path)))
			delete(f.files, path)
			delete(f.broken, path)
			changed = true
		}
	}
	return changed
}

// look reads a file again if it, or its code, looks different. It reports whether
// there is another definition now.
func (f *Files) look(path string, r *runner.Runner, log *slog.Logger) (changed bool) {
	known := f.files[path]
	if known == nil {
		known = &file{}
		f.files[path] = known
	}
	if mark(path)+codeMark(path, known.next) == known.mark {
		return false
	}
	def, err := known.read(path)
	if err == nil {
		err = r.Check(def)
	}
	if err != nil {
		f.note(log, path, err.Error(), known.used != nil)
		changed = known.next != known.used
		known.next = known.used
		return changed
	}
	delete(f.broken, path)
	known.next = def
	log.Info("definition read", slog.String("file", f.name(path)), slog.String("tool", def.Name))
	return true
}

// read reads the definition. The mark is from before, so that what changes meanwhile is
// seen at the next look; for that a codeFile that is new has it read once more.
func (k *file) read(path string) (def *runner.Definition, err error) {
	def = k.next
	for again := true; again; {
		before := def
		k.mark = mark(path) + codeMark(path, before)
		defs, err := runner.Load(path)
		if err != nil {
			return nil, err
		}
		def, again = defs[0], defs[0].CodeFile != "" && (before == nil || defs[0].CodeFile != before.CodeFile)
	}
	return def, nil
}

// apply hands the definitions over. Together they may clash where each is good.
func (f *Files) apply(paths []string, r *runner.Runner, log *slog.Logger) {
	var defs []*runner.Definition
	for _, path := range paths {
		if def := f.files[path].next; def != nil {
			defs = append(defs, def)
		}
	}
	f.clash = ""
	if err := r.Replace(defs); err != nil {
		f.clash = errclass.OneLine(err.Error(), maxFault)
		log.Error("the definitions can't be used together; those of before stay in use", slog.String("fault", f.clash))
		return
	}
	for _, path := range paths {
		f.files[path].used = f.files[path].next
	}
}

// maxFault bounds the text of a fault, in characters.
const maxFault = 500

func (f *Files) note(log *slog.Logger, path, fault string, kept bool) {
	b := Broken{Source: f.name(path), Fault: errclass.OneLine(fault, maxFault), Kept: kept}
	if f.broken[path] == b {
		return
	}
	f.broken[path] = b
	log.Error("a definition can't be used", slog.String("file", b.Source), slog.String("fault", b.Fault), slog.Bool("lastGoodVersionStays", kept))
}

// name is a path as the log has it.
func (f *Files) name(path string) string {
	if name, err := filepath.Rel(f.dir, path); err == nil && name != "." {
		return filepath.ToSlash(name)
	}
	return filepath.Base(path)
}

// mark is what a file looks like from outside.
func mark(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "gone"
	}
	return fmt.Sprintf("%d %d %v;", info.Size(), info.ModTime().UnixNano(), info.Mode())
}

// codeMark is the mark of a definition's codeFile. What that imports isn't looked at.
func codeMark(path string, def *runner.Definition) string {
	if def == nil || def.CodeFile == "" {
		return ""
	}
	return mark(filepath.Join(filepath.Dir(path), filepath.FromSlash(def.CodeFile)))
}
