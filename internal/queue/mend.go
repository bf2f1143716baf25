package queue

import (
	"errors"
	"os"
	"path/filepath"
	"time"
)

const (
	// mendEvery is how often a disk that couldn't be written is tried.
	mendEvery = time.Second
	// mendRoom is how many bytes it must take.
	mendRoom = 4 << 20
	// healthPatience is how long a fault must last: the server also names a stream that
	// is just being deleted or made, and itself when it is slow to answer.
	healthPatience = time.Second
	healthEvery    = 10 * time.Millisecond
)

// health says what keeps the embedded server from writing. A store that met a full disk
// refuses all that comes after, without an answer.
func (e *Engine) health() error {
	embedded := e.embedded.Load()
	if embedded == nil || e.opts.Dir == "" {
		return nil
	}
	began := time.Now()
	for embedded.Healthz(nil).Error != "" { // which names files: the log has it
		if time.Since(began) > healthPatience || !pause(e.ctx, healthEvery) {
			return errors.New("the data folder can't be written or read: is the disk full? The log says more")
		}
	}
	return nil
}

// broken has the stores mended. It doesn't wait: the server calls it with locks held.
func (e *Engine) broken() {
	go func() {
		_ = e.spawn(func() { // or closed
			if e.mending.TryLock() {
				defer e.mending.Unlock()
				e.mend()
			}
		})
	}()
}

// mend starts the server anew when the disk has room: what a full disk stopped in it goes
// on no other way.
func (e *Engine) mend() {
	for stopped := false; stopped || e.health() != nil; {
		if !pause(e.ctx, mendEvery) {
			return
		}
		if e.tryDisk() != nil {
			continue
		}
		e.stopServer()
		err := e.runServer()
		if stopped = err != nil; stopped {
			e.log.Error("the stores can't be opened again", "error", err)
			continue
		}
		e.log.Warn("the data folder can be written again")
	}
}

// tryDisk writes as much as a store would.
func (e *Engine) tryDisk() error {
	path := filepath.Join(e.opts.Dir, "room")
	err := os.WriteFile(path, make([]byte, mendRoom), 0o600)
	return errors.Join(err, os.Remove(path))
}
