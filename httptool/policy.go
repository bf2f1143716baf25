package httptool

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"code.dny.dev/ssrf"
	"golang.org/x/net/idna"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/weburl"
)

// Policy says which addresses tools may reach. Its zero value reaches nothing.
//
// What decides is the address actually dialled, after name resolution, anew for
// every connection, so that a name which changes its address gains nothing.
type Policy struct {
	// Public opens all globally routable unicast addresses. Loopback, private,
	// link-local, shared, documentation, multicast and reserved ranges, cloud
	// metadata services, and IPv6 forms that carry an IPv4 address of these stay
	// closed, and so do names that are reserved for inner hosts (localhost,
	// *.internal, *.local, metadata.goog, …), whatever they resolve to.
	Public bool

	// Allow opens more. An entry is one of
	//
	//   - a host name, "api.example.com" or "api.example.com:8443": whatever
	//     exactly this name (no subdomains) resolves to, private addresses
	//     included, but never link-local addresses and metadata services;
	//   - an address, "10.1.2.3", "10.1.2.3:8080", "[fd00::1]:8080";
	//   - a network, "10.0.0.0/8", "10.0.0.0/8:8080", "[fd00::/8]:8080".
	//
	// An entry without a port opens every port but those on the fetch standard's
	// list of bad ports (SMTP, SSH, IRC, …), which need an entry with a port.
	Allow []string

	// Deny closes what Public or Allow opened; it takes the same forms and wins. An
	// IPv4 network also closes the IPv6 addresses that may lead into it: NAT64,
	// 6to4, Teredo and the like.
	Deny []string
}

// rule is one compiled entry of a [Policy]: a host name or a network.
type rule struct {
	host    string // normalised; empty for a network
	network netip.Prefix
	port    uint16 // 0: any
}

func (r rule) matches(t target) bool {
	switch {
	case r.port != 0 && r.port != t.port:
		return false
	case r.host != "":
		return r.host == t.host
	}
	return r.network.Contains(t.addr) || t.embedded.IsValid() && r.network.Contains(t.embedded)
}

// denies is matches with every IPv4 address that the target may mean: what a
// translator or a tunnel would make of it is denied with it.
func (r rule) denies(t target) bool {
	if r.matches(t) {
		return true
	}
	return r.host == "" && (r.port == 0 || r.port == t.port) && slices.ContainsFunc(t.carried, r.network.Contains)
}

// target is what a connection is about to reach. addr is invalid as long as the
// name isn't resolved.
type target struct {
	host     string
	port     uint16
	addr     netip.Addr
	embedded netip.Addr   // the IPv4 address that addr stands for, if it does
	carried  []netip.Addr // the IPv4 addresses that addr may lead to
}

func newTarget(host string, port uint16, addr netip.Addr) target {
	addr = addr.Unmap()
	return target{host: host, port: port, addr: addr, embedded: embeddedV4(addr), carried: carriedV4(addr)}
}

// policy is a compiled [Policy].
type policy struct {
	public bool
	allow  []rule
	deny   []rule
	guard  *ssrf.Guardian
}

func compilePolicy(p Policy) (*policy, error) {
	allow, err := compileRules("allow", p.Allow)
	deny, denyErr := compileRules("deny", p.Deny)
	if err := errors.Join(err, denyErr); err != nil {
		return nil, err
	}
	guard := ssrf.New(ssrf.WithAnyPort(), ssrf.WithAnyNetwork(), ssrf.WithDeniedV4Prefixes(azureWireServer))
	return &policy{public: p.Public, allow: allow, deny: deny, guard: guard}, nil
}

func compileRules(list string, entries []string) ([]rule, error) {
	var faults []error
	rules := make([]rule, 0, len(entries))
	for i, entry := range entries {
		r, err := parseRule(entry)
		if err != nil {
			faults = append(faults, fmt.Errorf("egress policy: %s[%d] %q: %w", list, i, entry, err))
			continue
		}
		rules = append(rules, r)
	}
	return rules, errors.Join(faults...)
}

