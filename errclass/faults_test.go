package errclass_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// This file makes faults: servers on loopback that break one rule each, and the
// client that runs into them. The client is net/http's own.

// secret stands in the query of every URL and must never come out.
const secret = "SEKRET"

// serveTCP hands every connection to handle, closes it afterwards, and returns
// the address. With the test's end the listener and all connections are closed.
func serveTCP(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	serveListener(t, ln, handle)
	return ln.Addr().String()
}

func serveListener(t *testing.T, ln net.Listener, handle func(net.Conn)) {
	t.Helper()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		conns []net.Conn
	)
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			wg.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

// answering is a server that reads one request and writes response.
func answering(t *testing.T, response string) string {
	t.Helper()
	return serveTCP(t, func(conn net.Conn) { reply(conn, response) })
}

// stalling is answering, but the connection stays open without a further byte.
func stalling(t *testing.T, response string) string {
	t.Helper()
	return serveTCP(t, func(conn net.Conn) {
		reply(conn, response)
		_, _ = io.Copy(io.Discard, conn)
	})
}

// resetting is answering, but the connection is then reset, not closed.
func resetting(t *testing.T, response string) string {
	t.Helper()
	return serveTCP(t, func(conn net.Conn) {
		reply(conn, response)
		_ = conn.(*net.TCPConn).SetLinger(0)
	})
}

func reply(conn net.Conn, response string) {
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
		_, _ = io.WriteString(conn, response)
	}
}

// closedPort is an address on which nobody listens.
func closedPort(t *testing.T, network string) string {
	t.Helper()
	if network == "udp" {
		conn, err := net.ListenPacket(network, "127.0.0.1:0")
		require.NoError(t, err)
		defer conn.Close()
		return conn.LocalAddr().String()
	}
	return "127.0.0.1:1" // a port that was given back may be another test's by now
}

// call is one request and everything about it that a fault needs to change.
type call struct {
	ctx       context.Context
	timeout   time.Duration // of the client
	transport *http.Transport
	method    string
	body      io.Reader
	header    http.Header
	cancel    <-chan struct{}          // Request.Cancel, the old way
	onHeaders func(res *http.Response) // after the header section
	decode    bool                     // the body as JSON
}

