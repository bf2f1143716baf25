package runner

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/document"
	"github.com/almyty-inc/toolrun/internal/schema"
	"github.com/almyty-inc/toolrun/internal/strictjson"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/sandbox"
)

// maxFileBytes bounds a definition file, a codeFile and a providers file.
const maxFileBytes = 1 << 20

//go:embed definition.schema.json
var definitionSchema []byte

//go:embed providers.schema.json
var providersSchema []byte

// DefinitionSchema is the JSON Schema of a definition file, for editors.
func DefinitionSchema() []byte { return slices.Clone(definitionSchema) }

// origin remembers where a definition was read, for faults found later.
type origin struct {
	doc      *document.Document
	codeName string // "code" for inline code, else the file's path in codeDir
	codeDir  string // the folder of a definition whose source is a file: what it may import
}

// Load reads the definitions in files, and in all .yaml, .yml and .json files
// below directories: hidden ones, node_modules, providers.yaml and npm's own
// files are passed over, and a file that several paths lead to counts once. A
// .js, .ts or .mjs file given itself is a javascript tool named after the file,
// that takes any object. Faults of all files are reported at once in one
// [*errclass.APIError] (422), each with file, line and column; the definitions
// that have none come beside it. A single path is left out of the files' names.
func Load(paths ...string) ([]*Definition, error) {
	var defs []*Definition
	var faults []errclass.FieldError
	var seen seenFiles
	for _, path := range paths {
		files, err := DefinitionFiles(path)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			nothing := "no definitions (.yaml, .yml, .json) in " + path
			if len(paths) == 1 {
				return nil, errclass.NewAPIError(errclass.CodeValidation, "%s", nothing)
			}
			faults = append(faults, errclass.FieldError{Message: nothing})
		}
		for _, file := range files {
			if len(paths) > 1 && seen.again(file) {
				continue
			}
			name := relative(path, file)
			if len(paths) > 1 {
				name = filepath.ToSlash(file)
			}
			def, more := loadNamed(file, name)
			if def != nil {
				defs = append(defs, def)
			}
			faults = append(faults, more...)
		}
	}
	if len(faults) > 0 {
		return defs, invalid("definition", faults)
	}
	return defs, nil
}

// loadNamed reads a file and returns what is wrong with it as faults.
func loadNamed(file, name string) (*Definition, []errclass.FieldError) {
	def, err := loadFile(file, name)
	if err == nil {
		return def, nil
	}
	if invalid, ok := errors.AsType[*errclass.APIError](err); ok {
		return nil, invalid.Fields
	}
	return nil, []errclass.FieldError{{Message: name + ": can't be read: " + reason(err)}}
}

// seenFiles tells files apart, whatever they are called.
type seenFiles map[fileKey][]os.FileInfo

// fileKey is the same for the same file, and for few others.
type fileKey struct {
	size    int64
	changed time.Time
}

// again notes a file and reports whether it was noted before.
func (s *seenFiles) again(file string) bool {
	info, err := os.Stat(file)
	if err != nil {
		return false // reading it says why
	}
	if *s == nil {
		*s = seenFiles{}
	}
	key := fileKey{info.Size(), info.ModTime()}
	if slices.ContainsFunc((*s)[key], func(other os.FileInfo) bool { return os.SameFile(info, other) }) {
		return true
	}
	(*s)[key] = append((*s)[key], info)
	return false
}

// Parse reads one definition. The name's extension decides between JSON and
// YAML, and is how faults call it. A codeFile is not read; see [Load].
func Parse(name string, data []byte) (*Definition, error) {
	def, faults, err := parse(name, data)
	if err != nil {
		return nil, err
	}
	return def.orFaults(faults)
}

// parse reads a definition as far as it can be: faults are those of its shape.
func parse(name string, data []byte) (*Definition, []errclass.FieldError, error) {
	doc, err := document.Parse(name, data)
	if err != nil {
		return nil, nil, unreadable("definition", err)
	}
	def := &Definition{origin: &origin{doc: doc, codeName: "code"}}
	faults := decode(doc, compiledDefinitionSchema(), def)
	if len(faults) > 0 {
		_ = json.Unmarshal(doc.JSON, def) // lenient: the faults say what is wrong
	}
	def.dropNulls()
	return def, append(faults, unrunnable(doc)...), nil
}

