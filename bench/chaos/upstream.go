//go:build unix

package main

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// upstream is what tools talk to. It knows who called how often, which no record of the
// service has to be believed for.
type upstream struct {
	server *http.Server
	addr   string

	mu    sync.Mutex
	calls map[string][]call
}

// call is one request of a tool.
type call struct {
	worker string // the start of a worker that made it
	at     time.Time
}

func newUpstream() (*upstream, error) {
	l, err := net.Listen("tcp", address(0))
	if err != nil {
		return nil, err
	}
	u := &upstream{addr: l.Addr().String(), calls: make(map[string][]call)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /calls/{call}", u.take)
	mux.HandleFunc("/missing/{call}", u.miss)
	u.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { _ = u.server.Serve(l) }()
	return u, nil
}

func (u *upstream) note(r *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	id := r.PathValue("call")
	u.calls[id] = append(u.calls[id], call{worker: r.Header.Get("X-Worker"), at: time.Now()})
}

// take counts at once and answers after the time that is asked for.
func (u *upstream) take(w http.ResponseWriter, r *http.Request) {
	u.note(r)
	if ms, err := strconv.Atoi(r.URL.Query().Get("ms")); err == nil {
		sleep(r.Context(), time.Duration(ms)*time.Millisecond)
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"call":%q}`, r.PathValue("call"))
}

func (u *upstream) miss(w http.ResponseWriter, r *http.Request) {
	u.note(r)
	http.Error(w, "there is no such thing", http.StatusNotFound)
}

func (u *upstream) of(id string) []call {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.calls[id]
}

func (u *upstream) close() { _ = u.server.Close() }
