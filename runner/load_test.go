package runner_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/runner"
)

// write lays out files in a temporary directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return dir
}

// faults are the faults of an error, "pointer message" each.
func faults(t *testing.T, err error) []string {
	t.Helper()
	var invalid *errclass.APIError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, errclass.CodeValidation, invalid.Code)
	var all []string
	for _, f := range invalid.Fields {
		all = append(all, f.Field+" "+f.Message)
	}
	return all
}

func TestLoadDirectory(t *testing.T) {
	dir := write(t, map[string]string{
		"a.yaml":                      "name: a\ntype: javascript\ncode: return 1\n",
		"b.json":                      `{"name":"b","type":"javascript","code":"return 2"}`,
		"sub/c.yml":                   "name: c\ntype: javascript\ncodeFile: c.ts\n",
		"sub/c.ts":                    "const n: number = 3; return n",
		"providers.yaml":              "providers: []",
		"package.json":                "{}",
		"notes.txt":                   "not a definition",
		".hidden.yaml":                "nonsense: true",
		".git/x.yaml":                 "nonsense: true",
		"node_modules/left/x.json":    "{}",
		"sub/node_modules/left/x.yml": "nonsense",
	})
	defs, err := runner.Load(dir)
	require.NoError(t, err)
	r := newRunner(t, runner.Options{Tools: defs})
	for name, want := range map[string]string{"a": "1", "b": "2", "c": "3"} {
		result := execute(t, r, runner.Request{Tool: name})
		require.Nil(t, result.Failure)
		require.Equal(t, want, string(result.Value))
	}
}

func TestLoadSource(t *testing.T) {
	dir := write(t, map[string]string{"word count.ts": "const n: number = parameters.text.split(' ').length; return n"})
	defs, err := runner.Load(filepath.Join(dir, "word count.ts"))
	require.NoError(t, err)
	require.Equal(t, "word_count", defs[0].Name)
	r := newRunner(t, runner.Options{Tools: defs})
	result := execute(t, r, runner.Request{Tool: "word_count", Parameters: []byte(`{"text":"a b c"}`)})
	require.Equal(t, "3", string(result.Value))
}

func TestLoadReportsAllFaultsOfAllFiles(t *testing.T) {
	dir := write(t, map[string]string{
		"a.yaml": "name: a\ntype: http\nexecutionConfig:\n  url: https://api.example.com\n  tiemout: 5\nconfiguration:\n  timeout: soon\n",
		"b.json": "{\n  \"name\": \"b c\",\n  \"type\": \"python\"\n}",
		"c.yaml": "name: c\ntype: [\n",
		"e.yaml": "name: e\ntype: javascript\ncode: return (\nnope: 1\n",
		"d.yaml": "name: d\ntype: javascript\ncode: return 1\n",
	})
	_, err := runner.Load(dir)
	got := strings.Join(faults(t, err), "\n")
	for _, want := range []string{
		`/executionConfig/tiemout a.yaml:5:3: is not allowed (did you mean "timeout"?)`,
		`/configuration/timeout a.yaml:7:`,
		`/name b.json:2:`,
		`/type b.json:3:`,
		` c.yaml:2:`,
		`/nope e.yaml:4:1: is not allowed`,
		`/code e.yaml:3:`,
	} {
		require.Contains(t, got, want)
	}
	require.NotContains(t, got, "d.yaml")
}

// A codeFile that can't be had or doesn't compile hides no other fault, and no
// other fault hides it.
func TestLoadReportsCodeFileFaultsWithTheOthers(t *testing.T) {
	dir := write(t, map[string]string{
		"a.yaml": "name: a\ntype: javascript\ncodeFile: missing.js\nparameters: {type: objekt}\noutputSchema: {type: 5}\n",
		"b.yaml": "name: b\ntype: javascript\ncode: return (\ncodeFile: x.js\nparameters: {type: objekt}\n",
		"c.yaml": "name: c\ntype: javascript\ncodeFile: broken.js\nnope: 1\n", "broken.js": "return (",
	})
	_, err := runner.Load(dir)
	got := faults(t, err)
	require.Len(t, got, 8)
	for i, want := range []string{
		`/codeFile a.yaml:3:1: names "missing.js", which doesn't exist`, "/parameters/type a.yaml:4:", "/outputSchema/type a.yaml:5:",
		"/codeFile b.yaml:4:1: can't stand beside code", "/parameters/type b.yaml:5:", "/code b.yaml:3:",
		"/nope c.yaml:4:1: is not allowed", "/code c.yaml:",
	} {
		require.Contains(t, got[i], want)
	}
	require.Contains(t, got[7], "doesn't compile: broken.js:1:")
}

