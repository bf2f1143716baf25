package queue_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/runner"
)

// patience bounds how long a test waits for what must happen.
const patience = 30 * time.Second

// tools is an executor whose tools do what tests need. The name of an idempotent one
// ends in -again.
type tools struct {
	runs    atomic.Int64
	release chan struct{} // ends "hold"
	entered chan string   // ids of executions of "hold"
}

func newTools() *tools {
	return &tools{release: make(chan struct{}), entered: make(chan string, 10_000)}
}

func (f *tools) Tool(_, id string) (*runner.Definition, error) {
	if id == "unknown" {
		return nil, errclass.NewAPIError(errclass.CodeNotFound, "Tool not found")
	}
	kind := runner.JavaScript
	if strings.HasPrefix(id, "http") {
		kind = runner.HTTP
	}
	return &runner.Definition{Name: id, Type: kind, Configuration: runner.Configuration{Idempotent: strings.HasSuffix(id, "-again")}}, nil
}

// plan is what an execution's parameters ask for.
type plan struct {
	File  string        // gets a line for each begin and end
	Wait  time.Duration // before the end
	Size  int           // of the result
	Logs  int           // bytes of logs
	Words []string      // logs, and streams
}

func (f *tools) Execute(ctx context.Context, req runner.Request) (*runner.Result, error) {
	f.runs.Add(1)
	began := time.Now()
	if req.Started != nil {
		req.Started(ctx, req.ExecutionID)
	}
	var p plan
	if len(req.Parameters) > 0 {
		if err := json.Unmarshal(req.Parameters, &p); err != nil {
			return nil, errclass.NewAPIError(errclass.CodeBadRequest, "Validation failed: %v", err)
		}
	}
	note(p.File, "begin")
	result := &runner.Result{ExecutionID: req.ExecutionID, Tool: req.Tool, Value: json.RawMessage(`"ok"`)}
	for _, word := range p.Words {
		if req.Log != nil {
			req.Log(errclass.LogLine{Level: "info", Message: word})
		}
		if req.Stream != nil {
			req.Stream(word)
		}
	}
	if p.Size > 0 {
		result.Value = json.RawMessage(`"` + strings.Repeat("x", p.Size-2) + `"`)
	}
	if p.Logs > 0 {
		result.Logs = []errclass.LogLine{{Level: "info", Message: strings.Repeat("l", p.Logs)}}
	}
	var err error
	switch strings.TrimSuffix(req.Tool, "-again") {
	case "die":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "hold":
		f.entered <- req.ExecutionID
		select {
		case <-f.release:
		case <-ctx.Done():
			result.Failure = errclass.New(errclass.Cancelled, errclass.CallerCancelled, "")
		}
	case "fail":
		result.Failure = errclass.New(errclass.HTTPError, errclass.ServerError, "500 Oops")
	case "unknown":
		_, err = f.Tool("", "unknown")
	case "broken":
		err = &errclass.APIError{Code: errclass.CodeInternal, Message: "An unexpected error occurred"}
	case "late": // the first time
		if f.runs.Load() == 1 {
			_, err = f.Tool("", "unknown")
		}
	case "busy": // the first time
		if f.runs.Load() == 1 {
			err = &errclass.APIError{Code: errclass.CodeUnavailable, RetryAfter: 50 * time.Millisecond}
		}
	}
	if p.Wait > 0 && err == nil {
		select {
		case <-time.After(p.Wait):
		case <-ctx.Done():
			result.Failure = errclass.New(errclass.Cancelled, errclass.CallerCancelled, "")
		}
	}
	if err != nil {
		return nil, err
	}
	note(p.File, "end")
	if result.Failure != nil {
		result.Value = nil
	}
	result.Duration = time.Since(began)
	return result, nil
}

// note adds a line to a file that several processes share.
func note(file, word string) {
	if file == "" {
		return
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		fmt.Fprintln(f, word)
		f.Close()
	}
}

// noted counts the lines of a file.
func noted(t testing.TB, file, word string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return 0
	}
	require.NoError(t, err)
	return strings.Count(string(text), word+"\n")
}

func parameters(t testing.TB, p plan) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(p)
	require.NoError(t, err)
	return data
}

// executions sets up the executions of an engine.
func executions(t testing.TB, e *queue.Engine, opts queue.ExecutionsOptions) *queue.Executions {
	t.Helper()
	x, err := e.Executions(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, x.Close()) })
	return x
}

