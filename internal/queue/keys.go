package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/almyty-inc/toolrun/internal/access"
)

const keysBucket = "toolrun_keys"

// Keys holds the API keys. Each node has them all in memory, so that none is looked up over the
// network, and a watch brings what other nodes write. While a node is cut off from NATS it
// goes by what it knew; [Engine.Ready] tells.
type Keys struct {
	ledger  *ledger
	replica *replica
	engine  *Engine

	mu     sync.RWMutex
	byHash map[string]access.Key
	byID   map[keyID]access.Key
}

type keyID struct{ organization, id string }

func (id keyID) String() string { return token(id.organization) + "." + token(id.id) }

// Keys opens the store, and returns when this node knows all keys.
func (e *Engine) Keys(ctx context.Context) (*Keys, error) {
	l, err := e.ledger(ctx, keysBucket, 1)
	if err != nil {
		return nil, err
	}
	k := &Keys{ledger: l, engine: e, byHash: make(map[string]access.Key), byID: make(map[keyID]access.Key)}
	if k.replica, err = l.follow(ctx, k.apply); err != nil {
		return nil, err
	}
	return k, nil
}

// apply distrusts what is stored: a record that can't be read, or isn't that of its own
// key, opens nothing.
func (k *Keys) apply(entry jetstream.KeyValueEntry) {
	var key access.Key
	if entry.Operation() != jetstream.KeyValuePut {
		return // keys are never removed
	}
	err := json.Unmarshal(entry.Value(), &key)
	id := keyID{key.Organization, key.ID}
	if err != nil || key.Hash == "" || id.String() != entry.Key() {
		k.engine.log.Error("an API key can't be read", "key", entry.Key())
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.byHash, k.byID[id].Hash)
	k.byHash[key.Hash], k.byID[id] = key, key
}

// KeyByHash finds the key whose secret has a hash, revoked ones too.
func (k *Keys) KeyByHash(hash string) (access.Key, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	key, ok := k.byHash[hash]
	return key, ok
}

// List returns the keys of an organization, also revoked ones, oldest first.
func (k *Keys) List(_ context.Context, organization string) ([]access.Key, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	keys := slices.Collect(maps.Values(k.byID))
	keys = slices.DeleteFunc(keys, func(key access.Key) bool { return key.Organization != organization })
	slices.SortFunc(keys, func(a, b access.Key) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return keys, nil
}

// Create stores a new key. It holds on this node when Create returns.
func (k *Keys) Create(ctx context.Context, key access.Key) error {
	if key.Hash == "" || key.ID == "" || key.Organization == "" {
		return errors.New("queue: a key needs an id, an organization and a hash")
	}
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	record, err := json.Marshal(key)
	if err != nil {
		return fmt.Errorf("queue: %w", err)
	}
	revision, err := k.ledger.commit(ctx, write{key: keyID{key.Organization, key.ID}.String(), value: record})
	if errors.Is(err, errConflict) {
		return ErrTaken // keys are never removed
	}
	if err != nil {
		return err
	}
	return k.replica.await(ctx, revision)
}

// Revoke ends a key, for this node when Revoke returns, for others as soon as they hear of it.
// One that is revoked already stays as it is.
func (k *Keys) Revoke(ctx context.Context, organization, id string) (access.Key, error) {
	ctx, cancel := context.WithTimeout(ctx, writePatience)
	defer cancel()
	for {
		key, revision, err := k.revoke(ctx, keyID{organization, id})
		if errors.Is(err, errConflict) && pause(ctx, rand.N(conflictPause)) {
			continue // somebody else wrote it: look again
		}
		if err != nil {
			return access.Key{}, err
		}
		return key, k.replica.await(ctx, revision)
	}
}

func (k *Keys) revoke(ctx context.Context, id keyID) (key access.Key, revision uint64, err error) {
	record, revision, err := k.ledger.get(ctx, id.String())
	if err != nil {
		return key, 0, err
	}
	if record == nil {
		return key, 0, ErrNotFound
	}
	if err := json.Unmarshal(record, &key); err != nil {
		return key, 0, fmt.Errorf("queue: can't read the key: %w", err)
	}
	if !key.RevokedAt.IsZero() {
		return key, revision, nil
	}
	key.RevokedAt = time.Now().UTC().Truncate(time.Millisecond)
	if record, err = json.Marshal(key); err != nil {
		return key, 0, fmt.Errorf("queue: %w", err)
	}
	revision, err = k.ledger.commit(ctx, write{key: id.String(), value: record, revision: revision})
	return key, revision, err
}
