package service_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/service"
)

// pair is a certificate and its key in PEM; what is nil isn't written.
type pair struct{ cert, key []byte }

// newPair makes a certificate for 127.0.0.1, known by its name.
func newPair(t *testing.T, name string, from, until time.Time) pair {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: from, NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	}
}

func validPair(t *testing.T, name string) pair {
	return newPair(t, name, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
}

// secured is a TLS server whose certificate lies in a directory, and whose clock
// stands still until the test moves it.
type secured struct {
	dir, cert, key string
	addr           string
	log            *logBuffer
	ahead          atomic.Int64
}

func (s *secured) write(t *testing.T, p pair) {
	t.Helper()
	for name, data := range map[string][]byte{s.cert: p.cert, s.key: p.key} {
		if data != nil {
			require.NoError(t, os.WriteFile(name, data, 0o600))
		}
	}
}

func secure(t *testing.T, s *secured) *secured {
	t.Helper()
	s.log = &logBuffer{}
	start := time.Now()
	config, err := service.ReloadingCertificateAt(s.cert, s.key, slog.New(slog.NewTextHandler(s.log, nil)),
		func() time.Time { return start.Add(time.Duration(s.ahead.Load())) })
	require.NoError(t, err)
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		await(t, done)
	})
	s.addr = l.Addr().String()
	return s
}

