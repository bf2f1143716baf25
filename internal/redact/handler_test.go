package redact_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/redact"
)

var discard = slog.DiscardHandler

type config struct {
	Host string
	Key  *string
	URL  fmt.Stringer
}

type hidden struct{ s string }

func (h hidden) LogValue() slog.Value { return slog.StringValue(h.s) }

type panics struct{}

func (*panics) Error() string { panic("no") }

func TestHandler(t *testing.T) {
	const secret = "sk-live-0123456789"
	key := secret
	where := &url.URL{Scheme: "https", Host: "h", RawQuery: "k=" + secret}
	var plain, structured bytes.Buffer
	r := redact.New([]string{secret, "424242"})
	for _, h := range []slog.Handler{
		slog.NewTextHandler(&plain, &slog.HandlerOptions{Level: slog.LevelDebug}),
		slog.NewJSONHandler(&structured, nil),
	} {
		log := slog.New(r.Handler(h)).With("with", secret, slog.Group("g", "in", secret)).WithGroup("outer").With("w2", secret)
		log.InfoContext(t.Context(), "called with "+secret,
			"text", "a "+secret, "err", fmt.Errorf("call: %w", errors.New(secret)), "any", map[string]any{"k": []any{secret}},
			"struct", config{"h", &key, where}, "pointer", &config{Key: &key}, "bytes", []byte(secret), "valuer", hidden{secret}, "number", 424242,
			slog.Group("deep", slog.Group("er", "s", secret)), "url", where, "float", 1.5, "ok", true, "d", time.Second, "nil", nil)
	}
	for _, out := range []string{plain.String(), structured.String()} {
		require.NotContains(t, out, "0123456789")
		require.NotContains(t, out, "424242")
		require.Contains(t, out, "called with [redacted]")
	}
	require.Contains(t, structured.String(), `"outer":{"w2":"[redacted]"`)
	require.Contains(t, structured.String(), `"deep":{"er":{"s":"[redacted]"}}`)
	require.Contains(t, structured.String(), `"float":1.5,"ok":true,"d":1000000000,"nil":null`)
	require.Contains(t, structured.String(), `"err":"call: [redacted]"`)
}

func TestHandlerPassesOn(t *testing.T) {
	var out bytes.Buffer
	r := redact.New([]string{"sk-live-0123456789"})
	h := r.Handler(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}))
	require.False(t, h.Enabled(context.Background(), slog.LevelInfo))
	require.True(t, h.Enabled(context.Background(), slog.LevelError))

	slog.New(h).Error("constant", "any", map[string]int{"n": 1}, "bad", error(&panics{}))
	require.Contains(t, out.String(), `"any":{"n":1},"bad":"!PANIC"`)
}
