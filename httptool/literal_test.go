package httptool_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/httptool"
)

func TestLiteralSecrets(t *testing.T) {
	type config = map[string]any
	for _, tc := range []struct {
		name     string
		auth     *httptool.Auth
		literals []string
		shown    config
	}{
		{"none", nil, nil, nil},
		{"no config", &httptool.Auth{Type: "none"}, nil, nil},
		{"placeholder", &httptool.Auth{Type: "bearer", Config: config{"token": "{{env.TOKEN}}"}}, nil, config{"token": "{{env.TOKEN}}"}},
		{"literal", &httptool.Auth{Type: "bearer", Config: config{"token": "abc123"}}, []string{"abc123", "abc123"}, config{"token": "[redacted]"}},
		{"number", &httptool.Auth{Type: "bearer", Config: config{"token": 12345678}}, []string{"12345678", "12345678"}, config{"token": "[redacted]"}},
		{"quoted literal", &httptool.Auth{Type: "bearer", Config: config{"token": "{{'abc123'}}"}}, []string{"{{'abc123'}}", "abc123"}, config{"token": "[redacted]"}},
		{"a part", &httptool.Auth{Type: "bearer", Config: config{"token": "sk-live-0123{{env.REST}}"}}, []string{"sk-live-0123"}, config{"token": "[redacted]"}},
		{"a short part", &httptool.Auth{Type: "bearer", Config: config{"token": "Token {{env.REST}}"}}, nil, config{"token": "[redacted]"}},
		{"two placeholders", &httptool.Auth{Type: "bearer", Config: config{"token": "{{env.A}}:{{env.B}}"}}, nil, config{"token": "{{env.A}}:{{env.B}}"}},
		{"password", &httptool.Auth{Type: "basic", Config: config{"username": "bob", "password": "hunter2!"}}, []string{"hunter2!", "hunter2!"}, config{"username": "bob", "password": "[redacted]"}},
		{"user name alone", &httptool.Auth{Type: "basic", Config: config{"username": "sk_live_1"}}, []string{"sk_live_1", "sk_live_1"}, config{"username": "[redacted]"}},
		{"key", &httptool.Auth{Type: "apiKey", Config: config{"name": "X-Key", "in": "header", "value": "k-12345"}}, []string{"k-12345", "k-12345"}, config{"name": "X-Key", "in": "header", "value": "[redacted]"}},
		{"client", &httptool.Auth{Type: "oauth2", Config: config{"tokenUrl": "https://a.test/t", "clientId": "client-1", "clientSecret": "c-12345", "scope": "a", "audience": "b", "clientAuth": "body"}},
			[]string{"c-12345", "c-12345"}, config{"tokenUrl": "https://a.test/t", "clientId": "client-1", "clientSecret": "[redacted]", "scope": "a", "audience": "b", "clientAuth": "body"}},
		{"unknown", &httptool.Auth{Type: "digest", Config: config{"key": "c-12345", "more": config{"a": "b"}}}, []string{"c-12345", "c-12345"}, config{"key": "[redacted]", "more": "[redacted]"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.literals, tc.auth.Literals())
			shown := tc.auth.Redacted()
			if tc.auth == nil {
				require.Nil(t, shown)
				return
			}
			require.Equal(t, &httptool.Auth{Type: tc.auth.Type, Config: tc.shown}, shown)
		})
	}
}
