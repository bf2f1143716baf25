package service_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/access"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/internal/service"
	"github.com/almyty-inc/toolrun/runner"
)

const acmeTools = "/organizations/acme/tools"

func TestDefinitionsComeChangeAndGo(t *testing.T) {
	n := begin(t, plainTools(t), service.Options{})
	admin, stranger := n.key(t, "acme", access.Admin), n.key(t, "other", access.Admin)

	made := n.ask(t, admin, "POST", acmeTools, `{"name":"sum","type":"javascript","code":"return parameters.a + parameters.b"}`)
	require.Equal(t, 201, made.StatusCode, made.body)
	require.Equal(t, acmeTools+"/sum", made.Header.Get("Location"))
	require.Equal(t, `{"success":true,"data":{"id":"sum","name":"sum","type":"javascript","status":"active","code":"return parameters.a + parameters.b"}}`, made.body)
	first := made.Header.Get("ETag")
	require.Regexp(t, `^"\d+"$`, first)
	run := func() string {
		return settled(n.ask(t, admin, "POST", "/tools/sum/execute", `{"parameters":{"a":2,"b":3}}`).body)
	}
	require.Equal(t, success("5"), run())
	require.Equal(t, first, n.ask(t, admin, "GET", "/tools/sum", "").Header.Get("ETag"))
	require.Equal(t, 404, n.ask(t, stranger, "GET", "/tools/sum", "").StatusCode)
	require.Equal(t, 404, n.ask(t, stranger, "PATCH", "/tools/sum", "{}").StatusCode)
	require.Equal(t, 404, n.ask(t, stranger, "DELETE", "/tools/sum", "").StatusCode)

	changed := n.ask(t, admin, "PATCH", "/tools/sum", `{"code":"return parameters.a * parameters.b","description":"a product","metadata":{"by":"ada"}}`, "If-Match", first)
	require.Equal(t, 200, changed.StatusCode, changed.body)
	require.NotEqual(t, first, changed.Header.Get("ETag"))
	require.Equal(t, success("6"), run())
	stale := n.ask(t, admin, "PATCH", "/tools/sum", `{"code":"return 1"}`, "If-Match", first)
	require.Equal(t, 409, stale.StatusCode)
	require.Contains(t, stale.body, "The definition has changed since")
	require.Equal(t, 409, n.ask(t, admin, "DELETE", "/tools/sum", "", "If-Match", first).StatusCode)
	require.Equal(t, success("6"), run())
	// null takes a member away (RFC 7396), and without If-Match the present version is meant.
	cleared := n.ask(t, admin, "PATCH", "/tools/sum", `{"description":null,"metadata":{"for":"tests"}}`, "Content-Type", "application/merge-patch+json")
	require.Equal(t, `{"success":true,"data":{"id":"sum","name":"sum","metadata":{"by":"ada","for":"tests"},"type":"javascript","status":"active","code":"return parameters.a * parameters.b"}}`, cleared.body)

	versions := n.ask(t, admin, "GET", acmeTools+"/sum/versions", "")
	require.Regexp(t, `"data":\[\{"version":3,.*\{"version":2,.*\{"version":1,"updatedAt":"[^"]+","updatedBy":"key:[^"]+"\}\]`, versions.body)
	require.Contains(t, n.ask(t, admin, "GET", acmeTools+"/sum/versions/1", "").body, "return parameters.a + parameters.b")
	require.Equal(t, 404, n.ask(t, admin, "GET", acmeTools+"/sum/versions/4", "").StatusCode)

	renamed := n.ask(t, admin, "PATCH", "/tools/sum", `{"name":"product"}`)
	require.Equal(t, 200, renamed.StatusCode, renamed.body)
	require.Equal(t, success("6"), run(), "the id stays")
	require.Equal(t, 200, n.ask(t, admin, "GET", "/tools/product", "").StatusCode)
	require.Equal(t, 409, n.ask(t, admin, "POST", acmeTools, `{"name":"product","type":"javascript","code":"return 1"}`).StatusCode)

	require.Equal(t, `{"success":true,"data":{"deleted":true,"id":"sum"}}`, n.ask(t, admin, "DELETE", "/tools/product", "").body)
	for _, path := range []string{"/tools/sum", "/tools/product", acmeTools + "/sum/versions"} {
		require.Equal(t, 404, n.ask(t, admin, "GET", path, "").StatusCode)
	}
	require.Equal(t, 404, n.ask(t, admin, "DELETE", "/tools/sum", "").StatusCode)
	again := n.ask(t, admin, "POST", acmeTools, `{"name":"product","type":"javascript","code":"return 'again'"}`)
	require.Equal(t, 201, again.StatusCode, again.body)
	require.NotEqual(t, first, again.Header.Get("ETag"))
}

