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
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// maxPayload bounds a message of the embedded server: the largest result of a
	// tool, its logs, and what is said about it.
	maxPayload = 12 << 20
	// maxMemory and maxStore bound the embedded server. They are fixed: the server would
	// else measure the disk at each start, and refuse streams when it is nearly full.
	maxMemory = 2 << 30
	maxStore  = 1 << 40
	// startPatience bounds how long the server may take to be ready or reachable.
	startPatience = 10 * time.Second
	// lockPatience is how long a service waits for the folder: a command that manages keys
	// may have it for a moment.
	lockPatience = time.Second
	// readyPatience bounds how long [Engine.Ready] asks.
	readyPatience = time.Second
)

// Options configures an [Engine]. The zero value keeps everything in memory.
type Options struct {
	// Dir is where the embedded server keeps its files. Empty: in memory only, with
	// a temporary folder for its housekeeping. It belongs to one process at a time.
	Dir string
	// Join makes Open connect to the process that has Dir, through the socket in it,
	// where there is one.
	Join bool
	// SyncAlways has the embedded server write to the disk itself before it confirms.
	// Without it, what was confirmed survives the death of the process, and a power cut
	// or a crash of the system loses at most the last two minutes. It costs the time of
	// an fsync a write.
	SyncAlways bool

	// URL is that of a NATS cluster to use in place of the embedded server; several
	// are separated by commas. It may hold a user and a password.
	URL string
	// Credentials is a .creds file for the cluster.
	Credentials string
	// CA is a PEM file with the authorities that the cluster's certificate may come from.
	// Empty: those of the system. Cert and Key are the PEM files of the client's own
	// certificate.
	CA, Cert, Key string
	// Replicas is how many servers of a cluster keep a copy of everything. Defaults to 3 with
	// a cluster, else to 1.
	Replicas int

	// Logger receives what goes wrong with the connection and in the embedded server.
	// Nil is silent.
	Logger *slog.Logger
}

// Engine is a connection to JetStream, and the server itself where that is
// embedded. It is safe for concurrent use.
type Engine struct {
	opts     Options
	log      *slog.Logger
	embedded atomic.Pointer[server.Server] // nil with a cluster, or in another process
	store    string                        // folder of the embedded server's streams
	socket   *socket                       // nil without a folder
	unlock   func() error                  // gives the folder up
	scratch  string                        // temporary folder to remove
	conn     *nats.Conn
	since    atomic.Int64 // when it was connected last, in Unix nanoseconds
	js       jetstream.JetStream
	copies   int // of a stream

	// ctx ends with the engine; what runs in it is counted in running.
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex      // also held to start what is counted in running, and to end ctx
	streams map[string]bool // those set up here: Ready asks for them
	// forgotten are those of them in the memory of servers.
	forgotten map[string]jetstream.StreamConfig
	hooks     map[*func()]struct{} // called after a reconnect

	mending sync.Mutex // held by who opens the stores again

	close func() error
}