// parseRule reads one entry of a policy.
func parseRule(entry string) (rule, error) {
	switch {
	case entry == "":
		return rule{}, errors.New("is empty")
	case strings.Contains(entry, "://"):
		return rule{}, errors.New("must be a host, an address or a network without a scheme")
	case strings.Contains(entry, "*"):
		return rule{}, errors.New("wildcards are not supported; name each host, or a network")
	case strings.ContainsAny(entry, "@ \t\r\n"):
		return rule{}, errors.New("must be a host, an address or a network, with an optional port")
	}
	subject, port, err := splitRulePort(entry)
	if err != nil {
		return rule{}, err
	}
	if strings.Contains(subject, "/") {
		network, err := parseNetwork(subject)
		return rule{network: network, port: port}, err
	}
	if addr, err := netip.ParseAddr(subject); err == nil {
		if addr.Zone() != "" {
			return rule{}, errors.New("must not have an IPv6 zone")
		}
		addr = addr.Unmap()
		return rule{network: netip.PrefixFrom(addr, addr.BitLen()), port: port}, nil
	}
	if strings.ContainsAny(subject, ":[]") {
		return rule{}, errors.New("is not a valid address; write an IPv6 address with a port as [address]:port")
	}
	host, err := normalHost(subject)
	if err != nil {
		return rule{}, err
	}
	if addr, err := netip.ParseAddr(host); err == nil { // written in other numbers
		return rule{network: netip.PrefixFrom(addr, addr.BitLen()), port: port}, nil
	}
	return rule{host: host, port: port}, nil
}

// splitRulePort takes the port off an entry: after a bracket, after the bits of
// a network, or after the only colon.
func splitRulePort(entry string) (subject string, port uint16, err error) {
	var digits string
	var found bool
	switch {
	case strings.HasPrefix(entry, "["):
		inside, rest, closed := strings.Cut(entry[1:], "]")
		if !closed {
			return "", 0, errors.New("lacks the closing bracket")
		}
		if inside == "" || !strings.Contains(inside, ":") {
			return "", 0, errors.New("only an IPv6 address or network stands in brackets")
		}
		if rest != "" && rest[0] != ':' {
			return "", 0, errors.New("only a port may follow the closing bracket")
		}
		subject = inside
		_, digits, found = strings.Cut(rest, ":")
	case strings.Contains(entry, "/"):
		address, bits, _ := strings.Cut(entry, "/")
		bits, digits, found = strings.Cut(bits, ":")
		subject = address + "/" + bits
	case strings.Count(entry, ":") == 1:
		subject, digits, found = strings.Cut(entry, ":")
	default:
		subject = entry
	}
	if !found {
		return subject, 0, nil
	}
	if subject == "" {
		return "", 0, errors.New("names no host")
	}
	port, ok := parsePort(digits)
	if !ok {
		return "", 0, errors.New("the port must be a number from 1 to 65535")
	}
	return subject, port, nil
}

func parsePort(digits string) (uint16, bool) {
	n, err := strconv.ParseUint(digits, 10, 16)
	return uint16(n), err == nil && n > 0 && digits[0] != '+'
}

func parseNetwork(text string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, errors.New("is not a valid network; write it like 10.0.0.0/8")
	}
	if network.Addr().Is4In6() {
		if network.Bits() < 96 {
			return netip.Prefix{}, errors.New("mixes IPv4 and IPv6; write the IPv4 network itself")
		}
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
	}
	if network != network.Masked() {
		return netip.Prefix{}, fmt.Errorf("has bits set beyond its mask; write %s", network.Masked())
	}
	return network, nil
}

