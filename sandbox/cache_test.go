package sandbox

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCacheIsBounded(t *testing.T) {
	var c cache
	put := func(src Source) { c.put(src.key(), len(src.Code), &program{}) }
	get := func(src Source) *program { return c.get(src.key()) }
	for i := range cacheEntries + 1 {
		put(Source{Code: fmt.Sprint(i)})
		get(Source{Code: "0"}) // stays the most recent
	}
	require.Len(t, c.entries, cacheEntries)
	require.NotNil(t, get(Source{Code: "0"}))
	require.Nil(t, get(Source{Code: "1"}), "the least recently used goes")
	require.Nil(t, get(Source{Name: "other", Code: "0"}), "the name belongs to the key")
	require.NotEqual(t, Source{Name: "a", Code: "b"}.key(), Source{Code: "ab"}.key())

	for i := range 10 {
		put(Source{Code: fmt.Sprint(i) + strings.Repeat(" ", 1<<20)})
	}
	require.LessOrEqual(t, c.bytes, cacheBytes)
	require.Equal(t, len(c.entries), c.recent.Len())

	put(Source{Code: strings.Repeat(" ", cacheBytes)})
	require.LessOrEqual(t, c.bytes, cacheBytes, "what is too large isn't kept")
}

func TestPositions(t *testing.T) {
	cases := []struct {
		text         string
		offset       int
		line, column int
	}{
		{"", 0, 1, 1}, {"abc", 2, 1, 3}, {"a\nb", 2, 2, 1}, {"a\r\nb", 3, 2, 1}, {"a\rb", 2, 2, 1},
		{"a\u2028b", 4, 2, 1}, {"é😀x", 6, 1, 4}, {"a\n", 2, 2, 1}, {"\xff\xffx", 2, 1, 3},
	}
	for _, c := range cases {
		require.Equal(t, position{line: c.line, column: c.column}, positionAt(c.text, c.offset), "%q", c.text)
	}
}
