package queue_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/queue"
)

// joined is JetStream as any client of the socket in dir sees it.
func joined(t testing.TB, dir string) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect("", nats.InProcessServer(unixDialer(filepath.Join(dir, "toolrun.sock"))))
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	return js
}

type unixDialer string

func (path unixDialer) InProcessConn() (net.Conn, error) { return net.Dial("unix", string(path)) }

// node is a NATS server on loopback, with JetStream.
type node struct {
	*server.Server
	opts server.Options
}

func serve(t testing.TB, adapt func(*server.Options)) *node {
	t.Helper()
	n := &node{opts: server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		JetStreamMaxMemory: 1 << 28, JetStreamMaxStore: 1 << 30,
	}}
	if adapt != nil {
		adapt(&n.opts)
	}
	t.Cleanup(n.stop)
	n.start(t)
	require.True(t, n.ReadyForConnections(10*time.Second))
	return n
}

func (n *node) start(t testing.TB) {
	t.Helper()
	opts := n.opts
	s, err := server.NewServer(&opts)
	require.NoError(t, err)
	n.Server = s
	n.Start()
}

func (n *node) stop() {
	if addr, ok := n.Addr().(*net.TCPAddr); ok {
		n.opts.Port = addr.Port
	}
	n.Shutdown()
	n.WaitForShutdown()
}

// refused is the error of an Open that has half a second.
func refused(t *testing.T, opts queue.Options) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := queue.Open(ctx, opts)
	require.Error(t, err)
	return err.Error()
}

func TestURL(t *testing.T) {
	s := serve(t, nil)
	e := open(t, queue.Options{URL: s.ClientURL()})
	require.NoError(t, e.Ready())
	create(t, definitions(t, e), tool("acme", "t1", "add"))
	require.NoError(t, e.Close())

	// One of several is there, and the scheme may be left out.
	e = open(t, queue.Options{URL: "127.0.0.1:1, " + s.Addr().String()})
	_, err := definitions(t, e).Get(t.Context(), "acme", "t1")
	require.NoError(t, err)
	require.NoError(t, keys(t, e).Create(t.Context(), newKey(t, "acme")))
	rates(t, e)
	require.NoError(t, e.Ready())
}

func TestURLRefused(t *testing.T) {
	for _, list := range []string{
		"nats://user:hunter2@host:port", "http://user:hunter2@host:4222", "nats://user:hun%ter2@host", "nats://", ",", "nats://host:4222,://hunter2",
	} {
		message := refused(t, queue.Options{URL: list})
		require.Contains(t, message, "of the NATS servers is not valid", list)
		require.NotContains(t, message, "hunter2")
	}
	message := refused(t, queue.Options{URL: "nats://user:hunter2@127.0.0.1:1"})
	require.Contains(t, message, "no NATS server of 127.0.0.1:1 takes the connection")
	require.Regexp(t, "refused|no servers available", message)
	require.NotContains(t, message, "hunter2")

	noStreams := serve(t, func(o *server.Options) { o.JetStream = false })
	require.Contains(t, refused(t, queue.Options{URL: noStreams.ClientURL()}), "JetStream")
}

// A start before the server's own waits for it.
func TestServerComesLater(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	at := s.ClientURL()
	s.stop()
	opened := make(chan error)
	go func() {
		e, err := queue.Open(t.Context(), queue.Options{URL: at})
		if err == nil {
			err = e.Close()
		}
		opened <- err
	}()
	s.start(t)
	require.NoError(t, <-opened)
}

func TestPassword(t *testing.T) {
	t.Parallel()
	s := serve(t, func(o *server.Options) { o.Username, o.Password = "ann", "hunter2" })
	at := func(user *url.Userinfo) string {
		return (&url.URL{Scheme: "nats", User: user, Host: s.Addr().String()}).String()
	}
	log := &lines{}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	e := open(t, queue.Options{URL: at(url.UserPassword("ann", "hunter2")), Logger: logger})
	require.NoError(t, e.Ready())

	_, err := queue.Open(t.Context(), queue.Options{URL: at(url.UserPassword("ann", "swordfish")), Logger: logger})
	require.ErrorContains(t, err, "Authorization")
	message := err.Error()
	require.Contains(t, refused(t, queue.Options{URL: at(nil)}), "Authorization")

	// Lost and found.
	s.stop()
	require.Eventually(t, func() bool { return e.Ready() != nil }, 10*time.Second, time.Millisecond)
	s.start(t)
	require.Eventually(t, func() bool { return e.Ready() == nil }, 20*time.Second, 10*time.Millisecond)
	require.Contains(t, log.String(), "connected to NATS again")
	for _, secret := range []string{"hunter2", "swordfish"} {
		require.NotContains(t, log.String()+message, secret)
	}
}

