package runner

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// http translates httpConfig.
func (tr *translation) http(config map[string]any) {
	tr.moved("/executionConfig/url", "/httpConfig/path")
	path, _ := config["path"].(string)
	url := tr.text("/executionConfig/url", tr.joined(path))
	inPath := maps.Clone(tr.used)
	tr.texts(config, "queryParams", "headers")
	method, _ := config["method"].(string)
	template := config["bodyTemplate"]
	if text, ok := template.(string); ok && strings.TrimSpace(text) == "" {
		template = nil
	}
	delete(config, "path")
	delete(config, "bodyTemplate")
	config["url"] = url
	switch strings.ToUpper(method) {
	case "", "GET", "DELETE":
		tr.queryRest(config)
	case "POST", "PUT", "PATCH":
		tr.body(config, template, inPath)
	}
	tr.successCondition(config)
	tr.linked(config)
	if api := tr.def.API; api != nil && api.TimeoutMs > 0 {
		config["timeout"] = api.TimeoutMs
		tr.moved("/executionConfig/timeout", "/api/timeoutMs")
	}
	tr.finish(HTTP, config)
}

// graphql translates graphqlConfig.
func (tr *translation) graphql(config map[string]any) {
	endpoint, _ := config["endpoint"].(string)
	if api := tr.def.API; endpoint == "" && api != nil {
		endpoint = api.BaseURL
		tr.moved("/executionConfig/endpoint", "/api/baseUrl")
	}
	config["endpoint"] = tr.text("/executionConfig/endpoint", endpoint)
	tr.texts(config, "variables", "headers")
	if config["variables"] == nil {
		config["variables"] = tr.rest(nil)
	}
	if mapping, ok := config["responseMapping"].(map[string]any); ok {
		config["responseMapping"] = withinData(mapping)
	}
	tr.linked(config)
	tr.finish(GraphQL, config)
}

// withinData makes paths into a whole GraphQL response paths into its data. One
// to its errors is dropped: they are a failure by themselves.
func withinData(mapping map[string]any) map[string]any {
	inner := map[string]any{}
	for name, v := range mapping {
		path, _ := v.(string)
		first, rest, _ := strings.Cut(path, ".")
		switch first {
		case "data":
			path = rest
		case "errors":
			continue
		}
		inner[name] = path
	}
	return inner
}

// llm translates llmConfig. The platform fills in {{name}} in the prompt and
// leaves the system prompt as it is.
func (tr *translation) llm(config map[string]any) {
	prompt, _ := config["promptTemplate"].(string)
	config["promptTemplate"] = tr.promptText("/executionConfig/promptTemplate", prompt)
	if system, ok := config["systemPrompt"].(string); ok {
		config["systemPrompt"] = literalNames(system)
	}
	if config["outputMode"] != "json" {
		delete(config, "outputSchema") // it is heeded for JSON only
	}
	tr.refuseAuth("has no use in an llm tool: the provider has the key")
	tr.finish(LLM, config)
}

// finish writes what came out.
func (tr *translation) finish(kind Type, config map[string]any) {
	tr.def.Type = kind
	raw, err := strictjson.Marshal(config)
	if err != nil {
		tr.tool.fault("/executionConfig", "can't be written as JSON: %v", err)
	}
	tr.def.ExecutionConfig = raw
}

// joined is the URL of a path: itself where it has a host or begins with an
// expression for one, which a bare {{name}} is not, else behind the linked API's base URL.
func (tr *translation) joined(path string) string {
	for _, start := range []string{"http://", "https://"} {
		if len(path) >= len(start) && strings.EqualFold(path[:len(start)], start) {
			return path
		}
	}
	if strings.HasPrefix(path, "{{") && !bareName.MatchString(expressionAtStart.FindString(path)) {
		return path
	}
	if api := tr.def.API; api != nil && api.BaseURL != "" { // whose headers are for no host that a parameter names
		return strings.TrimRight(api.BaseURL, "/") + "/" + strings.TrimLeft(path, "/")
	}
	if strings.HasPrefix(path, "{") {
		return path // a parameter may be the whole URL
	}
	tr.fault("/httpConfig/path", "names no host, and there is no api.baseUrl that it could follow: write the whole URL")
	return "http://api/" + strings.TrimLeft(path, "/") // for the faults that the rest may have
}

// linked adds the headers and the authentication of a linked API.
func (tr *translation) linked(config map[string]any) {
	auth := tr.auth("/authConfig", tr.def.AuthConfig)
	if api := tr.def.API; api != nil {
		tr.apiHeaders(config, api.Headers)
		if theirs := tr.auth("/api/authentication", api.Authentication); theirs != nil {
			if auth != nil {
				tr.fault("/api/authentication", "can't stand beside authConfig: keep one of the two")
			}
			auth = theirs
		}
	}
	tr.def.AuthConfig = auth
}

