package queue

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// control is what a worker is told, or asked, by its own subject.
type control struct {
	Cancel string `json:"cancel,omitempty"` // a run's key
	Ask    string `json:"ask,omitempty"`    // does it run this one?
}

func controlSubject(worker string) string { return "toolrun.w." + worker }

// ears are a worker's subscriptions.
type ears struct {
	control, requests *nats.Subscription
}

func (w *worker) listen() (e *ears, err error) {
	e = &ears{}
	conn := w.x.engine.conn
	if e.control, err = conn.Subscribe(controlSubject(w.id), w.hear); err != nil {
		return nil, err
	}
	if e.requests, err = conn.QueueSubscribe(remoteSubject, "workers", w.serve); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// stopRequests takes no more synchronous executions, but those that have arrived.
func (e *ears) stopRequests() {
	if e.requests == nil || e.requests.Drain() != nil {
		return
	}
	for end := time.Now().Add(2 * time.Second); e.requests.IsValid() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

func (e *ears) close() {
	for _, s := range []*nats.Subscription{e.control, e.requests} {
		if s != nil && s.IsValid() {
			s.Unsubscribe()
		}
	}
}

// hear takes one word for this worker.
func (w *worker) hear(m *nats.Msg) {
	var c control
	if json.Unmarshal(m.Data, &c) != nil {
		w.x.faults.Add(1)
		return
	}
	if c.Cancel != "" {
		w.cancelRun(c.Cancel)
	}
	if c.Ask == "" {
		return
	}
	w.mu.Lock()
	_, yes := w.running[c.Ask]
	w.mu.Unlock()
	m.Respond(encode(yes))
}

func (w *worker) cancelRun(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cancel, ok := w.remotes[key]; ok {
		cancel(errCancelled)
	}
	r, ok := w.running[key]
	if !ok {
		return
	}
	r.asked = true
	if r.cancel != nil {
		r.cancel(errCancelled)
	}
}

// alive asks the worker in a record whether it still runs the job. A lease can be over
// though its worker lives: NATS itself was away for that long.
func (w *worker) alive(r *record) bool {
	if r.Worker == w.id { // it would be in w.running
		return false
	}
	runs, err := w.x.ask(r)
	return runs || err != nil && !w.x.engine.settled()
}

// ask asks the worker in a record whether it runs the job. A worker that isn't there doesn't,
// unless it may be on its way back.
func (x *Executions) ask(r *record) (runs bool, err error) {
	m, err := x.engine.conn.Request(controlSubject(r.Worker), encode(control{Ask: runKey(r.Organization, r.ID)}), askPatience)
	switch {
	case errors.Is(err, nats.ErrNoResponders) && x.engine.settled():
		return false, nil
	case err != nil:
		return false, err
	}
	return string(m.Data) == "true", nil
}
