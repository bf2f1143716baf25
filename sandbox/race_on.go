//go:build race

package sandbox

// shadowFactor makes room for the race detector's own books, which it keeps of
// every byte.
const shadowFactor = 8
