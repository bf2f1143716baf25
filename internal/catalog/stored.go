package catalog

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/runner"
)

// Stored keeps a runner's tools the same as the definitions that organizations store.
// It is safe for concurrent use.
type Stored struct {
	runner *runner.Runner
	log    *slog.Logger

	mu     sync.Mutex
	broken map[[2]string]Broken
}

// FollowStored hands what is stored to the runner, returns when all that there is at the
// start was, and goes on until ctx ends.
func FollowStored(ctx context.Context, definitions *queue.Definitions, r *runner.Runner, log *slog.Logger) *Stored {
	s := &Stored{runner: r, log: log, broken: make(map[[2]string]Broken)}
	complete := make(chan struct{})
	go func() {
		_ = definitions.Watch(ctx, func(change queue.Change) { // its only error is ctx's
			if change.Complete {
				close(complete)
				return
			}
			s.apply(change)
		})
	}()
	select {
	case <-complete:
	case <-ctx.Done():
	}
	return s
}

// Broken lists the definitions that were good when they were stored and can't be used
// by this node, sorted by id: its providers differ, perhaps, or it is of another version.
func (s *Stored) Broken() []Broken {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.broken), func(a, b Broken) int { return strings.Compare(a.Source, b.Source) })
}

func (s *Stored) apply(change queue.Change) {
	stored := change.Stored
	at := [2]string{stored.Organization, stored.ID}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.broken, at)
	if change.Deleted {
		s.runner.Remove(stored.Organization, stored.ID)
		return
	}
	def, err := Parse(stored.Organization, stored.ID, stored.Definition)
	if err == nil {
		err = s.runner.Restore(def)
	}
	if err == nil {
		return
	}
	// A version that isn't the present one must not run in its place.
	s.runner.Remove(stored.Organization, stored.ID)
	b := Broken{Source: stored.ID, Fault: errclass.OneLine(err.Error(), maxFault)}
	s.broken[at] = b
	s.log.Error("a stored definition can't be used by this node", slog.String("organization", stored.Organization),
		slog.String("tool", stored.ID), slog.Int("version", stored.Version), slog.String("fault", b.Fault))
}

// Parse reads a definition that an organization stores under an id; with an empty one
// it is the definition's own. The error is a 422 [*errclass.APIError].
func Parse(organization, id string, text []byte) (*runner.Definition, error) {
	def, err := runner.Parse("definition.json", text)
	if err != nil {
		return nil, err
	}
	if def.CodeFile != "" {
		return nil, unusable("/codeFile", "can't be read here: send the source as code")
	}
	if id != "" && def.ID != "" && def.ID != id {
		return nil, unusable("/id", "can't be changed: make another tool")
	}
	def.Organization = organization
	if id != "" && id != def.Name {
		def.ID = id
	}
	return def, nil
}

func unusable(pointer, message string) error {
	e := errclass.NewAPIError(errclass.CodeValidation, "Invalid definition: %s %s", pointer, message)
	e.Fields = []errclass.FieldError{{Field: pointer, Message: message}}
	return e
}
