package service_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/access"
	"github.com/almyty-inc/toolrun/internal/service"
)

const (
	echoes   = "/tools/echo/execute"
	invalid  = "Invalid or expired token"
	noAccess = "No access to this organization"
)

func TestWhoMayDoWhat(t *testing.T) {
	n := begin(t, plainTools(t), service.Options{})
	viewer, member, admin := n.key(t, "acme", access.Viewer), n.key(t, "acme", access.Member), n.key(t, "acme", access.Admin)
	stranger := n.key(t, "other", access.Admin)
	operator := n.key(t, access.EveryOrganization, access.Viewer)
	limited := n.key(t, "acme", access.Admin, func(k *access.Key) { k.Tools = []string{"echo"} })
	limitedOperator := n.key(t, access.EveryOrganization, access.Viewer, func(k *access.Key) { k.Tools = []string{"echo"} })
	both := token(t, jwt.MapClaims{"organizations": map[string]string{"acme": "viewer", "other": "member"}})
	requires := func(role string) string {
		return refusal(403, "FORBIDDEN", "Insufficient permissions: requires "+role+" role")
	}
	unauthorized := refusal(401, "UNAUTHORIZED", invalid)
	other := refusal(403, "FORBIDDEN", noAccess)
	for _, c := range []struct {
		name, credential, method, path, body string
		status                               int
		want                                 string // what the answer holds; empty: anything
	}{
		{"nothing", "", "POST", echoes, "", 401, refusal(401, "UNAUTHORIZED", "Missing credentials: send Authorization: Bearer <API key or token>")},
		{"an unknown key", "ak_live_" + strings.Repeat("x", 43), "POST", echoes, "", 401, unauthorized},
		{"nonsense", "x", "GET", "/organizations/acme/tools", "", 401, unauthorized},
		{"an expired token", token(t, jwt.MapClaims{"organizationId": "acme", "role": "admin", "exp": 1}), "POST", echoes, "", 401, unauthorized},
		{"a route that isn't there tells nobody who may", "", "GET", "/nope", "", 404, ""},
		{"health needs none", "", "GET", "/healthz", "", 200, ""},
		{"readiness needs none", "", "GET", "/readyz", "", 200, ""},
		{"what operators see does", "", "GET", "/readyz?verbose", "", 401, ""},
		{"metrics do", "", "GET", "/metrics", "", 401, ""},
		{"and an organization's admin is no operator", admin, "GET", "/metrics", "", 403, "toolrun keys create --organization '*'"},
		{"operator sees metrics", operator, "GET", "/metrics", "", 200, "toolrun_rejected_total"},
		{"operator sees readiness", operator, "GET", "/readyz?verbose", "", 200, `"broken":[]`},

		{"viewer reads", viewer, "GET", "/tools/ours", "", 200, `"ours"`},
		{"viewer lists executions", viewer, "GET", "/executions", "", 200, ""},
		{"viewer executes not", viewer, "POST", echoes, "{}", 403, requires("member")},
		{"viewer cancels not", viewer, "DELETE", "/executions/x", "", 403, requires("member")},
		{"member executes", member, "POST", "/tools/ours/execute", "{}", 200, `"ours"`},
		{"member executes in the path's organization", member, "POST", "/organizations/acme/tools/ours/execute", "{}", 200, `"ours"`},
		{"member defines not", member, "POST", "/organizations/acme/tools", "{}", 403, requires("admin")},
		{"member changes not", member, "PATCH", "/tools/ours", "{}", 403, requires("admin")},
		{"member deletes not", member, "DELETE", "/tools/ours", "", 403, requires("admin")},
		{"member sees no keys", member, "GET", "/organizations/acme/keys", "", 403, requires("admin")},
		{"member sees no secret", member, "GET", "/webhook-secret", "", 403, requires("admin")},
		{"admin sees keys", admin, "GET", "/organizations/acme/keys", "", 200, `"role":"member"`},
		{"but no hashes", admin, "GET", "/keys", "", 200, ""},

		{"another organization's path", stranger, "GET", "/organizations/acme/tools", "", 403, other},
		{"whether it is there or not", stranger, "GET", "/organizations/nobody/tools", "", 403, other},
		{"another organization's tool", stranger, "GET", "/tools/ours", "", 404, refusal(404, "NOT_FOUND", "Tool not found")},
		{"a tool that isn't there", stranger, "GET", "/tools/nope", "", 404, refusal(404, "NOT_FOUND", "Tool not found")},
		{"executing it", stranger, "POST", "/tools/ours/execute", "{}", 404, refusal(404, "NOT_FOUND", "Tool not found")},

		{"several organizations, none named", both, "GET", "/tools/ours", "", 400, "name one with the header X-Organization-Id"},
		{"operator without one", operator, "GET", "/tools/ours", "", 404, ""},
		{"operator in one", operator, "GET", "/organizations/acme/tools/ours", "", 200, `"ours"`},
		{"operator keeps to his role", operator, "POST", "/organizations/acme/tools/ours/execute", "{}", 403, requires("member")},
		{"nobody is called *", operator, "GET", "/organizations/*/tools", "", 404, refusal(404, "NOT_FOUND", "Organization not found")},

		{"a key for a tool", limited, "POST", echoes, "{}", 200, ""},
		{"a key for another tool", limited, "POST", "/tools/ours/execute", "{}", 403, "The credential is not for this tool"},
		{"one that isn't there", limited, "POST", "/tools/nope/execute", "{}", 403, "The credential is not for this tool"},
		{"sees that tool alone", limited, "GET", "/tools", "", 200, `[{"id":"echo","name":"echo","type":"javascript","status":"active","code":"return parameters"}]`},
		{"lists executions of that tool only", limited, "GET", "/executions", "", 403, "name one of them with ?tool="},
		{"makes no key", limited, "POST", "/organizations/acme/keys", `{"name":"x","role":"admin"}`, 403, ""},
		{"lists no keys", limited, "GET", "/keys", "", 403, "for some tools only"},
		{"revokes none", limited, "DELETE", "/organizations/acme/keys/x", "", 403, "for some tools only"},
		{"sees no secret", limited, "GET", "/webhook-secret", "", 403, "for some tools only"},
		{"is no operator's, of all organizations neither", limitedOperator, "GET", "/metrics", "", 403, "all organizations and tools"},
		{"makes no tool", limited, "POST", "/organizations/acme/tools", `{"name":"x","type":"javascript","code":"return 1"}`, 403, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := n.ask(t, c.credential, c.method, c.path, c.body)
			require.Equal(t, c.status, a.StatusCode, a.body)
			if strings.HasPrefix(c.want, `{"success":false`) {
				require.Equal(t, c.want, a.body)
			}
			require.Contains(t, a.body, c.want)
			require.NotContains(t, a.body, `"hash"`)
			require.Equal(t, c.status == 401, a.Header.Get("WWW-Authenticate") != "")
		})
	}
	for organization, status := range map[string]int{"acme": 403, "other": 200, "nobody": 403, strings.Repeat("x", 129): 400} {
		require.Equal(t, status, n.ask(t, both, "POST", echoes, "{}", "X-Organization-Id", organization).StatusCode, organization)
	}
	// The path wins.
	require.Equal(t, 200, n.ask(t, both, "POST", "/organizations/other"+echoes, "{}", "X-Organization-Id", "acme").StatusCode)
	require.NotContains(t, n.log.String(), viewer[8:])
}