func TestStatusesOfDefinitions(t *testing.T) {
	n := begin(t, plainTools(t), service.Options{})
	admin := n.key(t, "acme", access.Admin)
	require.Equal(t, 201, n.ask(t, admin, "POST", acmeTools, `{"name":"t","type":"javascript","code":"return 1","status":"draft"}`).StatusCode)
	for status, want := range map[string]int{"active": 200, "inactive": 409, "deprecated": 200, "draft": 409, "error": 409} {
		require.Equal(t, 200, n.ask(t, admin, "PATCH", "/tools/t", fmt.Sprintf(`{"status":%q}`, status)).StatusCode)
		for _, query := range []string{"", "?mode=async"} {
			a := n.ask(t, admin, "POST", "/tools/t/execute"+query, "{}")
			if want == 200 && query != "" {
				require.Equal(t, 202, a.StatusCode, a.body)
				continue
			}
			require.Equal(t, want, a.StatusCode, a.body)
		}
	}
}

func TestDefinitionsThatAreRefused(t *testing.T) {
	options := plainTools(t)
	n := begin(t, options, service.Options{BodyBytes: 1 << 16})
	admin := n.key(t, "acme", access.Admin)
	valid := `{"name":"there","type":"javascript","code":"return 1","authConfig":null}`
	valid = strings.Replace(valid, `,"authConfig":null`, "", 1)
	require.Equal(t, 201, n.ask(t, admin, "POST", acmeTools, valid).StatusCode)
	for _, c := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"not JSON", `nonsense`, 400, "Malformed request body"},
		{"twice a member", `{"name":"x","name":"y"}`, 400, "duplicate name"},
		{"no object", `[]`, 400, "must be an object, the definition"},
		{"empty", ``, 400, "Malformed request body"},
		{"an unknown member", `{"name":"x","type":"javascript","code":"return 1","coed":""}`, 422, `"field":"/coed"`},
		{"no name", `{"type":"javascript","code":"return 1"}`, 422, `"field":"/name"`},
		{"every fault at once", `{"name":"a b","type":"javascript","code":"return ((","parameters":{"type":"objekt"}}`, 422, `"field":"/name"`},
		{"a syntax error, with its place", `{"name":"x","type":"javascript","code":"let a = 1\nreturn (("}`, 422, "code:2:"},
		{"a schema", `{"name":"x","type":"javascript","code":"return 1","parameters":{"type":"objekt"}}`, 422, `"field":"/parameters/type"`},
		{"an expression", `{"name":"x","type":"http","executionConfig":{"url":"https://a.example/{{parameters.}}"}}`, 422, `"field":"/executionConfig/url"`},
		{"an unknown provider", `{"name":"x","type":"llm","executionConfig":{"providerId":"nope","promptTemplate":"hi"}}`, 422, "Provider not found"},
		{"a file", `{"name":"x","type":"javascript","codeFile":"/etc/passwd"}`, 422, "send the source as code"},
		{"what GET shows", `{"name":"x","type":"http","executionConfig":{"url":"https://a.example"},"authConfig":{"type":"bearer","config":{"token":"[redacted]"}}}`, 422, "in place of a secret"},
		{"a name that is taken", valid, 409, "Tool with name 'there' already exists"},
		{"an id that is taken", `{"id":"there","name":"other","type":"javascript","code":"return 1"}`, 409, "already exists"},
		{"a name of a file's tool", `{"name":"echo","type":"javascript","code":"return 1"}`, 409, "a file of the service defines it"},
		{"too large", `{"name":"x","type":"javascript","code":"` + strings.Repeat("/", 1<<16) + `"}`, 413, "exceeds 65536 bytes"},
	} {
		a := n.ask(t, admin, "POST", acmeTools, c.body, "Content-Type", "application/json")
		require.Equal(t, c.status, a.StatusCode, "%s: %s", c.name, a.body)
		require.Contains(t, a.body, c.want, c.name)
	}
	all := n.ask(t, admin, "POST", acmeTools, `{"name":"a b","type":"javascript","code":"return ((","parameters":{"type":"objekt"}}`)
	for _, field := range []string{"/name", "/code", "/parameters/type"} {
		require.Contains(t, all.body, fmt.Sprintf(`"field":%q`, field))
	}
	for body, want := range map[string]string{
		`{"id":"other"}`:       "can't be changed",
		`{"code":"return (("}`: "code:1:",
		`{"name":"echo"}`:      "a file of the service defines it",
		`[]`:                   "JSON Merge Patch",
		`{"name":null}`:        `"field":"/name"`,
	} {
		a := n.ask(t, admin, "PATCH", "/tools/there", body)
		require.Contains(t, a.body, want)
		require.GreaterOrEqual(t, a.StatusCode, 400)
	}
	for _, method := range []string{"PATCH", "DELETE"} {
		a := n.ask(t, admin, method, "/tools/echo", `{"code":"return 1"}`)
		require.Equal(t, 409, a.StatusCode)
		require.Contains(t, a.body, "is read-only here: a file of the service defines it")
	}
	require.Equal(t, settled(success("1")), settled(n.ask(t, admin, "POST", "/tools/there/execute", "{}").body))
}

