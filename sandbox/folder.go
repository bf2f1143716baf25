package sandbox

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// folder is what a source may import from: the disk's, or in a child process what
// its host reads for it. Names are slash-separated paths in the folder.
type folder interface {
	// locate resolves symbolic links and answers with a regular file's path. An
	// error is fs.ErrNotExist or errOutside.
	locate(name string) (string, error)
	// read reads a file of at most limit bytes. An error's text is for the author.
	read(name string, limit int) ([]byte, error)
	close()
}

var (
	errNoFolder = errors.New("the folder can't be read")
	errOutside  = errors.New("leads outside")
	errNoRead   = errors.New("it can't be read")
	errNoFile   = errors.New("it is not a regular file")
	errTooLarge = errors.New("the imported files are larger than " + size(maxBundleBytes) + " together")
)

// diskFolder reads within a folder of the disk.
type diskFolder struct {
	dir  string // with its symbolic links resolved
	root *os.Root
}

func openDisk(dir string) (folder, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(real)
	if err != nil {
		return nil, err
	}
	return diskFolder{real, root}, nil
}

func (d diskFolder) close() { _ = d.root.Close() } // read only

func (d diskFolder) locate(name string) (string, error) {
	if !filepath.IsLocal(filepath.FromSlash(name)) {
		return "", errOutside
	}
	real, err := filepath.EvalSymlinks(filepath.Join(d.dir, filepath.FromSlash(name)))
	if err != nil {
		return "", fs.ErrNotExist
	}
	local, err := filepath.Rel(d.dir, real)
	if err != nil || !filepath.IsLocal(local) {
		return "", errOutside
	}
	info, err := d.root.Stat(local)
	if err != nil || info.IsDir() {
		return "", fs.ErrNotExist
	}
	return filepath.ToSlash(local), nil
}

// read goes through the root, which keeps even a file that has changed since it
// was found from leading elsewhere.
func (d diskFolder) read(name string, limit int) ([]byte, error) {
	info, err := d.root.Stat(filepath.FromSlash(name))
	if err != nil {
		return nil, errNoRead
	}
	if !info.Mode().IsRegular() { // and a named pipe isn't opened
		return nil, errNoFile
	}
	f, err := d.root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, errNoRead
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, errNoRead
	}
	if len(data) > limit {
		return nil, errTooLarge
	}
	return data, nil
}
