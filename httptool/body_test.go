package httptool_test

import (
	"encoding/json"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/httptool"
)

// nest is a value within so many objects.
func nest(v any, depth int) any {
	for range depth {
		v = object{"a": v}
	}
	return v
}

// An urlencoded form arrives as net/http reads it.
func TestForms(t *testing.T) {
	var got url.Values
	server, rt := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		got = nil
		if r.ParseForm() == nil {
			got = r.PostForm
		}
	})
	in := httptool.Input{Parameters: object{
		"text": "a&b=c", "filter": object{"price": object{"gte": int64(3)}, "tags": []any{"x", "y"}, "none": nil},
		"items": []any{object{"sku": "p"}, nil, object{"sku": "q", "n": int64(2)}}, "scalars": []any{"a", nil, true}, "empty": object{},
	}}
	for name, tc := range map[string]struct {
		body string
		want url.Values
	}{
		"scalars":            {`{"a":"x y","n":1.5,"t":true}`, url.Values{"a": {"x y"}, "n": {"1.5"}, "t": {"true"}}},
		"a value as data":    {`{"a":"{{parameters.text}}"}`, url.Values{"a": {"a&b=c"}}},
		"array":              {`{"a":"{{parameters.scalars}}"}`, url.Values{"a": {"a", "true"}}},
		"array in brackets":  {`{"a[]":["x","y"]}`, url.Values{"a[]": {"x", "y"}}},
		"null and absent":    {`{"a":null,"b":"{{parameters.nope}}","c":{"d":"{{parameters.nope}}","e":null}}`, url.Values{}},
		"object":             {`{"card":{"number":"42","exp":{"month":1}}}`, url.Values{"card[number]": {"42"}, "card[exp][month]": {"1"}}},
		"array in an object": {`{"m":{"tags":["x","{{parameters.text}}"]}}`, url.Values{"m[tags][0]": {"x"}, "m[tags][1]": {"a&b=c"}}},
		"array of objects":   {`{"items":[{"price":"p","n":1},{"price":"q"}]}`, url.Values{"items[0][price]": {"p"}, "items[0][n]": {"1"}, "items[1][price]": {"q"}}},
		"array of arrays":    {`{"a":[[1,2],[3]]}`, url.Values{"a[0][0]": {"1"}, "a[0][1]": {"2"}, "a[1][0]": {"3"}}},
		"mixed array":        {`{"a":["x",{"b":1}]}`, url.Values{"a[0]": {"x"}, "a[1][b]": {"1"}}},
		"a parameter's":      {`{"f":"{{parameters.filter}}"}`, url.Values{"f[price][gte]": {"3"}, "f[tags][0]": {"x"}, "f[tags][1]": {"y"}}},
		"a list's":           {`{"i":"{{parameters.items}}"}`, url.Values{"i[0][sku]": {"p"}, "i[1][sku]": {"q"}, "i[1][n]": {"2"}}},
		"nothing":            {`{"e":"{{parameters.empty}}","f":[],"g":{}}`, url.Values{}},
		"odd names":          {`{"a b":{"c&d":1}}`, url.Values{"a b[c&d]": {"1"}}},
	} {
		_, err := compile(t, httptool.Config{Method: "POST", URL: server.URL, BodyEncoding: "form-urlencoded", Body: []byte(tc.body)}).Run(t.Context(), rt, in)
		require.NoError(t, err, name)
		require.Equal(t, tc.want, got, name)
	}
}

