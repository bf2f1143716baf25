package httptool_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/almyty-inc/toolrun/httptool"
)

// upstream is the other side of a row, and how a transport gets there.
type upstream struct {
	url      string // scheme and host
	policy   httptool.Policy
	resolver *net.Resolver // nil: the host's
	tls      *tls.Config   // nil: the host's trust
}

// at is an upstream that the policy allows.
func at(scheme, address string) upstream {
	return upstream{url: scheme + "://" + address, policy: httptool.Policy{Allow: []string{address}}}
}

// plain serves bytes over TCP, once the request's header section was read.
func plain(handle func(net.Conn)) func(*testing.T) upstream {
	return func(t *testing.T) upstream { return at("http", raw(t, handle)) }
}

// text serves one well-formed answer.
func text(status, headers, body string) func(*testing.T) upstream {
	return plain(says(answer(status, headers, body)))
}

// handled serves with net/http.
func handled(h http.HandlerFunc) func(*testing.T) upstream {
	return func(t *testing.T) upstream {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return at("http", s.Listener.Addr().String())
	}
}

// testCA signs the certificates of all rows.
var testCA = sync.OnceValue(func() tls.Certificate {
	return issue(nil, func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "test authority"}
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
})

// issue makes a certificate for 127.0.0.1 that change may spoil. Without a signer
// it signs itself.
func issue(signer *tls.Certificate, change func(*x509.Certificate)) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "upstream"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(c)
	}
	parent, parentKey := c, any(key)
	if signer != nil {
		parent, parentKey = signer.Leaf, signer.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, key.Public(), parentKey)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func trusting() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(testCA().Leaf)
	return &tls.Config{RootCAs: pool}
}

// secure serves over TLS, with a good certificate unless config has one. handle
// gets the connection after the request's header section.
func secure(config *tls.Config, handle func(*tls.Conn)) func(*testing.T) upstream {
	return func(t *testing.T) upstream {
		config := config.Clone()
		if config.Certificates == nil {
			ca := testCA()
			config.Certificates = []tls.Certificate{issue(&ca, nil)}
		}
		up := at("https", listen(t, func(c net.Conn) {
			server := tls.Server(c, config)
			if server.HandshakeContext(context.Background()) == nil {
				if _, err := http.ReadRequest(bufio.NewReader(server)); err == nil {
					handle(server)
				}
			}
			c.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, c) // what was sent must arrive before the end
		}))
		up.tls = trusting()
		return up
	}
}

// certified serves over TLS with a certificate that change spoils.
func certified(change func(*x509.Certificate)) func(*testing.T) upstream {
	return func(t *testing.T) upstream {
		ca := testCA()
		return secure(&tls.Config{Certificates: []tls.Certificate{issue(&ca, change)}}, hangUp)(t)
	}
}

func hangUp(c *tls.Conn) { c.Close() }

// handshaking speaks on the bare connection instead of a TLS handshake, after
// the client's first message.
func handshaking(handle func(net.Conn)) func(*testing.T) upstream {
	return func(t *testing.T) upstream {
		up := at("https", raw(t, handle))
		up.tls = trusting()
		return up
	}
}

// peer speaks HTTP/2 on one connection, as badly as a row wants.
type peer struct {
	*http2.Framer
	conn   *tls.Conn
	stream uint32 // of the last request
}

// frames serves HTTP/2: answer writes what comes of each request's header
// section.
func frames(answer func(*peer)) func(*testing.T) upstream {
	return framesAfter(func(p *peer) { p.WriteSettings() }, answer)
}

// framesAfter is frames with a beginning of its own in place of the settings.
func framesAfter(greet, answer func(*peer)) func(*testing.T) upstream {
	return func(t *testing.T) upstream {
		ca := testCA()
		config := &tls.Config{Certificates: []tls.Certificate{issue(&ca, nil)}, NextProtos: []string{"h2"}}
		up := at("https", listen(t, func(c net.Conn) {
			server := tls.Server(c, config)
			if _, err := io.ReadFull(server, make([]byte, len(http2.ClientPreface))); err != nil {
				return
			}
			p := &peer{Framer: http2.NewFramer(server, server), conn: server}
			greet(p)
			for {
				frame, err := p.ReadFrame()
				if err != nil {
					return
				}
				if h, ok := frame.(*http2.HeadersFrame); ok {
					p.stream = h.StreamID
					answer(p)
				}
			}
		}))
		up.tls = trusting()
		return up
	}
}

// headers sends fields, given as names and values in turn.
func (p *peer) headers(end bool, fields ...string) {
	const most = 16 << 10 // bytes of a frame
	rest := block(fields...)
	first := rest[:min(len(rest), most)]
	rest = rest[len(first):]
	p.WriteHeaders(http2.HeadersFrameParam{StreamID: p.stream, BlockFragment: first, EndHeaders: len(rest) == 0, EndStream: end})
	for len(rest) > 0 {
		next := rest[:min(len(rest), most)]
		rest = rest[len(next):]
		p.WriteContinuation(p.stream, len(rest) == 0, next)
	}
}

func block(fields ...string) []byte {
	var b blockWriter
	encoder := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		encoder.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1], Sensitive: true}) // stays out of the peer's table
	}
	return b
}

type blockWriter []byte

func (b *blockWriter) Write(p []byte) (int, error) { *b = append(*b, p...); return len(p), nil }

// posting is a tool that sends a body.
func posting(body string) httptool.Config {
	return httptool.Config{Method: http.MethodPost, Body: []byte(body)}
}
