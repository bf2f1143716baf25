package service_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/access"
	"github.com/almyty-inc/toolrun/internal/service"
)

// Nobody can tell what another organization has from what doesn't exist.
func TestContractHidesOtherOrganizations(t *testing.T) {
	c := newContract(t)
	for _, stranger := range []string{"stranger", "operator"} {
		header := c.callers[stranger].Clone()
		header.Set("X-Organization-Id", "globex")
		for _, r := range []struct{ method, path, real string }{
			{"GET", "/tools/%s", "stored"},
			{"PATCH", "/tools/%s", "stored"},
			{"DELETE", "/tools/%s", "stored"},
			{"POST", "/tools/%s/execute", "stored"},
			{"GET", "/tools/%s/versions", "stored"},
			{"GET", "/tools/%s/versions/1", "stored"},
			{"GET", "/executions/%s", c.execution},
			{"DELETE", "/executions/%s", c.execution},
			{"GET", "/executions/%s/events", c.execution},
		} {
			for _, prefix := range []string{"", "/organizations/globex"} {
				theirs, text := c.ask(t, r.method, prefix+fmt.Sprintf(r.path, r.real), header, "{}")
				none, other := c.ask(t, r.method, prefix+fmt.Sprintf(r.path, strings.Repeat("z", len(r.real))), header, "{}")
				require.Equal(t, http.StatusNotFound, theirs.StatusCode, "%s %s: %s", r.method, r.path, text)
				require.Equal(t, other, text)
				theirs.Header.Del("Date")
				none.Header.Del("Date")
				require.Equal(t, none.Header, theirs.Header)
			}
		}
	}
}

// Who may not is told so before a limit is spent, and who has no calls left before
// anything is looked up.
func TestContractRateLimits(t *testing.T) {
	c := newContract(t)
	secret := bearer(c.key(t, access.Key{Organization: "acme", Role: access.Viewer, RequestsPerMinute: 1}, nil))
	ask := func(method, path string, want int) {
		t.Helper()
		response, text := c.ask(t, method, path, secret, "")
		require.Equal(t, want, response.StatusCode, text)
		require.Empty(t, shapeFault(response, text))
		require.NoError(t, c.described.check(method, strings.ReplaceAll(path, "nope", "{id}"), response, text))
	}
	ask("POST", "/keys", 403)
	ask("GET", "/keys", 403)
	ask("GET", "/tools", 200)
	ask("GET", "/tools", 429)
	ask("GET", "/tools/nope", 429)
	ask("POST", "/keys", 403)
	ask("PUT", "/tools", 405)
}

// Guessed credentials are slowed down, for all routes together.
func TestContractBrake(t *testing.T) {
	authenticator, err := access.New(t.Context(), access.Options{JWT: access.JWTOptions{Secret: tokenSecret}, Failures: 3})
	require.NoError(t, err)
	defer authenticator.Close()
	c := &contract{standalone: serve(t, plainTools(t), service.Options{Access: authenticator})}
	var last int
	for i := range 5 {
		response, text := c.ask(t, "GET", "/tools", bearer(fmt.Sprint("guess-", i)), "")
		require.Empty(t, shapeFault(response, text), text)
		last = response.StatusCode
	}
	require.Equal(t, http.StatusTooManyRequests, last)
	response, text := c.ask(t, "GET", "/tools", signed(t, jwt.SigningMethodHS256, tokenSecret, nil), "")
	require.Equal(t, http.StatusTooManyRequests, response.StatusCode, text)
}

