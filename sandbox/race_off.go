//go:build !race

package sandbox

// shadowFactor is how much more memory the process needs than the program.
const shadowFactor = 1
