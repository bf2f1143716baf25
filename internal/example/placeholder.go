package example

import (
	"maps"
	"strings"

	"github.com/almyty-inc/toolrun/runner"
)

// placeholders completes the environment and the credentials with a made-up
// value for each name that a tool reads and nobody gives: an upstream that the
// example plays itself needs no real ones.
func placeholders(r *runner.Runner, defs []*runner.Definition, opts Options) (map[string]string, map[string]any) {
	env, credentials := make(map[string]string), make(map[string]any)
	for _, def := range defs {
		envNames, credentialNames, err := r.Needs(def.Organization, id(def))
		if err != nil {
			continue // the example itself will say so
		}
		for _, name := range envNames {
			env[name] = placeholder(name)
		}
		for _, name := range credentialNames {
			credentials[name] = placeholder(name)
		}
	}
	maps.Copy(env, opts.Env)
	maps.Copy(credentials, opts.Credentials)
	return env, credentials
}

// placeholder is a value that shows what it stands for. The top-level domain
// test is reserved (RFC 6761).
func placeholder(name string) string {
	host := strings.ReplaceAll(strings.ToLower(name), "_", "-") + ".test"
	switch upper := strings.ToUpper(name); {
	case strings.HasSuffix(upper, "URL"):
		return "https://" + host
	case strings.HasSuffix(upper, "HOST"):
		return host
	}
	return "test-" + name
}
