package httptool_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

// closed is a port that nobody listens on; one that was given back could be
// another test's by now.
func closed(address string) func(*testing.T) upstream {
	return func(*testing.T) upstream { return at("http", address) }
}

// named is an upstream called "upstream.test", whose name server answers with r.
func named(r func(*testing.T) *net.Resolver) func(*testing.T) upstream {
	return func(t *testing.T) upstream {
		return upstream{url: "http://upstream.test", policy: httptool.Policy{Public: true}, resolver: r(t)}
	}
}

// resolved is a name server that knows these successive answers.
func resolved(answers ...string) func(*testing.T) *net.Resolver {
	return func(t *testing.T) *net.Resolver { return fakeDNS(t, names{"upstream.test": answers}) }
}

// dns is a name server that answers with change's work on an empty answer.
func dns(change func(*dnsmessage.Message)) func(*testing.T) *net.Resolver {
	return func(t *testing.T) *net.Resolver {
		return nameServer(t, func(query []byte) []byte {
			var m dnsmessage.Message
			if m.Unpack(query) != nil {
				return nil
			}
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			change(&m)
			packed, _ := m.Pack()
			return packed
		})
	}
}

// garbled is a name server that says the same to every query; nil is silence.
func garbled(reply []byte) func(*testing.T) *net.Resolver {
	return func(t *testing.T) *net.Resolver { return nameServer(t, func([]byte) []byte { return reply }) }
}

func code(c dnsmessage.RCode) func(*dnsmessage.Message) {
	return func(m *dnsmessage.Message) { m.RCode = c }
}

func alias(to string) func(*dnsmessage.Message) {
	return func(m *dnsmessage.Message) {
		h := dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeCNAME, Class: dnsmessage.ClassINET}
		m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(to)}}}
	}
}

// twoAddresses is a name with two of loopback's, of which one is allowed. Nobody
// listens on either.
func twoAddresses(allowed string) func(*testing.T) upstream {
	return func(t *testing.T) upstream {
		r := fakeDNS(t, names{"two.test": {"127.0.0.1 127.0.0.2"}})
		return upstream{url: "http://two.test:1", policy: httptool.Policy{Allow: []string{allowed}}, resolver: r}
	}
}

const (
	refusedClass = errclass.ConnectionRefused
	invalid      = errclass.InvalidResponse
	blockedClass = errclass.RequestBlocked
)

