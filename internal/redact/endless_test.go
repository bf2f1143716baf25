package redact_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/redact"
)

// A secret that repeats itself and a text that repeats it would take a step for
// each pair of their bytes. Such a text is given up and goes as a whole.
func TestEndlessSearchIsGivenUp(t *testing.T) {
	repeating := []string{strings.Repeat("a", 4000) + "b", strings.Repeat(`\\`, 300) + "x", strings.Repeat("%", 300) + "x"}
	for _, piece := range []string{"a%61", "a\\u0061"} {
		text := strings.Repeat(piece, 64<<10/len(piece))
		require.Equal(t, redact.Marker, redact.New(repeating).String(text), piece)
	}
	for _, piece := range []string{"%", "\\", "+", "a…", "\\\\u0061"} { // whatever comes out, it comes
		_ = redact.New(repeating).String(strings.Repeat(piece, 16<<10/len(piece)))
	}
}

// Ordinary secrets never exhaust the search, whatever the text is made of.
func TestOrdinarySearchIsNotGivenUp(t *testing.T) {
	var values []string
	for i := range 60 {
		values = append(values, "sk-live-"+strings.Repeat(string(rune('A'+i%26)), i+4)+"8aF3kQz71LmP")
	}
	r := redact.New(values)
	for _, piece := range []string{"%", "\\", "+", "s%", "sk-live-", "\\u", "\\\\u0073k", "%73k", "s…", "c2st", "s\\", "sk-l", "sk%2D"} {
		text := strings.Repeat(piece, 64<<10/len(piece))
		require.Equal(t, text, r.String(text), piece)
	}
}
