package telemetry_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/almyty-inc/toolrun/internal/telemetry"
	"github.com/almyty-inc/toolrun/runner"
)

// What an execution pays for being watched.
func BenchmarkBegin(b *testing.B) {
	for name, opts := range map[string]telemetry.Options{
		"metrics":           {},
		"traces":            {Endpoint: "http://127.0.0.1:9", Flush: time.Hour},
		"traces-unrecorded": {Endpoint: "http://127.0.0.1:9", Ratio: -1},
	} {
		b.Run(name, func(b *testing.B) {
			tel, err := telemetry.New(opts)
			require.NoError(b, err)
			result := &runner.Result{Duration: time.Millisecond}
			b.ReportAllocs()
			for b.Loop() {
				_, ended := tel.Begin(b.Context(), runner.Execution{ID: "x", Tool: "t", Organization: "o", Type: runner.HTTP})
				ended(result, nil)
			}
			b.StopTimer()
			require.NoError(b, tel.Shutdown(b.Context()))
		})
	}
}