var connectionFaults = []fault{
	{name: "Nobody listens on the port", serve: closed("127.0.0.1:1"), want: temporary(refusedClass, errclass.Refused, "")},
	{name: "Nobody listens, for the sixth time: the breaker is open", serve: closed("127.0.0.1:1"), times: 6, want: temporary(refusedClass, errclass.CircuitOpen, "").after(15 * time.Second)},
	{name: "All addresses of a name refuse", serve: twoAddresses("two.test:1"), want: temporary(refusedClass, errclass.Refused, "")},
	{name: "Nobody answers the connection", serve: fullQueue, want: late(errclass.PhaseConnect, "no connection to 127.0.0.1")},
	{name: "Accepted, and closed at once", serve: func(t *testing.T) upstream { return at("http", listen(t, func(net.Conn) {})) },
		want: temporary(refusedClass, errclass.Reset, "127.0.0.1")},
	{name: "Closed after the request, without a byte", serve: plain(says("")), want: temporary(refusedClass, errclass.Reset, "127.0.0.1")},
	{name: "Reset after the request, without a byte", serve: plain(resets("")), want: temporary(refusedClass, errclass.Reset, "")},
	{name: "Closed within the status line", serve: plain(says("HTTP/1.1 20")), want: permanent(invalid, errclass.Malformed, "")},
	{name: "Closed within the header section", serve: plain(says("HTTP/1.1 200 OK\r\nContent-Type: app")), want: temporary(refusedClass, errclass.Reset, "")},
	{name: "Reset within the header section", serve: plain(resets("HTTP/1.1 200 OK\r\nContent-Type: app")), want: temporary(refusedClass, errclass.Reset, "")},
	{name: "Reset within the body", serve: plain(resets("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[1")), want: temporary(invalid, errclass.Truncated, "")},
	{name: "Reset within a chunked body", serve: plain(resets("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n")), want: temporary(invalid, errclass.Truncated, "")},
	{name: "Reset within a body of no given length", serve: plain(resets("HTTP/1.1 200 OK\r\n\r\n[1")), want: temporary(invalid, errclass.Truncated, "")},

	{name: "The name doesn't exist", serve: named(dns(code(dnsmessage.RCodeNameError))), want: permanent(refusedClass, errclass.DNSNotFound, "host upstream.test not found")},
	{name: "The name has no address", serve: named(dns(func(*dnsmessage.Message) {})), want: permanent(refusedClass, errclass.DNSNotFound, "")},
	{name: "The name is an alias of itself", serve: named(dns(alias("upstream.test."))), want: permanent(refusedClass, errclass.DNSNotFound, "")},
	{name: "The name server fails", serve: named(dns(code(dnsmessage.RCodeServerFailure))), want: temporary(refusedClass, errclass.DNSTemporary, "")},
	{name: "The name server refuses", serve: named(dns(code(dnsmessage.RCodeRefused))), want: temporary(refusedClass, errclass.DNSTemporary, "")},
	{name: "The name server is silent", serve: named(garbled(nil)), want: late(errclass.PhaseDNS, "no answer from the resolver about upstream.test after 2s (limit: the tool's request timeout)")},
	{name: "The name server answers garbage", serve: named(garbled([]byte("garbage"))), want: late(errclass.PhaseDNS, "")},
	{name: "The name server answers another question", serve: named(dns(func(m *dnsmessage.Message) { m.ID++ })), want: late(errclass.PhaseDNS, "")},
	{name: "The name server refuses connections", serve: named(func(t *testing.T) *net.Resolver {
		return &net.Resolver{PreferGo: true, Dial: dialClosedPort}
	}), want: temporary(refusedClass, errclass.DNSTemporary, "")},
	{name: "The name stands for a private address", serve: named(resolved("10.0.0.5")), want: permanent(blockedClass, errclass.Blocked, "does not allow upstream.test")},
	{name: "The name stands for loopback", serve: named(resolved("127.0.0.1")), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "The name stands for a cloud's metadata service", serve: named(resolved("169.254.169.254")), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "The name stands for a private IPv6 address", serve: named(resolved("fd00::1")), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "The name stands for a private address in IPv6's clothes", serve: named(resolved("::ffff:10.0.0.5")), want: permanent(blockedClass, errclass.Blocked, "")},
	{name: "A name has an address that refuses, and a denied one", serve: twoAddresses("127.0.0.1:1"), want: temporary(refusedClass, errclass.Refused, "")},
	{name: "A name has a denied address, and one that refuses", serve: twoAddresses("127.0.0.2:1"), want: temporary(refusedClass, errclass.Unreachable, "no connection to those addresses of two.test:1 that the egress policy allows")},
	{name: "The name stands for a denied address by the second page (rebinding)", serve: func(t *testing.T) upstream {
		address := raw(t, says(answer("200 OK", jsonType+"Link: </x?p=2>; rel=next\r\n", "[1]"))) // and closes the connection
		_, port, _ := strings.Cut(address, ":")
		up := upstream{url: "http://moves.test:" + port, policy: httptool.Policy{Allow: []string{address}}}
		up.resolver = fakeDNS(t, names{"moves.test": {"127.0.0.1", "127.0.0.2"}})
		return up
	}, config: httptool.Config{Pagination: &httptool.Pagination{Type: "link-header"}},
		want: permanent(blockedClass, errclass.Blocked, "page 2: the egress policy does not allow moves.test").sent(2)},
}

// dialClosedPort connects to a port of UDP that was given back.
func dialClosedPort(ctx context.Context, _, _ string) (net.Conn, error) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l.Close()
	return (&net.Dialer{}).DialContext(ctx, "udp", l.LocalAddr().String())
}