// normalHost returns the form of a host that is compared and dialled: mapped to
// ASCII as net/http does it before it dials, lower case, without the root's
// dot. Numbers become the address that clients take them for (127.1, 2130706433,
// 0x7f.1, 0177.0.0.1), whatever the resolver would make of them.
func normalHost(host string) (string, error) {
	if host == "" {
		return "", errors.New("names no host")
	}
	if isPlainName(host) {
		return host, nil
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Zone() != "" {
			return "", errors.New("an IPv6 zone is not allowed")
		}
		if addr.Is4() { // there is one way to write it
			return host, nil
		}
		return addr.Unmap().String(), nil
	}
	if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`\/?#@:%[]<>^|"{}`, r) }) {
		return "", errors.New("is not a valid host name")
	}
	ascii, err := asciiHost(host)
	if err != nil {
		return "", errors.New("is not a valid host name")
	}
	ascii = strings.TrimSuffix(strings.ToLower(ascii), ".")
	if ascii == "" || len(ascii) > 253 || strings.Contains(ascii, "..") || ascii[0] == '.' {
		return "", errors.New("is not a valid host name")
	}
	if addr, err := netip.ParseAddr(ascii); err == nil { // mapped to ASCII, it is one
		return addr.Unmap().String(), nil
	}
	addr, numeric, ok := weburl.IPv4(ascii)
	switch {
	case !numeric:
		return ascii, nil
	case !ok:
		return "", errors.New("ends in a number and is no address; write one with four decimal numbers")
	}
	return addr.String(), nil
}

// isPlainName reports a name that is in its normal form beyond doubt, which most
// are: lower case, and no number (10, 0xff, 0x) at its end.
func isPlainName(host string) bool {
	last := host[len(host)-1]
	if len(host) > 253 || last <= 'f' || last > 'z' || last == 'x' || host[0] == '.' {
		return false
	}
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-':
		case c == '.' && host[i-1] != '.':
		default:
			return false
		}
	}
	return true
}

// asciiHost maps as net/http does: ASCII names pass as they are.
func asciiHost(host string) (string, error) {
	for i := range len(host) {
		if host[i] >= 0x80 {
			return idna.Lookup.ToASCII(host)
		}
	}
	return host, nil
}

var (
	azureWireServer = netip.MustParsePrefix("168.63.129.16/32")
	nat64           = netip.MustParsePrefix("64:ff9b::/96")
	localNAT64      = netip.MustParsePrefix("64:ff9b:1::/48")
	sixToFour       = netip.MustParsePrefix("2002::/16")
	teredo          = netip.MustParsePrefix("2001::/32")
	compatibleV4    = netip.MustParsePrefix("::/96")
	translatedV4    = netip.MustParsePrefix("::ffff:0:0:0/96")

	// unnamed holds what a host name must never open: addresses that mean the
	// machine or the cloud's control plane, whoever runs the name's DNS.
	unnamed = []netip.Prefix{
		netip.MustParsePrefix("169.254.0.0/16"),
		netip.MustParsePrefix("fe80::/10"),
		azureWireServer,
		netip.MustParsePrefix("100.100.100.200/32"), // Alibaba's metadata service
		netip.MustParsePrefix("192.0.0.192/32"),     // Oracle's
		netip.MustParsePrefix("fd00:ec2::254/128"),  // Amazon's
		netip.MustParsePrefix("fd20:ce::254/128"),   // Google's
	}
)

// embeddedV4 returns the IPv4 address that an address of NAT64's well-known
// prefix (RFC 6052) reaches. The other forms that carry one, as [carriedV4] reads
// them, are never opened by it: what they reach depends on the network they are
// sent through.
func embeddedV4(addr netip.Addr) netip.Addr {
	if !nat64.Contains(addr) {
		return netip.Addr{}
	}
	b := addr.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}

// carriedV4 returns every IPv4 address that an address may lead to. The local
// NAT64 prefix (RFC 8215) may be cut to any length of RFC 6052, section 2.2, so
// each place counts.
func carriedV4(addr netip.Addr) []netip.Addr {
	if !addr.Is6() || addr.IsLoopback() || addr.IsUnspecified() {
		return nil
	}
	b := addr.As16()
	v4 := func(i, j, k, l int) netip.Addr { return netip.AddrFrom4([4]byte{b[i], b[j], b[k], b[l]}) }
	last := v4(12, 13, 14, 15)
	switch {
	case nat64.Contains(addr), compatibleV4.Contains(addr), translatedV4.Contains(addr):
		return []netip.Addr{last}
	case localNAT64.Contains(addr):
		return []netip.Addr{v4(6, 7, 9, 10), v4(7, 9, 10, 11), v4(9, 10, 11, 12), last}
	case sixToFour.Contains(addr):
		return []netip.Addr{v4(2, 3, 4, 5)}
	case teredo.Contains(addr): // its server, and its client, which is written inverted
		client := last.As4()
		for i := range client {
			client[i] ^= 0xff
		}
		return []netip.Addr{v4(4, 5, 6, 7), netip.AddrFrom4(client)}
	}
	return nil
}