// apiHeaders adds those of an API's headers that the tool doesn't set itself.
func (tr *translation) apiHeaders(config, headers map[string]any) {
	all, _ := config["headers"].(map[string]any)
	if all == nil {
		all = map[string]any{}
	}
	own := slices.Collect(maps.Keys(all))
	for name, value := range headers {
		if !slices.ContainsFunc(own, func(set string) bool { return strings.EqualFold(set, name) }) {
			all[name] = value
			tr.moved(at("/executionConfig/headers", name), at("/api/headers", name))
		}
	}
	config["headers"] = all
}

// texts translates the texts in some members of a config.
func (tr *translation) texts(config map[string]any, members ...string) {
	for _, name := range members {
		if v, ok := config[name]; ok {
			config[name] = tr.tree(at("/executionConfig", name), v)
		}
	}
}

// tree translates all texts of a JSON value.
func (tr *translation) tree(pointer string, v any) any {
	switch v := v.(type) {
	case string:
		return tr.text(pointer, v)
	case []any:
		for i := range v {
			v[i] = tr.tree(at(pointer, strconv.Itoa(i)), v[i])
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			v[name] = tr.tree(at(pointer, name), v[name])
		}
	}
	return v
}

// body translates bodyTemplate, which is JSON in a text. Where there is none, the
// body is an object of the parameters that the path doesn't have.
func (tr *translation) body(config map[string]any, template any, inPath map[string]bool) {
	encoding, _ := config["bodyEncoding"].(string)
	isText := false // what comes out
	switch template := template.(type) {
	case nil:
		config["body"] = tr.bodyRest(encoding, inPath)
	case string:
		config["body"], isText = tr.bodyText(template, encoding)
	default:
		tr.moved("/executionConfig/body", "/httpConfig/bodyTemplate")
		config["body"] = tr.tree("/executionConfig/body", template)
	}
	if encoding == "raw" && !isText {
		rawJSON(config)
	}
}

// bodyText translates a bodyTemplate that is written as text. Only a raw body may
// be other than JSON.
func (tr *translation) bodyText(template, encoding string) (body any, isText bool) {
	const pointer = "/httpConfig/bodyTemplate"
	tr.tool.moves = append(tr.tool.moves, move{"/executionConfig/body", pointer, true})
	v, err := strictjson.Decode([]byte(template))
	switch {
	case err == nil:
		_, isText = v.(string)
		return tr.tree("/executionConfig/body", v), isText
	case encoding == "raw":
		return tr.text("/executionConfig/body", template), true
	}
	tr.fault(pointer, `is not valid JSON: %v; write each placeholder as a string: "{n}" keeps its type`, err)
	return nil, false
}

// rawJSON makes a raw body that is JSON a JSON body, in which a value can't become
// syntax, under the content type that a raw one has.
func rawJSON(config map[string]any) {
	config["bodyEncoding"] = "json"
	headers, _ := config["headers"].(map[string]any)
	if headers == nil {
		headers = map[string]any{}
	}
	for name := range headers {
		if strings.EqualFold(name, "Content-Type") {
			return
		}
	}
	headers["Content-Type"] = "text/plain"
	config["headers"] = headers
}

// bodyRest is the body of a tool that has no template for it.
func (tr *translation) bodyRest(encoding string, inPath map[string]bool) any {
	whole := tr.declared.Open && len(tr.declared.Parameters) == 0 && len(inPath) == 0
	if whole && (encoding == "" || encoding == "json" || encoding == "raw") {
		return "{{parameters}}"
	}
	return tr.rest(inPath)
}

// queryRest adds the parameters that a config uses nowhere to its query. The
// platform adds those as well that a header has or that the query has under
// another name; a URL is no place for the first, and nobody means the second.
func (tr *translation) queryRest(config map[string]any) {
	query, _ := config["queryParams"].(map[string]any)
	if query == nil {
		query = map[string]any{}
	}
	for name, value := range tr.rest(tr.used) {
		if _, set := query[name]; set {
			continue
		}
		if tr.isArray(name) {
			name += "[]" // as the platform writes one
		}
		query[name] = value
	}
	config["queryParams"] = query
}

// rest is a placeholder for each declared parameter but those in except.
func (tr *translation) rest(except map[string]bool) map[string]any {
	rest := map[string]any{}
	for _, name := range tr.declared.Parameters {
		if !except[name] {
			rest[name] = "{{" + parameter(name) + "}}"
		}
	}
	return rest
}

// isArray reports whether a parameter is declared as an array.
func (tr *translation) isArray(name string) bool {
	var schema struct{ Properties map[string]json.RawMessage }
	var property struct{ Type any }
	err := json.Unmarshal(tr.def.Parameters, &schema)
	return err == nil && json.Unmarshal(schema.Properties[name], &property) == nil && property.Type == "array"
}
