package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMilliseconds(t *testing.T) {
	const wrong = "is not a positive duration: write 5s, 250ms or a number of milliseconds"
	for _, c := range []struct {
		text string
		want time.Duration
		err  string
	}{
		{"5s", 5 * time.Second, ""},
		{"250ms", 250 * time.Millisecond, ""},
		{"250", 250 * time.Millisecond, ""},
		{"9223372036853", 9223372036853 * time.Millisecond, ""},
		{"9223372036854", 9223372036854 * time.Millisecond, ""},
		{"9223372036855", 0, "9223372036855 is too long: at most 9223372036854 milliseconds"},
		{"18446744073710", 0, "18446744073710 is too long: at most 9223372036854 milliseconds"}, // overflowed to 448 µs
		{"99999999999999999999", 0, "99999999999999999999 is too long: at most 9223372036854 milliseconds"},
		{"-99999999999999999999", 0, `"-99999999999999999999" ` + wrong},
		{"0", 0, `"0" ` + wrong},
		{"-1", 0, `"-1" ` + wrong},
		{"-1s", 0, `"-1s" ` + wrong},
		{"9999999h", 0, `"9999999h" ` + wrong},
		{"", 0, `"" ` + wrong},
		{"soon", 0, `"soon" ` + wrong},
	} {
		var m milliseconds
		err := m.Set(c.text)
		if c.err != "" {
			require.EqualError(t, err, c.err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want, time.Duration(m))
	}
}

func TestLogsOfDurations(t *testing.T) {
	for format, want := range map[string]string{"json": `"duration":1.5}`, "text": "duration=1.5ms\n"} {
		var said strings.Builder
		log, err := (&nodeFlags{logLevel: "info", logFormat: format}).logger(console{err: &said})
		require.NoError(t, err)
		log.Info("done", slog.Duration("duration", 1500*time.Microsecond))
		require.Contains(t, said.String(), want)
	}
}

// Neither the listener nor the worker goes on alone when the other has broken down.
func TestTogether(t *testing.T) {
	broken := errors.New("broken")
	breaks := func(context.Context) error { return broken }
	waits := func(ctx context.Context) error { <-ctx.Done(); return nil }
	require.ErrorIs(t, together(t.Context(), waits, breaks), broken)
	require.ErrorIs(t, together(t.Context(), breaks, waits), broken)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	require.NoError(t, together(ctx, waits, waits))
	require.NoError(t, together(ctx, waits, func(context.Context) error { return nil })) // a front's
}
