package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/almyty-inc/toolrun/errclass"
)

// importSpace is the namespace of all imported files. esbuild itself reads none
// of it, nor a package.json or tsconfig.json that lies about.
const importSpace = "import"

// moduleSpace is that of the modules that require knows: an import of one becomes
// a require.
const moduleSpace = "module"

// maxBundleFiles bounds the files of a bundle.
const maxBundleFiles = 5000

// imports resolves and reads what a source imports, within one folder.
type imports struct {
	folder   folder          // nil allows nothing
	home     string          // of the source, in the folder
	mu       sync.Mutex      // esbuild asks from several goroutines at once
	files    map[string]bool // those read, by path
	left     int             // bytes
	fault    *syntaxFault    // in an imported file, where esbuild has no say
	packages map[string]*packageJSON
}

// openImports opens the folder, if there is one, for a source whose path in it is
// file.
func openImports(open func(dir string) (folder, error), dir, file string) (*imports, error) {
	im := &imports{home: ".", files: make(map[string]bool), left: maxBundleBytes, packages: make(map[string]*packageJSON)}
	if dir == "" {
		return im, nil
	}
	var err error
	if im.folder, err = open(dir); err != nil {
		return nil, &syntaxFault{message: "the tool's folder can't be read, so nothing can be imported"}
	}
	if filepath.IsLocal(filepath.FromSlash(file)) {
		im.home = path.Dir(file)
	}
	return im, nil
}

func (im *imports) close() {
	if im.folder != nil {
		im.folder.close()
	}
}

func (im *imports) setup(build api.PluginBuild) {
	build.OnResolve(api.OnResolveOptions{Filter: ".*"}, im.resolve)
	build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: importSpace}, im.load)
	build.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: moduleSpace}, func(args api.OnLoadArgs) (api.OnLoadResult, error) {
		text := "module.exports = require(" + strconv.Quote(args.Path) + ")"
		return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
	})
}

// refusals are how the messages begin or end that no other loader would mend.
var refusals = []string{"available modules: ", outsideFolder, "can't be imported"}

const outsideFolder = "lies outside the tool's folder"

func isRefusal(message string) bool {
	for _, refusal := range refusals {
		if strings.Contains(message, refusal) {
			return true
		}
	}
	return false
}

func (im *imports) resolve(args api.OnResolveArgs) (api.OnResolveResult, error) {
	if args.Kind == api.ResolveEntryPoint {
		return api.OnResolveResult{}, nil
	}
	if moduleNamed(args.Path) {
		if args.Kind == api.ResolveJSImportStatement {
			return api.OnResolveResult{Path: args.Path, Namespace: moduleSpace}, nil
		}
		return api.OnResolveResult{Path: args.Path, External: true}, nil // require knows it
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	from := im.home
	if args.Namespace == importSpace {
		from = path.Dir(args.Importer)
	}
	file, err := im.find(from, args.Path, args.Kind == api.ResolveJSImportStatement || args.Kind == api.ResolveJSDynamicImport)
	if err == nil {
		return api.OnResolveResult{Path: file, Namespace: importSpace}, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		if args.Kind != api.ResolveJSImportStatement {
			// It may stand in code that never runs; require refuses when it does.
			return api.OnResolveResult{Path: args.Path, External: true}, nil
		}
		err = errors.New(notAvailable(args.Path))
		if im.folder != nil && isRelative(args.Path) {
			err = fmt.Errorf("%q can't be imported: there is no such file", shown(args.Path))
		}
	}
	return api.OnResolveResult{Errors: []api.Message{{Text: err.Error()}}}, nil
}

func shown(name string) string { return errclass.OneLine(cut(name, 80), 80) }

func isRelative(name string) bool {
	return name == "." || name == ".." || strings.HasPrefix(name, "./") || strings.HasPrefix(name, "../")
}

// loaderOf are the kinds of files that can be imported.
var loaderOf = map[string]api.Loader{
	".js": api.LoaderJS, ".mjs": api.LoaderJS, ".cjs": api.LoaderJS, ".jsx": api.LoaderJSX, ".json": api.LoaderJSON,
	".ts": api.LoaderTS, ".mts": api.LoaderTS, ".cts": api.LoaderTS, ".tsx": api.LoaderTSX,
}

func (im *imports) load(args api.OnLoadArgs) (api.OnLoadResult, error) {
	refuse := func(format string, a ...any) (api.OnLoadResult, error) {
		return api.OnLoadResult{Errors: []api.Message{{Text: fmt.Sprintf(format, a...)}}}, nil
	}
	loader, ok := loaderOf[path.Ext(args.Path)]
	if !ok {
		return refuse("%s can't be imported: files that can end in .js, .mjs, .cjs, .jsx, .ts, .mts, .cts, .tsx or .json", shown(args.Path))
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	im.files[args.Path] = true
	if len(im.files) > maxBundleFiles {
		return refuse("the bundle can't be imported: it has more than %d files", maxBundleFiles)
	}
	data, err := im.folder.read(args.Path, im.left)
	if err != nil {
		return refuse("%s can't be imported: %v", shown(args.Path), err)
	}
	im.left -= len(data)
	text := strings.TrimPrefix(string(data), "\ufeff")
	if loader != api.LoaderJSON {
		file := &compiler{name: args.Path, source: text}
		if err := file.checkNesting(); errors.As(err, &im.fault) {
			im.fault.file = fileName(args.Path)
			return refuse("can't be imported")
		}
		text += noSourceMap
	}
	return api.OnLoadResult{Contents: &text, Loader: loader}, nil
}

// fileName is what a file of a bundle is called in errors.
func fileName(file string) string { return errclass.OneLine(cut(file, 100), 100) }
