package settings_test

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/document"
	"github.com/almyty-inc/toolrun/internal/settings"
)

// command has a flag of each kind.
type command struct {
	*pflag.FlagSet
	addr, nats, secret, envFile string
	front                       bool
	replicas                    int
	ratio                       float64
	drain                       time.Duration
	allow                       []string
}

func newCommand(t *testing.T, args ...string) *command {
	t.Helper()
	c := &command{FlagSet: pflag.NewFlagSet("serve", pflag.ContinueOnError)}
	c.StringVar(&c.addr, "addr", "127.0.0.1:8080", "")
	c.StringVar(&c.nats, "nats", "", "")
	c.StringVar(&c.secret, "jwt-secret", "", "")
	c.StringVar(&c.envFile, "env-file", "", "")
	c.BoolVar(&c.front, "front", false, "")
	c.IntVar(&c.replicas, "replicas", 1, "")
	c.Float64Var(&c.ratio, "trace-ratio", 1, "")
	c.DurationVar(&c.drain, "drain-timeout", 30*time.Second, "")
	c.StringArrayVar(&c.allow, "allow", nil, "")
	c.String("config", "", "")
	c.Bool("print-config", false, "")
	settings.Secret(c.FlagSet, "jwt-secret")
	settings.CommandLineOnly(c.FlagSet, "print-config")
	require.NoError(t, c.Parse(args))
	return c
}

