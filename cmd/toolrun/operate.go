package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

// operate serves those who operate a worker, which has no other address: liveness,
// readiness and metrics, to anybody, as they hold nothing of organizations or tools. The
// worker is ready until working ends; stop ends the rest.
func (n *node) operate(working context.Context, addr string) (stop func(), err error) {
	if addr == "" {
		return func() {}, nil
	}
	listener, err := new(net.ListenConfig).Listen(working, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--metrics-addr: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", n.telemetry.Handler())
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, "ok") })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		missing := n.missing()
		if working.Err() != nil {
			missing = []string{"the worker is shutting down"}
		}
		if len(missing) > 0 {
			refuse(w, errclass.NewAPIError(errclass.CodeUnavailable, "Not ready: %s", strings.Join(missing, "; ")))
			return
		}
		say(w, "ready")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, errclass.NewAPIError(errclass.CodeNotFound, "Route not found: a worker has /healthz, /readyz and /metrics"))
	})
	server := &http.Server{
		Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: log.New(io.Discard, "", 0),
	}
	n.following.Go(func() { _ = server.Serve(listener) }) // until it is closed
	n.log.Info("metrics", slog.String("addr", listener.Addr().String()))
	return func() { _ = server.Close() }, nil
}

func say(w http.ResponseWriter, status string) {
	reply(w, http.StatusOK, json.RawMessage(`{"success":true,"data":{"status":"`+status+`"}}`))
}

func refuse(w http.ResponseWriter, e *errclass.APIError) { reply(w, e.StatusCode(), e) }

func reply(w http.ResponseWriter, status int, document any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(document) // whoever asked is gone
}