// Secrets written into a definition don't come back, and stay when others change it.
func TestSecretsOfDefinitionsStay(t *testing.T) {
	n := begin(t, plainTools(t), service.Options{})
	admin := n.key(t, "acme", access.Admin)
	made := n.ask(t, admin, "POST", acmeTools, `{"name":"s","type":"http","executionConfig":{"url":"https://a.example"},"authConfig":{"type":"bearer","config":{"token":"t0k3n-of-acme"}}}`)
	require.Equal(t, 201, made.StatusCode, made.body)
	changed := n.ask(t, admin, "PATCH", "/tools/s", `{"description":"x"}`)
	require.Equal(t, 200, changed.StatusCode, changed.body)
	for _, path := range []string{"/tools/s", "/tools", "/tools/s/versions", "/tools/s/versions/1", "/tools/s/versions/2"} {
		a := n.ask(t, admin, "GET", path, "")
		require.Equal(t, 200, a.StatusCode)
		require.NotContains(t, a.body, "t0k3n", path)
	}
	require.NotContains(t, made.body+changed.body+n.log.String(), "t0k3n")
	def, err := n.runner.Tool("acme", "s")
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(def.AuthConfig.Config["token"]), "t0k3n-of-acme")
}

// Many who change the same definition lose nothing of each other's.
func TestConcurrentPatches(t *testing.T) {
	n := begin(t, runner.Options{}, service.Options{})
	admin := n.key(t, "acme", access.Admin)
	require.Equal(t, 201, n.ask(t, admin, "POST", acmeTools, `{"name":"t","type":"javascript","code":"return 1"}`).StatusCode)
	var wg sync.WaitGroup
	statuses := make([]int, 8)
	for i := range statuses {
		wg.Go(func() {
			statuses[i] = n.ask(t, admin, "PATCH", "/tools/t", fmt.Sprintf(`{"metadata":{"m%d":true}}`, i)).StatusCode
		})
	}
	wg.Wait()
	var shown struct{ Data runner.Definition }
	require.NoError(t, json.Unmarshal([]byte(n.ask(t, admin, "GET", "/tools/t", "").body), &shown))
	for i, status := range statuses {
		require.Contains(t, []int{200, 409}, status)
		require.Equal(t, status == 200, strings.Contains(string(shown.Data.Metadata), fmt.Sprintf(`"m%d"`, i)))
	}
}

// Who has a version isn't sent it again; what a version is compared with may be weak here.
func TestVersionsThatTheCallerHas(t *testing.T) {
	n := begin(t, plainTools(t), service.Options{})
	admin := n.key(t, "acme", access.Admin)
	tag := n.ask(t, admin, "POST", acmeTools, `{"name":"t","type":"javascript","code":"return 1"}`).Header.Get("ETag")
	for _, c := range []struct {
		path, has string
		status    int
	}{
		{"/tools/t", tag, 304},
		{"/tools/t", "W/" + tag, 304},
		{"/tools/t", `"0", ` + tag, 304},
		{"/tools/t", "*", 304},
		{"/tools/t", `"0"`, 200},
		{"/tools/t", strings.Trim(tag, `"`), 200},
		{"/tools/t", "", 200},
		{"/tools/echo", "*", 200}, // a file's has no ETag
		{"/tools/nope", "*", 404},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			a := n.ask(t, admin, method, c.path, "", "If-None-Match", c.has)
			require.Equal(t, c.status, a.StatusCode, "%s %s", c.path, c.has)
			require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
			if c.status == 304 {
				require.Equal(t, []string{tag, "", ""}, []string{a.Header.Get("ETag"), a.Header.Get("Content-Type"), a.body})
			}
		}
	}
	require.Equal(t, 200, n.ask(t, admin, "PATCH", "/tools/t", `{"description":"new"}`).StatusCode)
	require.Equal(t, 200, n.ask(t, admin, "GET", "/tools/t", "", "If-None-Match", tag).StatusCode)
}

