package runner

import (
	"sync"

	"github.com/almyty-inc/toolrun/internal/redact"
)

// literals are the secrets that definitions hold themselves, in authConfig and in
// that of a linked API.
func literals(defs []*Definition) []string {
	var found []string
	for _, def := range defs {
		if def != nil {
			found = append(found, def.AuthConfig.Literals()...)
			if def.API != nil {
				found = append(found, def.API.Authentication.Literals()...)
			}
		}
	}
	return found
}

// secrets are what one request must not give away: the values of env and
// credentials, and those written into the definitions of the tools that it runs.
// Those of other tools stay out: by what is redacted of a text of its own, a
// tool could else find out the secrets of a stranger's.
type secrets struct {
	runner      *Runner
	credentials map[string]any // of the request

	mu       sync.Mutex
	literals []string
	redactor *redact.Redactor // nil until a failure or a log line needs it
}

// add makes the secrets of a tool's definition known.
func (s *secrets) add(t *tool) {
	if len(t.literals) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.literals = append(s.literals, t.literals...)
	s.redactor = nil
}

// String is text without secrets.
func (s *secrets) String(text string) string { return s.get().String(text) }

func (s *secrets) get() *redact.Redactor {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.redactor == nil {
		s.redactor = s.runner.redactor
		if len(s.credentials)+len(s.literals) > 0 {
			all := redact.Collect(s.runner.opts.Env, s.runner.opts.Credentials, s.credentials, s.literals)
			s.redactor = redact.New(all)
		}
	}
	return s.redactor
}