func TestHostileForms(t *testing.T) {
	server, rt := serve(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	for name, tc := range map[string]struct {
		v    any
		want string
	}{
		"as deep as goes":    {nest("x", 16), ""},
		"too deep":           {nest("x", 17), "v[a][a]"},
		"a name in brackets": {object{"a][b": 1}, "[ or ]"},
		"an empty name":      {object{"": 1}, "empty"},
		"a long name":        {object{strings.Repeat("n", 4<<10): 1}, "longer than 4096 bytes"},
		"as large as goes":   {strings.Repeat("x", 32<<20-2), ""},
		"too large":          {strings.Repeat("x", 32<<20-1), "larger than 32 MiB"},
	} {
		cfg := httptool.Config{Method: "POST", URL: server.URL, BodyEncoding: "form-urlencoded", Body: []byte(`{"v":"{{parameters.v}}"}`)}
		_, err := compile(t, cfg).Run(t.Context(), rt, httptool.Input{Parameters: object{"v": tc.v}})
		if tc.want == "" {
			require.NoError(t, err, name)
			continue
		}
		failure := errclass.Classify(err)
		require.Equal(t, errclass.BadExpression, failure.Reason, name)
		require.Contains(t, failure.Detail, tc.want, name)
	}
	many := make([]any, 10000)
	for i := range many {
		many[i] = object{strings.Repeat("n", 4000): 1}
	}
	_, err := compile(t, httptool.Config{URL: server.URL, QueryParams: object{"v": "{{parameters.v}}"}}).Run(t.Context(), rt, httptool.Input{Parameters: object{"v": many}})
	require.Contains(t, errclass.Classify(err).Detail, "larger than 32 MiB", "names count")
}

// part is a part of a form as a server sees it.
type part struct{ Name, File, Type, Content string }

// Files and texts arrive as net/http reads them.
func TestMultipart(t *testing.T) {
	var got []part
	var parsed error
	server, rt := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		got, parsed = nil, err
		_, parameters, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		reader := multipart.NewReader(strings.NewReader(string(body)), parameters["boundary"])
		for {
			p, err := reader.NextPart()
			if err != nil {
				break
			}
			content, _ := io.ReadAll(p)
			got = append(got, part{p.FormName(), p.FileName(), p.Header.Get("Content-Type"), string(content)})
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		parsed = r.ParseMultipartForm(64 << 20)
	})
	in := httptool.Input{Parameters: object{
		"text": "a\r\n--x", "file": object{"filename": "p.bin", "base64": "AP_-"}, "quoted": "a\"b\r\nX: y.txt",
		"files": []any{object{"dataUrl": "data:,one"}, "two", object{"text": "three", "filename": nil, "base64": nil}},
	}}
	const octets = "application/octet-stream"
	for name, tc := range map[string]struct {
		body string
		want []part
	}{
		"texts":            {`{"b":[1,null,"{{parameters.text}}"],"a":true}`, []part{{"a", "", "", "true"}, {"b", "", "", "1"}, {"b", "", "", "a\r\n--x"}}},
		"base64":           {`{"f":{"filename":"ü.png","contentType":"image/png","base64":"iVBO"}}`, []part{{"f", "ü.png", "image/png", "\x89PN"}}},
		"defaults":         {`{"f":{"base64":"aGk="}}`, []part{{"f", "file", octets, "hi"}}},
		"a data URL":       {`{"f":{"dataUrl":"data:image/gif;base64,R0lG"}}`, []part{{"f", "file", "image/gif", "GIF"}}},
		"its type is mine": {`{"f":{"dataUrl":"data:image/gif;base64,R0lG","contentType":"x/y; a=b"}}`, []part{{"f", "file", "x/y; a=b", "GIF"}}},
		"a text":           {`{"f":{"text":"a,b","filename":"t.csv","contentType":"text/csv"}}`, []part{{"f", "t.csv", "text/csv", "a,b"}}},
		"a typed text":     {`{"meta":{"text":"{{json({a: 1})}}","contentType":"application/json"}}`, []part{{"meta", "", "application/json", `{"a":1}`}}},
		"an empty file":    {`{"f":{"base64":"","filename":"e"}}`, []part{{"f", "e", octets, ""}}},
		"by parameter":     {`{"f":"{{parameters.file}}"}`, []part{{"f", "p.bin", octets, "\x00\xff\xfe"}}},
		"content alone":    {`{"f":{"base64":"{{parameters.file.base64}}","filename":"x"}}`, []part{{"f", "x", octets, "\x00\xff\xfe"}}},
		"several": {`{"f":"{{parameters.files}}"}`, []part{
			{"f", "file", "text/plain; charset=US-ASCII", "one"}, {"f", "", "", "two"}, {"f", "", "text/plain; charset=utf-8", "three"},
		}},
		"absent":  {`{"f":{"base64":"{{parameters.nope}}","filename":"x"},"g":"t","h":"{{parameters.nope}}"}`, []part{{"g", "", "", "t"}}},
		"escaped": {`{"a\"b\r\n":{"text":"x","filename":"{{parameters.quoted}}"}}`, []part{{"a%22b%0D%0A", "a%22b%0D%0AX: y.txt", "text/plain; charset=utf-8", "x"}}},
	} {
		_, err := compile(t, httptool.Config{Method: "POST", URL: server.URL, BodyEncoding: "multipart", Body: []byte(tc.body)}).Run(t.Context(), rt, in)
		require.NoError(t, err, name)
		require.NoError(t, parsed, name)
		require.Equal(t, tc.want, got, name)
	}
}