// Lists come in pages, with their ends where the bounds are; what a page shows isn't shown
// again.
func TestPages(t *testing.T) {
	n := begin(t, runner.Options{}, service.Options{})
	admin := n.key(t, "acme", access.Admin)
	n.key(t, "other", access.Admin)
	for i := range 7 {
		require.Equal(t, 201, n.ask(t, admin, "POST", acmeTools, fmt.Sprintf(`{"name":"t%d","type":"javascript","code":"return 1"}`, i)).StatusCode)
		if i > 0 {
			require.Equal(t, 201, n.ask(t, admin, "POST", "/keys", fmt.Sprintf(`{"name":"k%d","role":"viewer"}`, i)).StatusCode)
			require.Equal(t, 200, n.ask(t, admin, "PATCH", "/tools/t0", fmt.Sprintf(`{"description":"%d"}`, i)).StatusCode)
		}
	}
	for _, list := range []struct {
		path string
		want []string
	}{
		{"/tools", []string{"t0", "t1", "t2", "t3", "t4", "t5", "t6"}},
		{"/keys", []string{"k1", "k2", "k3", "k4", "k5", "k6", "test"}},
		{"/tools/t0/versions", []string{"7", "6", "5", "4", "3", "2", "1"}},
	} {
		for limit := 1; limit <= 8; limit++ {
			seen := n.pages(t, admin, list.path, limit)
			if list.path == "/keys" { // those of one millisecond are in no order
				slices.Sort(seen)
			}
			require.Equal(t, list.want, seen, "%s by %d", list.path, limit)
		}
		for _, query := range []string{"limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "page=2", "limit=1;"} {
			require.Equal(t, 400, n.ask(t, admin, "GET", list.path+"?"+query, "").StatusCode, query)
		}
	}
	for _, path := range []string{"/keys?cursor=nope", "/tools/t0/versions?cursor=nope"} {
		a := n.ask(t, admin, "GET", path, "")
		require.Equal(t, refusal(400, "BAD_REQUEST", "Query parameter cursor is not one that this list gave"), a.body)
	}
	require.Equal(t, `{"success":true,"data":[]}`, n.ask(t, admin, "GET", "/tools/t0/versions?cursor=1", "").body)
}

// pages follows a list to its end, and returns what its items are called.
func (n *node) pages(t testing.TB, key, path string, limit int) (seen []string) {
	t.Helper()
	path += fmt.Sprint("?limit=", limit)
	for path != "" {
		a := n.ask(t, key, "GET", path, "")
		var page struct {
			Data []struct {
				Name    string
				Version json.Number
			}
			NextCursor string
		}
		require.NoError(t, json.Unmarshal([]byte(a.body), &page))
		require.LessOrEqual(t, len(page.Data), limit)
		require.NotEmpty(t, page.Data)
		for _, item := range page.Data {
			seen = append(seen, cmp.Or(item.Name, item.Version.String()))
		}
		link := a.Header.Get("Link")
		require.Equal(t, page.NextCursor != "", link != "")
		path, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
	}
	return seen
}

// One organization fills no node's memory: of tools and of keys there are as many as there
// may be, and not one more.
func TestBoundsOfAnOrganization(t *testing.T) {
	const most = 2000 // maxTools, maxKeys
	n := begin(t, runner.Options{}, service.Options{})
	admin, stranger := n.key(t, "acme", access.Admin), n.key(t, "other", access.Admin)
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := worker; i < most-1; i += 8 {
				name := fmt.Sprint("t", i)
				_, err := n.definitions.Create(t.Context(), queue.Stored{Organization: "acme", ID: name, Definition: []byte(`{"name":"` + name + `","type":"http","executionConfig":{"url":"https://a.example"}}`)})
				require.NoError(t, err)
				if i > 0 { // admin's is the first
					n.key(t, "acme", access.Viewer)
				}
			}
		})
	}
	all.Wait()
	const tool, key = `{"name":"%s","type":"http","executionConfig":{"url":"https://a.example"}}`, `{"name":"k","role":"viewer"}`
	require.Equal(t, 201, n.ask(t, admin, "POST", "/tools", fmt.Sprintf(tool, "last")).StatusCode)
	refused := n.ask(t, admin, "POST", "/tools", fmt.Sprintf(tool, "more"))
	require.Equal(t, []any{409, refusal(409, "CONFLICT", "The organization has 2000 tools, as many as it may: delete one")}, []any{refused.StatusCode, refused.body})
	require.Equal(t, 200, n.ask(t, admin, "PATCH", "/tools/last", `{"description":"it can still be changed"}`).StatusCode)
	require.Equal(t, 200, n.ask(t, admin, "DELETE", "/tools/last", "").StatusCode)
	require.Equal(t, 201, n.ask(t, admin, "POST", "/tools", fmt.Sprintf(tool, "more")).StatusCode)

	require.Equal(t, 201, n.ask(t, admin, "POST", "/keys", key).StatusCode)
	refused = n.ask(t, admin, "POST", "/keys", key)
	require.Equal(t, 409, refused.StatusCode, refused.body)
	require.Contains(t, refused.body, "has had 2000 keys, as many as it may; the service's operator can make more")
	require.Equal(t, 201, n.ask(t, stranger, "POST", "/tools", fmt.Sprintf(tool, "theirs")).StatusCode)
	require.Equal(t, 201, n.ask(t, stranger, "POST", "/keys", key).StatusCode)
}
