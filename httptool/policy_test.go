package httptool_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

var dnsTable = names{
	"public.test":     {"93.184.216.34"},
	"public6.test":    {"2606:2800:220:1::1"},
	"loop.test":       {"127.0.0.1"},
	"loop6.test":      {"::1"},
	"private.test":    {"10.0.0.5"},
	"metadata.test":   {"169.254.169.254"},
	"metadata6.test":  {"fd00:ec2::254"},
	"linklocal6.test": {"fe80::1"},
	"azure.test":      {"168.63.129.16"},
	"alibaba.test":    {"100.100.100.200"},
	"mixed.test":      {"10.0.0.5 93.184.216.34"},
	"mixed2.test":     {"93.184.216.34 10.0.0.5"},
	"mapped.test":     {"::ffff:10.0.0.5"},
	"nat64.test":      {"64:ff9b::a00:5"},
	"nat64pub.test":   {"64:ff9b::808:808"},
	"zero.test":       {"0.0.0.0"},
	"nat64meta.test":  {"64:ff9b::a9fe:a9fe"},
	"local48.test":    {"64:ff9b:1:a9fe:a9:fe00::"},
	"local56.test":    {"64:ff9b:1:a9:fe:a9fe::"},
	"local64.test":    {"64:ff9b:1:0:a9:fea9:fe00::"},
	"local96.test":    {"64:ff9b:1::169.254.169.254"},
	"localpriv.test":  {"64:ff9b:1::10.0.0.5"},
	"6to4meta.test":   {"2002:a9fe:a9fe::1"},
	"compatible.test": {"::169.254.169.254"},
	"translated.test": {"::ffff:0:169.254.169.254"},
	"teredo.test":     {"2001:0:808:808::5601:5601"},
	"teredosrv.test":  {"2001:0:a9fe:a9fe::f7f7:f7f7"},
	"rebind.test":     {"93.184.216.34", "127.0.0.1"},

	// Names of inner hosts are refused even where a name server has them public.
	"inner.internal": {"93.184.216.34"}, "metadata.google.internal": {"93.184.216.34"}, "metadata.goog": {"93.184.216.34"},
	"x.metadata.goog": {"93.184.216.34"}, "printer.local": {"93.184.216.34"}, "nas.home.arpa": {"93.184.216.34"},
	"metadata": {"93.184.216.34"}, "a.localhost": {"93.184.216.34"}, "notinternal": {"93.184.216.34"}, "my-metadata.test": {"93.184.216.34"},
}

// outcome sends a request with a transport that stops before it connects and
// returns what it would have dialled, "" where it was refused.
func outcome(t *testing.T, p httptool.Policy, address string) (dialled []string, err error) {
	t.Helper()
	var mu sync.Mutex
	rt, err := httptool.RecordingTransport(p, fakeDNS(t, dnsTable), func(a string) { mu.Lock(); dialled = append(dialled, a); mu.Unlock() })
	require.NoError(t, err)
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	resp, err := rt.RoundTrip((&http.Request{Method: "GET", URL: u, Header: http.Header{}}).WithContext(t.Context()))
	require.Nil(t, resp)
	return dialled, err
}