// orFaults is def, or the error of its faults. What is wrong besides with the
// parts that can be read comes with them, so that an author mends all in one go.
func (d *Definition) orFaults(faults []errclass.FieldError) (*Definition, error) {
	if len(faults) == 0 {
		return d, nil
	}
	r := &Runner{life: context.Background()}
	if needsSandbox(d) {
		if pool, err := sandbox.New(sandbox.Options{}); err == nil {
			r.pool.Store(pool)
			defer func() { _ = pool.Close() }() // nothing runs any more
		}
	}
	return nil, invalid("definition", r.compileParts(&tool{written: d, def: d, faults: faults}).faults)
}

// LoadProviders reads a providers file. Faults, those of meaning included, are
// reported at once in one [*errclass.APIError] (422), each with file, line and
// column; the providers that have none come beside it. dialects are those that the
// runner will have ([Options.Dialects]).
func LoadProviders(path string, dialects ...llmtool.Dialect) ([]llmtool.Provider, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	doc, err := document.Parse(filepath.ToSlash(path), data)
	if err != nil {
		return nil, unreadable("providers file", err)
	}
	var file struct {
		Providers []llmtool.Provider `json:"providers"`
	}
	if faults := decode(doc, compiledProvidersSchema(), &file); len(faults) > 0 {
		return nil, invalid("providers file", faults)
	}
	// Checked here, while it is known where each of them stands.
	_, faults := llmtool.NewClients(file.Providers, nil, nil, nil, dialects...)
	if len(faults) == 0 {
		return file.Providers, nil
	}
	wrong := make(map[int]bool)
	for i, f := range faults {
		var index int
		if _, err := fmt.Sscanf(f.Field, "/providers/%d/", &index); err == nil {
			wrong[index] = true
		}
		faults[i] = locate(doc, f)
	}
	var good []llmtool.Provider
	for i, p := range file.Providers {
		if !wrong[i] {
			good = append(good, p)
		}
	}
	return good, invalid("providers file", faults)
}

// relative is what a file below the path given to Load is called in faults.
func relative(path, file string) string {
	name, err := filepath.Rel(path, file)
	if err != nil || name == "." {
		return filepath.Base(file)
	}
	return filepath.ToSlash(name)
}

// reason is an error of the file system without the path, which is said already.
func reason(err error) string {
	if at, ok := errors.AsType[*fs.PathError](err); ok {
		return at.Err.Error()
	}
	return err.Error()
}

func loadFile(file, name string) (*Definition, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	if isSource(file) {
		if len(bytes.TrimSpace(data)) == 0 {
			return nil, invalid("definition", []errclass.FieldError{{Message: name + ": is empty"}})
		}
		return sourceDefinition(file, data)
	}
	def, faults, err := parse(name, data)
	if err != nil {
		return nil, err
	}
	if message := def.readCode(file); message != "" {
		faults = append(faults, def.fault("/codeFile", message))
	}
	return def.orFaults(faults)
}

// readCode reads the codeFile of the definition in file; it returns what is wrong
// with it.
func (d *Definition) readCode(file string) (fault string) {
	switch {
	case d.CodeFile == "":
		return ""
	case d.Code != "":
		return "can't stand beside code: give one of the two"
	}
	code, err := readBeside(file, d.CodeFile)
	if err == nil {
		d.origin.codeDir, err = filepath.Abs(filepath.Dir(file))
	}
	if err != nil {
		return err.Error()
	}
	d.Code = string(code)
	d.origin.codeName = path.Clean(d.CodeFile)
	return ""
}

func isSource(path string) bool {
	return slices.Contains([]string{".js", ".ts", ".mjs"}, filepath.Ext(path))
}

// notInName is what a file's name may hold and a tool's may not.
var notInName = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

func sourceDefinition(path string, code []byte) (*Definition, error) {
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	file := filepath.Base(path)
	name := notInName.ReplaceAllString(strings.TrimSuffix(file, filepath.Ext(file)), "_")
	return &Definition{
		Name: name[:min(len(name), 64)], Type: JavaScript, Code: string(code),
		origin: &origin{codeName: file, codeDir: dir},
	}, nil
}

