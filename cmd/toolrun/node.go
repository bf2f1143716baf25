package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/almyty-inc/toolrun/internal/catalog"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/internal/settings"
	"github.com/almyty-inc/toolrun/internal/telemetry"
	"github.com/almyty-inc/toolrun/runner"
)

// storeFlags say where NATS is.
type storeFlags struct {
	data, nats                string
	natsCredentials           string
	natsCA, natsCert, natsKey string
	natsReplicas              int
	syncAlways                bool
}

func (f *storeFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.data, "data", "", "directory that executions, keys and definitions are kept in; without it, and without --nats, they end with the process")
	flags.StringVar(&f.nats, "nats", "", "`URL` of a NATS cluster with JetStream in place of the server within; several are separated by commas")
	flags.StringVar(&f.natsCredentials, "nats-credentials", "", ".creds file for the cluster")
	flags.StringVar(&f.natsCA, "nats-ca", "", "PEM file with the authorities that the cluster's certificate may come from")
	flags.StringVar(&f.natsCert, "nats-cert", "", "PEM file with a certificate for the cluster, with --nats-key")
	flags.StringVar(&f.natsKey, "nats-key", "", "PEM file with the key of --nats-cert")
	flags.IntVar(&f.natsReplicas, "nats-replicas", 0, "servers of the cluster that keep a copy; 0 means 3, or 1 where there is no cluster")
	settings.Secret(flags, "nats")
}

func (f *storeFlags) options(join bool, log *slog.Logger) (queue.Options, error) {
	if f.data != "" && f.nats != "" {
		return queue.Options{}, errors.New("--data and --nats can't stand together: the cluster keeps everything")
	}
	return queue.Options{
		Dir: f.data, Join: join, SyncAlways: f.syncAlways, URL: f.nats, Credentials: f.natsCredentials,
		CA: f.natsCA, Cert: f.natsCert, Key: f.natsKey, Replicas: f.natsReplicas, Logger: log,
	}, nil
}

// nodeFlags are the flags that serve and worker share.
type nodeFlags struct {
	common
	storeFlags
	tools             string
	concurrency       int
	waiting           int
	jobs              int
	lease             milliseconds
	keep              milliseconds
	keepBytes         int64
	idempotencyAge    milliseconds
	webhookSecretFile string
	drainTimeout      milliseconds
	otlpEndpoint      string
	traceRatio        float64
	logLevel          string
	logFormat         string
	config            string
	printConfig       bool
}

func (f *nodeFlags) defaults() {
	f.drainTimeout = milliseconds(30 * time.Second)
	f.lease = milliseconds(queue.DefaultLease)
	f.keep = milliseconds(queue.DefaultAge)
	f.idempotencyAge = milliseconds(queue.DefaultIdempotencyAge)
}

func (f *nodeFlags) register(flags *pflag.FlagSet) {
	f.defaults()
	f.common.register(flags)
	f.storeFlags.register(flags)
	flags.BoolVar(&f.syncAlways, "sync-always", false, "with --data: write to the disk itself before anything is confirmed, for the sake of power cuts")
	flags.StringVar(&f.tools, "tools", "tools", "directory of definitions, which is followed; empty for none")
	flags.IntVar(&f.concurrency, "concurrency", runner.DefaultConcurrency, "executions that run at once")
	flags.IntVar(&f.waiting, "queue", runner.DefaultQueue, "synchronous executions that may wait beyond these")
	flags.IntVar(&f.jobs, "jobs", queue.DefaultConcurrency, "asynchronous executions, of those, that run at once; no more than --concurrency")
	flags.Var(&f.lease, "lease", "how long an asynchronous execution is its worker's without a sign of life; the same on all nodes")
	flags.Var(&f.keep, "keep", "how long executions are kept")
	flags.Int64Var(&f.keepBytes, "keep-bytes", queue.DefaultBytes, "bytes of executions that are kept; the oldest go first")
	flags.Var(&f.idempotencyAge, "idempotency-age", "how long an Idempotency-Key holds")
	flags.StringVar(&f.webhookSecretFile, "webhook-secret-file", "", "file with at least 32 bytes that the organizations' webhook secrets are made from; without it there are no webhooks")
	flags.Var(&f.drainTimeout, "drain-timeout", "how long executions in flight may take to finish on a stop")
	flags.StringVar(&f.otlpEndpoint, "otlp-endpoint", "", "`URL` that traces are sent to by OTLP over HTTP, with headers of the variable OTEL_EXPORTER_OTLP_HEADERS; without it there are none")
	flags.Float64Var(&f.traceRatio, "trace-ratio", 1, "part of the traces that begin here to record, from 0 to 1")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&f.logFormat, "log-format", "text", "text or json")
	flags.StringVar(&f.config, "config", os.Getenv(settings.FileVariable), "YAML file of these flags, by their names; a flag wins over a variable TOOLRUN_NAME, that over the file")
	flags.BoolVar(&f.printConfig, "print-config", false, "print the configuration as it comes out, without secrets, and exit")
	settings.Secret(flags, "otlp-endpoint")
	settings.CommandLineOnly(flags, "print-config")
}