// A watch goes on after the connection was lost, and nothing that was written meanwhile is
// missed.
func TestWatchOutlivesTheConnection(t *testing.T) {
	t.Parallel()
	s := serve(t, nil)
	a, b := open(t, queue.Options{URL: s.ClientURL()}), open(t, queue.Options{URL: s.ClientURL()})
	ka, kb := keys(t, a), keys(t, b)
	for range 3 {
		s.stop()
		require.Eventually(t, func() bool { return a.Ready() != nil }, 20*time.Second, time.Millisecond)
		require.Error(t, ka.Create(t.Context(), newKey(t, "acme")))
		s.start(t)
		require.Eventually(t, func() bool { return a.Ready() == nil }, 20*time.Second, 10*time.Millisecond)
		key := newKey(t, "acme")
		require.NoError(t, ka.Create(t.Context(), key))
		require.Eventually(t, func() bool {
			_, ok := kb.KeyByHash(key.Hash)
			return ok
		}, 30*time.Second, time.Millisecond)
	}
}

// authority makes certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	dir  string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{dir: t.TempDir()}
	a.cert, a.key = a.issue(t, "ca", &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// issue writes name.pem and name.key.
func (a *authority) issue(t *testing.T, name string, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	template.Subject = pkix.Name{CommonName: name}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if a.cert != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for suffix, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		require.NoError(t, os.WriteFile(a.path(name+suffix), pem.EncodeToMemory(block), 0o600))
	}
	return cert, key
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func TestTLS(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	for _, a := range []*authority{ours, theirs} {
		a.issue(t, "server", &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
		a.issue(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	}
	cert, err := tls.LoadX509KeyPair(ours.path("server.pem"), ours.path("server.key"))
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(ours.cert)
	s := serve(t, func(o *server.Options) {
		o.TLS, o.TLSVerify, o.TLSTimeout = true, true, 5
		o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert}
	})
	at := "tls://" + s.Addr().String()
	good := queue.Options{URL: at, CA: ours.path("ca.pem"), Cert: ours.path("client.pem"), Key: ours.path("client.key")}
	require.NoError(t, open(t, good).Ready())

	for want, change := range map[string]func(*queue.Options){
		"signed by unknown authority": func(o *queue.Options) { o.CA = theirs.path("ca.pem") },
		"certificate|tls error":       func(o *queue.Options) { o.Cert, o.Key = "", "" },
		"needs both":                  func(o *queue.Options) { o.Key = "" },
		"no such file":                func(o *queue.Options) { o.CA = ours.path("nowhere.pem") },
		"connect":                     func(o *queue.Options) { o.CA = ours.path("ca.key") },
	} {
		opts := good
		change(&opts)
		require.Regexp(t, want, refused(t, opts))
	}
	opts := good
	opts.Cert, opts.Key = theirs.path("client.pem"), theirs.path("client.key")
	require.Regexp(t, "certificate|tls error", refused(t, opts))
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	operator, err := nkeys.CreateOperator()
	require.NoError(t, err)
	operatorKey, err := operator.PublicKey()
	require.NoError(t, err)
	operatorClaims := jwt.NewOperatorClaims(operatorKey)
	systemKey, systemJWT, _ := account(t, operator, false)
	accountKey, accountJWT, signer := account(t, operator, true)
	operatorClaims.SystemAccount = systemKey
	operatorJWT, err := operatorClaims.Encode(operator)
	require.NoError(t, err)
	operatorClaims, err = jwt.DecodeOperatorClaims(operatorJWT)
	require.NoError(t, err)
	s := serve(t, func(o *server.Options) {
		o.TrustedOperators = []*jwt.OperatorClaims{operatorClaims}
		o.SystemAccount = systemKey
		resolver := &server.MemAccResolver{}
		require.NoError(t, resolver.Store(systemKey, systemJWT))
		require.NoError(t, resolver.Store(accountKey, accountJWT))
		o.AccountResolver = resolver
	})
	stranger, err := nkeys.CreateAccount()
	require.NoError(t, err)

	e := open(t, queue.Options{URL: s.ClientURL(), Credentials: credentials(t, signer)})
	create(t, definitions(t, e), tool("acme", "t1", "add"))
	require.NoError(t, e.Ready())
	require.Contains(t, refused(t, queue.Options{URL: s.ClientURL(), Credentials: credentials(t, stranger)}), "Authorization")
	require.Contains(t, refused(t, queue.Options{URL: s.ClientURL()}), "Authorization")
	require.Contains(t, refused(t, queue.Options{URL: s.ClientURL(), Credentials: "/nowhere.creds"}), "no such file")
	broken := filepath.Join(t.TempDir(), "broken.creds")
	require.NoError(t, os.WriteFile(broken, []byte("hunter2"), 0o600))
	require.NotContains(t, refused(t, queue.Options{URL: s.ClientURL(), Credentials: broken}), "hunter2")
}

func account(t *testing.T, operator nkeys.KeyPair, streams bool) (public, token string, pair nkeys.KeyPair) {
	t.Helper()
	pair, err := nkeys.CreateAccount()
	require.NoError(t, err)
	public, err = pair.PublicKey()
	require.NoError(t, err)
	claims := jwt.NewAccountClaims(public)
	if streams {
		claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
	}
	token, err = claims.Encode(operator)
	require.NoError(t, err)
	return public, token, pair
}

// credentials is a .creds file of a user that the account signed.
func credentials(t *testing.T, account nkeys.KeyPair) string {
	t.Helper()
	user, err := nkeys.CreateUser()
	require.NoError(t, err)
	public, err := user.PublicKey()
	require.NoError(t, err)
	token, err := jwt.NewUserClaims(public).Encode(account)
	require.NoError(t, err)
	seed, err := user.Seed()
	require.NoError(t, err)
	text, err := jwt.FormatUserConfig(token, seed)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "user.creds")
	require.NoError(t, os.WriteFile(path, text, 0o600))
	return path
}

// cluster starts three servers that know each other.
func cluster(t testing.TB) (nodes []*node, urls string) {
	t.Helper()
	var routes []*url.URL
	var listeners []net.Listener
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		listeners = append(listeners, l)
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
	}
	for i, l := range listeners {
		require.NoError(t, l.Close())
		n := serve(t, func(o *server.Options) {
			o.ServerName, o.Routes = fmt.Sprint("n", i), routes
			o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}
		})
		nodes = append(nodes, n)
		urls += "," + n.ClientURL()
	}
	return nodes, urls[1:]
}

