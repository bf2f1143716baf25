package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// maxPackageJSON bounds a package.json.
const maxPackageJSON = 1 << 20

// packageJSON is what resolving reads of a package.
type packageJSON struct {
	Main    string          `json:"main"`
	Module  string          `json:"module"`
	Exports json.RawMessage `json:"exports"`
}

// find resolves what a file in the folder from imports, as node does, with the
// endings that bundlers add. The answer is a path in the folder, symbolic links
// resolved; an error that is fs.ErrNotExist says that there is nothing.
func (im *imports) find(from, name string, statement bool) (string, error) {
	switch {
	case im.folder == nil:
		return "", fs.ErrNotExist
	case strings.HasPrefix(name, "/"):
		return "", fmt.Errorf("%q can't be imported: paths must be relative", shown(name))
	case isRelative(name):
		return im.fileOrFolder(path.Join(from, name), name, statement)
	case strings.Contains(name, ":") || strings.HasPrefix(name, "#"):
		return "", fs.ErrNotExist
	}
	return im.inPackages(from, name, statement)
}

// endings are tried in this order where a name has none.
var endings = []string{"", ".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".json"}

func (im *imports) fileOrFolder(file, name string, statement bool) (string, error) {
	if found, err := im.file(file, name); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	if pkg := im.packageAt(file); pkg != nil {
		for _, main := range pkg.mains(statement) {
			if found, err := im.mainFile(path.Join(file, main), name); err == nil || !errors.Is(err, fs.ErrNotExist) {
				return found, err
			}
		}
	}
	return im.file(path.Join(file, "index"), name)
}

func (im *imports) mainFile(file, name string) (string, error) {
	found, err := im.file(file, name)
	if errors.Is(err, fs.ErrNotExist) {
		return im.file(path.Join(file, "index"), name)
	}
	return found, err
}

// file finds a file by its name, with an ending added, or with the ending of
// TypeScript in place of the one that it is compiled to.
func (im *imports) file(file, name string) (string, error) {
	for _, ending := range endings {
		if found, err := im.regular(file+ending, name); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return found, err
		}
	}
	if ext := path.Ext(file); ext == ".js" || ext == ".mjs" || ext == ".cjs" {
		return im.regular(strings.TrimSuffix(file, ext)+strings.Replace(ext, "js", "ts", 1), name)
	}
	return "", fs.ErrNotExist
}

// regular is a file's path within the folder, symbolic links resolved.
func (im *imports) regular(file, name string) (string, error) {
	if !filepath.IsLocal(filepath.FromSlash(file)) {
		return "", fmt.Errorf("%q %s, which is all that it can import from", shown(name), outsideFolder)
	}
	local, err := im.folder.locate(file)
	if errors.Is(err, errOutside) {
		return "", fmt.Errorf("%q %s: it is a symbolic link", shown(name), outsideFolder)
	}
	return local, err
}

// inPackages looks in the node_modules of a folder and of those above it.
func (im *imports) inPackages(from, name string, statement bool) (string, error) {
	pkg, rest := splitPackage(name)
	for dir := from; ; dir = path.Dir(dir) {
		if path.Base(dir) != "node_modules" {
			home := path.Join(dir, "node_modules", pkg)
			found, err := im.inPackage(home, rest, name, statement)
			if err == nil || !errors.Is(err, fs.ErrNotExist) {
				return found, err
			}
		}
		if dir == "." {
			return "", fs.ErrNotExist
		}
	}
}

func splitPackage(name string) (pkg, rest string) {
	parts := strings.SplitN(name, "/", 3)
	n := 1
	if strings.HasPrefix(name, "@") {
		n = 2
	}
	n = min(n, len(parts))
	return strings.Join(parts[:n], "/"), strings.Join(parts[n:], "/")
}

func (im *imports) inPackage(home, rest, name string, statement bool) (string, error) {
	pkg := im.packageAt(home)
	if pkg == nil || len(pkg.Exports) == 0 || string(pkg.Exports) == "null" {
		return im.fileOrFolder(path.Join(home, rest), name, statement)
	}
	subpath := "."
	if rest != "" {
		subpath = "./" + rest
	}
	target := exportTarget(pkg.Exports, subpath, statement)
	if target == "" {
		return "", fmt.Errorf("%q can't be imported: its package.json doesn't export it", shown(name))
	}
	return im.regular(path.Join(home, target), name)
}

// packageAt reads the package.json of a folder, nil where there is none.
func (im *imports) packageAt(dir string) *packageJSON {
	if pkg, known := im.packages[dir]; known {
		return pkg
	}
	im.packages[dir] = nil
	file, err := im.regular(path.Join(dir, "package.json"), dir)
	if err != nil {
		return nil
	}
	data, err := im.folder.read(file, maxPackageJSON)
	if err != nil {
		return nil
	}
	var pkg packageJSON
	if json.Unmarshal(data, &pkg) != nil {
		return nil
	}
	im.packages[dir] = &pkg
	return &pkg
}

func (p *packageJSON) mains(statement bool) []string {
	mains := []string{p.Module, p.Main}
	if !statement {
		mains = mains[1:]
	}
	return slices.DeleteFunc(mains, func(s string) bool { return s == "" })
}

// exportTarget follows a package's exports: a path, conditions, or both by
// subpath, where a key may hold one star.
func exportTarget(exports json.RawMessage, subpath string, statement bool) string {
	var bySubpath map[string]json.RawMessage
	if json.Unmarshal(exports, &bySubpath) != nil || !hasSubpaths(bySubpath) {
		if subpath != "." {
			return ""
		}
		return conditionTarget(exports, statement, 0)
	}
	if exact, ok := bySubpath[subpath]; ok && !strings.Contains(subpath, "*") {
		return conditionTarget(exact, statement, 0)
	}
	best, star := "", ""
	for key := range bySubpath {
		before, after, ok := strings.Cut(key, "*")
		if ok && len(subpath) >= len(key) && strings.HasPrefix(subpath, before) && strings.HasSuffix(subpath, after) && len(before) >= len(best) {
			best, star = key, subpath[len(before):len(subpath)-len(after)]
		}
	}
	if best == "" {
		return ""
	}
	return strings.ReplaceAll(conditionTarget(bySubpath[best], statement, 0), "*", star)
}

func hasSubpaths(object map[string]json.RawMessage) bool {
	for key := range object {
		return strings.HasPrefix(key, ".")
	}
	return false
}

// conditionTarget takes the first condition that holds. JSON's order counts.
func conditionTarget(target json.RawMessage, statement bool, depth int) string {
	var text string
	if json.Unmarshal(target, &text) == nil {
		if !strings.HasPrefix(text, "./") {
			return ""
		}
		return text
	}
	if depth > 10 {
		return ""
	}
	var list []json.RawMessage
	if json.Unmarshal(target, &list) == nil {
		for _, item := range list {
			if found := conditionTarget(item, statement, depth+1); found != "" {
				return found
			}
		}
		return ""
	}
	decoder := json.NewDecoder(strings.NewReader(string(target)))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return ""
	}
	for decoder.More() {
		key, err := decoder.Token()
		var value json.RawMessage
		if err != nil || decoder.Decode(&value) != nil {
			return ""
		}
		switch {
		case key == "default", key == "module" && statement, key == "import" && statement, key == "require" && !statement:
			if found := conditionTarget(value, statement, depth+1); found != "" {
				return found
			}
		}
	}
	return ""
}
