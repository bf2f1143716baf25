package queue

import (
	"context"
	"sync"
	"time"
)

// keepAlive extends the leases of what runs, three times in each, and looks whether
// the records still say so.
func (w *worker) keepAlive(stopped <-chan struct{}) {
	tick := time.NewTicker(max(w.x.opts.Lease/3, time.Millisecond))
	defer tick.Stop()
	var looks sync.WaitGroup
	defer looks.Wait()
	var looking sync.Mutex
	for {
		select {
		case <-stopped:
			return
		case <-tick.C:
		}
		all := w.extend()
		if len(all) == 0 || !looking.TryLock() {
			continue
		}
		looks.Go(func() {
			defer looking.Unlock()
			for _, r := range all {
				w.look(r)
			}
		})
	}
}

// extend extends all leases and returns what runs.
func (w *worker) extend() []*run {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*run
	for _, r := range w.running {
		r.msg.InProgress()
		if r.cancel != nil {
			all = append(all, r)
		}
	}
	return all
}

// look ends a run that was cancelled, or that is somebody else's by now.
func (w *worker) look(r *run) {
	ctx, cancel := context.WithTimeout(w.final, w.x.opts.Lease)
	defer cancel()
	found, err := w.x.load(ctx, r.job.Organization, r.job.ID, false)
	if err != nil {
		return
	}
	switch {
	case found.Attempts < r.attempt: // a replica that is behind
	case found.Worker != w.id || found.Attempts != r.attempt || found.State == Queued:
		if found, err = w.x.load(ctx, r.job.Organization, r.job.ID, true); err == nil && found.Worker != w.id && found.Attempts >= r.attempt {
			r.cancel(errLost)
		}
	case found.Cancel:
		r.cancel(errCancelled)
	}
}