// configure fills in what the command line leaves to environment and file. done says that
// all there was to do was to print.
func (f *nodeFlags) configure(cmd *cobra.Command, c console, others ...*pflag.FlagSet) (log *slog.Logger, done bool, err error) {
	unknown, err := settings.Load(cmd.Flags(), f.config, os.Environ(), others...)
	if err != nil {
		return nil, false, err
	}
	if !cmd.Flags().Changed("jobs") {
		f.jobs = min(f.jobs, f.concurrency)
	}
	if err := f.checkNumbers(); err != nil {
		return nil, false, err
	}
	if log, err = f.logger(c); err != nil {
		return nil, false, err
	}
	for _, name := range unknown {
		log.Warn("a variable of the environment is no setting", slog.String("variable", name))
	}
	if f.printConfig {
		return nil, true, settings.Print(c.out, cmd.Flags())
	}
	if _, err := os.Stat(f.tools); errors.Is(err, fs.ErrNotExist) && !cmd.Flags().Changed("tools") {
		f.tools = "" // nobody asked for the default
	}
	return log, false, nil
}

// number is a flag's value and the least that it may be.
type number struct {
	flag         string
	value, least int64
}

// atLeast refuses what the parts of the service would take for their default.
func atLeast(numbers ...number) error {
	for _, n := range numbers {
		if n.value < n.least {
			return fmt.Errorf("%s %d: must be at least %d", n.flag, n.value, n.least)
		}
	}
	return nil
}

func (f *nodeFlags) checkNumbers() error {
	if err := atLeast(
		number{"--concurrency", int64(f.concurrency), 1}, number{"--queue", int64(f.waiting), 0}, number{"--jobs", int64(f.jobs), 1},
		number{"--keep-bytes", f.keepBytes, 1}, number{"--nats-replicas", int64(f.natsReplicas), 0},
	); err != nil {
		return err
	}
	if f.jobs > f.concurrency {
		return fmt.Errorf("--jobs %d: must be at most --concurrency, %d: they are some of these executions", f.jobs, f.concurrency)
	}
	if !(f.traceRatio >= 0 && f.traceRatio <= 1) { // also what is no number
		return fmt.Errorf("--trace-ratio %v: must be from 0 to 1", f.traceRatio)
	}
	return nil
}

func (f *nodeFlags) logger(c console) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %s: use debug, info, warn or error", f.logLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(c.err, opts)), nil
	case "json":
		opts.ReplaceAttr = durationInMilliseconds
		return slog.New(slog.NewJSONHandler(c.err, opts)), nil
	}
	return nil, fmt.Errorf("--log-format %s: use text or json", f.logFormat)
}

// durationInMilliseconds has durations in JSON as all other documents of ours do; slog's
// own are nanoseconds.
func durationInMilliseconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.Float64Value(float64(a.Value.Duration().Microseconds()) / 1000)
	}
	return a
}

// node is a running part of the service: a runner with its tools, and what it shares with
// others.
type node struct {
	flags         *nodeFlags
	log           *slog.Logger
	telemetry     *telemetry.Telemetry
	engine        *queue.Engine
	executions    *queue.Executions
	definitions   *queue.Definitions
	rates         *queue.Rates
	files         *catalog.Files
	stored        *catalog.Stored
	runner        *runner.Runner
	webhookSecret []byte
	tools         int

	following sync.WaitGroup
	unfollow  context.CancelFunc
	health    remembered[[]string]
}

