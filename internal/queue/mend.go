package queue

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
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
	if e.embedded == nil || e.opts.Dir == "" {
		return nil
	}
	began := time.Now()
	for e.embedded.Healthz(nil).Error != "" { // which names files: the log has it
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

// mend opens the stores again when the disk has room: the server itself wouldn't
// before it starts anew.
func (e *Engine) mend() {
	for e.health() != nil {
		if !pause(e.ctx, mendEvery) {
			return
		}
		if e.tryDisk() != nil {
			continue
		}
		if err := e.reopen(); err != nil {
			e.log.Error("the stores can't be opened again", "error", err)
			continue
		}
		e.log.Warn("the data folder can be written again")
		e.reconnected()
	}
}

// tryDisk writes as much as a store would.
func (e *Engine) tryDisk() error {
	path := filepath.Join(e.opts.Dir, "room")
	err := os.WriteFile(path, make([]byte, mendRoom), 0o600)
	return errors.Join(err, os.Remove(path))
}

func (e *Engine) reopen() error {
	if err := e.embedded.ShutdownJetStream(); err != nil {
		return err
	}
	return e.embedded.EnableJetStream(&server.JetStreamConfig{
		StoreDir: filepath.Join(e.opts.Dir, "jetstream"), MaxMemory: maxMemory, MaxStore: maxStore, SyncAlways: e.opts.SyncAlways, Strict: true,
	})
}