func TestCluster(t *testing.T) {
	nodes, urls := cluster(t)
	a, b := open(t, queue.Options{URL: urls}), open(t, queue.Options{URL: urls})
	ka, kb := keys(t, a), keys(t, b)
	da, db := definitions(t, a), definitions(t, b)
	ra, rb := rates(t, a), rates(t, b)
	require.Eventually(t, func() bool { return a.Ready() == nil && b.Ready() == nil }, 20*time.Second, 20*time.Millisecond)

	conn, err := nats.Connect(urls)
	require.NoError(t, err)
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	for _, name := range []string{"KV_toolrun_keys", "KV_toolrun_definitions", "KV_toolrun_rates"} {
		s, err := js.Stream(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, 3, s.CachedInfo().Config.Replicas)
	}
	limits := []queue.Limit{{N: 100, Per: time.Hour}}
	require.EqualValues(t, 100, hammer(t, "before", limits, 8, 25, ra, rb))
	create(t, da, tool("acme", "t1", "add"))
	_, err = db.Create(t.Context(), tool("acme", "t2", "add"))
	require.ErrorIs(t, err, queue.ErrTaken)

	// One of three may be missing.
	nodes[0].stop()
	require.Eventually(t, func() bool { return a.Ready() == nil && b.Ready() == nil }, 30*time.Second, 20*time.Millisecond)
	key := newKey(t, "acme")
	require.Eventually(t, func() bool { return ka.Create(t.Context(), key) == nil }, 60*time.Second, 20*time.Millisecond)
	_, err = kb.Revoke(t.Context(), "acme", key.ID)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		got, _ := ka.KeyByHash(key.Hash)
		return !got.RevokedAt.IsZero()
	}, 30*time.Second, 5*time.Millisecond)
	require.EqualValues(t, 100, hammer(t, "meanwhile", limits, 8, 25, ra, rb))

	// Of two, nothing can be written, and this is said.
	nodes[1].stop()
	require.Eventually(t, func() bool { return a.Ready() != nil && b.Ready() != nil }, 60*time.Second, 20*time.Millisecond)
	_, ok := ka.KeyByHash(key.Hash)
	require.True(t, ok, "what is known can be read")

	nodes[0].start(t)
	nodes[1].start(t)
	require.Eventually(t, func() bool { return a.Ready() == nil && b.Ready() == nil }, 60*time.Second, 20*time.Millisecond)
	_, err = da.Update(t.Context(), tool("acme", "t1", "sub"), 0)
	require.NoError(t, err)
	create(t, db, tool("acme", "t2", "add"))
}
