//go:build race

package sandbox_test

// underRace reports that host and children run under the race detector, which
// makes them some ten times slower and larger.
const underRace = true
