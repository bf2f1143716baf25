package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/almyty-inc/toolrun/internal/access"
	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/internal/settings"
	"github.com/almyty-inc/toolrun/internal/telemetry"
)

// serveFlags are the flags of "toolrun serve".
type serveFlags struct {
	nodeFlags
	addr             string
	hosts            []string
	auth             bool
	jwtSecretFile    string
	jwks             string
	jwtIssuer        string
	jwtAudience      string
	trustedProxies   []string
	organizationRate int
	forgetSync       bool
	front            bool
	tlsCert, tlsKey  string
	connections      int
	bodyBytes        int64
}

func serveCommand(c console) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve tools over HTTP",
		Long: `Serve the tools of a directory, and those that organizations define, over HTTP.
GET /openapi.json describes it all; the most used:

  POST /tools/{id}/execute                       {"parameters":{…}}; ?mode=async
  POST /organizations/{org}/tools/{id}/execute   the same for an organization
  GET  /organizations/{org}/tools, /tools/{id}   definitions; POST, PATCH, DELETE change them
  GET  /executions, /executions/{id}             what ran, and its outcome; /events follows it
  GET  /healthz, /readyz, /metrics               for those who operate it

With --auth, --jwt-secret-file or --jwks callers need a credential; without, the
service listens on loopback only. Every flag can also be set by a variable of the
environment (TOOLRUN_ADDR) and in the file that --config names.

SIGTERM or SIGINT drains: executions in flight finish, new ones get 503. A second
signal hurries.

Exit status: 0 stopped after a complete drain, 1 cut something off or broke down,
2 the definitions or the command line are wrong.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, done, err := f.configure(cmd, c, flagsOf(workerCommand(c)))
			if err != nil || done {
				return err
			}
			return f.run(cmd.Context(), c, log)
		},
	}
	flags := cmd.Flags()
	f.nodeFlags.register(flags)
	flags.StringVar(&f.addr, "addr", "127.0.0.1:8080", "address to listen on; without authentication only loopback")
	flags.StringArrayVar(&f.hosts, "host", nil, "`NAME`, without port, that requests may be addressed to besides localhost and loopback addresses, where there is no authentication; may be given more than once")
	flags.BoolVar(&f.auth, "auth", false, "ask callers for an API key; toolrun keys makes them")
	flags.StringVar(&f.jwtSecretFile, "jwt-secret-file", "", "file with the secret, of at least 32 bytes, of HS256 tokens to take")
	flags.StringVar(&f.jwks, "jwks", "", "`URL` or file of the public keys of tokens to take")
	flags.StringVar(&f.jwtIssuer, "jwt-issuer", "almyty", "iss that tokens must have")
	flags.StringVar(&f.jwtAudience, "jwt-audience", "almyty-api", "aud that tokens must have")
	flags.StringArrayVar(&f.trustedProxies, "trusted-proxy", nil, "`CIDR` of proxies whose X-Forwarded-For is believed; may be given more than once")
	flags.IntVar(&f.organizationRate, "organization-rate", 0, "requests a minute that an organization may make; 0 means no limit")
	flags.BoolVar(&f.forgetSync, "forget-sync", false, "keep no executions whose caller waited for them and sent no Idempotency-Key")
	flags.BoolVar(&f.front, "front", false, "run nothing here: workers of the cluster do")
	flags.StringVar(&f.tlsCert, "tls-cert", "", "PEM file with the certificate to serve TLS with; read again when it changes")
	flags.StringVar(&f.tlsKey, "tls-key", "", "PEM file with its key")
	flags.IntVar(&f.connections, "connections", service.DefaultConnections, "connections that may be open; for further clients idle ones make room")
	flags.Int64Var(&f.bodyBytes, "body-bytes", service.DefaultBodyBytes, "bytes that a request's body may have")
	settings.Secret(flags, "jwks")
	return cmd
}

// flagsOf are a command's flags, for what they share a configuration with.
func flagsOf(cmd *cobra.Command) *pflag.FlagSet { return cmd.Flags() }

// authenticates reports whether callers need a credential.
func (f *serveFlags) authenticates() bool { return f.auth || f.jwtSecretFile != "" || f.jwks != "" }

func (f *serveFlags) check() error {
	switch {
	case (f.tlsCert == "") != (f.tlsKey == ""):
		return errors.New("--tls-cert and --tls-key belong together: give both")
	case f.front && f.nats == "":
		return errors.New("--front needs --nats URL: the cluster that its workers share")
	case f.auth && f.data == "" && f.nats == "" && f.jwtSecretFile == "" && f.jwks == "":
		return errors.New("--auth needs --data DIR or --nats URL, where the keys are kept that toolrun keys makes")
	}
	return atLeast(number{"--connections", int64(f.connections), 1}, number{"--body-bytes", f.bodyBytes, 1},
		number{"--organization-rate", int64(f.organizationRate), 0})
}

func (f *serveFlags) run(ctx context.Context, c console, log *slog.Logger) error {
	if err := f.check(); err != nil {
		return err
	}
	n, err := f.open(ctx, c, log)
	if err != nil {
		return err
	}
	served, err := f.serve(ctx, n)
	err = errors.Join(err, n.close())
	if err != nil && served { // so the command line was right
		fmt.Fprintln(c.err, "toolrun:", printable(err.Error()))
		return exit(exitFailed)
	}
	return err
}

// serve answers requests until a signal. served says that it began to.
func (f *serveFlags) serve(ctx context.Context, n *node) (served bool, err error) {
	opts, err := f.serviceOptions(ctx, n)
	if err != nil {
		return false, err
	}
	if opts.Access != nil {
		defer opts.Access.Close()
	}
	server, err := service.New(opts)
	if err != nil {
		return false, err
	}
	listen := service.Listen
	if opts.Access != nil {
		listen = service.ListenAnywhere
	}
	listener, err := listen(ctx, f.addr)
	if err != nil {
		return false, err
	}
	f.announce(n, listener.Addr())
	ctx, stop := onSignals(ctx, server.Hurry)
	defer stop()
	work := n.work
	if f.front {
		work = func(context.Context) error { return nil }
	}
	return true, together(ctx, func(ctx context.Context) error { return server.Serve(ctx, listener) }, work)
}

// together serves and works until ctx ends. Where one of them breaks down, the other is to
// end, too: a service that takes jobs which nobody runs would look healthy.
func together(ctx context.Context, serve, work func(context.Context) error) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	worked := make(chan error, 1)
	go func() {
		err := work(ctx)
		if err != nil {
			quit()
		}
		worked <- err
	}()
	err := serve(ctx)
	quit()
	return errors.Join(err, <-worked)
}

func (f *serveFlags) announce(n *node, addr net.Addr) {
	n.log.Info("serving", slog.String("addr", addr.String()), slog.Int("tools", n.tools),
		slog.Bool("authentication", f.authenticates()), slog.Bool("tls", f.tlsCert != ""), slog.Bool("front", f.front))
	if f.data == "" && f.nats == "" {
		n.log.Warn("executions, definitions and idempotency keys are kept in memory and end with this process; --data DIR keeps them")
	}
	tcp, ok := addr.(*net.TCPAddr)
	if ok && !tcp.IP.IsLoopback() && f.tlsCert == "" {
		n.log.Warn("credentials travel in the clear; give --tls-cert and --tls-key, or let a proxy in front speak TLS")
	}
}

func (f *serveFlags) serviceOptions(ctx context.Context, n *node) (opts service.Options, err error) {
	opts = service.Options{
		Runner: n.runner, Executions: n.executions, Definitions: n.definitions, Rates: n.rates,
		ForgetSynchronous: f.forgetSync, OrganizationRate: f.organizationRate, WebhookSecret: n.webhookSecret,
		Metrics: n.telemetry.Handler(), Middleware: n.telemetry.Middleware, Traceparent: telemetry.Traceparent,
		Missing: n.missing, Broken: n.broken, Rejected: n.telemetry.Rejected,
		Logger: n.log, Hosts: f.hosts, DrainTimeout: time.Duration(f.drainTimeout), Connections: f.connections, BodyBytes: f.bodyBytes,
	}
	if f.front {
		opts.Remote = n.engine
	}
	for _, text := range f.trustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if address, single := netip.ParseAddr(text); err != nil && single == nil {
			prefix, err = address.Prefix(address.BitLen())
		}
		if err != nil {
			return opts, fmt.Errorf("--trusted-proxy %s: write an address or a CIDR like 10.0.0.0/8", text)
		}
		opts.TrustedProxies = append(opts.TrustedProxies, prefix)
	}
	if f.tlsCert != "" {
		if opts.TLS, err = service.ReloadingCertificate(f.tlsCert, f.tlsKey, n.log); err != nil {
			return opts, err
		}
	}
	if opts.Keys, err = n.engine.Keys(ctx); err != nil {
		return opts, err
	}
	if !f.authenticates() {
		return opts, nil
	}
	secret, err := readSecret("--jwt-secret-file", f.jwtSecretFile)
	if err != nil {
		return opts, err
	}
	opts.Access, err = access.New(ctx, access.Options{
		Keys: opts.Keys, Logger: n.log,
		JWT: access.JWTOptions{Secret: secret, JWKS: f.jwks, Issuer: f.jwtIssuer, Audience: f.jwtAudience},
	})
	return opts, err
}

// onSignals returns a context that ends with the first signal to stop, and
// calls hurry on the second.
func onSignals(ctx context.Context, hurry func()) (_ context.Context, stop func()) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		for _, act := range []func(){cancel, hurry} {
			select {
			case <-signals:
				act()
			case <-over:
				return
			}
		}
	}()
	return ctx, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(over)
		cancel()
	})
}