func TestKeysOverHTTP(t *testing.T) {
	n := begin(t, plainTools(t), service.Options{})
	admin := n.key(t, "acme", access.Admin)
	made := n.ask(t, admin, "POST", "/organizations/acme/keys", `{"name":"ci","role":"member","tools":["echo"],"requestsPerMinute":3,"expiresAt":"2999-01-01T00:00:00Z"}`)
	require.Equal(t, 201, made.StatusCode, made.body)
	secret, id := made.data(t, "key"), made.data(t, "id")
	require.Equal(t, "/organizations/acme/keys/"+id, made.Header.Get("Location"))
	require.NotContains(t, n.ask(t, admin, "GET", "/organizations/acme/keys", "").body, secret)

	for left := 2; left >= 0; left-- {
		a := n.ask(t, secret, "POST", echoes, "{}")
		require.Equal(t, 200, a.StatusCode, a.body)
		require.Equal(t, []string{"3", fmt.Sprint(left)}, []string{a.Header.Get("X-RateLimit-Limit"), a.Header.Get("X-RateLimit-Remaining")})
	}
	a := n.ask(t, secret, "POST", echoes, "{}")
	require.Equal(t, 429, a.StatusCode)
	require.Regexp(t, "^(19|20)$", a.Header.Get("Retry-After")) // a third of a minute
	require.Contains(t, a.body, "Rate limit exceeded. Retry after ")

	require.Equal(t, 404, n.ask(t, n.key(t, "other", access.Admin), "DELETE", "/keys/"+id, "").StatusCode)
	require.Equal(t, 404, n.ask(t, admin, "DELETE", "/keys/nope", "").StatusCode)
	revoked := n.ask(t, admin, "DELETE", "/organizations/acme/keys/"+id, "")
	require.Equal(t, 200, revoked.StatusCode)
	require.NotEmpty(t, revoked.data(t, "revokedAt"))
	require.Equal(t, 401, n.ask(t, secret, "POST", echoes, "{}").StatusCode)

	for body, want := range map[string]string{
		`{"name":"x","role":"king"}`:                     `{"field":"/role","message":"must be viewer, member or admin"}`,
		`{"role":"admin"}`:                               `{"field":"/name"`,
		`{"name":"x","role":"admin","tools":["a b"]}`:    `{"field":"/tools/0"`,
		`{"name":"x","role":"admin","tools":[]}`:         `{"field":"/tools","message":"must name one at least`,
		`{"name":"x","role":"admin","expiresAt":"2001"}`: "Malformed request body",
		`{"name":"x","rôle":"admin"}`:                    "Malformed request body",
	} {
		require.Contains(t, n.ask(t, admin, "POST", "/organizations/acme/keys", body).body, want)
	}
}

