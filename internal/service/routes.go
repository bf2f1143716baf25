package service

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-chi/chi/v5"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/runner"
)

// routes is the whole API.
func (s *Server) routes() http.Handler {
	mux := chi.NewRouter()
	mux.Use(s.observe, s.guard)
	mux.NotFound(s.notFound)
	mux.MethodNotAllowed(s.methodNotAllowed(mux))

	mux.Post("/organizations/{organization}/tools/{id}/execute", s.execute)
	mux.Post("/tools/{id}/execute", s.execute)
	for pattern, handler := range map[string]http.HandlerFunc{
		"/organizations/{organization}/tools": s.listTools,
		"/tools/{id}":                         s.showTool,
		"/healthz":                            s.health,
		"/readyz":                             s.ready,
		"/metrics":                            metrics(s.runner).ServeHTTP,
	} {
		mux.Get(pattern, handler)
		mux.Head(pattern, handler) // net/http drops the body
	}
	return mux
}

// guard turns away what no route should see.
func (s *Server) guard(next http.Handler) http.Handler {
	var browsers http.CrossOriginProtection
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PRI" { // net/http hands an HTTP/2 preface on, for handlers that speak it
			s.refuse(w, &errclass.APIError{
				Code: errclass.CodeBadRequest, Status: http.StatusHTTPVersionNotSupported,
				Message: "Unsupported protocol version: use HTTP/1.1",
			})
			return
		}
		if err := browsers.Check(r); err != nil {
			s.refuse(w, errclass.NewAPIError(errclass.CodeForbidden, "A web page of another origin can't run tools"))
			return
		}
		if strings.Contains(r.URL.Path, "//") { // chi would match an empty name
			s.notFound(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) notFound(w http.ResponseWriter, _ *http.Request) {
	s.refuse(w, errclass.NewAPIError(errclass.CodeNotFound, "Route not found"))
}

// methodNotAllowed answers for a known path. chi takes any method that it
// doesn't know here too, whatever the path.
func (s *Server) methodNotAllowed(mux chi.Routes) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			if mux.Match(chi.NewRouteContext(), method, cmp.Or(r.URL.RawPath, r.URL.Path)) {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			s.notFound(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		s.refuse(w, errclass.NewAPIError(errclass.CodeMethodNotAllowed,
			"Method not allowed: use %s", strings.Join(allowed, " or ")))
	}
}

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	s.succeed(w, map[string]string{"status": "ok"})
}

// maxBreakersShown bounds the list of GET /readyz?verbose.
const maxBreakersShown = 100

// ready reports whether executions are taken: false as soon as the drain
// begins, so that a load balancer looks elsewhere. Open circuit breakers, which
// ?verbose lists, are no reason to: other nodes would see the same upstream.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		s.refuse(w, shuttingDown())
		return
	}
	if !r.URL.Query().Has("verbose") {
		s.succeed(w, map[string]string{"status": "ready"})
		return
	}
	breakers := s.runner.Breakers()
	shown := make([]shownBreaker, 0, min(len(breakers), maxBreakersShown))
	for _, b := range breakers[:min(len(breakers), maxBreakersShown)] {
		shown = append(shown, shownBreaker{b.Origin, b.Organization, b.State, b.RetryAfter.Milliseconds()})
	}
	s.succeed(w, map[string]any{"status": "ready", "running": s.runner.Running(), "breakers": shown})
}

// shownBreaker is a circuit breaker that isn't closed.
type shownBreaker struct {
	Origin       string `json:"origin"`
	Organization string `json:"organization,omitempty"`
	State        string `json:"state"`
	RetryAfterMs int64  `json:"retryAfterMs"`
}

func shuttingDown() *errclass.APIError {
	e := errclass.NewAPIError(errclass.CodeUnavailable, "The service is shutting down. Try again.")
	e.RetryAfter = time.Second
	return e
}

func (s *Server) listTools(w http.ResponseWriter, r *http.Request) {
	organization, err := organizationOf(r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	defs := s.runner.Tools(organization)
	shown := make([]runner.Definition, len(defs))
	for i, def := range defs {
		shown[i] = completed(def)
	}
	s.succeed(w, shown)
}

func (s *Server) showTool(w http.ResponseWriter, r *http.Request) {
	def, err := s.runner.Tool("", pathParameter(r, "id"))
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.succeed(w, completed(def))
}

// completed is a definition with what its author may leave out, and without the
// secrets that he wrote into it.
func completed(def *runner.Definition) runner.Definition {
	d := *def
	d.ID = cmp.Or(d.ID, d.Name)
	d.Status = cmp.Or(d.Status, runner.Active)
	d.AuthConfig = d.AuthConfig.Redacted()
	if d.API != nil {
		api := *d.API
		api.Authentication = api.Authentication.Redacted()
		d.API = &api
	}
	return d
}

// maxOrganization bounds the name of an organization, in bytes.
const maxOrganization = 128

// organizationOf is the organization that the path names; none where its route
// has no such part.
func organizationOf(r *http.Request) (string, error) {
	name := pathParameter(r, "organization")
	if len(name) > maxOrganization || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", errclass.NewAPIError(errclass.CodeNotFound, "Organization not found")
	}
	return name, nil
}

// pathParameter is a part of the path, decoded. chi routes by the raw path
// where that differs from how Go would encode the decoded one.
func pathParameter(r *http.Request, name string) string {
	value := chi.URLParam(r, name)
	if r.URL.RawPath == "" {
		return value
	}
	if decoded, err := url.PathUnescape(value); err == nil {
		return decoded
	}
	return value
}
