package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/almyty-inc/toolrun/internal/strictjson"
)

const (
	definitionsBucket = "toolrun_definitions"
	// definitionVersions is how many versions of a definition are kept: as many as a
	// bucket can.
	definitionVersions = 64
)

// Stored is a definition as an organization's admin wrote it.
type Stored struct {
	Organization string          `json:"organization"`
	ID           string          `json:"id"`
	Name         string          `json:"name"` // as Definition has it; the store fills it in
	Version      int             `json:"version"`
	Definition   json.RawMessage `json:"definition"`
	CreatedAt    time.Time       `json:"createdAt"`
	UpdatedAt    time.Time       `json:"updatedAt"`
	UpdatedBy    string          `json:"updatedBy"`
	// Revision is different for each write of a definition, also of one that was deleted and
	// created again.
	Revision uint64 `json:"-"`
}

// Change is one step of [Definitions.Watch].
type Change struct {
	Stored  Stored // with Deleted only Organization, ID and Revision
	Deleted bool
	// Complete marks that all there was at the start has been told; nothing else is set.
	Complete bool
}

// Definitions holds the definitions that came by the API. Each node has them all in
// memory, and a watch brings what other nodes write.
//
// A definition is one entry (d.<organization>.<id>), its name another one that names the id
// (n.<organization>.<name>), written in one commit, the name first. If a crash leaves a
// name without a definition of that name, the name is free.
type Definitions struct {
	ledger  *ledger
	replica *replica
	engine  *Engine

	mu   sync.RWMutex
	byID map[definitionID]Stored

	notify   sync.Mutex // held while watchers are called
	watchers map[*func(Change)]struct{}
}

type definitionID struct{ organization, id string }

func (id definitionID) key() string { return "d." + token(id.organization) + "." + id.id }

func nameKey(organization, name string) string { return "n." + token(organization) + "." + name }

// Definitions opens the store, and returns when this node knows all definitions.
func (e *Engine) Definitions(ctx context.Context) (*Definitions, error) {
	l, err := e.ledger(ctx, definitionsBucket, definitionVersions)
	if err != nil {
		return nil, err
	}
	d := &Definitions{ledger: l, engine: e, byID: make(map[definitionID]Stored), watchers: make(map[*func(Change)]struct{})}
	if d.replica, err = l.follow(ctx, d.apply); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Definitions) apply(entry jetstream.KeyValueEntry) {
	id, ok := parseDefinitionKey(entry.Key())
	if !ok {
		return // a name
	}
	change := Change{Stored: Stored{Organization: id.organization, ID: id.id, Revision: entry.Revision()}, Deleted: true}
	if entry.Operation() == jetstream.KeyValuePut {
		stored, err := decodeStored(entry.Value(), entry.Revision())
		if err != nil {
			d.engine.log.Error("a stored definition can't be read: its last version stays", "id", id.id, "error", err)
			return
		}
		change = Change{Stored: stored}
	}
	d.notify.Lock()
	defer d.notify.Unlock()
	d.keep(id, change)
	for watcher := range d.watchers {
		(*watcher)(change)
	}
}

func (d *Definitions) keep(id definitionID, change Change) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if change.Deleted {
		delete(d.byID, id)
		return
	}
	d.byID[id] = change.Stored
}

func parseDefinitionKey(key string) (id definitionID, ok bool) {
	parts := strings.Split(key, ".")
	if len(parts) != 3 || parts[0] != "d" {
		return id, false
	}
	organization, err := untoken(parts[1])
	return definitionID{organization, parts[2]}, err == nil
}

func decodeStored(record []byte, revision uint64) (s Stored, err error) {
	if err := json.Unmarshal(record, &s); err != nil {
		return s, fmt.Errorf("queue: can't read a definition: %w", err)
	}
	s.Revision = revision
	return s, nil
}

// Get returns a definition as this node knows it, or ErrNotFound.
func (d *Definitions) Get(_ context.Context, organization, id string) (Stored, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	s, ok := d.byID[definitionID{organization, id}]
	if !ok {
		return Stored{}, ErrNotFound
	}
	return s, nil
}

