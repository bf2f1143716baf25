package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/almyty-inc/toolrun/errclass"
)

// ListenAnywhere opens a TCP address like ":8080", for a service with
// [Options.Access].
func ListenAnywhere(ctx context.Context, addr string) (net.Listener, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, fmt.Errorf("service: the address %q must read host:port, like :8080", addr)
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("service: can't listen on %s: %w", addr, err)
	}
	return l, nil
}

// Listen opens a TCP address like "127.0.0.1:8080" or "localhost:0" (any free
// port). It refuses everything beyond loopback: without authentication
// whoever reaches the port could run every tool with its credentials.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("service: the address %q must read host:port, like 127.0.0.1:8080", addr)
	}
	ip, err := loopbackOf(ctx, host)
	if err != nil {
		return nil, err
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", net.JoinHostPort(ip.String(), port))
	if err != nil {
		return nil, fmt.Errorf("service: can't listen on %s: %w", addr, err)
	}
	return l, nil
}

// loopbackOf resolves a host all of whose addresses are loopback. The address
// that was judged is the one to listen on.
func loopbackOf(ctx context.Context, host string) (netip.Addr, error) {
	if host == "" {
		return netip.Addr{}, beyondLoopback("all addresses")
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		if !ip.Unmap().IsLoopback() {
			return netip.Addr{}, beyondLoopback(host)
		}
		return ip, nil
	}
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("service: the host %q of the address to listen on can't be resolved; use 127.0.0.1", host)
	}
	for _, ip := range ips {
		if !ip.Unmap().IsLoopback() {
			return netip.Addr{}, beyondLoopback(host)
		}
	}
	if len(ips) == 0 {
		return netip.Addr{}, fmt.Errorf("service: the host %q has no address; use 127.0.0.1", host)
	}
	// IPv4 first, as net.Listen itself prefers it.
	if i := slices.IndexFunc(ips, func(ip netip.Addr) bool { return ip.Unmap().Is4() }); i >= 0 {
		return ips[i].Unmap(), nil
	}
	return ips[0], nil
}

func beyondLoopback(what string) error {
	return fmt.Errorf("service: refusing to listen on %s: without authentication the service listens on loopback only; "+
		"use 127.0.0.1, or give --auth to serve others", what)
}

// checkListener is the same rule for a listener that somebody else opened.
func (s *Server) checkListener(l net.Listener) error {
	if l == nil {
		return errors.New("service: there is no listener")
	}
	if s.opts.Access != nil {
		return nil
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if ok && !addr.IP.IsLoopback() {
		return beyondLoopback(addr.String())
	}
	return nil
}

// guardHost refuses requests whose Host is neither loopback nor in
// [Options.Hosts]. Where credentials are asked for, a web page has none. An HTTP/1.0 request may have none: no browser sends such.
func (s *Server) guardHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.opts.Access == nil && !s.servesHost(r.Host) {
			takeBody(w, r)
			s.refuse(w, errclass.NewAPIError(errclass.CodeForbidden,
				"This host name is not served: use localhost or 127.0.0.1, or start the service with --host NAME"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) servesHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if host == "" || strings.EqualFold(host, "localhost") {
		return true
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().IsLoopback() {
		return true
	}
	return slices.ContainsFunc(s.opts.Hosts, func(known string) bool { return strings.EqualFold(known, host) })
}