// decode checks doc against s and, where it holds, decodes it.
func decode(doc *document.Document, s *schema.Schema, into any) []errclass.FieldError {
	value, err := strictjson.Decode(doc.JSON)
	if err != nil {
		return []errclass.FieldError{{Message: doc.Name + ": " + err.Error()}}
	}
	faults := s.Validate(value)
	for i := range faults {
		faults[i] = locate(doc, faults[i])
	}
	if len(faults) > 0 {
		return faults
	}
	if err := strictjson.UnmarshalKnown(doc.JSON, into); err != nil {
		return []errclass.FieldError{{Message: doc.Name + ": " + err.Error()}}
	}
	return nil
}

// locate puts the place in the file before a fault's message.
func locate(doc *document.Document, f errclass.FieldError) errclass.FieldError {
	f.Message = doc.Where(f.Field) + ": " + f.Message
	return f
}

// fault is one fault of d at a JSON pointer, with its place where known.
func (d *Definition) fault(pointer, message string) errclass.FieldError {
	f := errclass.FieldError{Field: pointer, Message: message}
	if d.origin == nil || d.origin.doc == nil {
		return f
	}
	return locate(d.origin.doc, f)
}

// invalid is the 422 that lists faults.
func invalid(what string, faults []errclass.FieldError) *errclass.APIError {
	e := errclass.NewAPIError(errclass.CodeValidation, "Invalid %s: %s", what, describe(faults[0]))
	if n := len(faults) - 1; n > 0 {
		e.Message += fmt.Sprintf(" (and %d more)", n)
	}
	e.Fields = faults
	return e
}

func describe(f errclass.FieldError) string {
	if f.Field == "" {
		return f.Message
	}
	return f.Field + " " + f.Message
}

// unreadable is the 422 of a document that is neither YAML nor JSON.
func unreadable(what string, err error) *errclass.APIError {
	return invalid(what, []errclass.FieldError{{Message: err.Error()}})
}

// DefinitionFiles lists the files that [Load] reads for a path, in lexical order.
func DefinitionFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	// Not filepath.WalkDir, which doesn't enter a path that is a symbolic link.
	err = fs.WalkDir(os.DirFS(path), ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		hidden := strings.HasPrefix(name, ".") && file != "."
		if entry.IsDir() {
			if hidden || name == "node_modules" {
				return fs.SkipDir
			}
			return nil
		}
		if !hidden && isDefinitionFile(name) {
			files = append(files, filepath.Join(path, filepath.FromSlash(file)))
		}
		return nil
	})
	return files, err
}

func isDefinitionFile(name string) bool {
	switch strings.TrimSuffix(name, filepath.Ext(name)) {
	case "providers", "package", "package-lock", "tsconfig":
		return false
	}
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

// readFile reads a regular file of bounded size.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, readFlags, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f)
}

// readFlags keeps the opening of a named pipe from waiting for its other end.
const readFlags = os.O_RDONLY | syscall.O_NONBLOCK

// readBeside reads a file named by a definition. It can't leave the
// definition's directory, not by dots and not by a symbolic link.
func readBeside(definition, name string) ([]byte, error) {
	root, err := os.OpenRoot(filepath.Dir(definition))
	if err != nil {
		return nil, errors.New("can't be read: the definition's directory is gone")
	}
	defer root.Close()
	f, err := root.OpenFile(filepath.FromSlash(name), readFlags, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("names %q, which doesn't exist beside the definition", name)
	case err != nil:
		return nil, fmt.Errorf("names %q, which can't be read: it must lie in the definition's directory", name)
	}
	defer f.Close()
	return readBounded(f)
}

func readBounded(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	name := filepath.Base(f.Name())
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxFileBytes)
	}
	data := make([]byte, info.Size())
	n, err := f.ReadAt(data, 0)
	if err != nil && n < len(data) {
		return nil, fmt.Errorf("%s can't be read whole", name)
	}
	return data, nil
}

var (
	compiledDefinitionSchema = compileOnce(definitionSchema)
	compiledProvidersSchema  = compileOnce(providersSchema)
)

// compileOnce compiles one of our own schemas when it is first needed.
func compileOnce(raw []byte) func() *schema.Schema {
	return sync.OnceValue(func() *schema.Schema {
		s, faults := schema.Compile(raw)
		if len(faults) > 0 {
			panic(fmt.Sprintf("runner: embedded schema: %v", faults))
		}
		return s
	})
}
