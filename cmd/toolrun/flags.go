package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/almyty-inc/toolrun/httptool"
	"github.com/almyty-inc/toolrun/internal/envfile"
	"github.com/almyty-inc/toolrun/runner"
	"github.com/almyty-inc/toolrun/sandbox"
)

// hostEnvPrefix marks the host's variables that tools may see, without it.
const hostEnvPrefix = "TOOLRUN_ENV_"

// credentialPrefix marks the entries of an env file that are credentials.
const credentialPrefix = "credentials."

// common are the flags of every command that runs tools.
type common struct {
	envFile   string
	providers string
	allow     []string
	deny      []string
	isolation string
}

func (c *common) register(flags *pflag.FlagSet) {
	c.registerReach(flags)
	flags.StringVar(&c.isolation, "isolation", string(sandbox.Process), "how JavaScript runs: process (in child processes under hard limits) or inline (in this one, for trusted code only)")
}

// registerReach registers what is read and what is reached.
func (c *common) registerReach(flags *pflag.FlagSet) {
	flags.StringVar(&c.envFile, "env-file", "", "file of NAME=value lines that tools may read as env.NAME (credentials.NAME=value as credentials.NAME)")
	flags.StringVar(&c.providers, "providers", "", "file of LLM providers, in place of each providers.yaml beside the tools")
	flags.StringArrayVar(&c.allow, "allow", nil, "let tools reach a private HOST[:PORT] or CIDR[:PORT]; may be given more than once")
	flags.StringArrayVar(&c.deny, "deny", nil, "keep tools from a HOST[:PORT] or CIDR[:PORT], whatever else allows it; may be given more than once")
}

// options are the runner's options as the flags say. Tools and what is read
// beside them are the caller's to add.
func (c *common) options() (runner.Options, error) {
	env, credentials, err := c.environment()
	if err != nil {
		return runner.Options{}, err
	}
	return runner.Options{
		Env: env, Credentials: credentials, Dialects: dialects,
		Egress:  httptool.Policy{Public: true, Allow: c.allow, Deny: c.deny},
		Sandbox: sandbox.Options{Isolation: sandbox.Isolation(c.isolation)},
	}, nil
}

// environment is what tools may read: the host's TOOLRUN_ENV_ variables, and
// over them the env file.
func (c *common) environment() (env map[string]string, credentials map[string]any, err error) {
	env, credentials = make(map[string]string), make(map[string]any)
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		if name, ok := strings.CutPrefix(name, hostEnvPrefix); ok && name != "" {
			env[name] = value
		}
	}
	if c.envFile == "" {
		return env, credentials, nil
	}
	data, err := os.ReadFile(c.envFile)
	if err != nil {
		return nil, nil, fmt.Errorf("--env-file: %w", err)
	}
	entries, err := envfile.Parse(data)
	if err != nil {
		return nil, nil, fmt.Errorf("--env-file %s: %w", c.envFile, err)
	}
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name, credentialPrefix); ok {
			if name == "" || strings.Contains(name, ".") {
				return nil, nil, fmt.Errorf("--env-file %s: %s: write credentials.NAME, where NAME has no dot: expressions read nothing below it", c.envFile, e.Name)
			}
			credentials[name] = e.Value
			continue
		}
		env[e.Name] = e.Value
	}
	return env, credentials, nil
}

// maxMilliseconds is what a [time.Duration] holds.
const maxMilliseconds = int64(math.MaxInt64 / time.Millisecond)

// milliseconds is a flag of a duration: "5s", "250ms", or a number of
// milliseconds as definitions have it.
type milliseconds time.Duration

func (m *milliseconds) String() string { return time.Duration(*m).String() }
func (m *milliseconds) Type() string   { return "duration" }

func (m *milliseconds) Set(s string) error {
	d, err := time.ParseDuration(s)
	switch n, intErr := strconv.ParseInt(s, 10, 64); {
	case errors.Is(intErr, strconv.ErrRange) && n > 0, intErr == nil && n > maxMilliseconds:
		return fmt.Errorf("%s is too long: at most %d milliseconds", s, maxMilliseconds)
	case intErr == nil:
		d, err = time.Duration(n)*time.Millisecond, nil
	}
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is not a positive duration: write 5s, 250ms or a number of milliseconds", s)
	}
	*m = milliseconds(d)
	return nil
}