// open starts a node. A fault of a definition is printed; the error then is an exit.
func (f *nodeFlags) open(ctx context.Context, c console, log *slog.Logger) (n *node, err error) {
	n = &node{flags: f, log: log, unfollow: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if n.webhookSecret, err = readSecret("--webhook-secret-file", f.webhookSecretFile); err != nil {
		return n, err
	}
	if n.telemetry, err = telemetry.New(telemetry.Options{
		Version: versionName(), Logger: log, Endpoint: f.otlpEndpoint, Ratio: ratio(f.traceRatio),
	}); err != nil {
		return n, err
	}
	if err := n.openStore(ctx); err != nil {
		return n, err
	}
	if err := n.openRunner(c); err != nil {
		return n, err
	}
	following, stop := context.WithCancel(context.Background())
	n.unfollow = stop
	n.stored = catalog.FollowStored(following, n.definitions, n.runner, log)
	if n.files != nil {
		n.following.Go(func() { n.files.Watch(following, n.runner, log) })
	}
	n.measure()
	return n, nil
}

// ratio is a part of traces in the words of [telemetry.Options].
func ratio(part float64) float64 {
	if part <= 0 {
		return -1
	}
	return part
}

func (n *node) openStore(ctx context.Context) error {
	f := n.flags
	opts, err := f.storeFlags.options(false, n.log)
	if err != nil {
		return err
	}
	if n.engine, err = queue.Open(ctx, opts); err != nil {
		return err
	}
	if n.executions, err = n.engine.Executions(ctx, queue.ExecutionsOptions{
		Age: time.Duration(f.keep), Bytes: f.keepBytes, Lease: time.Duration(f.lease), IdempotencyAge: time.Duration(f.idempotencyAge),
	}); err != nil {
		return err
	}
	if n.definitions, err = n.engine.Definitions(ctx); err != nil {
		return err
	}
	n.rates, err = n.engine.Rates(ctx)
	return err
}

func (n *node) openRunner(c console) error {
	f := n.flags
	opts, err := f.common.options()
	if err != nil {
		return err
	}
	if f.tools != "" {
		if n.files, opts.Tools, err = catalog.Open(f.tools); err != nil {
			return printFaults(c.err, ofFlag("--tools", err), exitRejected)
		}
	}
	n.tools = len(opts.Tools)
	if opts.Providers, err = f.loadProviders(f.tools); err != nil {
		return printFaults(c.err, err, exitRejected)
	}
	opts.Concurrency, opts.Queue = f.concurrency, f.waiting
	if f.waiting == 0 {
		opts.Queue = -1 // none, where 0 would be the default
	}
	opts.Rates, opts.Observer, opts.Logger = service.Rates(n.rates), n.telemetry, n.log
	if n.runner, err = runner.New(opts); err != nil {
		return printFaults(c.err, err, exitRejected)
	}
	return nil
}

// work takes asynchronous executions, webhooks, and those of fronts, until ctx ends.
func (n *node) work(ctx context.Context) error {
	host, _ := os.Hostname() // a name for people; without one, the rest of it does
	opts := queue.WorkerOptions{
		Runner: n.runner, Name: host, Concurrency: n.flags.jobs, Drain: time.Duration(n.flags.drainTimeout), Trace: telemetry.WithTraceparent,
	}
	if len(n.webhookSecret) > 0 {
		opts.Webhooks = queue.WebhookOptions{Transport: n.runner.Transport(), Secret: n.webhookSecret}
	}
	return n.executions.Work(ctx, opts)
}

// measure adds what the store knows to the metrics.
func (n *node) measure() {
	n.telemetry.Watch(n.runner)
	n.telemetry.Counter("toolrun_records_dropped_total", "Synchronous executions that were not kept, because the store was slow.",
		func() float64 { return float64(n.executions.Dropped()) })
	n.telemetry.Counter("toolrun_job_faults_total", "Jobs and webhooks that could not be read.",
		func() float64 { return float64(n.executions.Faults()) })
	var jobs remembered[depth]
	now := func() depth { return jobs.get(n.depth) } // both gauges are read in one scrape
	n.telemetry.Gauge("toolrun_jobs_waiting", "Asynchronous executions that wait for a worker, of all nodes together; -1 where that can't be asked.",
		func() float64 { return float64(now().waiting) })
	n.telemetry.Gauge("toolrun_jobs_running", "Asynchronous executions that workers have, of all nodes together; -1 where that can't be asked.",
		func() float64 { return float64(now().running) })
}

// depth is how many jobs wait, and are with workers.
type depth struct{ waiting, running int }

func (n *node) depth() depth {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	waiting, running, err := n.executions.Depth(ctx)
	if err != nil {
		return depth{-1, -1} // unknown, which none is not
	}
	return depth{waiting, running}
}

// broken lists the definitions that can't be used.
func (n *node) broken() (list []catalog.Broken) {
	if n.files != nil {
		list = n.files.Broken()
	}
	return append(list, n.stored.Broken()...)
}

// remembered keeps an answer for a second: every probe, and every gauge, asks.
type remembered[T any] struct {
	mu    sync.Mutex
	asked time.Time
	kept  T
}

func (m *remembered[T]) get(ask func() T) T {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.asked) >= time.Second {
		m.kept, m.asked = ask(), time.Now()
	}
	return m.kept
}

// missing says what keeps the node from being ready.
func (n *node) missing() []string {
	return n.health.get(func() []string {
		if err := n.engine.Ready(); err != nil {
			return []string{err.Error()}
		}
		return nil
	})
}

// close gives everything back, the last opened first. The runner may be closed by then.
func (n *node) close() error {
	n.unfollow()
	n.following.Wait()
	var faults []error
	if n.runner != nil {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		faults = append(faults, n.runner.Close(over))
	}
	if n.executions != nil {
		faults = append(faults, n.executions.Close())
	}
	if n.engine != nil {
		faults = append(faults, n.engine.Close())
	}
	if n.telemetry != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		faults = append(faults, n.telemetry.Shutdown(ctx))
	}
	return errors.Join(faults...)
}

// readSecret reads a secret of at least 32 bytes from a file; nil without one.
func readSecret(flag, file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	secret := strings.TrimSpace(string(text)) // editors end files with a line break
	if len(secret) < 32 {
		return nil, fmt.Errorf("%s %s: holds %d bytes; make it at least 32, as with: openssl rand -base64 48", flag, file, len(secret))
	}
	return []byte(secret), nil
}
