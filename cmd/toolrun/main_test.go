package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/almyty-inc/toolrun/sandbox"
)

// The test binary is its own toolrun: scripts and tests run it as a child.
// Leaks of goroutines are checked in the packages that start some; a command's
// end with its process.
func TestMain(m *testing.M) {
	sandbox.Init()
	testscript.Main(m, map[string]func(){"toolrun": func() { os.Exit(Main()) }})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true})
}
