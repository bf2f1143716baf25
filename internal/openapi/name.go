package openapi

import (
	"regexp"
	"strconv"
	"strings"
)

// maxName is how long a tool's name may be.
const maxName = 64

var notInName = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// toolName makes a name of an operationId, or of method and path.
func toolName(operationID, method, path string) string {
	name := fitName(operationID)
	if name == "" {
		name = fitName(method + path)
	}
	return name
}

func fitName(s string) string {
	s = strings.Trim(notInName.ReplaceAllString(s, "_"), "_")
	return strings.Trim(s[:min(len(s), maxName)], "_")
}

// uniqueName numbers names that differ in nothing, or in the case of letters only,
// which some file systems don't tell apart.
func (im *importer) uniqueName(name string) string {
	return im.names.unique(name, func(n int) string {
		suffix := "_" + strconv.Itoa(n)
		return name[:min(len(name), maxName-len(suffix))] + suffix
	})
}

// taken are names that are given away, in lower case, each with the highest number
// that was put behind it.
type taken map[string]int

// unique takes a name, or the first of its numbered forms that is free.
func (t taken) unique(name string, numbered func(n int) string) string {
	unique, base := name, strings.ToLower(name)
	for n := max(2, t[base]+1); ; n++ {
		if _, used := t[strings.ToLower(unique)]; !used {
			break
		}
		unique = numbered(n)
		t[base] = n
	}
	t[strings.ToLower(unique)] = 1
	return unique
}

var notInVariable = regexp.MustCompile(`[^A-Z0-9]+`)

var wordStart = regexp.MustCompile(`([a-z0-9])([A-Z])`)

// variable names an environment variable after a security scheme: petstoreAuth
// becomes PETSTORE_AUTH, with the suffix where the name doesn't end in it.
func variable(scheme, suffix string) string {
	name := wordStart.ReplaceAllString(scheme, "${1}_${2}")
	name = strings.Trim(notInVariable.ReplaceAllString(strings.ToUpper(name), "_"), "_")
	switch {
	case name == "":
		name = "API"
	case name[0] >= '0' && name[0] <= '9':
		name = "API_" + name
	}
	if name == suffix || strings.HasSuffix(name, "_"+suffix) {
		return name
	}
	return name + "_" + suffix
}
