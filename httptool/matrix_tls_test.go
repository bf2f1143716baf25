package httptool_test

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
)

// unknown is an authority that nobody trusts.
func unknown(t *testing.T) upstream {
	ca := issue(nil, func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	})
	return secure(&tls.Config{Certificates: []tls.Certificate{issue(&ca, nil)}}, hangUp)(t)
}

func selfSigned(t *testing.T) upstream {
	return secure(&tls.Config{Certificates: []tls.Certificate{issue(nil, nil)}}, hangUp)(t)
}

// breaks answers with text and then writes what wasn't encrypted on the
// connection beneath.
func breaks(text, garbage string) func(*tls.Conn) {
	return func(c *tls.Conn) {
		io.WriteString(c, text)
		io.WriteString(c.NetConn(), garbage)
	}
}

// tlsSays writes and closes as TLS has it.
func tlsSays(text string) func(*tls.Conn) {
	return func(c *tls.Conn) {
		io.WriteString(c, text)
		c.Close()
	}
}

var tlsFaults = []fault{
	{name: "The certificate has expired", serve: certified(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		want: permanent(refusedClass, errclass.TLSExpired, "the certificate of 127.0.0.1 has expired")},
	{name: "The certificate isn't valid yet", serve: certified(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }),
		want: permanent(refusedClass, errclass.TLSExpired, "is not valid yet")},
	{name: "The certificate is self-signed", serve: selfSigned, want: permanent(refusedClass, errclass.TLSUntrusted, "")},
	{name: "The certificate is of an unknown authority", serve: unknown, want: permanent(refusedClass, errclass.TLSUntrusted, "")},
	{name: "The certificate is for another name", serve: certified(func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 2)} }),
		want: permanent(refusedClass, errclass.TLSHostname, "")},
	{name: "The certificate is for no name at all", serve: certified(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, nil }),
		want: permanent(refusedClass, errclass.TLSHostname, "")},
	{name: "The certificate isn't one for servers", serve: certified(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }),
		want: permanent(refusedClass, errclass.TLSUntrusted, "")},
	{name: "The certificate has an extension that must be understood", serve: certified(func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: []int{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	}), want: permanent(refusedClass, errclass.TLSUntrusted, "")},
	{name: "TLS 1.0 only", serve: secure(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, hangUp),
		want: permanent(refusedClass, errclass.TLSHandshake, "protocol version")},
	{name: "Outdated ciphers only", serve: secure(&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}}, hangUp),
		want: permanent(refusedClass, errclass.TLSHandshake, "handshake failure")},
	{name: "No protocol in common (ALPN)", serve: secure(&tls.Config{NextProtos: []string{"imap"}}, hangUp), want: permanent(refusedClass, errclass.TLSHandshake, "")},
	{name: "A client certificate is required, TLS 1.2", serve: secure(&tls.Config{MaxVersion: tls.VersionTLS12, ClientAuth: tls.RequireAnyClientCert}, hangUp),
		want: permanent(refusedClass, errclass.TLSHandshake, "")},
	{name: "A client certificate is required, TLS 1.3", serve: secure(&tls.Config{ClientAuth: tls.RequireAnyClientCert}, hangUp),
		want: permanent(refusedClass, errclass.TLSHandshake, "certificate required")},
	{name: "Plain HTTP on a port called with https", serve: handshaking(says("HTTP/1.1 400 Bad Request\r\n\r\n")), want: permanent(refusedClass, errclass.Protocol, "speaks plain HTTP")},
	{name: "Another protocol on a port called with https", serve: handshaking(says("220 mail.test ESMTP\r\n")), want: permanent(refusedClass, errclass.Protocol, "does not speak TLS")},
	{name: "TLS on a port called with http", serve: plain(says("\x15\x03\x01\x00\x02\x02\x46")), want: permanent(refusedClass, errclass.Protocol, "must begin with https")},
	{name: "Closed within the handshake", serve: handshaking(says("")), want: temporary(refusedClass, errclass.Reset, "")},
	{name: "Reset within the handshake", serve: handshaking(resets("")), want: temporary(refusedClass, errclass.Reset, "")},
	{name: "A record of the handshake is cut short", serve: handshaking(says("\x16\x03\x03\x00\x50half")), want: temporary(refusedClass, errclass.Reset, "")},
	{name: "Garbage in a handshake record", serve: handshaking(says("\x16\x03\x03\x00\x08\x63\x00\x00\x04aaaa")), want: permanent(refusedClass, errclass.TLSHandshake, "")},
	{name: "The handshake is turned down with an alert", serve: handshaking(says("\x15\x03\x03\x00\x02\x02\x28")), want: permanent(refusedClass, errclass.TLSHandshake, "handshake failure")},
	{name: "The handshake never begins", serve: handshaking(stalls("")), want: late(errclass.PhaseTLS, "no TLS handshake with 127.0.0.1")},
	{name: "The handshake stalls within a record", serve: handshaking(stalls("\x16\x03\x03\x00\x50half")), want: late(errclass.PhaseTLS, "")},
	{name: "Closed after the handshake, without an answer", serve: secure(&tls.Config{}, hangUp), want: temporary(refusedClass, errclass.Reset, "")},
	{name: "Garbage between the records, before an answer", serve: secure(&tls.Config{}, breaks("", "garbage")), want: permanent(refusedClass, errclass.TLSHandshake, "")},
	{name: "Garbage between the records, within the body", serve: secure(&tls.Config{}, breaks("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1", "garbage")), want: temporary(invalid, errclass.Truncated, "")},
	{name: "A forged record within the body", serve: secure(&tls.Config{}, breaks("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1", "\x17\x03\x03\x00\x20"+strings.Repeat("a", 32))), want: temporary(invalid, errclass.Truncated, "")},
	{name: "A body of no given length, ended with TLS's goodbye", serve: secure(&tls.Config{}, tlsSays("HTTP/1.1 200 OK\r\n"+jsonType+"\r\n[1]")), want: gives("[1]")},
}