// List returns the definitions of an organization as this node knows them, oldest first.
func (d *Definitions) List(_ context.Context, organization string) ([]Stored, error) {
	d.mu.RLock()
	all := slices.Collect(maps.Values(d.byID))
	d.mu.RUnlock()
	all = slices.DeleteFunc(all, func(s Stored) bool { return s.Organization != organization })
	slices.SortFunc(all, oldestFirst)
	return all, nil
}

func oldestFirst(a, b Stored) int {
	return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.Organization, b.Organization), cmp.Compare(a.ID, b.ID))
}

// Watch tells all definitions, that these were all, and then every change, until ctx
// ends. Create, Update and Delete of this node return after told returned, so it must not
// call them.
func (d *Definitions) Watch(ctx context.Context, told func(Change)) error {
	d.notify.Lock()
	d.mu.RLock()
	all := slices.SortedFunc(maps.Values(d.byID), oldestFirst)
	d.mu.RUnlock()
	for _, s := range all {
		told(Change{Stored: s})
	}
	told(Change{Complete: true})
	d.watchers[&told] = struct{}{}
	d.notify.Unlock()

	select {
	case <-ctx.Done():
	case <-d.engine.ctx.Done():
	}
	d.notify.Lock()
	defer d.notify.Unlock()
	delete(d.watchers, &told)
	return ctx.Err()
}

// Create stores a new definition: Organization, ID, Definition and UpdatedBy of s, the rest is
// filled in. The error is ErrTaken when the organization has its id or name already.
func (d *Definitions) Create(ctx context.Context, s Stored) (Stored, error) {
	if err := s.complete(); err != nil {
		return Stored{}, err
	}
	s.Version, s.CreatedAt = 1, s.UpdatedAt
	return d.write(ctx, func(ctx context.Context) (Stored, uint64, error) {
		record, revision, err := d.ledger.get(ctx, s.key())
		if err != nil {
			return Stored{}, 0, err
		}
		if record != nil {
			return Stored{}, 0, ErrTaken
		}
		return d.put(ctx, s, Stored{Revision: revision})
	})
}

// Update stores a new version of a definition: Organization, ID, Definition and UpdatedBy
// of s. With a revision the error is ErrStale unless the definition is at it; zero overwrites
// whatever is there.
func (d *Definitions) Update(ctx context.Context, s Stored, revision uint64) (Stored, error) {
	if err := s.complete(); err != nil {
		return Stored{}, err
	}
	return d.write(ctx, func(ctx context.Context) (Stored, uint64, error) {
		current, err := d.read(ctx, s.key(), revision)
		if err != nil {
			return Stored{}, 0, err
		}
		next := s
		next.Version, next.CreatedAt = current.Version+1, current.CreatedAt
		return d.put(ctx, next, current)
	})
}

// Delete removes a definition with all its versions, and frees its id and name. The
// revision is as for Update.
func (d *Definitions) Delete(ctx context.Context, organization, id string, revision uint64) error {
	if !word.MatchString(id) {
		return ErrNotFound
	}
	key := definitionID{organization, id}.key()
	_, err := d.write(ctx, func(ctx context.Context) (Stored, uint64, error) {
		current, err := d.read(ctx, key, revision)
		if err != nil {
			return Stored{}, 0, err
		}
		release, err := d.release(ctx, current)
		if err != nil {
			return Stored{}, 0, err
		}
		last, err := d.ledger.commit(ctx, append([]write{{key: key, revision: current.Revision}}, release...)...)
		return Stored{}, last, err
	})
	return err
}

// Versions returns the versions of a definition that are kept, newest first, or
// ErrNotFound.
func (d *Definitions) Versions(ctx context.Context, organization, id string) ([]Stored, error) {
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	if !word.MatchString(id) {
		return nil, ErrNotFound
	}
	entries, err := d.ledger.kv.History(ctx, definitionID{organization, id}.key())
	if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, fmt.Errorf("queue: can't read the versions: %w", err)
	}
	var versions []Stored
	for _, entry := range slices.Backward(entries) {
		if entry.Operation() != jetstream.KeyValuePut {
			break
		}
		s, err := decodeStored(entry.Value(), entry.Revision())
		if err != nil {
			return nil, err
		}
		versions = append(versions, s)
	}
	if versions == nil {
		return nil, ErrNotFound
	}
	return versions, nil
}