// get requests url and reads the answer to its end; it returns the first error.
func get(t *testing.T, rawURL string, c call) error {
	t.Helper()
	if c.transport == nil {
		c.transport = &http.Transport{}
	}
	if c.ctx == nil {
		c.ctx = t.Context()
	}
	t.Cleanup(c.transport.CloseIdleConnections)
	client := &http.Client{Transport: c.transport, Timeout: c.timeout}
	req, err := http.NewRequestWithContext(c.ctx, c.method, rawURL+"/?token="+secret, c.body)
	if err != nil {
		return err
	}
	if c.header != nil {
		req.Header = c.header
	}
	//lint:ignore SA1019 still supported, and its error is one of its own
	req.Cancel = c.cancel
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if c.onHeaders != nil {
		c.onHeaders(res)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil || !c.decode {
		return err
	}
	var v any
	return json.Unmarshal(body, &v)
}

// manualDeadline is a context whose deadline passes when the test says so: what
// a timer would decide by the machine's speed is then certain.
type manualDeadline struct {
	context.Context
	done chan struct{}
}

func newDeadline(t *testing.T) *manualDeadline {
	t.Helper()
	d := &manualDeadline{t.Context(), make(chan struct{})}
	return d
}

func (d *manualDeadline) expire()               { close(d.done) }
func (d *manualDeadline) Done() <-chan struct{} { return d.done }
func (d *manualDeadline) Err() error {
	select {
	case <-d.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// authority signs the certificates of one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &authority{cert, key, pool}
}

// issue makes a certificate for localhost that change may spoil; a nil authority
// makes it self-signed.
func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	parent, signer := template, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// serveTLS is serveTCP behind TLS.
func serveTLS(t *testing.T, config *tls.Config, handle func(*tls.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	serveListener(t, ln, func(conn net.Conn) {
		server := tls.Server(conn, config)
		if server.HandshakeContext(context.Background()) == nil {
			handle(server)
		}
		_, _ = io.Copy(io.Discard, conn) // an alert must arrive before the end
	})
	return ln.Addr().String()
}

// getTLS requests a server whose certificate and configuration change spoils.
func getTLS(t *testing.T, spoilCert func(*x509.Certificate), server *tls.Config, client *tls.Config) error {
	t.Helper()
	ca := newAuthority(t)
	server.Certificates = []tls.Certificate{ca.issue(t, spoilCert)}
	addr := serveTLS(t, server, func(conn *tls.Conn) { reply(conn, "HTTP/1.1 204 No Content\r\n\r\n"); conn.Close() })
	client.RootCAs = ca.pool
	return get(t, "https://"+addr, call{transport: &http.Transport{TLSClientConfig: client}})
}

// http2Peer speaks frames on one connection, as badly as a test wants.
type http2Peer struct {
	*http2.Framer
	conn   net.Conn
	stream uint32
}

// headers answers the stream's request with the given fields.
func (p *http2Peer) headers(end bool, fields ...string) {
	var block hpackBlock
	for i := 0; i < len(fields); i += 2 {
		block.write(fields[i], fields[i+1])
	}
	_ = p.WriteHeaders(http2.HeadersFrameParam{
		StreamID: p.stream, BlockFragment: block.bytes(), EndHeaders: true, EndStream: end,
	})
}

type hpackBlock struct{ b []byte }

func (h *hpackBlock) bytes() []byte { return h.b }

func (h *hpackBlock) Write(p []byte) (int, error) {
	h.b = append(h.b, p...)
	return len(p), nil
}

func (h *hpackBlock) write(name, value string) {
	_ = hpack.NewEncoder(h).WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: true})
}

// getHTTP2 requests a server that answers the request's header section with
// whatever answer writes, and then reads on until the client closes.
func getHTTP2(t *testing.T, c call, answer func(*http2Peer)) error {
	t.Helper()
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, nil)}, NextProtos: []string{"h2"}}
	addr := serveTLS(t, config, func(conn *tls.Conn) {
		if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		p := &http2Peer{Framer: http2.NewFramer(conn, conn), conn: conn}
		_ = p.WriteSettings()
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
	})
	if c.transport == nil {
		c.transport = &http.Transport{}
	}
	c.transport.ForceAttemptHTTP2 = true
	c.transport.TLSClientConfig = &tls.Config{RootCAs: ca.pool}
	return get(t, "https://"+addr, c)
}

// resolverAt asks the name server at addr only. The conn of each question passes
// through wrap, if given. A lookup outlives the deadline of who asked for it, so
// the test's end closes what is still open.
func resolverAt(t *testing.T, addr string, wrap func(net.Conn) net.Conn) *net.Resolver {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return &net.Resolver{
		PreferGo: true,
		Dial: func(context.Context, string, string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "udp", addr)
			if err != nil {
				return nil, err
			}
			context.AfterFunc(ctx, func() { conn.Close() })
			if wrap == nil {
				return conn, nil
			}
			return wrap(conn), nil
		},
	}
}

// resolving is a transport that resolves names by r.
func resolving(r *net.Resolver) *http.Transport {
	return &http.Transport{DialContext: (&net.Dialer{Resolver: r}).DialContext}
}

// nameServer answers every question with code, and with nothing where silent.
func nameServer(t *testing.T, code dnsmessage.RCode, silent bool) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if silent || m.Unpack(buf[:n]) != nil {
				continue
			}
			m.Response, m.RecursionAvailable, m.RCode = true, true, code
			m.Additionals = nil
			if out, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(out, from)
			}
		}
	})
	t.Cleanup(func() {
		conn.Close()
		wg.Wait()
	})
	return conn.LocalAddr().String()
}

// impatient shortens the five seconds that Go's resolver waits for an answer.
type impatient struct{ *net.UDPConn }

func hurry(c net.Conn) net.Conn { return impatient{c.(*net.UDPConn)} }

func (c impatient) SetDeadline(time.Time) error {
	return c.UDPConn.SetDeadline(time.Now().Add(10 * time.Millisecond))
}

func proxyAt(addr string) func(*http.Request) (*url.URL, error) {
	return http.ProxyURL(&url.URL{Scheme: "http", Host: addr})
}

// criticalExtension is one that no verifier knows.
var criticalExtension = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