func TestLimitOfAnOrganization(t *testing.T) {
	n := begin(t, plainTools(t), service.Options{OrganizationRate: 2})
	one, two, stranger := n.key(t, "acme", access.Member), n.key(t, "acme", access.Member), n.key(t, "other", access.Member)
	require.Equal(t, "1", n.ask(t, one, "POST", echoes, "{}").Header.Get("X-RateLimit-Remaining"))
	require.Equal(t, "0", n.ask(t, two, "GET", "/tools", "").Header.Get("X-RateLimit-Remaining"))
	a := n.ask(t, one, "POST", echoes, "{}")
	require.Equal(t, []any{429, "2", "0"}, []any{a.StatusCode, a.Header.Get("X-RateLimit-Limit"), a.Header.Get("X-RateLimit-Remaining")})
	require.Equal(t, 200, n.ask(t, stranger, "POST", echoes, "{}").StatusCode)
}

// Of several limits the answer tells the one with the least left.
func TestLimitOfATool(t *testing.T) {
	n := begin(t, plainTools(t), service.Options{OrganizationRate: 10})
	key := n.key(t, "acme", access.Member)
	a := n.ask(t, key, "POST", "/tools/scarce/execute", "{}")
	require.Equal(t, []any{200, "1", "0"}, []any{a.StatusCode, a.Header.Get("X-RateLimit-Limit"), a.Header.Get("X-RateLimit-Remaining")})
	a = n.ask(t, key, "POST", "/tools/scarce/execute", "{}")
	require.Equal(t, []any{429, "1", "0"}, []any{a.StatusCode, a.Header.Get("X-RateLimit-Limit"), a.Header.Get("X-RateLimit-Remaining")})
	require.Equal(t, a.Header.Get("X-RateLimit-Reset"), a.Header.Get("Retry-After"))
	require.Equal(t, 429, n.ask(t, key, "POST", "/tools/scarce/execute?mode=async", "{}").StatusCode)
	require.Equal(t, 200, n.ask(t, n.key(t, "other", access.Member), "POST", "/tools/scarce/execute", "{}").StatusCode)
}

