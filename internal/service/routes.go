package service

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/access"
)

// routes is the whole API.
func (s *Server) routes() (http.Handler, error) {
	mux := chi.NewRouter()
	if s.opts.Middleware != nil {
		mux.Use(s.opts.Middleware)
	}
	mux.Use(s.observe, s.guard)
	mux.NotFound(s.notFound)
	mux.MethodNotAllowed(s.methodNotAllowed(mux))

	for _, prefix := range []string{"", organizationPrefix} {
		s.organizationRoutes(mux, prefix)
	}
	read(mux, "/healthz", s.health)
	read(mux, "/readyz", s.ready)
	if s.opts.Metrics != nil {
		read(mux, "/metrics", s.needsOperator(s.metrics))
	}
	return mux, s.serveDescription(mux)
}

// organizationRoutes are those on behalf of an organization: of the one in the path, or
// of the one that the caller names otherwise.
func (s *Server) organizationRoutes(mux chi.Router, prefix string) {
	tool, execution := prefix+"/tools/{id}", prefix+"/executions/{id}"
	mux.Post(tool+"/execute", s.needs(access.Member, s.execute))
	read(mux, prefix+"/tools", s.needs(access.Viewer, s.listTools))
	read(mux, tool, s.needs(access.Viewer, s.plain(s.showTool)))
	if s.opts.Definitions != nil {
		mux.Post(prefix+"/tools", s.needs(access.Admin, s.plain(s.createTool)))
		mux.Patch(tool, s.needs(access.Admin, s.plain(s.patchTool)))
		mux.Delete(tool, s.needs(access.Admin, s.plain(s.deleteTool)))
		read(mux, tool+"/versions", s.needs(access.Viewer, s.listVersions))
		read(mux, tool+"/versions/{version}", s.needs(access.Viewer, s.plain(s.showVersion)))
	}
	if s.opts.Executions != nil {
		read(mux, prefix+"/executions", s.needs(access.Viewer, s.listExecutions))
		read(mux, execution, s.needs(access.Viewer, s.showExecution))
		mux.Delete(execution, s.needs(access.Member, s.plain(s.cancelExecution)))
		mux.Get(execution+"/events", s.needs(access.Viewer, s.followExecution))
	}
	if s.opts.Keys != nil {
		read(mux, prefix+"/keys", s.needs(access.Admin, s.whole(s.listKeys)))
		mux.Post(prefix+"/keys", s.needs(access.Admin, s.plain(s.whole(s.createKey))))
		mux.Delete(prefix+"/keys/{id}", s.needs(access.Admin, s.plain(s.whole(s.revokeKey))))
	}
	if len(s.opts.WebhookSecret) > 0 {
		read(mux, prefix+"/webhook-secret", s.needs(access.Admin, s.plain(s.whole(s.showWebhookSecret))))
	}
}

// read serves GET and HEAD, of which net/http drops the body.
func read(mux chi.Router, pattern string, handler http.HandlerFunc) {
	mux.Get(pattern, handler)
	mux.Head(pattern, handler)
}

// plain is for routes without query parameters.
func (s *Server) plain(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := knownQuery(r); err != nil {
			s.refuse(w, err)
			return
		}
		next(w, r)
	}
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
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete} {
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

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	s.setCommon(w.Header())
	s.opts.Metrics.ServeHTTP(w, r)
}

// maxBreakersShown bounds the list of GET /readyz?verbose.
const maxBreakersShown = 100

// ready reports whether executions are taken: false as soon as the drain begins, so
// that a load balancer looks elsewhere, and while something is missing. Open circuit
// breakers and broken definitions, which ?verbose lists, are no reason to: other nodes
// would see the same. Those lists are for operators.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		s.refuse(w, shuttingDown())
		return
	}
	if s.opts.Missing != nil {
		if missing := s.opts.Missing(); len(missing) > 0 {
			e := errclass.NewAPIError(errclass.CodeUnavailable, "Not ready: %s", strings.Join(missing, "; "))
			e.RetryAfter = time.Second
			s.refuse(w, e)
			return
		}
	}
	if !r.URL.Query().Has("verbose") {
		s.succeed(w, map[string]string{"status": "ready"})
		return
	}
	s.needsOperator(s.readyVerbosely)(w, r)
}

func (s *Server) readyVerbosely(w http.ResponseWriter, _ *http.Request) {
	breakers := s.runner.Breakers()
	shown := make([]shownBreaker, 0, min(len(breakers), maxBreakersShown))
	for _, b := range breakers[:min(len(breakers), maxBreakersShown)] {
		shown = append(shown, shownBreaker{b.Origin, b.Organization, b.State, b.RetryAfter.Milliseconds()})
	}
	broken := []shownBroken{}
	if s.opts.Broken != nil {
		for _, b := range s.opts.Broken() {
			broken = append(broken, shownBroken(b))
		}
	}
	s.succeed(w, map[string]any{"status": "ready", "running": s.runner.Running(), "breakers": shown, "broken": broken})
}

// shownBroken is a definition that can't be used.
type shownBroken struct {
	Source string `json:"source"`
	Fault  string `json:"fault"`
	Kept   bool   `json:"lastGoodVersionStays"`
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