func TestLoadThroughASymbolicLink(t *testing.T) {
	dir := write(t, map[string]string{"real/sub/a.yaml": "name: a\ntype: javascript\ncodeFile: a.js\n", "real/sub/a.js": "return 1", "real/bad.yaml": "name: b\n"})
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink("real", link))
	defs, err := runner.Load(link)
	require.Contains(t, faults(t, err)[0], "/type bad.yaml:1:1: ")
	require.Len(t, defs, 1)
	require.Equal(t, "return 1", defs[0].Code)
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", "tool.yaml:1:1"},
		{"a list", "- name: a", "must be object"},
		{"no name", "type: http", "/name"},
		{"no type", "name: a", "/type"},
		{"unknown field", "name: a\ntype: http\nretries: 3", "/retries tool.yaml:3:1: is not allowed"},
		{"typo in a limit", "name: a\ntype: javascript\ncode: return 1\nconfiguration: {timeuot: 5}", `did you mean "timeout"`},
		{"alias", "name: &a a\ntype: http\ndescription: *a", "tool.yaml:"},
		{"executionConfig for javascript", "name: a\ntype: javascript\ncode: return 1\nexecutionConfig: {}", "/executionConfig tool.yaml:4:"},
		{"both expectations", "name: a\ntype: javascript\ncode: return 1\nexamples:\n- {name: x, expectedOutput: 1, expectedError: timeout}", "/examples/0"},
		{"too large", "name: a\n#" + strings.Repeat("x", 1<<20), "tool.yaml"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := runner.Parse("tool.yaml", []byte(tc.in))
			require.Contains(t, strings.Join(faults(t, err), "\n"), tc.want)
		})
	}
}

func TestNewReportsWhatDefinitionsMean(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"bad schema", "name: a\ntype: javascript\ncode: return 1\nparameters: {type: objekt}", "/parameters/type tool.yaml:4:"},
		{"bad output schema", "name: a\ntype: javascript\ncode: return 1\noutputSchema: {minimum: x}", "/outputSchema/minimum tool.yaml:4:"},
		{"no code", "name: a\ntype: javascript", "/code tool.yaml:1:1: is required"},
		{"syntax error", "name: a\ntype: javascript\ncode: |\n  const x = 1\n  return x y\n", "/code tool.yaml:5: doesn't compile: code:2:10: "},
		{"no config", "name: a\ntype: http", "/executionConfig tool.yaml:1:1: is required"},
		{"bad expression", "name: a\ntype: http\nexecutionConfig: {url: 'https://x.example/{{parameters.}}'}", "/executionConfig/url tool.yaml:3:"},
		{"unknown root", "name: a\ntype: http\nexecutionConfig: {url: 'https://x.example/{{params.id}}'}", "/executionConfig/url tool.yaml:3:"},
		{"unknown provider", "name: a\ntype: llm\nexecutionConfig: {providerId: main, promptTemplate: hi}", "/executionConfig/providerId tool.yaml:3:"},
		{"http with code and config", "name: a\ntype: http\ncode: return 1\nexecutionConfig: {url: 'https://x.example/'}", "/executionConfig tool.yaml:4:"},
		{"http with code and auth", "name: a\ntype: http\ncode: return 1\nauthConfig: {type: none}", "/authConfig tool.yaml:4:"},
		{"http with bad code", "name: a\ntype: http\ncode: return )", "/code tool.yaml:3:"},
		{"default that its schema refuses", "name: a\ntype: javascript\ncode: return 1\nparameters:\n  properties:\n    n: {type: integer, default: x}", "/parameters/properties/n/default tool.yaml:6:24: breaks its own schema: must be integer"},
		{"parameters that are a list", "name: a\ntype: javascript\ncode: return 1\nparameters: {type: array}", "/parameters/type tool.yaml:4:14: must be \"object\""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := runner.New(runner.Options{Tools: []*runner.Definition{parse(t, tc.in)}})
			require.Contains(t, strings.Join(faults(t, err), "\n"), tc.want)
		})
	}
}

