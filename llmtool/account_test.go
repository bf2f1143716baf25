package llmtool_test

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	. "github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
)

// tenanted is a provider whose key and a header are credentials.
func tenanted(baseURL string) llmtool.Provider {
	p := provider(baseURL)
	p.APIKey, p.Headers = "{{credentials.k}}", map[string]string{"X-Tenant": "{{env.TENANT}}"}
	return p
}

func TestRunsBringTheirCredentials(t *testing.T) {
	type creds = map[string]any
	for _, c := range []struct {
		name          string
		source        string
		host, given   creds
		env           map[string]string
		authorization string
		tenant        string
		detail        string // of a MissingCredential
	}{
		{"the run's wins", "", creds{"k": "host-key-0"}, creds{"k": "tenant-key-1"}, nil, "Bearer tenant-key-1", "host", ""},
		{"only the run's", "", nil, creds{"k": "tenant-key-1"}, nil, "Bearer tenant-key-1", "host", ""},
		{"only the host's", "", creds{"k": "host-key-0"}, nil, nil, "Bearer host-key-0", "host", ""},
		{"other names are none of its", "", creds{"k": "host-key-0"}, creds{"other": "x"}, nil, "Bearer host-key-0", "host", ""},
		{"the same", "", creds{"k": "host-key-0"}, creds{"k": "host-key-0"}, nil, "Bearer host-key-0", "host", ""},
		{"env", "", creds{"k": "host-key-0"}, nil, map[string]string{"TENANT": "one"}, "Bearer host-key-0", "one", ""},
		{"nested", "{{credentials.k.key}}", creds{"k": creds{"key": "host-key-0"}}, creds{"k": creds{"key": "tenant-key-1"}}, nil, "Bearer tenant-key-1", "host", ""},
		{"nobody's", "", nil, nil, nil, "", "", "credentials.k is not set"},
		{"null doesn't fall back", "", creds{"k": "host-key-0"}, creds{"k": nil}, nil, "", "", "credentials.k is not set"},
		{"nothing within doesn't fall back", "{{credentials.k.key}}", creds{"k": creds{"key": "host-key-0"}}, creds{"k": creds{}}, nil, "", "", "credentials.k.key is not set"},
		{"null by choice", `{{credentials.k == "" ? nil : credentials.k}}`, nil, creds{"k": ""}, nil, "", "", "the apiKey of provider main has no value: credentials.k"},
		{"unusable", "", creds{"k": "host-key-0"}, creds{"k": "a\r\nX: 1"}, nil, "", "", "the apiKey of provider main holds a line break or control character"},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := answers(t, says("hi"))
			p := tenanted(up.URL)
			if c.source != "" {
				p.APIKey = c.source
			}
			clients, faults := llmtool.NewClients([]llmtool.Provider{p}, map[string]string{"TENANT": "host"}, c.host, transport(t))
			require.Empty(t, faults)
			in := llmtool.Input{Parameters: input.Parameters, Env: c.env, Credentials: c.given}
			_, err := compile(t, llmtool.Config{}).Run(t.Context(), clients, in)
			if c.detail != "" {
				e := Classify(err)
				require.Equal(t, ConfigurationError, e.Class)
				require.Equal(t, MissingCredential, e.Reason)
				require.Equal(t, c.detail, e.Detail)
				require.Equal(t, "main", e.Upstream.Provider)
				require.Empty(t, up.seen())
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.authorization, up.headers[0].Get("Authorization"))
			require.Equal(t, c.tenant, up.headers[0].Get("X-Tenant"))
		})
	}
}

// A host may change the values that it holds: they are not remembered.
func TestChangedCredentialIsSeen(t *testing.T) {
	up := answers(t, says("hi"))
	p := tenanted(up.URL)
	p.APIKey, p.Headers = "{{credentials.k.key}}", nil
	nested := map[string]any{"key": "first-key"}
	credentials := map[string]any{"k": nested}
	c, faults := llmtool.NewClients([]llmtool.Provider{p}, nil, credentials, transport(t))
	require.Empty(t, faults)
	nested["key"] = "second-key"
	in := llmtool.Input{Parameters: input.Parameters, Credentials: credentials}
	_, err := compile(t, llmtool.Config{}).Run(t.Context(), c, in)
	require.NoError(t, err)
	require.Equal(t, "Bearer second-key", up.headers[0].Get("Authorization"))
}

// No run sends another's key, or lets its own be seen in a failure.
func TestConcurrentRunsKeepTheirKeys(t *testing.T) {
	t.Parallel()
	const tenants, each = 10, 20
	up := serve(t, func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Authorization")
		if key != "Bearer tenant-key-"+r.Header.Get("X-Tenant") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":{"message":`+quote("seen "+key[len("Bearer "):])+`}}`)
	})
	c, faults := llmtool.NewClients([]llmtool.Provider{tenanted(up.URL)}, map[string]string{"TENANT": "host"},
		map[string]any{"k": "host-key-0"}, transport(t))
	require.Empty(t, faults)
	tool := compile(t, llmtool.Config{})
	var wg sync.WaitGroup
	wrong := make(chan string, tenants*each)
	for i := range tenants * each {
		wg.Go(func() {
			tenant := fmt.Sprint(i % tenants)
			_, err := tool.Run(t.Context(), c, llmtool.Input{
				Parameters: input.Parameters, Env: map[string]string{"TENANT": tenant},
				Credentials: map[string]any{"k": "tenant-key-" + tenant},
			})
			if e := Classify(err); e.Detail != "400: seen [redacted]" {
				wrong <- e.Detail
			}
		})
	}
	wg.Wait()
	close(wrong)
	for detail := range wrong {
		t.Error(detail)
	}
	_, err := tool.Run(t.Context(), c, llmtool.Input{Parameters: input.Parameters})
	require.Equal(t, Permission, Classify(err).Reason, "the host's own key was replaced")
	require.Equal(t, "Bearer host-key-0", up.headers[len(up.headers)-1].Get("Authorization"))
}
