package service

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// certificateLook is how often the files are looked at, at most.
	certificateLook = time.Second
	// certificateSettles is how young a file may be to be read again: within a tick of
	// the file system's clock another version looks the same.
	certificateSettles = 2 * time.Second
	maxCertificateFile = 1 << 20
)

// ReloadingCertificate is a server's TLS configuration (1.2 and newer) whose
// certificate, with its chain, and key are read from files in PEM, which may be
// one. Handshakes look, at most once a second, whether the files have changed; links
// are followed, as Kubernetes swaps them. As long as the new files can't be used
// the last good pair serves, and log says so once.
func ReloadingCertificate(certFile, keyFile string, log *slog.Logger) (*tls.Config, error) {
	return reloadingCertificate(certFile, keyFile, log, time.Now)
}

func reloadingCertificate(certFile, keyFile string, log *slog.Logger, now func() time.Time) (*tls.Config, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := &reloadingPair{
		cert: watchedFile{what: "certificate", name: certFile}, key: watchedFile{what: "key", name: keyFile},
		log: log, now: now, looked: now(),
	}
	pair, err := r.load()
	if err != nil {
		return nil, fmt.Errorf("service: %w", err)
	}
	r.use(pair)
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			r.look()
			return r.current.Load(), nil
		},
	}, nil
}

// reloadingPair is a certificate and its key in files.
type reloadingPair struct {
	log     *slog.Logger
	now     func() time.Time
	current atomic.Pointer[tls.Certificate]

	mu        sync.Mutex // guards what follows
	looked    time.Time
	cert, key watchedFile
	problem   string // of the files as they are; empty for none
}

// look loads the pair anew if its files changed. Who comes while another one looks
// doesn't wait for it.
func (r *reloadingPair) look() {
	if !r.mu.TryLock() {
		return
	}
	defer r.mu.Unlock()
	now := r.now()
	if since := now.Sub(r.looked); 0 <= since && since < certificateLook {
		return
	}
	r.looked = now
	certChanged, keyChanged := r.cert.changed(now), r.key.changed(now)
	if !certChanged && !keyChanged {
		return
	}
	pair, err := r.load()
	if err != nil {
		if r.problem != err.Error() {
			r.problem = err.Error()
			r.log.Error("new TLS certificate can't be used, the last one serves on", slog.String("error", r.problem))
		}
		return
	}
	r.problem = ""
	if !samePair(pair, r.current.Load()) {
		r.use(pair)
		r.log.Info("TLS certificate reloaded", slog.Time("until", pair.Leaf.NotAfter))
	}
}

func (r *reloadingPair) use(pair *tls.Certificate) {
	r.current.Store(pair)
	switch now := r.now(); {
	case now.After(pair.Leaf.NotAfter):
		r.log.Warn("TLS certificate has expired: clients will refuse it", slog.Time("until", pair.Leaf.NotAfter))
	case now.Before(pair.Leaf.NotBefore):
		r.log.Warn("TLS certificate isn't valid yet: clients will refuse it", slog.Time("from", pair.Leaf.NotBefore))
	}
}

func samePair(a, b *tls.Certificate) bool {
	if len(a.Certificate) != len(b.Certificate) {
		return false
	}
	for i := range a.Certificate {
		if !bytes.Equal(a.Certificate[i], b.Certificate[i]) {
			return false
		}
	}
	return true
}

func (r *reloadingPair) load() (*tls.Certificate, error) {
	cert, err := r.cert.read()
	if err != nil {
		return nil, err
	}
	key, err := r.key.read()
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil && isEncrypted(key) {
		return nil, fmt.Errorf("the TLS key %s is encrypted: store it without a passphrase, readable for this user only", r.key.name)
	}
	if err != nil {
		return nil, fmt.Errorf("the TLS certificate %s and the key %s can't be used: %w", r.cert.name, r.key.name, err)
	}
	return &pair, nil
}

func isEncrypted(key []byte) bool {
	block, _ := pem.Decode(key)
	return block != nil && (strings.Contains(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "")
}

// watchedFile is a file as it was when it was last read.
type watchedFile struct {
	what, name string
	seen       os.FileInfo // nil: wasn't there
}

func (f *watchedFile) changed(now time.Time) bool {
	info, err := os.Stat(f.name)
	if err != nil || f.seen == nil {
		return true
	}
	return !os.SameFile(info, f.seen) || info.Size() != f.seen.Size() || !info.ModTime().Equal(f.seen.ModTime()) ||
		now.Sub(info.ModTime()) < certificateSettles+certificateLook
}

// read notes the file's state first: what changes while it is read is seen next
// time.
func (f *watchedFile) read() ([]byte, error) {
	f.seen = nil
	info, err := os.Stat(f.name)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", f.name)
	}
	if err != nil {
		return nil, fmt.Errorf("the TLS %s can't be read: %w", f.what, err)
	}
	file, err := os.Open(f.name)
	if err != nil {
		return nil, fmt.Errorf("the TLS %s can't be read: %w", f.what, err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxCertificateFile))
	if err != nil {
		return nil, fmt.Errorf("the TLS %s can't be read: %w", f.what, err)
	}
	f.seen = info
	return data, nil
}