func inFiles(t *testing.T, p pair) *secured {
	t.Helper()
	dir := t.TempDir()
	s := &secured{dir: dir, cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key")}
	s.write(t, p)
	return s
}

// served is the name of the certificate of a new connection.
func (s *secured) served(t *testing.T) string {
	t.Helper()
	c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// later passes the time between two looks at the files.
func (s *secured) later() { s.ahead.Add(int64(time.Second)) }

func TestCertificateRotation(t *testing.T) {
	s := secure(t, inFiles(t, validPair(t, "one")))
	require.Equal(t, "one", s.served(t))

	s.write(t, validPair(t, "two"))
	require.Equal(t, "one", s.served(t), "within the second nobody looks")
	s.later()
	require.Equal(t, "two", s.served(t))
	s.later()
	require.Equal(t, "two", s.served(t))
	require.Equal(t, 1, strings.Count(s.log.String(), "certificate reloaded"))
	require.NotContains(t, s.log.String(), "ERROR")
}

func TestBrokenRotationKeepsTheLastPair(t *testing.T) {
	one := validPair(t, "one")
	other := validPair(t, "other")
	for name, breakIt := range map[string]func(*secured){
		"not PEM":           func(s *secured) { s.write(t, pair{cert: []byte("nonsense")}) },
		"empty":             func(s *secured) { s.write(t, pair{cert: []byte{}}) },
		"another's key":     func(s *secured) { s.write(t, pair{key: other.key}) },
		"another's cert":    func(s *secured) { s.write(t, pair{cert: other.cert}) },
		"half a key":        func(s *secured) { s.write(t, pair{key: one.key[:len(one.key)/2]}) },
		"the key is gone":   func(s *secured) { require.NoError(t, os.Remove(s.key)) },
		"a directory comes": func(s *secured) { require.NoError(t, os.Remove(s.cert)); require.NoError(t, os.Mkdir(s.cert, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := secure(t, inFiles(t, one))
			breakIt(s)
			for range 3 {
				s.later()
				require.Equal(t, "one", s.served(t))
			}
			require.Equal(t, 1, strings.Count(s.log.String(), "ERROR"), s.log.String())
			require.NotContains(t, s.log.String(), "PRIVATE")

			require.NoError(t, os.RemoveAll(s.cert))
			s.write(t, validPair(t, "mended"))
			s.later()
			require.Equal(t, "mended", s.served(t))
		})
	}
}

func TestKeyWrittenBeforeItsCertificate(t *testing.T) {
	s := secure(t, inFiles(t, validPair(t, "one")))
	two := validPair(t, "two")
	s.write(t, pair{key: two.key})
	s.later()
	require.Equal(t, "one", s.served(t))
	s.write(t, pair{cert: two.cert})
	s.later()
	require.Equal(t, "two", s.served(t))
}

// Kubernetes swaps one link to the directory of both files.
func TestCertificateBehindASwappedLink(t *testing.T) {
	dir := t.TempDir()
	version := func(name string) {
		t.Helper()
		at := filepath.Join(dir, name)
		require.NoError(t, os.Mkdir(at, 0o700))
		(&secured{cert: filepath.Join(at, "tls.crt"), key: filepath.Join(at, "tls.key")}).write(t, validPair(t, name))
		require.NoError(t, os.Symlink(name, filepath.Join(dir, "new")))
		require.NoError(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "..data")))
	}
	version("one")
	for _, name := range []string{"tls.crt", "tls.key"} {
		require.NoError(t, os.Symlink("..data/"+name, filepath.Join(dir, name)))
	}
	s := secure(t, &secured{dir: dir, cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key")})
	require.Equal(t, "one", s.served(t))
	version("two")
	s.later()
	require.Equal(t, "two", s.served(t))
}

// Files that were replaced within one tick of the file system's clock.
func TestCertificateReplacedWithinATick(t *testing.T) {
	one := validPair(t, "one")
	two := validPair(t, "two")
	at := time.Now().Truncate(time.Second)
	touch := func(s *secured) {
		require.NoError(t, os.Chtimes(s.cert, at, at))
		require.NoError(t, os.Chtimes(s.key, at, at))
	}
	s := inFiles(t, one)
	touch(s)
	secure(t, s)
	s.write(t, two)
	touch(s)
	s.later()
	require.Equal(t, "two", s.served(t))
}

func TestCertificateThatExpired(t *testing.T) {
	now := time.Now()
	for name, tc := range map[string]struct {
		from, until time.Time
		want        string
	}{
		"expired": {now.Add(-2 * time.Hour), now.Add(-time.Hour), "has expired"},
		"to come": {now.Add(time.Hour), now.Add(2 * time.Hour), "isn't valid yet"},
	} {
		t.Run(name, func(t *testing.T) {
			s := secure(t, inFiles(t, newPair(t, name, tc.from, tc.until)))
			require.Contains(t, s.log.String(), tc.want)
			require.Equal(t, name, s.served(t))
			s.later()
			s.served(t)
			require.Equal(t, 1, strings.Count(s.log.String(), tc.want))
		})
	}
}

func TestCertificateRefusedAtTheStart(t *testing.T) {
	one := validPair(t, "one")
	other := validPair(t, "other")
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})
	for name, tc := range map[string]struct {
		files pair
		want  string
	}{
		"no certificate": {pair{key: one.key}, "the TLS certificate can't be read: stat "},
		"no key":         {pair{cert: one.cert}, "the TLS key can't be read: stat "},
		"another's key":  {pair{one.cert, other.key}, "private key does not match public key"},
		"swapped":        {pair{one.key, one.cert}, "PEM inputs may have been switched"},
		"encrypted":      {pair{one.cert, encrypted}, "is encrypted: store it without a passphrase"},
	} {
		t.Run(name, func(t *testing.T) {
			s := inFiles(t, tc.files)
			_, err := service.ReloadingCertificate(s.cert, s.key, nil)
			require.ErrorContains(t, err, tc.want)
			require.NotContains(t, err.Error(), "BEGIN")
		})
	}
}

func TestTLSVersions(t *testing.T) {
	s := secure(t, inFiles(t, validPair(t, "one")))
	_, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
	require.ErrorContains(t, err, "protocol version")
	c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}})
	require.NoError(t, err)
	require.Equal(t, "http/1.1", c.ConnectionState().NegotiatedProtocol)
	require.NoError(t, c.Close())
}

// Handshakes of many clients while the files change all the time: each gets a whole
// pair.
func TestCertificateUnderRotation(t *testing.T) {
	s := secure(t, inFiles(t, validPair(t, "pair")))
	pairs := []pair{validPair(t, "pair"), validPair(t, "pair"), validPair(t, "pair")}
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for range 20 {
				c, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
				if err != nil {
					t.Error(err)
					return
				}
				c.Close()
			}
		})
	}
	for i := range 60 {
		s.write(t, pairs[i%len(pairs)])
		s.later()
	}
	clients.Wait()
	s.later()
	require.Equal(t, "pair", s.served(t))
}
