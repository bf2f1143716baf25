package expression

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/almyty-inc/toolrun/errclass"
)

// Error is a fault of a text, found when it is compiled.
type Error struct {
	// Message is one line that says what to do.
	Message string
	// Offset is where in the text, in bytes from its start.
	Offset int
}

// Error is the message and the place.
func (e *Error) Error() string {
	return fmt.Sprintf("%s (at offset %d)", e.Message, e.Offset)
}

// fault is an evaluation that failed. It never quotes a value.
type fault string

func (f fault) Error() string { return string(f) }

// missing is an env or credential that is read and isn't there.
type missing string

func (m missing) Error() string { return string(m) + " is not set" }

// shown is a name as an error quotes it.
func shown(name string) string { return errclass.OneLine(name, 60) }

// didYouMean is a suggestion to append to a message, or nothing.
func didYouMean(name string, candidates []string) string {
	best, distance := "", max(1, min(3, utf8.RuneCountInString(name)/3))+1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := edits(strings.ToLower(name), strings.ToLower(c)); d < distance {
			best, distance = c, d
		}
	}
	if best == "" && len(name) >= 3 { // an abbreviation is far away in edits
		for _, c := range slices.Sorted(slices.Values(candidates)) {
			if strings.HasPrefix(strings.ToLower(c), strings.ToLower(name)) {
				best = c
				break
			}
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// edits is how many letters have to be inserted, deleted, replaced or swapped
// with the next to make b of a; names of more than 64 bytes count as far apart.
func edits(a, b string) int {
	const far = 64
	if len(a) > far || len(b) > far {
		return far
	}
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := rows[i-1][j-1]
			if x[i-1] != y[j-1] {
				cost++
			}
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				cost = min(cost, rows[i-2][j-2]+1)
			}
			rows[i][j] = min(cost, rows[i-1][j]+1, rows[i][j-1]+1)
		}
	}
	return rows[len(x)][len(y)]
}