func TestContractOfOtherAnswers(t *testing.T) {
	c := newContract(t)
	admin := c.callers["admin"]
	with := func(header http.Header, name, value string) http.Header {
		header = header.Clone()
		header.Set(name, value)
		return header
	}
	for _, r := range []struct {
		name, method, path, route string
		header                    http.Header
		body                      string
		status                    int
	}{
		{"no route", "GET", "/agents", "", admin, "", 404},
		{"no route, nobody", "BREW", "/agents", "", nil, "", 404},
		{"foreign page", "POST", "/tools", "/tools", with(admin, "Sec-Fetch-Site", "cross-site"), "{}", 403},
		{"another organization by header", "GET", "/tools", "/tools", with(admin, "X-Organization-Id", "globex"), "", 403},
		{"organization of no name", "GET", "/tools", "/tools", with(admin, "X-Organization-Id", ""), "", 400},
		{"operator for an organization", "GET", "/keys", "/keys", with(c.callers["operator"], "X-Organization-Id", "acme"), "", 200},
		{"name taken", "POST", "/tools", "/tools", admin, definitionOf("stored"), 409},
		{"name taken by a file", "POST", "/tools", "/tools", admin, definitionOf("echo"), 409},
		{"read-only", "PATCH", "/tools/echo", "/tools/{id}", admin, "{}", 409},
		{"stale", "PATCH", "/tools/stored", "/tools/{id}", with(admin, "If-Match", `"0"`), "{}", 409},
		{"bad definition", "POST", "/tools", "/tools", admin, `{"name":"bad","type":"javascript","code":"return ("}`, 422},
		{"bad key", "POST", "/keys", "/keys", admin, `{"name":"","role":"king"}`, 422},
		{"not active", "POST", "/tools/off/execute", "/tools/{id}/execute", admin, "{}", 409},
		{"bad parameters", "POST", "/tools/price/execute", "/tools/{id}/execute", admin, "{}", 400},
		{"failure", "POST", "/tools/fail/execute", "/tools/{id}/execute", admin, "{}", 200},
		{"failure with details", "POST", "/tools/fail/execute?details=true", "/tools/{id}/execute", admin, "{}", 200},
		{"success with details", "POST", "/tools/echo/execute?details=true", "/tools/{id}/execute", admin, "{}", 200},
		{"events", "POST", "/tools/echo/execute", "/tools/{id}/execute", with(admin, "Accept", "text/event-stream"), "{}", 200},
		{"later", "POST", "/tools/echo/execute?mode=async", "/tools/{id}/execute", admin, "{}", 202},
		{"key reused", "POST", "/tools/echo/execute", "/tools/{id}/execute", with(admin, "Idempotency-Key", "first"), "{}", 409},
		{"key replayed", "POST", "/tools/stored/execute", "/tools/{id}/execute", with(admin, "Idempotency-Key", "first"), "{}", 200},
		{"webhook now", "POST", "/tools/echo/execute", "/tools/{id}/execute", admin, `{"webhook":{"url":"https://a.example"}}`, 400},
		{"part of a list", "GET", "/tools?limit=1", "/tools", admin, "", 200},
		{"part of the keys", "GET", "/keys?limit=1", "/keys", admin, "", 200},
		{"part of the versions", "GET", "/tools/stored/versions?limit=1&cursor=2", "/tools/{id}/versions", admin, "", 200},
		{"bad limit", "GET", "/tools?limit=0", "/tools", admin, "", 400},
		{"no key's cursor", "GET", "/keys?cursor=first", "/keys", admin, "", 400},
		{"no version's cursor", "GET", "/tools/stored/versions?cursor=first", "/tools/{id}/versions", admin, "", 400},
		{"bad cursor", "GET", "/executions?cursor=!", "/executions", admin, "", 400},
		{"no such version", "GET", "/tools/stored/versions/0", "/tools/{id}/versions/{version}", admin, "", 404},
		{"outcome with details", "GET", "/executions/" + c.execution + "?details=true", "/executions/{id}", admin, "", 200},
		{"ready, to operators", "GET", "/readyz?verbose", "/readyz", c.callers["operator"], "", 200},
		{"ready, to others", "GET", "/readyz?verbose", "/readyz", admin, "", 403},
		{"ready, to nobody", "GET", "/readyz?verbose", "/readyz", nil, "", 401},
	} {
		t.Run(r.name, func(t *testing.T) {
			response, text := c.ask(t, r.method, r.path, r.header, r.body)
			require.Equal(t, r.status, response.StatusCode, text)
			require.Empty(t, shapeFault(response, text), text)
			if r.route != "" {
				require.NoError(t, c.described.check(r.method, r.route, response, text), text)
			}
			if r.status == http.StatusAccepted {
				at := response.Header.Get("Location")
				require.NotEmpty(t, at)
				response, text = c.ask(t, "GET", at, r.header, "")
				require.Equal(t, http.StatusOK, response.StatusCode, text)
			}
		})
	}
	c.missing.Store(true)
	response, text := c.ask(t, "GET", "/readyz", nil, "")
	require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	require.Empty(t, shapeFault(response, text), text)
	require.NoError(t, c.described.check("GET", "/readyz", response, text))
}
