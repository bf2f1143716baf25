package queue

import "time"

// SetNow replaces the clock.
func (r *Rates) SetNow(now func() time.Time) { r.now = now }

// NameKey is the key in the bucket of definitions that holds a name.
func NameKey(organization, name string) string { return nameKey(organization, name) }