func TestBrokenFiles(t *testing.T) {
	server, rt := serve(t, func(http.ResponseWriter, *http.Request) {})
	for _, tc := range []struct {
		file  object
		fault string // of the definition, beneath /body/f; "-" for none
		want  string
	}{
		{object{"filename": "x"}, "", "one of base64, dataUrl"},
		{object{"base64": "", "text": ""}, "", "exactly one of"},
		{object{"base64": "eA", "mode": "r"}, "/mode", "a file is an object of"},
		{object{"base64": []any{}}, "/base64", "string"},
		{object{"base64": "a"}, "/base64", "not valid base64"},
		{object{"base64": "aGk=="}, "/base64", "not valid base64"},
		{object{"base64": "aGk%"}, "/base64", "not valid base64"},
		{object{"dataUrl": "image.png"}, "/dataUrl", "no data: URL"},
		{object{"dataUrl": "data:image/png"}, "/dataUrl", "comma"},
		{object{"dataUrl": "data:image,x"}, "/dataUrl", "media type"},
		{object{"dataUrl": "data:,100%"}, "/dataUrl", "write %25"},
		{object{"text": "x", "contentType": "text"}, "/contentType", "media type"},
		{object{"text": "x", "contentType": "text/plain\r\nX: y"}, "/contentType", "media type"},
		{object{"text": "x", "filename": "C:\\a"}, "/filename", "backslash"},
		{object{"text": "x", "filename": "a\x00b"}, "/filename", "control character"},
		{object{"text": "x", "filename": strings.Repeat("n", 5000)}, "/filename", "longer than"},
		{object{"text": strings.Repeat("x", 32<<20)}, "-", "larger than 32 MiB"},
	} {
		cfg := httptool.Config{Method: "POST", URL: server.URL, BodyEncoding: "multipart"}
		var err error
		if tc.fault != "-" {
			cfg.Body, err = json.Marshal(object{"f": tc.file})
			require.NoError(t, err)
			_, faults := httptool.Compile(cfg, nil, nil)
			require.NotEmpty(t, faults, tc.want)
			require.Equal(t, "/body/f"+tc.fault, faults[0].Field)
			require.Contains(t, faults[0].Message, tc.want)
		}
		cfg.Body = []byte(`{"f":["{{parameters.f}}"]}`)
		_, err = compile(t, cfg).Run(t.Context(), rt, httptool.Input{Parameters: object{"f": tc.file}})
		failure := errclass.Classify(err)
		require.Equal(t, errclass.BadExpression, failure.Reason, tc.want)
		require.Contains(t, failure.Detail, tc.want)
		if tc.fault != "-" {
			require.True(t, strings.HasPrefix(failure.Detail, "f: "), failure.Detail)
		}
	}
	for body, field := range map[string]string{
		`{"f":[["x"]]}`: "/body/f/0", `{"a\\b":"x"}`: `/body/a\b`, `{"f":[{"base64":"a"}]}`: "/body/f/0/base64", `{"f":{"base64":"{{nope}}"}}`: "/body/f/base64",
	} {
		_, faults := httptool.Compile(httptool.Config{URL: server.URL, BodyEncoding: "multipart", Body: []byte(body)}, nil, nil)
		require.Len(t, faults, 1, body)
		require.Equal(t, field, faults[0].Field)
	}
	deep, err := json.Marshal(object{"v": nest("x", 17)})
	require.NoError(t, err)
	_, faults := httptool.Compile(httptool.Config{URL: server.URL, BodyEncoding: "form-urlencoded", Body: deep}, nil, nil)
	require.Len(t, faults, 1)
	require.Equal(t, "/body/v"+strings.Repeat("/a", 17), faults[0].Field)
}
