//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package queue

import (
	"errors"
	"os"
)

// errLocked says that another process has the lock.
var errLocked = errors.New("locked by another process")

// lock enforces nothing on this system: two processes with one data folder spoil it.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return f.Close, nil
}
