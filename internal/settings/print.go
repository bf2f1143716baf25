package settings

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/spf13/pflag"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// Print writes the effective configuration as a file that [Load] reads, one flag a
// line, with where its value came from. A line with a secret is a comment: with
// the secret left out it would be another setting.
func Print(w io.Writer, flags *pflag.FlagSet) error {
	var b strings.Builder
	var broken error
	flags.VisitAll(func(f *pflag.Flag) {
		if !settable(f) {
			return
		}
		line, err := lineOf(f)
		if err != nil {
			broken = err
		}
		b.WriteString(line + "\n")
	})
	if broken != nil {
		return broken
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func lineOf(f *pflag.Flag) (string, error) {
	if marked(f, secretMark) && f.Value.String() != "" && f.Value.String() != "[]" {
		return fmt.Sprintf("# %s: [hidden] # %s", f.Name, sourceOf(f)), nil
	}
	value, hidden, err := valueOf(f)
	if err != nil {
		return "", fmt.Errorf("settings: %s: %w", f.Name, err)
	}
	if hidden {
		return fmt.Sprintf("# %s: %s # %s", f.Name, value, sourceOf(f)), nil
	}
	return fmt.Sprintf("%s: %s # %s", f.Name, value, sourceOf(f)), nil
}

// valueOf is a flag's value in JSON, which YAML can hold, and whether something
// was hidden in it.
func valueOf(f *pflag.Flag) (text string, hidden bool, err error) {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		shown := []string{}
		for _, value := range list.GetSlice() {
			clean, cut := withoutUser(value)
			shown, hidden = append(shown, clean), hidden || cut
		}
		raw, err := strictjson.Marshal(shown)
		return string(raw), hidden, err
	}
	value := f.Value.String()
	switch shapeOf(f.Value)["type"] {
	case "boolean", "integer", "number":
		return value, false, nil
	}
	clean, hidden := withoutUser(value)
	raw, err := strictjson.Marshal(clean)
	return string(raw), hidden, err
}

// withoutUser hides what stands before an @, as a URL's user and password or
// token do, whether the URL has a scheme or not. It rather hides too much: only a
// path is left alone.
func withoutUser(value string) (clean string, hidden bool) {
	at := strings.LastIndexByte(value, '@')
	if at < 0 {
		return value, false
	}
	scheme := strings.Index(value[:at], "://")
	if scheme < 0 && (value[0] == '/' || value[0] == '.') {
		return value, false
	}
	start := 0
	if scheme >= 0 {
		start = scheme + len("://")
	}
	return value[:start] + "[hidden]" + value[at:], true
}

// sourceOf says where a value came from, on one line whatever the file is called.
func sourceOf(f *pflag.Flag) string {
	source := "default"
	if hasSource(f) {
		source = f.Annotations[sourceMark][0]
	} else if f.Changed {
		source = "flag"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, source)
}
