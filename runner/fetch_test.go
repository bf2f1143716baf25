package runner_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/runner"
)

// TestFetch runs code that fetches, as a javascript tool and as an http tool with
// code: it meets the egress policy, and the network's failures stay what they are.
func TestFetch(t *testing.T) {
	server := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Latin", "\xe9")
		_, _ = w.Write([]byte(r.Method + " " + r.URL.Path + " " + string(body) + " " + r.Header.Get("X-Latin")))
	})
	open := policy(strings.TrimPrefix(server.URL, "http://"), "127.0.0.1:1")
	for _, c := range []struct {
		title, code string
		egress      httptool.Policy
		want        string
		class       errclass.Class
	}{
		{"answer", `const r = await fetch(parameters.url + "/a", {method: "PUT", body: "x", headers: {"x-latin": "é"}}); return [r.status, await r.text(), r.headers.get("x-latin")]`,
			open, `[200,"PUT /a x ` + "\ufffd" + `","é"]`, ""},
		{"refused", `await fetch("http://127.0.0.1:1/")`, open, "", errclass.ConnectionRefused},
		{"blocked", `await fetch(parameters.url)`, httptool.Policy{}, "", errclass.RequestBlocked},
		{"blocked and caught", `try { await fetch(parameters.url) } catch (e) { return [e.name, e.cause.class] }`, httptool.Policy{}, `["TypeError","request_blocked"]`, ""},
		{"timeout", `await fetch(parameters.url)`, open, "", errclass.Timeout},
		{"the program's own mistake", `await fetch(parameters.url, {headers: {host: "x"}})`, open, "", errclass.SandboxError},
	} {
		for _, kind := range []string{"javascript", "http"} {
			t.Run(c.title+" "+kind, func(t *testing.T) {
				target := server.URL
				timeout := "5000"
				if c.class == errclass.Timeout {
					hung, _ := hanging(t)
					target, timeout = hung.URL, "50"
					c.egress = policy(strings.TrimPrefix(hung.URL, "http://"))
				}
				def := parse(t, "name: t\ntype: "+kind+"\nconfiguration: {timeout: "+timeout+"}\ncode: |\n  "+c.code+"\n")
				r, err := runner.New(runner.Options{Tools: []*runner.Definition{def}, Egress: c.egress})
				require.NoError(t, err)
				defer r.Close(context.Background())
				result, err := r.Execute(t.Context(), runner.Request{Tool: "t", Parameters: []byte(`{"url":"` + target + `"}`)})
				require.NoError(t, err)
				if c.class != "" {
					require.NotNil(t, result.Failure)
					require.Equal(t, c.class, result.Failure.Class, result.Failure)
					return
				}
				require.Nil(t, result.Failure)
				require.Equal(t, c.want, string(result.Value))
			})
		}
	}
}
