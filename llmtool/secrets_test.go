package llmtool_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/llmtool"
)

func TestKeysNeverInErrors(t *testing.T) {
	for _, c := range []struct{ said, want string }{
		{"Incorrect API key provided: zz9-Plural.Z-Alpha+42/Q==.", "Incorrect API key provided: [redacted]"},
		{"bad key zz9-Plural.Z-Alpha+42/Q== there", "bad key [redacted] there"},
		{"key sk-proj-AbCd1234_efgh-5678 is off", "key [redacted] is off"},
		{"key sk-abcdefghijklmnop is off", "key [redacted] is off"},
		{"key gsk_AbCdEf012345 is off", "key [redacted] is off"},
		{"key-AbCdEf012345.", "[redacted]"},
		{"AIzaSyA-1234567890abcdef", "[redacted]"},
		{"Invalid api_key: abcdefgh12345", "Invalid api_key: [redacted]"},
		{"Incorrect API key provided: zz9-****Q==.", "Incorrect API key provided: [redacted]=="},
		{"in organization org-AbCdEf123456 on tokens", "in organization [redacted] on tokens"},
		{"project proj_AbCdEf123456", "project [redacted]"},
		{"token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.sig", "token [redacted]"},
		{"a key-value pair of user-defined parts", "a key-value pair of user-defined parts"},
		{"'max_tokens' of gpt-4o-mini-2024-07-18", "'max_tokens' of gpt-4o-mini-2024-07-18"},
	} {
		door := canned{400, http.Header{"X-Request-Id": {"req_1"}}, `{"error":{"message":` + quote(c.said) + `,"code":"` + apiKey + `"}}`}
		_, e := run(t, llmtool.Config{}, clientsThrough(t, door, provider("http://provider.test")))
		require.Equal(t, "400: "+c.want, e.Detail)
		require.Equal(t, "[redacted]", e.Upstream.Code)
		require.Equal(t, "req_1", e.Upstream.RequestID)
	}
}

func TestPromptNeverInErrors(t *testing.T) {
	const secret = "the patient's name is Ada Lovelace and she lives at 12 St James's Square"
	for _, said := range []string{
		"Invalid content: " + secret,
		secret,
		"could not process `" + secret[4:40] + "` here",
		"could not process \"Ada Lovelace\" here",
		"could not process 'Ada Lovelace'.",
		secret + secret,
	} {
		for _, body := range []string{
			`{"error":{"message":` + quote(said) + `}}`, `{"detail":` + quote(said) + `}`, said,
			`{"error":{"message":"Provider returned error","metadata":{"raw":` + quote(said) + `}}}`,
		} {
			_, e := run(t, llmtool.Config{PromptTemplate: "Summarize:\n" + secret},
				clientsThrough(t, canned{400, http.Header{}, body}, provider("http://provider.test")))
			require.NotContains(t, e.Detail, "Ada Lovelace")
		}
	}
}

func TestHeaderSecretsNeverInErrors(t *testing.T) {
	p := provider("http://provider.test")
	p.APIKey, p.Headers = "", map[string]string{"X-Api-Key": "{{env.API_KEY}}", "X-Title": "Acme"}
	_, e := run(t, llmtool.Config{}, clientsThrough(t, canned{400, nil, "Acme: no " + apiKey}, p))
	require.Equal(t, "400: Acme: no [redacted]", e.Detail)
}