// file writes a configuration; empty writes none.
func file(t *testing.T, text string) string {
	t.Helper()
	if text == "" {
		return ""
	}
	name := filepath.Join(t.TempDir(), "toolrun.yaml")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

func TestLoad(t *testing.T) {
	for _, tc := range []struct {
		name    string
		args    []string
		environ []string
		file    string
		want    map[string]string // beyond the defaults
	}{
		{name: "nothing"},
		{name: "a flag wins", args: []string{"--addr", ":1"}, environ: []string{"TOOLRUN_ADDR=:2"}, file: "addr: ':3'", want: map[string]string{"addr": ":1"}},
		{name: "the environment is next", environ: []string{"TOOLRUN_ADDR=:2"}, file: "addr: ':3'", want: map[string]string{"addr": ":2"}},
		{name: "then the file", file: "addr: ':3'", want: map[string]string{"addr": ":3"}},
		{name: "a flag given its default wins", args: []string{"--replicas", "1"}, file: "replicas: 3"},
		{name: "a list from flags isn't added to", args: []string{"--allow", "a"}, environ: []string{"TOOLRUN_ALLOW=b"}, file: "allow: [c]", want: map[string]string{"allow": "[a]"}},
		{name: "dashes", environ: []string{"TOOLRUN_DRAIN_TIMEOUT=5s"}, want: map[string]string{"drain-timeout": "5s"}},
		{name: "every kind from the environment", environ: []string{"TOOLRUN_FRONT=true", "TOOLRUN_REPLICAS=3", "TOOLRUN_TRACE_RATIO=0.1", "TOOLRUN_JWT_SECRET=a=b"},
			want: map[string]string{"front": "true", "replicas": "3", "trace-ratio": "0.1", "jwt-secret": "a=b"}},
		{name: "every kind from the file", file: "front: true\nreplicas: 3\ntrace-ratio: 0.1\ndrain-timeout: 5s\njwt-secret: '007'\nallow:\n- a,b\n- c\n",
			want: map[string]string{"front": "true", "replicas": "3", "trace-ratio": "0.1", "drain-timeout": "5s", "jwt-secret": "007", "allow": `["a,b",c]`}},
		{name: "a JSON document in YAML", file: `{"front": true, "addr": ":4"}`, want: map[string]string{"front": "true", "addr": ":4"}},
		{name: "comments only", file: "# addr: ':3'\n"},
		{name: "white space only", file: "\n \n"},
		{name: "an empty object", file: "{}"},
		{name: "lists by commas and lines", environ: []string{"TOOLRUN_ALLOW= a , b\nc,,\n"}, want: map[string]string{"allow": "[a,b,c]"}},
		{name: "an empty list is set", environ: []string{"TOOLRUN_ALLOW="}, file: "allow: [c]"},
		{name: "an empty list in the file", file: "allow: []"},
		{name: "empty text is set", environ: []string{"TOOLRUN_ADDR="}, file: "addr: ':3'", want: map[string]string{"addr": ""}},
		{name: "env-file has a name of its own", environ: []string{"TOOLRUN_ENVFILE=x", "TOOLRUN_ENV_FILE=y"}, want: map[string]string{"env-file": "x"}},
		{name: "the last word on a line is no comment", file: "addr: 'a # b' # c", want: map[string]string{"addr": "a # b"}},
		{name: "another command's", environ: []string{"TOOLRUN_CONCURRENCY=x"}, file: "concurrency: 9"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, want := newCommand(t, tc.args...), newCommand(t)
			for name, value := range tc.want {
				if name != "allow" {
					require.NoError(t, want.Set(name, value))
				}
			}
			other := pflag.NewFlagSet("worker", pflag.ContinueOnError)
			other.Int("concurrency", 1, "")
			unknown, err := settings.Load(got.FlagSet, file(t, tc.file), tc.environ, other)
			require.NoError(t, err)
			require.Empty(t, unknown)
			got.VisitAll(func(f *pflag.Flag) {
				if f.Name == "allow" {
					require.Equal(t, cmp.Or(tc.want["allow"], "[]"), f.Value.String())
					return
				}
				require.Equal(t, want.Lookup(f.Name).Value.String(), f.Value.String(), f.Name)
			})
			require.Equal(t, 1, must(other.GetInt("concurrency")))
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestLoadRefuses(t *testing.T) {
	for _, tc := range []struct {
		name    string
		environ []string
		file    string
		want    []string // one a line; FILE is the file
	}{
		{"a key that nobody knows", nil, "front: true\nadr: ':3'\n", []string{`FILE:2:1: adr: is not allowed (did you mean "addr"?)`}},
		{"one that resembles nothing", nil, "colour: red", []string{"FILE:1:1: colour: is not allowed"}},
		{"the command line's own", nil, "config: x\nprint-config: true", []string{"FILE:1:1: config: is not allowed", "FILE:2:1: print-config: is not allowed"}},
		{"text for a number", nil, "replicas: three", []string{"FILE:1:1: replicas: must be integer"}},
		{"a fraction", nil, "replicas: 1.5", []string{"FILE:1:1: replicas: must be integer"}},
		{"too large", nil, "replicas: 99999999999999999999", []string{"FILE:1:1: replicas: must be a whole number that fits"}},
		{"a number for text", nil, "addr: 8080", []string{"FILE:1:1: addr: must be string"}},
		{"yes is text", nil, "front: yes", []string{"FILE:1:1: front: must be boolean"}},
		{"one for a list", nil, "allow: a", []string{"FILE:1:1: allow: must be array"}},
		{"a list for one", nil, "addr: [a]", []string{"FILE:1:1: addr: must be string"}},
		{"a number in a list", nil, "allow:\n- a\n- 10", []string{"FILE:3:3: allow/1: must be string"}},
		{"nothing", nil, "addr:", []string{"FILE:1:1: addr: must be string"}},
		{"a list as the whole", nil, "- addr", []string{"FILE:1:1: must be object"}},
		{"no unit", nil, "drain-timeout: 5", []string{`FILE:1:1: drain-timeout: time: missing unit in duration "5"`}},
		{"twice", nil, "addr: a\naddr: b", []string{`FILE:2:1: duplicate key "addr": line 1 has it already`}},
		{"not YAML", nil, "a: [", []string{"FILE:1:4: is not valid YAML: sequence end token ']' not found"}},
		{"a variable", []string{"TOOLRUN_FRONT=yes", "TOOLRUN_REPLICAS=", "TOOLRUN_DRAIN_TIMEOUT=", "TOOLRUN_TRACE_RATIO=half"}, "",
			[]string{"TOOLRUN_FRONT: must be true or false", "TOOLRUN_REPLICAS: must be a whole number that fits",
				"TOOLRUN_DRAIN_TIMEOUT: is empty: give it a value, or leave it out", "TOOLRUN_TRACE_RATIO: must be a number"}},
		{"all at once, in the file's order", []string{"TOOLRUN_FRONT=maybe"}, "replicas: 1e99\nfront: true\ndrain-timeout: x",
			[]string{"TOOLRUN_FRONT: must be true or false", "FILE:1:1: replicas: must be a whole number that fits", `FILE:3:1: drain-timeout: time: invalid duration "x"`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			name := file(t, tc.file)
			_, err := settings.Load(newCommand(t).FlagSet, name, tc.environ)
			require.Error(t, err)
			require.Equal(t, tc.want, strings.Split(strings.ReplaceAll(err.Error(), cmp.Or(name, "FILE"), "FILE"), "\n"))
		})
	}
}

func TestLoadRefusesFiles(t *testing.T) {
	dir := t.TempDir()
	pipe, large := filepath.Join(dir, "pipe.yaml"), filepath.Join(dir, "large.yaml")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	require.NoError(t, os.WriteFile(large, bytes.Repeat([]byte("#\n"), document.MaxBytes/2+1), 0o600))
	for name, want := range map[string]string{
		filepath.Join(dir, "none.yaml"): "no such file",
		dir:                             "is not a regular file",
		pipe:                            "is not a regular file",
		large:                           "is larger than 1 MiB",
	} {
		_, err := settings.Load(newCommand(t).FlagSet, name, nil)
		require.ErrorContains(t, err, want)
	}
}

func TestUnknownVariablesAreReturned(t *testing.T) {
	unknown, err := settings.Load(newCommand(t).FlagSet, "", []string{
		"TOOLRUN_ENV_KEY=x", "TOOLRUN_CONFIG=x", "PATH=x", "TOOLRUN_ZZ=x", "TOOLRUN_ADR=x", "TOOLRUN_HELP=x", "TOOLRUN_PRINT_CONFIG=x"})
	require.NoError(t, err)
	require.Equal(t, []string{"TOOLRUN_ADR", "TOOLRUN_HELP", "TOOLRUN_PRINT_CONFIG", "TOOLRUN_ZZ"}, unknown)
}

func TestSecretsAreNotQuoted(t *testing.T) {
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.Duration("key", 0, "")
	settings.Secret(flags, "key")
	_, err := settings.Load(flags, "", []string{"TOOLRUN_KEY=hunter2"})
	require.EqualError(t, err, "TOOLRUN_KEY: is not a valid value")
}

func TestPrint(t *testing.T) {
	c := newCommand(t, "--addr", ":1 # \"x\"\x01\u2028")
	name := file(t, "allow: [a, '#b']\ndrain-timeout: 5s\n")
	_, err := settings.Load(c.FlagSet, name, []string{
		"TOOLRUN_REPLICAS=3", "TOOLRUN_JWT_SECRET=hunter2", "TOOLRUN_NATS=nats://me:hunter2@host:4222"})
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, settings.Print(&out, c.FlagSet))
	require.Equal(t, `addr: ":1 # \"x\"\u0001\u2028" # flag
allow: ["a","#b"] # file FILE:1:1
drain-timeout: "5s" # file FILE:2:1
env-file: "" # default
front: false # default
# jwt-secret: [hidden] # environment TOOLRUN_JWT_SECRET
# nats: "nats://[hidden]@host:4222" # environment TOOLRUN_NATS
replicas: 3 # environment TOOLRUN_REPLICAS
trace-ratio: 1 # default
`, strings.ReplaceAll(strings.ReplaceAll(out.String(), name, "FILE"), "\u2028", `\u2028`))

	again := newCommand(t)
	_, err = settings.Load(again.FlagSet, file(t, out.String()), nil)
	require.NoError(t, err)
	for _, name := range []string{"addr", "allow", "drain-timeout", "env-file", "front", "replicas", "trace-ratio"} {
		require.Equal(t, c.Lookup(name).Value.String(), again.Lookup(name).Value.String(), name)
	}
}

func TestPrintHidesUsersInURLs(t *testing.T) {
	for value, want := range map[string]string{
		"nats://host:4222":              `nats: "nats://host:4222" # flag`,
		"nats://token@host":             `# nats: "nats://[hidden]@host" # flag`,
		"nats://u:p/a@x@host":           `# nats: "nats://[hidden]@host" # flag`,
		"nats://u:p@one,nats://u:q@two": `# nats: "nats://[hidden]@two" # flag`,
		"u:p@host:4222":                 `# nats: "[hidden]@host:4222" # flag`,
		"@host":                         `# nats: "[hidden]@host" # flag`,
		"/etc/a@b":                      `nats: "/etc/a@b" # flag`,
		"/x nats://u:p@b":               `# nats: "/x nats://[hidden]@b" # flag`,
	} {
		var out bytes.Buffer
		c := newCommand(t, "--nats", value, "--allow", "ok", "--allow", value)
		require.NoError(t, settings.Print(&out, c.FlagSet))
		require.Contains(t, out.String(), "\n"+want+"\n")
		if strings.HasPrefix(want, "#") {
			require.Contains(t, out.String(), "\n# allow: [\"ok\",")
			require.NotContains(t, out.String(), "u:")
		}
	}
}

func TestPrintReportsABrokenPipe(t *testing.T) {
	r, w := must2(os.Pipe())
	require.NoError(t, r.Close())
	defer w.Close()
	require.ErrorIs(t, settings.Print(w, newCommand(t).FlagSet), syscall.EPIPE)
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}
