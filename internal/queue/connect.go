package queue

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	reconnectWait   = 250 * time.Millisecond
	reconnectJitter = 500 * time.Millisecond
	dialPatience    = 2 * time.Second
)

// connectionOptions are those of every connection.
func (e *Engine) connectionOptions() []nats.Option {
	return []nats.Option{
		nats.Name("toolrun"),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectJitter, reconnectJitter),
		// Credentials may be replaced while this runs: a refusal is no reason to give up.
		nats.IgnoreAuthErrorAbort(),
		// What can't be sent fails at once. Kept for later, it would be written after its
		// caller was told of a failure.
		nats.ReconnectBufSize(-1),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if e.ctx.Err() == nil {
				e.log.Warn("connection to NATS lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(c *nats.Conn) {
			e.since.Store(time.Now().UnixNano())
			e.log.Info("connected to NATS again", "server", c.ConnectedUrlRedacted())
			_ = e.spawn(e.reconnected) // or closed
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			e.log.Warn("NATS", "error", err)
		}),
	}
}

// settled tells that who lost the connection when this engine did has had the time to be back.
func (e *Engine) settled() bool {
	return e.embedded.Load() != nil || time.Since(time.Unix(0, e.since.Load())) > reconnectWait+reconnectJitter+dialPatience
}

// onReconnect has f called each time a lost connection is back, until the returned function
// is called. f must not block.
func (e *Engine) onReconnect(f func()) (forget func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hooks[&f] = struct{}{}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.hooks, &f)
	}
}

func (e *Engine) reconnected() {
	e.mu.Lock()
	for f := range e.hooks {
		(*f)()
	}
	e.mu.Unlock()
	e.restore()
}

// connectCluster connects to the servers of Options.URL.
func (e *Engine) connectCluster(ctx context.Context) error {
	urls, err := serverURLs(e.opts.URL)
	if err != nil {
		return err
	}
	access, err := e.accessOptions()
	if err != nil {
		return err
	}
	var last atomic.Value // why the last attempt failed
	connected, denied := make(chan struct{}), make(chan struct{}, 1)
	opts := append(e.connectionOptions(), access...)
	opts = append(opts,
		nats.Timeout(dialPatience),
		nats.RetryOnFailedConnect(true),
		nats.ConnectHandler(func(*nats.Conn) {
			e.since.Store(time.Now().UnixNano())
			close(connected)
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			last.Store(err.Error())
			if errors.Is(err, nats.ErrAuthorization) {
				select {
				case denied <- struct{}{}:
				default:
				}
			}
		}),
	)
	e.conn, err = nats.Connect(strings.Join(urls, ","), opts...)
	if err != nil {
		return fmt.Errorf("queue: can't connect to NATS: %w", err)
	}
	select {
	case <-connected:
		return nil
	case <-denied: // time doesn't mend it
	case <-ctx.Done():
	}
	why, ok := last.Load().(string)
	if !ok {
		why = "no answer"
	}
	return fmt.Errorf("queue: no NATS server of %s takes the connection: %s", hosts(urls), strings.TrimPrefix(why, "nats: "))
}

// awaitJetStream waits until the cluster has a leader for JetStream.
func (e *Engine) awaitJetStream(ctx context.Context) error {
	for {
		try, cancel := context.WithTimeout(ctx, dialPatience)
		_, err := e.js.AccountInfo(try)
		cancel()
		if err == nil {
			return nil
		}
		if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			return fmt.Errorf("queue: the NATS server has no JetStream for this account: enable it: %w", err)
		}
		if !pause(ctx, provisionPause) {
			return fmt.Errorf("queue: JetStream doesn't answer: are enough servers of the cluster there? %w", err)
		}
	}
}

// serverURLs takes the list apart. Its errors don't repeat what may hold a password.
func serverURLs(list string) ([]string, error) {
	var urls []string
	for i, text := range strings.Split(list, ",") {
		text = strings.TrimSpace(text)
		if !strings.Contains(text, "://") {
			text = "nats://" + text
		}
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
			return nil, fmt.Errorf("queue: URL %d of the NATS servers is not valid: write nats://host:4222 or tls://host:4222, and percent-encode the password", i+1)
		}
		urls = append(urls, text)
	}
	return urls, nil
}

// hosts is what of the URLs may be shown.
func hosts(urls []string) string {
	var names []string
	for _, text := range urls {
		if u, err := url.Parse(text); err == nil {
			names = append(names, u.Host)
		}
	}
	return strings.Join(names, ", ")
}

// accessOptions are the certificates and credentials. What is missing is said at once,
// rather than tried until the patience is over.
func (e *Engine) accessOptions() ([]nats.Option, error) {
	if (e.opts.Cert == "") != (e.opts.Key == "") {
		return nil, errors.New("queue: a client certificate needs both its certificate and its key")
	}
	for _, path := range []string{e.opts.CA, e.opts.Cert, e.opts.Key, e.opts.Credentials} {
		if path == "" {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("queue: access to NATS: %w", err)
		}
		_ = f.Close()
	}
	var opts []nats.Option
	if e.opts.CA != "" {
		opts = append(opts, nats.RootCAs(e.opts.CA))
	}
	if e.opts.Cert != "" {
		opts = append(opts, nats.ClientCert(e.opts.Cert, e.opts.Key))
	}
	if e.opts.Credentials != "" {
		opts = append(opts, nats.UserCredentials(e.opts.Credentials))
	}
	return opts, nil
}