// work starts a worker; stop ends it and waits for it.
func work(t testing.TB, x *queue.Executions, opts queue.WorkerOptions) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Work(ctx, opts) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(patience):
			require.FailNow(t, "the worker doesn't end")
		}
	})
	t.Cleanup(stop)
	return stop
}

func submit(t testing.TB, x *queue.Executions, s queue.Submission) queue.Execution {
	t.Helper()
	if s.Organization == "" {
		s.Organization = "acme"
	}
	execution, _, err := x.Submit(t.Context(), s)
	require.NoError(t, err)
	return execution
}

// wait returns the execution when it is done.
func wait(t testing.TB, x *queue.Executions, id string) queue.Execution {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	execution, err := x.Wait(ctx, "acme", id)
	require.NoError(t, err)
	require.Equal(t, queue.Done, execution.State)
	require.NotNil(t, execution.Outcome)
	return execution
}

// becomes waits for a condition.
func becomes(t testing.TB, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 5*time.Millisecond, what)
}

// empties requires that no job is left in the queue.
func empties(t testing.TB, x *queue.Executions) {
	t.Helper()
	becomes(t, "no job is left", func() bool {
		_, _, jobs, _, err := x.StreamState(t.Context())
		return err == nil && jobs == 0
	})
}

// natsServer is a NATS server on loopback that ends with the test.
func natsServer(t testing.TB, opts server.Options) (url string) {
	t.Helper()
	opts.Host, opts.Port, opts.NoSigs, opts.NoLog, opts.JetStream = "127.0.0.1", -1, true, true, true
	if opts.StoreDir == "" {
		opts.StoreDir = t.TempDir()
	}
	s, err := server.NewServer(&opts)
	require.NoError(t, err)
	s.Start()
	require.True(t, s.ReadyForConnections(patience))
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s.ClientURL()
}

// Worker processes: the test binary, with the settings of one in its environment.
const workerEnv = "TOOLRUN_QUEUE_TEST_WORKER"

type workerSettings struct {
	URL         string
	Lease       time.Duration
	Concurrency int
	Drain       time.Duration
	Dir         string // of an engine of its own, to which it submits jobs without end
}

// workerProcess makes a process that was started for it a worker, until SIGTERM.
func workerProcess() {
	text := os.Getenv(workerEnv)
	if text == "" {
		return
	}
	var s workerSettings
	err := json.Unmarshal([]byte(text), &s)
	if err == nil {
		err = s.work()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func (s *workerSettings) work() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	e, err := queue.Open(ctx, queue.Options{URL: s.URL, Dir: s.Dir, Logger: log})
	if err != nil {
		return err
	}
	defer e.Close()
	x, err := e.Executions(ctx, queue.ExecutionsOptions{Lease: s.Lease})
	if err != nil {
		return err
	}
	defer x.Close()
	fmt.Println("ready")
	if s.Dir != "" {
		go submitWithoutEnd(ctx, x)
	}
	return x.Work(ctx, queue.WorkerOptions{Runner: newTools(), Name: "child", Concurrency: s.Concurrency, Drain: s.Drain})
}

// submitWithoutEnd prints the id of each job that was accepted.
func submitWithoutEnd(ctx context.Context, x *queue.Executions) {
	for i := 0; ; i++ {
		e, _, err := x.Submit(ctx, queue.Submission{
			Organization: "acme", Tool: []string{"echo", "echo-again"}[i%2], IdempotencyKey: fmt.Sprint("key-", i), Fingerprint: "f",
			Parameters: must(json.Marshal(plan{Wait: time.Duration(i%20) * time.Millisecond})),
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		fmt.Println(e.ID)
	}
}

// process is a worker process.
type process struct {
	cmd *exec.Cmd
	end func()
	out *bufio.Reader
	log *logText
}

// logText is what a process logs.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) count(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), word)
}

// startWorker starts one and waits until it is about to take jobs.
func startWorker(t testing.TB, s workerSettings) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), workerEnv+"="+string(must(json.Marshal(s))))
	log := &logText{}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &process{cmd: cmd, out: bufio.NewReader(out), log: log, end: sync.OnceFunc(func() {
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
	})}
	t.Cleanup(p.end)
	line, err := p.out.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", line)
	return p
}

func (p *process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
