package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/llmtool/anthropic"
	"github.com/almyty-inc/toolrun/llmtool/google"
	"github.com/almyty-inc/toolrun/runner"
)

// dialects are the APIs of providers besides OpenAI's and what imitates it.
var dialects = []llmtool.Dialect{anthropic.Dialect(), google.Dialect()}

// loadProviders reads the LLM providers: those of the file that the flag names,
// or else of each providers.yaml beside paths. Those without faults come also
// beside an error that lists the faults of the others.
func (c *common) loadProviders(paths ...string) ([]llmtool.Provider, error) {
	if c.providers != "" {
		all, err := runner.LoadProviders(c.providers, dialects...)
		return all, ofFlag("--providers", err)
	}
	var all []llmtool.Provider
	var faults []errclass.FieldError
	from := make(map[string]string) // the file of each id
	for _, file := range providerFiles(paths) {
		loaded, err := runner.LoadProviders(file, dialects...)
		if faults, err = addFaults(faults, err); err != nil {
			return nil, err
		}
		for _, p := range loaded { // the good ones also beside faults
			first, taken := from[p.ID]
			if taken && first != file {
				faults = append(faults, errclass.FieldError{Message: fmt.Sprintf(
					"provider %q is in %s and in %s: give each an id of its own, or name the file to use with --providers", p.ID, first, file)})
				continue
			}
			from[p.ID] = file
			all = append(all, p)
		}
	}
	if len(faults) > 0 {
		return all, &errclass.APIError{Code: errclass.CodeValidation, Message: "Invalid providers file: " + faults[0].Message, Fields: faults}
	}
	return all, nil
}

// providerFiles are the providers files beside paths, each once, however many
// paths lead to it.
func providerFiles(paths []string) []string {
	var files []string
	var seen []os.FileInfo
	for _, path := range paths {
		dir := path
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			dir = filepath.Dir(path)
		}
		for _, name := range []string{"providers.yaml", "providers.yml", "providers.json"} {
			file := filepath.Join(dir, name)
			info, err := os.Stat(file)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			same := func(other os.FileInfo) bool { return os.SameFile(info, other) }
			if err != nil || !slices.ContainsFunc(seen, same) {
				files = append(files, file)
				seen = append(seen, info)
			}
			break
		}
	}
	return files
}
