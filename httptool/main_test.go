package httptool_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/almyty-inc/toolrun/httptool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// names maps a name to the answers of successive look-ups, the last of which
// repeats; an answer lists addresses separated by spaces.
type names map[string][]string

// fakeDNS serves names on loopback and returns a resolver that asks only there.
func fakeDNS(t testing.TB, table names) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	var mu sync.Mutex
	asked := map[string]int{}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			mu.Lock()
			answer := answerDNS(buf[:n], table, asked)
			mu.Unlock()
			conn.WriteTo(answer, from)
		}
	})
	t.Cleanup(func() { conn.Close(); wg.Wait() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func answerDNS(query []byte, table names, asked map[string]int) []byte {
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	name := strings.TrimSuffix(strings.ToLower(q.Name.String()), ".")
	answers, known := table[name]
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	} else {
		key := name + q.Type.String()
		at := min(asked[key], len(answers)-1)
		asked[key]++
		for text := range strings.FieldsSeq(answers[at]) {
			addr := netip.MustParseAddr(text)
			h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 0}
			switch {
			case q.Type == dnsmessage.TypeA && addr.Is4():
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: addr.As4()}})
			case q.Type == dnsmessage.TypeAAAA && addr.Is6():
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
			}
		}
	}
	packed, _ := m.Pack()
	return packed
}

// serve starts an upstream and a transport that may reach it.
func serve(t testing.TB, h http.HandlerFunc) (*httptest.Server, *httptool.Transport) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s, allow(t, s.Listener.Addr().String())
}

func allow(t testing.TB, entries ...string) *httptool.Transport {
	t.Helper()
	rt, err := httptool.NewTransport(httptool.Policy{Allow: entries})
	require.NoError(t, err)
	t.Cleanup(rt.CloseIdleConnections)
	return rt
}

func compile(t testing.TB, cfg httptool.Config, auth ...*httptool.Auth) *httptool.Tool {
	t.Helper()
	var a *httptool.Auth
	if len(auth) > 0 {
		a = auth[0]
	}
	tool, faults := httptool.Compile(cfg, a, nil)
	require.Empty(t, faults)
	return tool
}