// permits decides about a connection whose address is known.
func (p *policy) permits(t target) bool {
	if !t.addr.IsValid() || t.addr.Zone() != "" {
		return false
	}
	for _, r := range p.deny {
		if r.denies(t) {
			return false
		}
	}
	badPort := badPorts[t.port]
	for _, r := range p.allow {
		if !r.matches(t) || badPort && r.port == 0 {
			continue
		}
		if r.host == "" || !t.unnamed() {
			return true
		}
	}
	return p.public && !badPort && !isInnerName(t.host) && p.isPublic(t)
}

// innerNames are names, and ends of names, that no public host has: those reserved
// for a machine and its network (RFC 6761, 6762, 8375, and ICANN's .internal), and
// those by which clouds call their metadata services.
var innerNames = []string{
	"localhost", "local", "internal", "home.arpa", "localdomain",
	"metadata", "instance-data", "metadata.goog", "metadata.tencentyun.com",
}

func isInnerName(host string) bool {
	for _, name := range innerNames {
		if rest, ok := strings.CutSuffix(host, name); ok && (rest == "" || rest[len(rest)-1] == '.') {
			return true
		}
	}
	return false
}

func (p *policy) isPublic(t target) bool {
	if t.embedded.IsValid() {
		return p.guard.SafeAddr(t.embedded) == nil
	}
	return p.guard.SafeAddr(t.addr) == nil
}

func (t target) unnamed() bool {
	for _, n := range unnamed {
		if n.Contains(t.addr) || slices.ContainsFunc(t.carried, n.Contains) {
			return true
		}
	}
	return false
}

// mayPermit decides before the name is resolved: a name that no address could
// make allowed isn't looked up at all, so that it tells no name server anything.
func (p *policy) mayPermit(host string, port uint16) bool {
	if !isPlainName(host) {
		if addr, err := netip.ParseAddr(host); err == nil {
			return p.permits(newTarget(host, port, addr))
		}
	}
	for _, r := range p.deny {
		if r.host == host && (r.port == 0 || r.port == port) {
			return false
		}
	}
	badPort := badPorts[port]
	for _, r := range p.allow {
		if r.port == port || r.port == 0 && !badPort {
			if r.host == "" || r.host == host {
				return true
			}
		}
	}
	return p.public && !badPort && !isInnerName(host)
}

// blocked is the denial of a host. It never names the address behind it: that
// would make the policy an oracle about the inner network.
func blocked(host string, port uint16) *errclass.Error {
	e := errclass.Newf(errclass.RequestBlocked, errclass.Blocked, "the egress policy does not allow %s", displayHost(host, port))
	e.Hint = "If tools may call it, add it to the egress policy's allow list (--allow HOST[:PORT]); a port that browsers refuse needs an entry with the port."
	e.Upstream.Host = displayHost(host, port)
	return e
}

func refuseURL(format string, args ...any) *errclass.Error {
	e := errclass.Newf(errclass.RequestBlocked, errclass.Blocked, format, args...)
	e.Hint = "Call an http or https URL with a plain host."
	return e
}

// displayHost is a host as messages name it; the two usual ports go unsaid.
func displayHost(host string, port uint16) string {
	if port != 80 && port != 443 {
		return net.JoinHostPort(host, strconv.Itoa(int(port)))
	}
	return host
}

// badPorts is the fetch standard's list (https://fetch.spec.whatwg.org/#port-blocking):
// services that a request's text could talk into doing something.
var badPorts = portSet(
	1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95,
	101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179,
	389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995,
	1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
)

func portSet(ports ...uint16) map[uint16]bool {
	set := make(map[uint16]bool, len(ports)+1)
	set[0] = true
	for _, p := range ports {
		set[p] = true
	}
	return set
}
