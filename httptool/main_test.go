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
	asked := map[string]int{}
	return nameServer(t, func(query []byte) []byte { return answerDNS(query, table, asked) })
}

// nameServer answers queries, one at a time, with what answer makes of them; nil
// is silence. The resolver asks only there.
func nameServer(t testing.TB, answer func(query []byte) []byte) *net.Resolver {
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
			if reply := answer(buf[:n]); reply != nil {
				conn.WriteTo(reply, from)
			}
		}
	})
	// net's resolver goes on in the background when nobody waits for it any more:
	// end that by closing its connections.
	over, leave := context.WithCancel(context.Background())
	t.Cleanup(func() { leave(); conn.Close(); wg.Wait() })
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		if over.Err() != nil {
			return nil, over.Err()
		}
		c, err := (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
		if err == nil {
			context.AfterFunc(over, func() { c.Close() })
		}
		return c, err
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
