package service_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/access"
	"github.com/almyty-inc/toolrun/internal/catalog"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/internal/service"
)

// contractBody bounds bodies in the tests of the contract.
const contractBody = 4096

// contract is a service with all that it can have, and somebody of each kind to call it.
type contract struct {
	*standalone
	keys      *queue.Keys
	described *described
	execution string // of acme, that has ended
	missing   atomic.Bool
	named     atomic.Int64
	callers   map[string]http.Header
}

var tokenSecret = []byte("contract-contract-contract-contract")

func newContract(t *testing.T) *contract {
	t.Helper()
	c := &contract{}
	engine, err := queue.Open(t.Context(), queue.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	executions, err := engine.Executions(t.Context(), queue.ExecutionsOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, executions.Close()) })
	definitions, err := engine.Definitions(t.Context())
	require.NoError(t, err)
	rates, err := engine.Rates(t.Context())
	require.NoError(t, err)
	c.keys, err = engine.Keys(t.Context())
	require.NoError(t, err)
	authenticator, err := access.New(t.Context(), access.Options{Keys: c.keys, JWT: access.JWTOptions{Secret: tokenSecret}, Failures: 1_000_000})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, authenticator.Close()) })

	options := plainTools(t)
	options.Rates = service.Rates(rates)
	c.standalone = serve(t, options, service.Options{
		Access: authenticator, Executions: executions, Definitions: definitions, Keys: c.keys, Rates: rates,
		WebhookSecret: []byte(strings.Repeat("w", 32)), BodyBytes: contractBody,
		Missing: func() []string {
			if c.missing.Load() {
				return []string{"the store"}
			}
			return nil
		},
	})
	background, stop := context.WithCancel(context.Background())
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		_ = executions.Work(background, queue.WorkerOptions{Runner: c.runner})
	}()
	t.Cleanup(func() {
		stop()
		<-worked
	})
	catalog.FollowStored(background, definitions, c.runner, slog.New(slog.NewTextHandler(c.log, nil)))

	c.makeCallers(t)
	_, text := c.ask(t, "GET", "/openapi.json", nil, "")
	c.described = readDescription(t, text)
	c.makeTool(t, "stored")
	header := c.callers["admin"].Clone()
	header.Set("Idempotency-Key", "first")
	response, text := c.ask(t, "POST", "/tools/stored/execute", header, "{}")
	require.Equal(t, http.StatusOK, response.StatusCode, text)
	c.execution = response.Header.Get("X-Execution-Id")
	return c
}

// key stores a key and returns its secret.
func (c *contract) key(t testing.TB, wanted access.Key, change func(*access.Key)) string {
	t.Helper()
	wanted.Name = "contract"
	made, secret, err := access.NewKey(wanted)
	require.NoError(t, err)
	if change != nil {
		change(&made)
	}
	require.NoError(t, c.keys.Create(t.Context(), made))
	return secret
}

func bearer(secret string) http.Header {
	return http.Header{"Authorization": {"Bearer " + secret}}
}

func signed(t testing.TB, method jwt.SigningMethod, secret any, change jwt.MapClaims) http.Header {
	t.Helper()
	claims := jwt.MapClaims{
		"sub": "ada", "iss": "almyty", "aud": "almyty-api", "exp": time.Now().Add(time.Hour).Unix(), "organizationId": "acme", "role": "admin",
	}
	for name, value := range change {
		claims[name] = value
	}
	text, err := jwt.NewWithClaims(method, claims).SignedString(secret)
	require.NoError(t, err)
	return bearer(text)
}

func (c *contract) makeCallers(t testing.TB) {
	t.Helper()
	past := time.Now().Add(-time.Hour)
	admin := access.Key{Organization: "acme", Role: access.Admin}
	adminSecret := c.key(t, admin, nil)
	limited := admin
	limited.Tools = []string{"echo"}
	c.callers = map[string]http.Header{
		"none":           {},
		"malformed":      {"Authorization": {"Basic YWRhOmxvdmVsYWNl"}},
		"unknown key":    bearer("ak_live_" + strings.Repeat("0", 43)),
		"revoked key":    bearer(c.key(t, admin, func(k *access.Key) { k.RevokedAt = past })),
		"expired key":    bearer(c.key(t, admin, func(k *access.Key) { k.ExpiresAt = past })),
		"expired token":  signed(t, jwt.SigningMethodHS256, tokenSecret, jwt.MapClaims{"exp": past.Unix()}),
		"forged token":   signed(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), nil),
		"alg none":       signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil),
		"wrong audience": signed(t, jwt.SigningMethodHS256, tokenSecret, jwt.MapClaims{"aud": "another"}),
		"two": {
			"Authorization": {"Bearer " + adminSecret}, "X-Api-Key": {adminSecret},
		},
		"viewer":      bearer(c.key(t, access.Key{Organization: "acme", Role: access.Viewer}, nil)),
		"member":      {"X-Api-Key": {c.key(t, access.Key{Organization: "acme", Role: access.Member}, nil)}},
		"admin":       bearer(adminSecret),
		"admin token": signed(t, jwt.SigningMethodHS256, tokenSecret, nil),
		"stranger":    bearer(c.key(t, access.Key{Organization: "globex", Role: access.Admin}, nil)),
		"limited":     bearer(c.key(t, limited, nil)),
		"operator":    bearer(c.key(t, access.Key{Organization: access.EveryOrganization, Role: access.Admin}, nil)),
	}
}

// roles are those of the callers whose credential holds.
var roles = map[string]int{"viewer": 1, "member": 2, "admin": 3, "admin token": 3, "stranger": 3, "limited": 3, "operator": 3}

func (c *contract) ask(t testing.TB, method, path string, header http.Header, body string) (*http.Response, string) {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, c.url+path, reader)
	require.NoError(t, err)
	if header != nil {
		request.Header = header.Clone()
	}
	if body != "" && request.Header.Get("Content-Type") == "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(text)
}

// makeTool stores a tool of acme and waits until it can be used.
func (c *contract) makeTool(t testing.TB, name string) {
	t.Helper()
	response, text := c.ask(t, "POST", "/tools", c.callers["admin"], definitionOf(name))
	require.Equal(t, http.StatusCreated, response.StatusCode, text)
	require.Eventually(t, func() bool {
		response, _ := c.ask(t, "GET", "/tools/"+name, c.callers["admin"], "")
		return response.StatusCode == http.StatusOK
	}, patience, time.Millisecond)
}

func definitionOf(name string) string {
	return `{"name":"` + name + `","type":"javascript","code":"return 1"}`
}

// makeKey makes a key of acme and returns its id.
func (c *contract) makeKey(t testing.TB) string {
	t.Helper()
	_, text := c.ask(t, "POST", "/keys", c.callers["admin"], `{"name":"short-lived","role":"viewer"}`)
	var answer struct{ Data struct{ ID string } }
	require.NoError(t, json.Unmarshal([]byte(text), &answer), text)
	require.NotEmpty(t, answer.Data.ID)
	return answer.Data.ID
}
