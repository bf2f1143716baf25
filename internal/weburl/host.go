package weburl

import (
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const (
	forbiddenInHost   = "\x00\t\n\r #/:<>?@[\\]^|"
	forbiddenInDomain = forbiddenInHost + "%\x7f"
)

// profile is the standard's domain to ASCII, with beStrict false.
var profile = idna.New(idna.MapForLookup(), idna.Transitional(false), idna.CheckHyphens(false),
	idna.VerifyDNSLength(false), idna.StrictDomainName(false), idna.BidiRule(), idna.CheckJoiners(true))

func parseHost(input string, opaque bool) (string, bool) {
	if strings.HasPrefix(input, "[") {
		if !strings.HasSuffix(input, "]") {
			return "", false
		}
		return parseIPv6(input[1 : len(input)-1])
	}
	if opaque {
		if strings.ContainsAny(input, forbiddenInHost) {
			return "", false
		}
		return encode(input, inControl), true
	}
	domain := strings.ToValidUTF8(decode(input), "\ufffd")
	ascii, ok := toASCII(domain)
	if !ok || ascii == "" || strings.ContainsAny(ascii, forbiddenInDomain) || strings.ContainsFunc(ascii, isControl) {
		return "", false
	}
	if address, numeric, ok := IPv4(ascii); numeric {
		return address.String(), ok
	}
	return ascii, true
}

// IPv4 reads a host in ASCII as clients do whose last part is a number: of one to
// four parts in decimal, octal (0177) or hexadecimal (0x7f), the last of which
// fills what the others leave (https://url.spec.whatwg.org/#concept-ipv4-parser).
// numeric is false for a name; ok is false for a number that is no address.
func IPv4(host string) (address netip.Addr, numeric, ok bool) {
	if !endsInNumber(host) {
		return netip.Addr{}, false, false
	}
	address, ok = parseIPv4(host)
	return address, true, ok
}

// maxDomain bounds names with other characters than ASCII, in bytes: their encoding
// takes time by the square. No such name resolves.
const maxDomain = 4096

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func toASCII(domain string) (string, bool) {
	plain := true
	for i := range len(domain) {
		if domain[i] >= utf8.RuneSelf {
			plain = false
		}
	}
	if low := strings.ToLower(domain); plain && !strings.Contains(low, "xn--") {
		return low, true
	}
	if len(domain) > maxDomain {
		return "", false
	}
	for label := range strings.SplitSeq(strings.ToLower(domain), ".") {
		if label == "xn--" { // encodes nothing, which idna takes for an empty label
			return "", false
		}
	}
	ascii, err := profile.ToASCII(domain)
	return ascii, err == nil
}

func endsInNumber(host string) bool {
	parts := strings.Split(host, ".")
	last := parts[len(parts)-1]
	if last == "" {
		if len(parts) == 1 {
			return false
		}
		last = parts[len(parts)-2]
	}
	if last != "" && strings.Trim(last, "0123456789") == "" {
		return true
	}
	_, ok := ipv4Number(last)
	return ok
}

// ipv4Number reads decimal, 0x and 0 forms; what doesn't fit becomes the largest.
func ipv4Number(text string) (uint64, bool) {
	base := 10
	switch {
	case text == "":
		return 0, false
	case len(text) >= 2 && (text[:2] == "0x" || text[:2] == "0X"):
		text, base = text[2:], 16
	case len(text) >= 2 && text[0] == '0':
		text, base = text[1:], 8
	}
	if text == "" {
		return 0, true
	}
	if strings.ContainsAny(text, "+-_") {
		return 0, false
	}
	n, err := strconv.ParseUint(text, base, 64)
	if err != nil && err.(*strconv.NumError).Err == strconv.ErrSyntax {
		return 0, false
	}
	return n, true
}

func parseIPv4(host string) (netip.Addr, bool) {
	parts := strings.Split(strings.TrimSuffix(host, "."), ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var address uint64
	for i, part := range parts {
		n, ok := ipv4Number(part)
		if !ok {
			return netip.Addr{}, false
		}
		if i < len(parts)-1 {
			if n > 255 {
				return netip.Addr{}, false
			}
			address |= n << (8 * (3 - i))
			continue
		}
		if n >= 1<<(8*(5-len(parts))) {
			return netip.Addr{}, false
		}
		address |= n
	}
	return netip.AddrFrom4([4]byte{byte(address >> 24), byte(address >> 16), byte(address >> 8), byte(address)}), true
}

func parseIPv6(text string) (string, bool) {
	if strings.ContainsAny(text, "%") {
		return "", false
	}
	address, err := netip.ParseAddr(text)
	if err != nil || !address.Is6() {
		return "", false
	}
	return "[" + ipv6Text(address.As16()) + "]", true
}

// ipv6Text is the standard's serializer: pieces in hexadecimal also where netip
// would write an IPv4 address.
func ipv6Text(b [16]byte) string {
	var pieces [8]uint16
	for i := range pieces {
		pieces[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
	start, length := -1, 1
	for i := 0; i < 8; i++ {
		n := 0
		for i+n < 8 && pieces[i+n] == 0 {
			n++
		}
		if n > length {
			start, length = i, n
		}
		i += n
	}
	var out strings.Builder
	for i := 0; i < 8; i++ {
		if i == start {
			out.WriteString("::")
			i += length - 1
			continue
		}
		if i > 0 && i != start+length || i > 0 && start < 0 {
			out.WriteByte(':')
		}
		out.WriteString(strconv.FormatUint(uint64(pieces[i]), 16))
	}
	return out.String()
}
