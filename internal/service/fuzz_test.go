package service_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/runner"
)

// Whatever bytes come as a body, one of the documented answers goes back.
func FuzzExecuteBody(f *testing.F) {
	for _, seed := range []string{
		``, ` `, `{}`, `null`, `[]`, `{"parameters":{}}`, `{"parameters":{"quantity":1}}`, `{"parameters":null}`,
		`{"parameters":{"a":1,"a":2}}`, `{"parameters":{"quantity":1e400}}`, "{\"parameters\":{\"\xff\":1}}", "\ufeff{}",
		`{"parameters":{},"timeout":1}`, `{"parameters":` + strings.Repeat("[", 2000), `{"parameters":{"\u0000":"\ud800"}}`,
	} {
		f.Add([]byte(seed), "application/json")
	}
	f.Add([]byte(`{}`), "text/plain; charset=\"")
	r, err := runner.New(plainTools(f))
	require.NoError(f, err)
	f.Cleanup(func() { r.Close(f.Context()) })
	server, err := service.New(service.Options{Runner: r, BodyBytes: 64 << 10})
	require.NoError(f, err)

	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		for _, path := range []string{"/tools/echo/execute", "/tools/price/execute?details=true"} {
			request := httptest.NewRequest("POST", path, bytes.NewReader(body))
			request.Header.Set("Content-Type", contentType)
			recorder := httptest.NewRecorder()
			server.Handler().ServeHTTP(recorder, request)
			requireDocumented(t, recorder.Result())
		}
	})
}

// requireDocumented requires one of the shapes of the contract.
func requireDocumented(t testing.TB, response *http.Response) {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	var document map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(body, &document), "%s", body)
	fields := func(names ...string) bool {
		for _, name := range names {
			if _, ok := document[name]; !ok {
				return false
			}
		}
		return len(document) <= len(names)+1 // details or errors
	}
	switch response.StatusCode {
	case http.StatusOK:
		require.True(t, fields("success", "data") || fields("success", "error", "duration", "status"), "%s", body)
		require.NotContains(t, string(body), `"class":"internal_error"`)
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		require.True(t, fields("success", "message", "error", "statusCode"), "%s", body)
	default:
		require.Fail(t, "unexpected status", "%d: %s", response.StatusCode, body)
	}
}