// write repeats an attempt while others write the same entries, and returns when this
// node's copy and its watchers have seen the outcome, up to a revision.
func (d *Definitions) write(ctx context.Context, attempt func(context.Context) (Stored, uint64, error)) (Stored, error) {
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	for {
		s, revision, err := attempt(ctx)
		if errors.Is(err, errConflict) && pause(ctx, rand.N(conflictPause)) {
			continue
		}
		if err != nil {
			return Stored{}, err
		}
		return s, d.replica.await(ctx, revision)
	}
}

// read returns the definition that a key holds, which has to be at the revision, unless that
// is zero.
func (d *Definitions) read(ctx context.Context, key string, revision uint64) (Stored, error) {
	record, at, err := d.ledger.get(ctx, key)
	if err != nil {
		return Stored{}, err
	}
	if record == nil {
		return Stored{}, ErrNotFound
	}
	if revision != 0 && revision != at {
		return Stored{}, ErrStale
	}
	return decodeStored(record, at)
}

// put writes a definition in the place of another one, or of none, and its name.
func (d *Definitions) put(ctx context.Context, s, current Stored) (Stored, uint64, error) {
	record, err := json.Marshal(s)
	if err != nil {
		return Stored{}, 0, fmt.Errorf("queue: %w", err)
	}
	put := write{key: s.key(), value: record, revision: current.Revision}
	if s.Name == current.Name {
		s.Revision, err = d.ledger.commit(ctx, put)
		return s, s.Revision, err
	}
	claim, err := d.claim(ctx, s)
	if err != nil {
		return Stored{}, 0, err
	}
	release, err := d.release(ctx, current)
	if err != nil {
		return Stored{}, 0, err
	}
	last, err := d.ledger.commit(ctx, append([]write{claim, put}, release...)...)
	s.Revision = last - uint64(len(release))
	return s, last, err
}

// claim is the write that takes the name of a definition, or ErrTaken. Whatever is read here
// still holds when the name is written, or else the name was written in between.
func (d *Definitions) claim(ctx context.Context, s Stored) (write, error) {
	key := nameKey(s.Organization, s.Name)
	owner, revision, err := d.ledger.get(ctx, key)
	if err != nil {
		return write{}, err
	}
	claim := write{key: key, value: []byte(s.ID), revision: revision}
	if owner == nil || string(owner) == s.ID {
		return claim, nil
	}
	other, err := d.read(ctx, definitionID{s.Organization, string(owner)}.key(), 0)
	if errors.Is(err, ErrNotFound) || err == nil && other.Name != s.Name {
		return claim, nil // left behind by a crash
	}
	if err == nil {
		err = ErrTaken
	}
	return write{}, err
}

// release is the write that frees the name of a definition, none if it has none or the name is
// another one's.
func (d *Definitions) release(ctx context.Context, s Stored) ([]write, error) {
	if s.Name == "" {
		return nil, nil
	}
	key := nameKey(s.Organization, s.Name)
	owner, revision, err := d.ledger.get(ctx, key)
	if err != nil || string(owner) != s.ID {
		return nil, err
	}
	return []write{{key: key, revision: revision}}, nil
}

// word is what ids and names consist of.
var word = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// complete checks what the store relies on, and fills in the name and the time.
func (s *Stored) complete() error {
	var named struct {
		Name string `json:"name"`
	}
	if err := strictjson.UnmarshalKnown(s.Definition, &named); err != nil {
		return fmt.Errorf("queue: the definition can't be read: %w", err)
	}
	if !word.MatchString(s.ID) || !word.MatchString(named.Name) {
		return errors.New("queue: a definition's id and name are 1 to 64 of the characters A-Z, a-z, 0-9, _ and -")
	}
	s.Name, s.UpdatedAt = named.Name, time.Now().UTC().Truncate(time.Millisecond)
	return nil
}

func (s *Stored) key() string { return definitionID{s.Organization, s.ID}.key() }
