//go:build unix

package main

import (
	"context"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if beNATS() { // the servers are this binary
		return
	}
	os.Exit(m.Run())
}

// Nothing is lost and nothing ends twice while processes die. It takes a minute
// and both cores, so it has to be asked for.
func TestChaos(t *testing.T) {
	if os.Getenv("TOOLRUN_CHAOS") == "" {
		t.Skip("TOOLRUN_CHAOS isn't set")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	violations, err := run(ctx, options{
		executions: 1000, clients: 60, seed: uint64(time.Now().UnixNano()), lease: 3 * time.Second, patience: 4 * time.Minute, out: t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	if violations > 0 {
		t.Fatalf("%d violations", violations)
	}
}