func TestPublicPolicy(t *testing.T) {
	block := strings.Fields(`
		http://0.0.0.0 http://0.255.255.255 http://10.0.0.0 http://10.255.255.255 http://100.64.0.0 http://100.127.255.255
		http://127.0.0.0 http://127.0.0.1 http://127.255.255.255 http://169.254.0.0 http://169.254.169.254 http://169.254.255.255
		http://172.16.0.0 http://172.31.255.255 http://192.0.0.0 http://192.0.0.255 http://192.0.2.0 http://192.0.2.255
		http://192.31.196.1 http://192.52.193.1 http://192.88.99.0 http://192.88.99.255 http://192.168.0.0 http://192.168.255.255
		http://192.175.48.1 http://198.18.0.0 http://198.19.255.255 http://198.51.100.0 http://198.51.100.255 http://203.0.113.0
		http://203.0.113.255 http://224.0.0.0 http://239.255.255.255 http://240.0.0.0 http://255.255.255.255 http://168.63.129.16
		http://100.100.100.200 http://192.0.0.192
		http://[::] http://[::1] http://[::ffff:127.0.0.1] http://[::ffff:10.0.0.1] http://[::ffff:169.254.169.254] http://[::ffff:7f00:1]
		http://[::127.0.0.1] http://[::a9fe:a9fe] http://[::ffff:0:127.0.0.1] http://[64:ff9b::7f00:1] http://[64:ff9b::10.0.0.1]
		http://[64:ff9b::169.254.169.254] http://[64:ff9b::168.63.129.16] http://[64:ff9b:1::808:808] http://[64:ff9b:1:a9fe:a9:fe00::]
		http://[2002:7f00:1::] http://[2002:a00:1::1] http://[2002:808:808::1] http://[2001:0:4136:e378:8000:63bf:80ff:fffe]
		http://[2001::1] http://[2001:db8::1] http://[2001:20::1] http://[3fff::1] http://[100::1] http://[fc00::1] http://[fd00::1]
		http://[fdff:ffff::1] http://[fd00:ec2::254] http://[fd20:ce::254] http://[fe80::1] http://[febf::1] http://[fec0::1] http://[ff02::1]
		http://[5f00::1] http://[1::1] http://[4000::1] http://[fe80::1%25eth0] http://[2606:2800:220:1::1%25eth0]
		http://127.1 http://127.0.1 http://2130706433 http://0x7f000001 http://0x7f.1 http://0x7f.0.0.1 http://0177.0.0.1 http://017700000001
		http://127.0.0.1. http://127.0.0.01 http://0300.0250.0.1 http://8.8.8.8.8 http://256.1 http://4294967296 http://08.8.8.8 http://0xa9fea9fe http://0251.254.169.254 http://169.16689662 http://2852039166. http://0x http://foo.0x1 http://foo.1
		http://127.0.0.1:80 http://127.0.0.1:8080 http://１２７.０.０.１ http://127。0。0。1 http://127．0．0．1 http://①②⑦.⓪.⓪.①
		http://user@93.184.216.34 http://user:pw@public.test http://@public.test
		ftp://public.test file:///etc/passwd gopher://public.test unix:///run/docker.sock ws://public.test javascript:1 data:,x
		http:public.test http:///x http:// //public.test /x http://:80
		http://public.test:22 http://public.test:25 http://public.test:6667 http://93.184.216.34:53 http://public.test:10080
		http://public.test:0 http://public.test:65536 http://public.test:
		http://loop.test http://loop6.test http://private.test http://metadata.test http://metadata6.test http://linklocal6.test
		http://azure.test http://alibaba.test http://mapped.test http://nat64.test http://zero.test https://loop.test http://LOOP.test http://loop.test.
		http://inner.internal http://metadata.google.internal http://metadata.goog http://x.metadata.goog. http://printer.local http://nas.home.arpa http://METADATA http://a.localhost
		http://localhost http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ http://ｌｏｏｐ．ｔｅｓｔ http://loop.test%2f.public.test http://public.test%00 http://public..test
	`)
	pass := map[string]string{
		"http://9.255.255.255": "9.255.255.255:80", "http://11.0.0.0": "11.0.0.0:80", "http://1.0.0.0": "1.0.0.0:80",
		"http://100.63.255.255": "100.63.255.255:80", "http://100.128.0.0": "100.128.0.0:80", "http://126.255.255.255": "126.255.255.255:80",
		"http://128.0.0.0": "128.0.0.0:80", "http://169.253.255.255": "169.253.255.255:80", "http://169.255.0.0": "169.255.0.0:80",
		"http://172.15.255.255": "172.15.255.255:80", "http://172.32.0.0": "172.32.0.0:80", "http://192.0.1.0": "192.0.1.0:80",
		"http://192.0.3.0": "192.0.3.0:80", "http://192.167.255.255": "192.167.255.255:80", "http://192.169.0.0": "192.169.0.0:80",
		"http://198.17.255.255": "198.17.255.255:80", "http://198.20.0.0": "198.20.0.0:80", "http://223.255.255.255": "223.255.255.255:80",
		"http://168.63.129.15": "168.63.129.15:80", "https://168.63.129.17": "168.63.129.17:443",
		"http://[2606:2800:220:1::1]": "[2606:2800:220:1::1]:80", "http://[2a00::1]:8443": "[2a00::1]:8443",
		"http://[::ffff:8.8.8.8]": "8.8.8.8:80", "http://[64:ff9b::8.8.8.8]": "[64:ff9b::808:808]:80", "http://nat64pub.test": "[64:ff9b::808:808]:80",
		"http://public.test": "93.184.216.34:80", "https://public.test:8443/x?y": "93.184.216.34:8443", "HTTP://PUBLIC.test.": "93.184.216.34:80",
		"http://public6.test": "[2606:2800:220:1::1]:80", "http://mixed.test": "93.184.216.34:80", "http://mixed2.test": "93.184.216.34:80",
		"http://rebind.test": "93.184.216.34:80", "http://ｐｕｂｌｉｃ.test": "93.184.216.34:80", "http://８.8.8.8": "8.8.8.8:80",
		"http://notinternal.": "93.184.216.34:80", "http://my-metadata.test": "93.184.216.34:80", "http://1.2.3": "1.2.0.3:80", "http://134744072": "8.8.8.8:80", "http://0x08.010.2056:8080": "8.8.8.8:8080", "http://８.8.2056.": "8.8.8.8:80",
	}
	for _, address := range block {
		t.Run(address, func(t *testing.T) {
			dialled, err := outcome(t, httptool.Policy{Public: true}, address)
			require.Error(t, err)
			require.Empty(t, dialled)
			var parse *url.Error
			if !errors.As(err, &parse) || parse.Op != "parse" {
				require.Equal(t, errclass.RequestBlocked, errclass.Classify(err).Class, "%v", err)
			}
		})
	}
	for address, want := range pass {
		t.Run(address, func(t *testing.T) {
			dialled, err := outcome(t, httptool.Policy{Public: true}, address)
			require.Error(t, err) // of several addresses, the first one's: it may be the denial
			require.Equal(t, []string{want}, dialled)
		})
	}
}