func TestGuessesAreSlowed(t *testing.T) {
	n := begin(t, plainTools(t), service.Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	fresh := token(t, jwt.MapClaims{"sub": "eve", "organizationId": "acme", "role": "member"})
	known := token(t, jwt.MapClaims{"sub": "ada", "organizationId": "acme", "role": "member"})
	from := []string{"X-Forwarded-For", "203.0.113.9, 198.51.100.7"}
	require.Equal(t, 200, n.ask(t, known, "GET", "/tools", "", from...).StatusCode)
	for i := range 100 {
		a := n.ask(t, fmt.Sprintf("ak_live_%043d", i), "GET", "/tools", "", from...)
		if a.StatusCode == 429 {
			require.NotEmpty(t, a.Header.Get("Retry-After"))
			require.GreaterOrEqual(t, i, 20)
			break
		}
		require.Equal(t, 401, a.StatusCode)
		require.Less(t, i, 60, "nobody slows it")
	}
	require.Equal(t, 429, n.ask(t, fresh, "GET", "/tools", "", from...).StatusCode, "even a right guess")
	require.Equal(t, 200, n.ask(t, known, "GET", "/tools", "", from...).StatusCode, "who has been there goes on")
	require.Equal(t, 200, n.ask(t, n.key(t, "acme", access.Member), "GET", "/tools", "", from...).StatusCode, "nobody guesses a key")
	require.Equal(t, 200, n.ask(t, fresh, "GET", "/tools", "", "X-Forwarded-For", "198.51.100.8").StatusCode, "from elsewhere")
	for _, hop := range []string{"198.51.100.7:49152", "[::ffff:198.51.100.7]:443", "[::ffff:198.51.100.7]"} { // some proxies write it so
		require.Equal(t, 429, n.ask(t, fresh, "GET", "/tools", "", "X-Forwarded-For", hop).StatusCode, hop)
	}
	// What the client says of itself doesn't count.
	require.Equal(t, 429, n.ask(t, fresh, "GET", "/tools", "", "X-Forwarded-For", "203.0.113.200, 198.51.100.7").StatusCode)
}

// With credentials asked for, the service may listen anywhere, under any name.
func TestBeyondLoopback(t *testing.T) {
	n := begin(t, plainTools(t), service.Options{})
	w := n.dial(t)
	w.send(t, "GET /tools HTTP/1.1\r\nHost: anything.example\r\nAuthorization: Bearer "+n.key(t, "acme", access.Viewer)+"\r\n\r\n")
	response, _ := w.answer(t, "GET")
	require.Equal(t, 200, response.StatusCode)
	l, err := service.ListenAnywhere(t.Context(), ":0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = service.ListenAnywhere(t.Context(), "8080")
	require.ErrorContains(t, err, "must read host:port")
}

// No organization takes all connections of the others.
func TestCrowd(t *testing.T) {
	u := newUpstream(t)
	n := begin(t, u.tools(t), service.Options{Connections: 8})
	acme, other := n.key(t, "acme", access.Member), n.key(t, "other", access.Member)
	answers := make(chan int, 6)
	for range 6 {
		go func() { answers <- n.ask(t, acme, "POST", "/tools/call/execute", "").StatusCode }()
	}
	for range 6 {
		<-u.entered
	}
	a := n.ask(t, acme, "POST", echoes, "")
	require.Equal(t, []any{503, "1"}, []any{a.StatusCode, a.Header.Get("Retry-After")}, a.body)
	require.Contains(t, a.body, "has 6 requests in flight")
	require.Equal(t, 200, n.ask(t, other, "POST", echoes, "").StatusCode)
	close(u.answer)
	for range 6 {
		require.Equal(t, 200, <-answers)
	}
	require.Equal(t, 200, n.ask(t, acme, "POST", echoes, "").StatusCode)
}