// Open starts the embedded server, or connects to the cluster. ctx bounds only the
// start; the engine lives until Close.
func Open(ctx context.Context, opts Options) (*Engine, error) {
	e := &Engine{
		opts: opts, log: opts.Logger, streams: make(map[string]bool),
		forgotten: make(map[string]jetstream.StreamConfig), hooks: make(map[*func()]struct{}),
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.close = sync.OnceValue(e.shutdown)
	if err := e.open(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) open(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	switch {
	case e.opts.URL != "":
		err = e.connectCluster(ctx)
	case e.opts.Dir != "":
		err = e.openDir(ctx)
	default:
		err = e.openMemory()
	}
	if err != nil {
		return err
	}
	e.js, err = jetstream.New(e.conn)
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	if e.copies = e.opts.Replicas; e.copies == 0 {
		e.copies = e.defaultReplicas()
	}
	if e.opts.URL == "" {
		return nil
	}
	return e.awaitJetStream(ctx)
}

func (e *Engine) openMemory() (err error) {
	if e.opts.Join {
		return errors.New("queue: there is nothing to join: name the folder of the service with --data")
	}
	e.scratch, err = os.MkdirTemp("", "toolrun-*")
	if err != nil {
		return fmt.Errorf("queue: no folder for the embedded server: name one with --data: %w", err)
	}
	return e.startServer(e.scratch)
}

// openDir takes the folder, or joins the process that has it.
func (e *Engine) openDir(ctx context.Context) error {
	if err := os.MkdirAll(e.opts.Dir, 0o700); err != nil {
		return fmt.Errorf("queue: the data folder: %w", err)
	}
	patience := time.Now().Add(lockPatience)
	for {
		unlock, err := lock(filepath.Join(e.opts.Dir, "lock"))
		if err == nil {
			e.unlock = unlock
			return e.serveDir()
		}
		if !errors.Is(err, errLocked) {
			return fmt.Errorf("queue: the data folder: %w", err)
		}
		if e.opts.Join {
			// The other process may be starting or stopping just now.
			if e.conn, err = joinSocket(e.opts.Dir, e.connectionOptions()); err == nil {
				return nil
			}
			if !pause(ctx, provisionPause) {
				return fmt.Errorf("queue: another toolrun has %s, but doesn't answer on its socket: %w", e.opts.Dir, err)
			}
			continue
		}
		if time.Now().After(patience) || !pause(ctx, provisionPause) {
			return fmt.Errorf("queue: %s is in use by another toolrun: stop that one, or give this one a folder of its own with --data", e.opts.Dir)
		}
	}
}

func (e *Engine) serveDir() (err error) {
	if err := e.startServer(e.opts.Dir); err != nil {
		return err
	}
	e.socket, err = listenSocket(e.opts.Dir, inProcess{e}.InProcessConn)
	if err != nil {
		// The service does its work without.
		e.log.Warn("no socket in the data folder: other commands can't use it while this process runs", "error", err)
	}
	return nil
}

func (e *Engine) startServer(dir string) (err error) {
	e.store = filepath.Join(dir, "jetstream")
	if err := os.MkdirAll(e.store, 0o700); err != nil {
		return fmt.Errorf("queue: the data folder: %w", err)
	}
	if err := e.runServer(); err != nil {
		return err
	}
	e.conn, err = nats.Connect("", append(e.connectionOptions(), nats.InProcessServer(inProcess{e}))...)
	if err != nil {
		return fmt.Errorf("queue: the embedded server: %w", err)
	}
	return nil
}

func (e *Engine) runServer() error {
	s, err := server.NewServer(&server.Options{
		ServerName: "toolrun", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: e.store, JetStreamMaxMemory: maxMemory, JetStreamMaxStore: maxStore,
		SyncAlways: e.opts.SyncAlways, MaxPayload: maxPayload,
	})
	if err != nil {
		return fmt.Errorf("queue: the embedded server: %w", err)
	}
	e.embedded.Store(s)
	s.SetLoggerV2(serverLog{e}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(startPatience) || !s.JetStreamEnabled() {
		return errors.New("queue: the embedded server doesn't get ready: can the data folder be written?")
	}
	return nil
}

func (e *Engine) stopServer() {
	if s := e.embedded.Load(); s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// inProcess connects to the embedded server, to the one that runs now.
type inProcess struct{ engine *Engine }

func (p inProcess) InProcessConn() (net.Conn, error) { return p.engine.embedded.Load().InProcessConn() }

// storage is where streams live.
func (e *Engine) storage() jetstream.StorageType {
	if e.opts.URL == "" && e.opts.Dir == "" {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}

// replicas is how many copies are kept of a stream.
func (e *Engine) replicas() int { return e.copies }

// defaultReplicas asks the server that this is connected to.
func (e *Engine) defaultReplicas() int {
	if e.opts.URL != "" && e.conn.ConnectedClusterName() != "" {
		return 3
	}
	return 1
}

// Ready is nil when everything can be read and written, else it says what is missing.
func (e *Engine) Ready() error {
	if e.conn.IsClosed() {
		return errors.New("the queue is closed")
	}
	if !e.conn.IsConnected() {
		return errors.New("not connected to NATS")
	}
	if err := e.health(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.ctx, readyPatience)
	defer cancel()
	if _, err := e.js.AccountInfo(ctx); err != nil {
		return errors.New("JetStream doesn't answer: too few servers of the cluster are there")
	}
	for _, name := range e.streamNames() {
		s, err := e.js.Stream(ctx, name)
		if err != nil || leaderless(s.CachedInfo()) {
			return fmt.Errorf("the stream %s has no leader: too few servers of the cluster are there", name)
		}
	}
	return nil
}

func (e *Engine) streamNames() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Sorted(maps.Keys(e.streams))
}

// leaderless tells a stream that only some of its servers know.
func leaderless(info *jetstream.StreamInfo) bool {
	return info.Config.Replicas > 1 && (info.Cluster == nil || info.Cluster.Leader == "")
}

// Close disconnects, and stops the embedded server. It may be called again.
func (e *Engine) Close() error { return e.close() }

func (e *Engine) shutdown() error {
	e.mu.Lock()
	e.cancel()
	e.mu.Unlock()
	if e.conn != nil {
		e.conn.Close()
	}
	e.running.Wait()
	e.socket.close()
	e.stopServer()
	var errs []error
	if e.unlock != nil {
		errs = append(errs, e.unlock())
	}
	if e.scratch != "" {
		errs = append(errs, os.RemoveAll(e.scratch))
	}
	return errors.Join(errs...)
}

var errClosed = errors.New("queue: closed")

// spawn runs f in a goroutine that Close waits for; f has to end with e.ctx.
func (e *Engine) spawn(f func()) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ctx.Err() != nil {
		return errClosed
	}
	e.running.Go(f)
	return nil
}

// pause waits, and tells whether ctx is still good.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// serverLog passes on what the embedded server has to complain about.
type serverLog struct{ engine *Engine }

func (serverLog) Noticef(string, ...any) {}
func (serverLog) Debugf(string, ...any)  {}
func (serverLog) Tracef(string, ...any)  {}

func (l serverLog) Warnf(format string, args ...any) {
	if strings.HasPrefix(format, "Maximum payloads over") {
		return // a choice of ours, told at every start
	}
	l.engine.log.Warn("embedded NATS server", "message", fmt.Sprintf(format, args...))
}

func (l serverLog) Errorf(format string, args ...any) {
	if strings.Contains(format, "critical write error") {
		l.engine.broken()
	}
	l.engine.log.Error("embedded NATS server", "message", fmt.Sprintf(format, args...))
}

func (l serverLog) Fatalf(format string, args ...any) { l.Errorf(format, args...) }
