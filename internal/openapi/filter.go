package openapi

import (
	"regexp"
	"slices"
	"strings"
)

// glob is a compiled pattern of [Options.Include].
type glob = *regexp.Regexp

func patterns(sources []string) []glob {
	compiled := make([]glob, len(sources))
	for i, source := range sources {
		quoted := regexp.QuoteMeta(source)
		quoted = strings.ReplaceAll(quoted, `\*`, `.*`)
		quoted = strings.ReplaceAll(quoted, `\?`, `.`)
		compiled[i] = regexp.MustCompile(`(?s)\A` + quoted + `\z`)
	}
	return compiled
}

// wanted reports whether the options ask for an operation.
func (im *importer) wanted(name, path string, op map[string]any) bool {
	if len(im.opts.Tags) > 0 && !slices.ContainsFunc(list(op["tags"]), func(tag any) bool { return slices.Contains(im.opts.Tags, text(tag)) }) {
		return false
	}
	return len(im.include) == 0 || slices.ContainsFunc(im.include, func(g glob) bool {
		return g.MatchString(name) || g.MatchString(text(op["operationId"])) || g.MatchString(path)
	})
}
