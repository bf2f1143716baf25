// Package settings fills a command's flags from the environment and a file, so
// that a service has one configuration however it is started.
//
// Start with [Load], after the command line was parsed: a flag given there wins
// over the environment, that over the file, that over the default. [Print] shows
// what came of it.
//
// The variable of --drain-timeout is TOOLRUN_DRAIN_TIMEOUT, its key in the file
// drain-timeout. Flags that may be given more than once are lists there, and in
// the environment values between commas or line breaks.
package settings

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

const (
	prefix = "TOOLRUN_"
	// toolsPrefix begins the variables that are the tools' own.
	toolsPrefix = prefix + "ENV_"
	// FileVariable names the file; reading it is the caller's.
	FileVariable = prefix + "CONFIG"
)

// Annotations of flags.
const (
	secretMark = "toolrun_secret"
	onlyMark   = "toolrun_command_line_only"
	sourceMark = "toolrun_source"
)

// Secret marks flags whose values are neither printed nor quoted in errors.
func Secret(flags *pflag.FlagSet, names ...string) { mark(flags, secretMark, names) }

// CommandLineOnly marks flags that neither the environment nor the file may set,
// as --config and --help never are.
func CommandLineOnly(flags *pflag.FlagSet, names ...string) { mark(flags, onlyMark, names) }

// mark panics where there is no such flag: that is a programmer's mistake.
func mark(flags *pflag.FlagSet, key string, names []string) {
	for _, name := range names {
		if err := flags.SetAnnotation(name, key, []string{"true"}); err != nil {
			panic("settings: " + err.Error())
		}
	}
}

func marked(f *pflag.Flag, key string) bool { return len(f.Annotations[key]) > 0 }

// Variable is the environment variable of a flag.
func Variable(flag string) string {
	name := prefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
	if rest, ok := strings.CutPrefix(name, toolsPrefix); ok {
		return prefix + "ENV" + rest // --env-file is TOOLRUN_ENVFILE
	}
	return name
}

// Load sets each flag that the command line left alone from environ, as
// [os.Environ] has it, else from the file, where one is named. All faults of
// both come at once.
//
// Commands that share a configuration have flags that others lack: keys and
// variables of the flags in others are passed over. A key that nobody knows is a
// fault; variables that nobody knows are returned, as they may be anybody's.
func Load(flags *pflag.FlagSet, file string, environ []string, others ...*pflag.FlagSet) (unknown []string, err error) {
	l := &loader{variables: map[string]*pflag.Flag{}, keys: map[string]*pflag.Flag{}}
	for i, set := range append([]*pflag.FlagSet{flags}, others...) {
		set.VisitAll(func(f *pflag.Flag) { l.add(f, i == 0) })
	}
	unknown = l.fromEnvironment(environ)
	if file != "" {
		l.fromFile(file)
	}
	return unknown, errors.Join(l.faults...)
}

// loader knows the flag of each variable and key; nil for one of another command.
type loader struct {
	variables, keys map[string]*pflag.Flag
	faults          []error
}

func (l *loader) add(f *pflag.Flag, own bool) {
	if !settable(f) {
		return
	}
	if own && f.Changed {
		setSource(f, "flag")
	}
	variable := Variable(f.Name)
	if _, ok := l.keys[f.Name]; ok {
		return
	}
	if !own {
		f = &pflag.Flag{Name: f.Name, Value: f.Value} // checked for its shape, set nowhere
		setSource(f, "another command")
	}
	l.keys[f.Name], l.variables[variable] = f, f
}

func settable(f *pflag.Flag) bool {
	return f.Name != "config" && f.Name != "help" && !marked(f, onlyMark)
}

func (l *loader) fromEnvironment(environ []string) (unknown []string) {
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, prefix) || strings.HasPrefix(name, toolsPrefix) || name == FileVariable {
			continue
		}
		f, ok := l.variables[name]
		if !ok {
			unknown = append(unknown, name)
			continue
		}
		if hasSource(f) {
			continue
		}
		if err := set(f, split(f, value)); err != nil {
			l.faults = append(l.faults, fmt.Errorf("%s: %w", name, err))
		}
		setSource(f, "environment "+name) // also after a fault: the file can't mend it
	}
	slices.Sort(unknown)
	return unknown
}

// split is the values that a variable holds; several for lists only.
func split(f *pflag.Flag, value string) []string {
	if _, ok := f.Value.(pflag.SliceValue); !ok {
		return []string{value}
	}
	values := []string{}
	for part := range strings.FieldsFuncSeq(value, func(r rune) bool { return r == ',' || r == '\n' }) {
		if part = strings.TrimSpace(part); part != "" {
			values = append(values, part)
		}
	}
	return values
}

// set gives a flag its value, or all of its values where it is a list.
func set(f *pflag.Flag, values []string) error {
	var err error
	if list, ok := f.Value.(pflag.SliceValue); ok {
		err = list.Replace(values)
	} else {
		err = f.Value.Set(values[0])
	}
	if err != nil {
		return explain(f, values, err)
	}
	f.Changed = true
	return nil
}

// explain says what a flag wants. Its own words serve where they are ours; those
// of strconv are for programmers, and a secret's may quote it.
func explain(f *pflag.Flag, values []string, err error) error {
	kind := f.Value.Type()
	switch {
	case kind == "bool":
		return errors.New("must be true or false")
	case strings.HasPrefix(kind, "int") || strings.HasPrefix(kind, "uint") || kind == "count":
		return errors.New("must be a whole number that fits")
	case strings.HasPrefix(kind, "float"):
		return errors.New("must be a number")
	case marked(f, secretMark):
		return errors.New("is not a valid value")
	case len(values) == 1 && values[0] == "":
		return errors.New("is empty: give it a value, or leave it out")
	}
	return err
}

func setSource(f *pflag.Flag, source string) {
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[sourceMark] = []string{source}
}

func hasSource(f *pflag.Flag) bool { return marked(f, sourceMark) }
