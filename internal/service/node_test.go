package service_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/access"
	"github.com/almyty-inc/toolrun/internal/catalog"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/runner"
)

// node is a service with all that it has beside the runner: callers, a store in memory and
// a worker.
type node struct {
	*standalone
	engine      *queue.Engine
	executions  *queue.Executions
	definitions *queue.Definitions
	keys        *queue.Keys
}

var (
	jwtSecret     = []byte("a secret of the tests, which is long enough for HS256")
	webhookSecret = []byte("a secret of the tests, which webhooks are signed with")
)

// begin starts a node. Settings win over what it would have.
func begin(t testing.TB, options runner.Options, settings service.Options) *node {
	t.Helper()
	n := &node{}
	var err error
	n.engine, err = queue.Open(t.Context(), queue.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.engine.Close()) })
	n.executions, err = n.engine.Executions(t.Context(), queue.ExecutionsOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.executions.Close()) })
	n.keys, err = n.engine.Keys(t.Context())
	require.NoError(t, err)
	n.definitions, err = n.engine.Definitions(t.Context())
	require.NoError(t, err)
	rates, err := n.engine.Rates(t.Context())
	require.NoError(t, err)
	guard, err := access.New(t.Context(), access.Options{Keys: n.keys, JWT: access.JWTOptions{Secret: jwtSecret}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, guard.Close()) })

	options.Rates = service.Rates(rates)
	settings.Access, settings.Executions, settings.Definitions, settings.Keys, settings.Rates = guard, n.executions, n.definitions, n.keys, rates
	settings.WebhookSecret = webhookSecret
	n.standalone = serve(t, options, settings)

	ctx, stop := context.WithCancel(context.Background())
	catalog.FollowStored(ctx, n.definitions, n.runner, n.logger())
	worked := make(chan error, 1)
	go func() {
		worked <- n.executions.Work(ctx, queue.WorkerOptions{Runner: n.runner, Drain: time.Second, Webhooks: queue.WebhookOptions{
			Transport: n.runner.Transport(), Secret: webhookSecret, Schedule: []time.Duration{0, 10 * time.Millisecond},
		}})
	}()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-worked)
	})
	return n
}

// key makes an API key and returns its secret.
func (n *node) key(t testing.TB, organization string, role access.Role, change ...func(*access.Key)) string {
	t.Helper()
	k := access.Key{Name: "test", Organization: organization, Role: role}
	for _, c := range change {
		c(&k)
	}
	made, secret, err := access.NewKey(k)
	require.NoError(t, err)
	require.NoError(t, n.keys.Create(t.Context(), made))
	return secret
}

// token is a JWT with these claims beside those that every one needs.
func token(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{"sub": "ada", "iss": "almyty", "aud": "almyty-api", "exp": time.Now().Add(time.Hour).Unix()}
	for name, value := range claims {
		all[name] = value
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString(jwtSecret)
	require.NoError(t, err)
	return signed
}

// answer is what a service said.
type answer struct {
	*http.Response
	body string
}

// data is a member of the answer's data, as JSON.
func (a answer) data(t testing.TB, name string) string {
	t.Helper()
	var document struct{ Data map[string]json.RawMessage }
	require.NoError(t, json.Unmarshal([]byte(a.body), &document), a.body)
	return strings.Trim(string(document.Data[name]), `"`)
}

// ask sends a request with a credential, JSON where there is a body, and header fields as
// name, value, name, value.
func (n *node) ask(t testing.TB, credential, method, path, body string, header ...string) answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, n.url+path, reader)
	require.NoError(t, err)
	if credential != "" {
		request.Header.Set("Authorization", "Bearer "+credential)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := n.client.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response, string(text)}
}
