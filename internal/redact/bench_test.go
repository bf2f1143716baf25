package redact_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/almyty-inc/toolrun/internal/redact"
)

func BenchmarkString(b *testing.B) {
	var values []string
	for i := range 30 {
		values = append(values, fmt.Sprintf("sk-live-%02d-8aF3kQz71LmP", i), fmt.Sprintf("https://host-%d.example.com/path", i))
	}
	innocent := strings.Repeat("Connection to upstream failed: 503 Service Unavailable, see https://status.example.org/. ", 6)[:500]
	guilty := innocent[:250] + values[17] + innocent[250:]
	r := redact.New(values)
	b.Run("no match", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = r.String(innocent)
		}
	})
	b.Run("match", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = r.String(guilty)
		}
	})
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = redact.New(values)
		}
	})
}