// The proxy of the environment would be what is dialled and judged: it is never used.
func TestNoProxyOfTheEnvironment(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, "http://93.184.216.99:3128")
	}
	for address, want := range map[string]string{"http://public.test/": "93.184.216.34:80", "https://public.test/": "93.184.216.34:443"} {
		dialled, _ := outcome(t, httptool.Policy{Public: true}, address)
		require.Equal(t, []string{want}, dialled)
	}
}

func TestPolicyEntries(t *testing.T) {
	list := func(entries ...string) []string { return entries }
	for _, tc := range []struct {
		name        string
		public      bool
		allow, deny []string
		address     string
		want        string // what is dialled; empty: blocked
	}{
		{"zero value, address", false, nil, nil, "http://8.8.8.8", ""},
		{"zero value, name", false, nil, nil, "http://public.test", ""},
		{"address", false, list("127.0.0.1"), nil, "http://127.0.0.1:8080", "127.0.0.1:8080"},
		{"address by name", false, list("127.0.0.1"), nil, "http://loop.test", "127.0.0.1:80"},
		{"address with port", false, list("127.0.0.1:9000"), nil, "http://127.0.0.1:9000", "127.0.0.1:9000"},
		{"another port", false, list("127.0.0.1:9000"), nil, "http://127.0.0.1:9001", ""},
		{"bad port without port", false, list("127.0.0.1"), nil, "http://127.0.0.1:25", ""},
		{"bad port with port", false, list("127.0.0.1:25"), nil, "http://127.0.0.1:25", "127.0.0.1:25"},
		{"bad port, name", false, list("public.test:25"), nil, "http://public.test:25", "93.184.216.34:25"},
		{"mapped form of an allowed address", false, list("127.0.0.1"), nil, "http://[::ffff:127.0.0.1]", "127.0.0.1:80"},
		{"mapped entry", false, list("::ffff:127.0.0.1"), nil, "http://127.0.0.1", "127.0.0.1:80"},
		{"network", false, list("10.0.0.0/8"), nil, "http://private.test", "10.0.0.5:80"},
		{"network with port", false, list("10.0.0.0/8:8080"), nil, "http://private.test:8080", "10.0.0.5:8080"},
		{"network, another port", false, list("10.0.0.0/8:8080"), nil, "http://private.test", ""},
		{"v6", false, list("[::1]:8080"), nil, "http://[::1]:8080", "[::1]:8080"},
		{"v6 without brackets", false, list("::1"), nil, "http://loop6.test", "[::1]:80"},
		{"v6 network", false, list("fd00::/8"), nil, "http://[fd12::1]", "[fd12::1]:80"},
		{"v6 network with port", false, list("[fd00::/8]:81"), nil, "http://[fd12::1]:81", "[fd12::1]:81"},
		{"v6 network with port, bare", false, list("fd00::/8:81"), nil, "http://[fd12::1]:81", "[fd12::1]:81"},
		{"name", false, list("private.test"), nil, "http://private.test:8080", "10.0.0.5:8080"},
		{"name, other case and dot", false, list("Private.TEST."), nil, "http://PRIVATE.test.", "10.0.0.5:80"},
		{"name with port", false, list("private.test:81"), nil, "http://private.test:81", "10.0.0.5:81"},
		{"name, no subdomain", false, list("test"), nil, "http://private.test", ""},
		{"another name of the same address", false, list("private.test"), nil, "http://mapped.test", ""},
		{"the address of an allowed name", false, list("private.test"), nil, "http://10.0.0.5", ""},
		{"name never opens metadata", false, list("metadata.test"), nil, "http://metadata.test", ""},
		{"name never opens v6 metadata", false, list("metadata6.test"), nil, "http://metadata6.test", ""},
		{"name never opens link-local", false, list("linklocal6.test"), nil, "http://linklocal6.test", ""},
		{"name never opens azure", false, list("azure.test"), nil, "http://azure.test", ""},
		{"name never opens alibaba", false, list("alibaba.test"), nil, "http://alibaba.test", ""},
		{"address opens metadata", false, list("169.254.169.254"), nil, "http://metadata.test", "169.254.169.254:80"},
		{"network opens link-local", false, list("fe80::/10"), nil, "http://linklocal6.test", "[fe80::1]:80"},
		{"deny wins over public", true, nil, list("93.184.216.0/24"), "http://public.test", ""},
		{"deny wins over allow", false, list("10.0.0.0/8"), list("10.0.0.5"), "http://private.test", ""},
		{"deny a name", true, nil, list("public.test"), "http://public.test", ""},
		{"deny a name's port", true, nil, list("public.test:443"), "http://public.test", "93.184.216.34:80"},
		{"deny a port of a network", true, nil, list("0.0.0.0/0:80"), "http://public.test", ""},
		{"deny sees through NAT64", true, nil, list("8.8.8.8"), "http://nat64pub.test", ""},
		{"allow sees through NAT64", false, list("10.0.0.5"), nil, "http://nat64.test", "[64:ff9b::a00:5]:80"},
		{"network of v4 doesn't open 6to4", false, list("10.0.0.0/8"), nil, "http://[2002:a00:5::1]", ""},
		{"name opens local NAT64", false, list("localpriv.test"), nil, "http://localpriv.test", "[64:ff9b:1::a00:5]:80"},
		{"name never opens metadata by NAT64", false, list("nat64meta.test"), nil, "http://nat64meta.test", ""},
		{"name never opens metadata by local NAT64, /48", false, list("local48.test"), nil, "http://local48.test", ""},
		{"name never opens metadata by local NAT64, /56", false, list("local56.test"), nil, "http://local56.test", ""},
		{"name never opens metadata by local NAT64, /64", false, list("local64.test"), nil, "http://local64.test", ""},
		{"name never opens metadata by local NAT64, /96", false, list("local96.test"), nil, "http://local96.test", ""},
		{"name never opens metadata by 6to4", false, list("6to4meta.test"), nil, "http://6to4meta.test", ""},
		{"name never opens metadata, v4-compatible", false, list("compatible.test"), nil, "http://compatible.test", ""},
		{"name never opens metadata, translated", false, list("translated.test"), nil, "http://translated.test", ""},
		{"name never opens metadata by Teredo", false, list("teredo.test"), nil, "http://teredo.test", ""},
		{"name never opens metadata as a Teredo server", false, list("teredosrv.test"), nil, "http://teredosrv.test", ""},
		{"deny sees through local NAT64", false, list("::/0"), list("10.0.0.0/8"), "http://localpriv.test", ""},
		{"deny sees through 6to4", false, list("2002::/16"), list("10.0.0.0/8"), "http://[2002:a00:5::1]", ""},
		{"deny of a port sees through 6to4", false, list("2002::/16"), list("10.0.0.0/8:81"), "http://[2002:a00:5::1]", "[2002:a00:5::1]:80"},
		{"deny sees through v4-compatible", false, list("::/0"), list("10.0.0.5"), "http://[::10.0.0.5]", ""},
		{"deny sees through the mapped form", false, list("::/0", "0.0.0.0/0"), list("10.0.0.5"), "http://[::ffff:10.0.0.5]", ""},
		{"deny sees through Teredo", false, list("2001::/32"), list("10.0.0.5"), "http://[2001:0:808:808::f5ff:fffa]", ""},
		{"loopback is no v4", false, list("::1"), list("0.0.0.0/8"), "http://loop6.test", "[::1]:80"},
		{"only the public one of two", true, nil, nil, "http://mixed.test", "93.184.216.34:80"},
		{"everything of v4", false, list("0.0.0.0/0"), nil, "http://metadata.test", "169.254.169.254:80"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dialled, err := outcome(t, httptool.Policy{Public: tc.public, Allow: tc.allow, Deny: tc.deny}, tc.address)
			if tc.want != "" {
				require.Error(t, err)
				require.Equal(t, []string{tc.want}, dialled)
				return
			}
			require.Empty(t, dialled)
			require.Equal(t, errclass.Blocked, errclass.Classify(err).Reason, "%v", err)
		})
	}
}

