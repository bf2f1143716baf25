package service

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/access"
)

// call is a request whose caller is known.
type call struct {
	caller       *access.Principal
	organization string // on whose behalf; empty: of nobody in particular
	role         access.Role
	rates        *rateReport
}

type callKey struct{}

// callOf is the call of a request that came through [Server.needs].
func callOf(r *http.Request) *call { return r.Context().Value(callKey{}).(*call) }

// needs lets callers with a role through, within their rate limits.
func (s *Server) needs(role access.Role, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := s.identify(r)
		if err == nil && !c.role.Allows(role) {
			err = errclass.NewAPIError(errclass.CodeForbidden, "Insufficient permissions: requires %s role", role)
		}
		if err == nil && role == access.Admin && c.organization == "" { // definitions and keys are always somebody's
			err = errclass.NewAPIError(errclass.CodeBadRequest, "This belongs to an organization: name one with the header %s, or in the path", organizationHeader)
		}
		if err == nil {
			c.rates = &rateReport{header: w.Header()}
			err = s.spend(r.Context(), c)
		}
		if err == nil {
			err = s.crowd.enter(c.organization)
		}
		if err != nil {
			s.reject(w, err)
			return
		}
		defer s.crowd.leave(c.organization)
		ctx := context.WithValue(r.Context(), callKey{}, c)
		next(w, r.WithContext(context.WithValue(ctx, rateReportKey{}, c.rates)))
	}
}

// whole lets credentials through that are for all tools: keys and secrets of the
// organization reach beyond the tools of any other.
func (s *Server) whole(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if len(callOf(r).caller.Tools) > 0 {
			s.refuse(w, errclass.NewAPIError(errclass.CodeForbidden, "The credential is for some tools only: keys and secrets of the organization need one for all"))
			return
		}
		next(w, r)
	}
}

// crowd counts the requests in flight of each organization, none of which may take all
// connections: its followers and those that wait long could.
type crowd struct {
	most int

	mu    sync.Mutex
	there map[string]int
}

func (c *crowd) enter(organization string) error {
	if organization == "" {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.there[organization] >= c.most {
		e := errclass.NewAPIError(errclass.CodeUnavailable, "The organization has %d requests in flight, as many as it may. Retry after 1 second.", c.most)
		e.RetryAfter = time.Second
		return e
	}
	c.there[organization]++
	return nil
}

func (c *crowd) leave(organization string) {
	if organization == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.there[organization]--; c.there[organization] == 0 {
		delete(c.there, organization)
	}
}

// reject refuses a request that no observer of the runner sees, and counts it.
func (s *Server) reject(w http.ResponseWriter, err error) {
	if api, ok := errors.AsType[*errclass.APIError](err); ok && s.opts.Rejected != nil {
		s.opts.Rejected(api.Code)
	}
	s.refuse(w, err)
}

// needsOperator lets those through who belong to every organization: what it shows is
// of the whole service.
func (s *Server) needsOperator(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		caller, err := s.authenticate(r)
		if err == nil && (caller.Any == "" || len(caller.Tools) > 0) {
			err = errclass.NewAPIError(errclass.CodeForbidden, "Insufficient permissions: requires a key of all organizations and tools (toolrun keys create --organization '*')")
		}
		if err != nil {
			s.reject(w, err)
			return
		}
		next(w, r)
	}
}

// identify finds out who calls, and for which organization.
func (s *Server) identify(r *http.Request) (*call, error) {
	caller, err := s.authenticate(r)
	if err != nil {
		return nil, err
	}
	organization, err := organizationFor(r, caller)
	if err != nil {
		return nil, err
	}
	c := &call{caller: caller, organization: organization, role: caller.Any}
	if role, ok := caller.RoleIn(organization); ok {
		c.role = role
	}
	if c.role == "" {
		return nil, errclass.NewAPIError(errclass.CodeForbidden, "No access to this organization")
	}
	return c, nil
}

func (s *Server) authenticate(r *http.Request) (*access.Principal, error) {
	if s.opts.Access == nil {
		return access.Anonymous(), nil
	}
	return s.opts.Access.Authenticate(r.Context(), r.Header, s.clientAddress(r))
}

const organizationHeader = "X-Organization-Id"

// organizationFor is the organization of the path, else that of the header, else the
// only one that the caller belongs to.
func organizationFor(r *http.Request, caller *access.Principal) (string, error) {
	if inPath, err := organizationOf(r); err != nil || inPath != "" {
		return inPath, err
	}
	switch named := r.Header[organizationHeader]; {
	case len(named) > 1:
		return "", errclass.NewAPIError(errclass.CodeBadRequest, "The header %s stands more than once", organizationHeader)
	case len(named) == 1 && !validOrganization(named[0]):
		return "", errclass.NewAPIError(errclass.CodeBadRequest, "The header %s must be 1 to %d bytes of UTF-8 without control characters", organizationHeader, maxOrganization)
	case len(named) == 1:
		return named[0], nil
	case caller.Any != "":
		return "", nil
	case len(caller.Organizations) == 1:
		for only := range caller.Organizations {
			return only, nil
		}
	}
	return "", errclass.NewAPIError(errclass.CodeBadRequest, "The credential belongs to several organizations: name one with the header %s, or in the path", organizationHeader)
}

// maxOrganization bounds the name of an organization, in bytes.
const maxOrganization = 128

func validOrganization(name string) bool {
	return name != "" && name != access.EveryOrganization && len(name) <= maxOrganization && utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// organizationOf is the organization that the path names; none where its route
// has no such part.
func organizationOf(r *http.Request) (string, error) {
	name := pathParameter(r, "organization")
	if name != "" && !validOrganization(name) {
		return "", errclass.NewAPIError(errclass.CodeNotFound, "Organization not found")
	}
	return name, nil
}

// clientAddress is where a request comes from: the peer, or what proxies that are
// trusted say of it. Of X-Forwarded-For it is the last entry that no trusted proxy
// wrote; what stands before that is the client's own invention.
func (s *Server) clientAddress(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	address, _ := netip.ParseAddr(host)
	if !s.trusted(address) {
		return address.Unmap()
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for _, hop := range slices.Backward(hops) {
		next, err := parseHop(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		if address = next; !s.trusted(address) {
			break
		}
	}
	return address.Unmap()
}

// parseHop reads an address as proxies write it: some add the port.
func parseHop(hop string) (netip.Addr, error) {
	if withPort, err := netip.ParseAddrPort(hop); err == nil {
		return withPort.Addr(), nil
	}
	return netip.ParseAddr(strings.Trim(hop, "[]"))
}

func (s *Server) trusted(address netip.Addr) bool {
	return slices.ContainsFunc(s.opts.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(address.Unmap()) })
}
