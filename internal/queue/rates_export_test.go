package queue

import "time"

// SetNow replaces the clock.
func (r *Rates) SetNow(now func() time.Time) { r.now = now }
