package service_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/internal/telemetry"
	"github.com/almyty-inc/toolrun/runner"
	"github.com/almyty-inc/toolrun/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Init()
	goleak.VerifyTestMain(m)
}

// patience bounds how long a test waits for what must happen.
const patience = 30 * time.Second

// standalone is a service that runs as "toolrun serve" runs it.
type standalone struct {
	url, addr string
	runner    *runner.Runner
	server    *service.Server
	client    *http.Client
	log       *logBuffer
	plain     bool // bad clients don't speak TLS where the service does

	stop context.CancelFunc // begins the drain
	done chan struct{}      // closed when Serve has returned
	err  error              // what it returned
}

// serve starts a service on loopback and stops it when the test ends.
func serve(t testing.TB, options runner.Options, settings service.Options) *standalone {
	t.Helper()
	watch, err := telemetry.New(telemetry.Options{})
	require.NoError(t, err)
	options.Observer = watch
	r, err := runner.New(options)
	require.NoError(t, err)
	watch.Watch(r)
	settings.Metrics, settings.Middleware, settings.Rejected = watch.Handler(), watch.Middleware, watch.Rejected
	s := &standalone{runner: r, log: &logBuffer{}, done: make(chan struct{})}
	settings.Runner = r
	if settings.Logger == nil {
		settings.Logger = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	s.server, err = service.New(settings)
	require.NoError(t, err)
	l, err := service.Listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = l.Addr().String()
	s.url = "http://" + s.addr

	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	s.client = &http.Client{Transport: transport, Timeout: patience}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	go func() {
		defer close(s.done)
		s.err = s.server.Serve(ctx, soonFull{l})
	}()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		s.shutDown(t)
	})
	return s
}

// soonFull is a listener whose connections hold little that wasn't read yet: of clients that
// don't read, it shows at once.
type soonFull struct{ net.Listener }

func (l soonFull) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(16 << 10)
	}
	return c, err
}

// logger writes into the log of the test.
func (s *standalone) logger() *slog.Logger { return slog.New(slog.NewTextHandler(s.log, nil)) }

// shutDown begins the drain and returns what Serve did.
func (s *standalone) shutDown(t testing.TB) error {
	t.Helper()
	s.stop()
	await(t, s.done)
	return s.err
}

// do sends a request and returns the answer with its body.
func (s *standalone) do(t testing.TB, method, path, contentType, body string) (*http.Response, string) {
	t.Helper()
	response, text, err := s.try(method, path, contentType, body)
	require.NoError(t, err)
	return response, text
}

func (s *standalone) try(method, path, contentType, body string) (*http.Response, string, error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequest(method, s.url+path, reader)
	if err != nil {
		return nil, "", err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response, string(text), err
}

// wire is a raw connection to a service.
type wire struct {
	net.Conn
	in *bufio.Reader
}

func (s *standalone) dial(t testing.TB) *wire {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	if strings.HasPrefix(s.url, "https:") {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	return &wire{c, bufio.NewReader(c)}
}

func (w *wire) send(t testing.TB, text string) {
	t.Helper()
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
}

// answer reads one response to a request of the given method.
func (w *wire) answer(t testing.TB, method string) (*http.Response, string) {
	t.Helper()
	response, err := http.ReadResponse(w.in, &http.Request{Method: method})
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(body)
}

// ended requires that the service closes the connection and sends nothing more.
func (w *wire) ended(t testing.TB) {
	t.Helper()
	rest, err := io.ReadAll(w.in)
	require.Empty(t, string(rest))
	var timeout net.Error
	require.False(t, errors.As(err, &timeout) && timeout.Timeout(), "the connection stays open")
}

func await(t testing.TB, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		require.FailNow(t, "waited too long")
	}
}

// define reads a definition in YAML.
func define(t testing.TB, yaml string) *runner.Definition {
	t.Helper()
	def, err := runner.Parse("tool.yaml", []byte(yaml))
	require.NoError(t, err)
	return def
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