// A name that was public when it was first asked for gains nothing by it.
func TestRebinding(t *testing.T) {
	var dialled []string
	rt, err := httptool.RecordingTransport(httptool.Policy{Public: true}, fakeDNS(t, dnsTable), func(a string) { dialled = append(dialled, a) })
	require.NoError(t, err)
	get := func() error {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://rebind.test/", nil)
		require.NoError(t, err)
		_, err = rt.RoundTrip(req)
		return err
	}
	require.ErrorIs(t, get(), httptool.ErrStopped)
	require.Equal(t, errclass.RequestBlocked, errclass.Classify(get()).Class)
	require.Equal(t, []string{"93.184.216.34:80"}, dialled)
}

func TestDenial(t *testing.T) {
	for address, want := range map[string]string{
		"http://127.0.0.1:9":       "Request blocked: the egress policy does not allow 127.0.0.1:9",
		"http://private.test/?k=s": "Request blocked: the egress policy does not allow private.test",
		"https://loop6.test:8443":  "Request blocked: the egress policy does not allow loop6.test:8443",
	} {
		rt, err := httptool.RecordingTransport(httptool.Policy{Public: true}, fakeDNS(t, dnsTable), func(string) {})
		require.NoError(t, err)
		_, err = (&http.Client{Transport: rt}).Get(address)
		require.Error(t, err)
		e := errclass.Classify(err)
		require.Equal(t, want, e.Error())
		require.Equal(t, errclass.Blocked, e.Reason)
		require.False(t, e.Retryable)
		require.Contains(t, e.Hint, "allow list")
		require.NotContains(t, e.Error(), "10.0.0.5")
	}
}

func TestPolicyFaults(t *testing.T) {
	for entry, want := range map[string]string{
		"": "is empty", "http://x.test": "without a scheme", "*.test": "wildcards", "10.0.0.0/33": "not a valid network", "10.0.0.1/8": "write 10.0.0.0/8",
		"x.test:0": "1 to 65535", "x.test:65536": "1 to 65535", "x.test:http": "1 to 65535", "[::1": "closing bracket", "[x]:80": "in brackets",
		"[::1]80": "may follow", "127.256.1": "no address", "a b": "must be a host", "fe80::1%eth0": "zone", "::1:80:": "not a valid address",
		":80": "names no host", "u@x.test": "must be a host", "/8": "not a valid network", "::ffff:0:0/90": "mixes", "x..test": "not a valid host name", "4294967296": "no address",
	} {
		_, err := httptool.NewTransport(httptool.Policy{Allow: []string{"ok.test", entry}})
		require.ErrorContains(t, err, want, entry)
		require.ErrorContains(t, err, `allow[1] "`+entry+`"`)
		_, err = httptool.NewTransport(httptool.Policy{Deny: []string{entry}})
		require.ErrorContains(t, err, "deny[0]", entry)
	}
}