// Faults of providers hide none of the definitions.
func TestNewReportsProvidersAndDefinitions(t *testing.T) {
	_, err := runner.New(runner.Options{
		Tools: []*runner.Definition{
			parse(t, "name: a\ntype: llm\nexecutionConfig: {providerId: other, promptTemplate: '{{ x'}"),
			parse(t, "name: b\ntype: llm\nexecutionConfig: {providerId: p, promptTemplate: hi}"),
			script("c", "return ("),
		},
		Providers: []llmtool.Provider{{ID: "p", Type: "opnai"}},
	})
	got := faults(t, err)
	require.Len(t, got, 4)
	for i, want := range []string{"/providers/0/type ", "/executionConfig/providerId ", "/executionConfig/promptTemplate ", "/code "} {
		require.Contains(t, got[i], want)
	}
}

// What a program fills by hand is held to the same rules as a file.
func TestNewChecksDefinitionsMadeInGo(t *testing.T) {
	bad := script("not a name", "return 1")
	bad.Configuration.Timeout = -1
	_, err := runner.New(runner.Options{Tools: []*runner.Definition{bad, {Name: "x", Type: "perl"}}})
	got := strings.Join(faults(t, err), "\n")
	require.Contains(t, got, "/name ")
	require.Contains(t, got, "/configuration/timeout ")
	require.Contains(t, got, "/type ")
}

func TestNamesAreTakenOnce(t *testing.T) {
	dir := write(t, map[string]string{
		"a.yaml": "name: same\ntype: javascript\ncode: return 1\n",
		"b.yaml": "name: same\ntype: javascript\ncode: return 2\n",
	})
	defs, err := runner.Load(dir)
	require.NoError(t, err)
	_, err = runner.New(runner.Options{Tools: defs})
	require.Equal(t, []string{"/name b.yaml:1:1: is taken: a.yaml is called same too"}, faults(t, err))
}

// Ids and names are one namespace, so that a tool is found by either.
func TestIDsAndNames(t *testing.T) {
	first, second := script("first", "return 1"), script("second", "return 2")
	first.ID = "t-1"
	r := newRunner(t, runner.Options{Tools: []*runner.Definition{first, second}})
	for _, word := range []string{"first", "t-1"} {
		require.Equal(t, "1", string(execute(t, r, runner.Request{Tool: word}).Value))
	}
	second.ID = "first"
	_, err := runner.New(runner.Options{Tools: []*runner.Definition{first, second}})
	require.Equal(t, []string{"/id is taken: another definition is called first too"}, faults(t, err))
}

func TestNilDefinition(t *testing.T) {
	_, err := runner.New(runner.Options{Tools: []*runner.Definition{nil, script("a", "return 1")}})
	require.Contains(t, faults(t, err)[0], "is nil")
}

// What can't be read is a fault of that file and hides no other's.
func TestLoadUnreadableFiles(t *testing.T) {
	dir := write(t, map[string]string{
		"big.yaml":     "name: big\n#" + strings.Repeat("x", 1<<20),
		"code.yaml":    "name: code\ntype: javascript\ncodeFile: pipe.js\n",
		"sub/bad.yaml": "name: bad\ntype: perl\n",
		"ok.yaml":      "name: ok\ntype: javascript\ncode: return 1\n",
	})
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe.yaml"), 0o600))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe.js"), 0o600))
	defs, err := runner.Load(dir)
	got := strings.Join(faults(t, err), "\n")
	for _, want := range []string{
		"big.yaml: can't be read: big.yaml is larger than 1048576 bytes",
		"pipe.yaml: can't be read: pipe.yaml is not a regular file",
		"/codeFile code.yaml:3:1: pipe.js is not a regular file",
		"/type sub/bad.yaml:2:1: ",
	} {
		require.Contains(t, got, want)
	}
	require.Len(t, defs, 1)
}

// A codeFile can't name what lies outside of the definition's directory.
func TestCodeFileStaysBeside(t *testing.T) {
	const secret = "return 'SEKRET'"
	dir := write(t, map[string]string{"secret.js": secret, "tools/in.js": "return 1"})
	require.NoError(t, os.Symlink(filepath.Join(dir, "secret.js"), filepath.Join(dir, "tools", "link.js")))
	for _, file := range []string{"../secret.js", filepath.Join(dir, "secret.js"), "link.js", "sub/../../secret.js", "missing.js", "."} {
		path := filepath.Join(dir, "tools", "tool.yaml")
		require.NoError(t, os.WriteFile(path, []byte("name: a\ntype: javascript\ncodeFile: "+file+"\n"), 0o644))
		_, err := runner.Load(path)
		require.Contains(t, faults(t, err)[0], "/codeFile tool.yaml:3:", file)
		require.NotContains(t, err.Error(), "SEKRET")
	}
}
