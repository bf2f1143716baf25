// Package queue keeps what outlives a request and what several machines share, in
// NATS JetStream: executions, keys, definitions, rate limits. It runs the server
// in this process or uses a cluster; the code is the same.
//
// Start with [Open].
package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxPayload bounds a message of the embedded server: the largest result of a
	// tool, its logs, and what is said about it.
	maxPayload = 12 << 20
	// startPatience bounds how long the embedded server may take to be ready.
	startPatience = 10 * time.Second
)

// Options configures an [Engine]. The zero value keeps everything in memory.
type Options struct {
	// Dir is where the embedded server keeps its files. Empty: in memory only, with
	// a temporary folder for its housekeeping. It belongs to one process at a time.
	Dir string
	// URL is that of a NATS cluster to use in place of the embedded server; several
	// are separated by commas.
	URL string
	// Replicas is how many servers of a cluster keep a copy of everything. Defaults to 3 with
	// a cluster, else to 1.
	Replicas int
	// Logger receives what goes wrong with the connection. Nil is silent.
	Logger *slog.Logger
}

// Engine is a connection to JetStream, and the server itself where that is
// embedded. It is safe for concurrent use.
type Engine struct {
	opts     Options
	log      *slog.Logger
	embedded *server.Server // nil with a cluster
	scratch  string         // temporary folder to remove
	conn     *nats.Conn
	js       jetstream.JetStream
}

// Open starts the embedded server, or connects to the cluster.
func Open(ctx context.Context, opts Options) (*Engine, error) {
	e := &Engine{opts: opts, log: opts.Logger}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	if err := e.open(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) open(_ context.Context) (err error) {
	if e.opts.URL != "" {
		if e.conn, err = nats.Connect(e.opts.URL); err != nil {
			return fmt.Errorf("queue: can't connect: %w", err)
		}
	} else if err := e.startServer(); err != nil {
		return err
	}
	e.js, err = jetstream.New(e.conn)
	return err
}

func (e *Engine) startServer() (err error) {
	dir := e.opts.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "toolrun-*"); err != nil {
			return fmt.Errorf("queue: no folder for the embedded server: name one with --data: %w", err)
		}
		e.scratch = dir
	}
	e.embedded, err = server.NewServer(&server.Options{
		DontListen: true, NoSigs: true, NoLog: true, JetStream: true,
		StoreDir: filepath.Join(dir, "jetstream"), MaxPayload: maxPayload,
	})
	if err != nil {
		return fmt.Errorf("queue: the embedded server: %w", err)
	}
	e.embedded.Start()
	if !e.embedded.ReadyForConnections(startPatience) {
		return errors.New("queue: the embedded server doesn't get ready")
	}
	e.conn, err = nats.Connect("", nats.InProcessServer(e.embedded))
	return err
}

// storage is where streams live.
func (e *Engine) storage() jetstream.StorageType {
	if e.opts.URL == "" && e.opts.Dir == "" {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}

// Close disconnects, and stops the embedded server. It may be called again.
func (e *Engine) Close() error {
	if e.conn != nil {
		e.conn.Close()
	}
	if e.embedded != nil {
		e.embedded.Shutdown()
		e.embedded.WaitForShutdown()
	}
	if e.scratch != "" {
		return os.RemoveAll(e.scratch)
	}
	return nil
}

// replicas is how many copies are kept of a stream.
func (e *Engine) replicas() int {
	switch {
	case e.opts.Replicas != 0:
		return e.opts.Replicas
	case e.opts.URL != "" && e.conn.ConnectedClusterName() != "":
		return 3
	}
	return 1
}
