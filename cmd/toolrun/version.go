package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/spf13/cobra"

	"github.com/almyty-inc/toolrun/llmtool"
	"github.com/almyty-inc/toolrun/sandbox"
)

// version is set by release builds (-ldflags "-X main.version=v1.2.3"); others
// say what Go recorded.
var version string

// shownDependencies are the parts whose version explains a tool's behaviour.
var shownDependencies = []string{
	"github.com/dop251/goja", "github.com/evanw/esbuild", "github.com/sashabaranov/go-openai",
	"github.com/santhosh-tekuri/jsonschema/v6", "github.com/expr-lang/expr",
}

// versionName is the version of this binary.
func versionName() string {
	info, _ := debug.ReadBuildInfo()
	return versionOf(info)
}

func versionCommand(c console) *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			info, _ := debug.ReadBuildInfo()
			fmt.Fprintf(c.out, "toolrun %s %s %s/%s\n", versionOf(info), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			if !verbose {
				return
			}
			printIsolation(c)
			fmt.Fprintln(c.out, "list prices of models:", llmtool.PricesOf)
			if info == nil {
				return
			}
			for _, dep := range info.Deps {
				if slices.Contains(shownDependencies, dep.Path) {
					fmt.Fprintf(c.out, "%s %s\n", dep.Path, dep.Version)
				}
			}
		},
	}
	cmd.Flags().BoolVar(&verbose, "verbose", false, "also print isolation, the date of the price table and the versions of the engines")
	return cmd
}

// printIsolation starts a child process to see which walls it has here.
func printIsolation(c console) {
	pool, err := sandbox.New(sandbox.Options{})
	if err != nil {
		fmt.Fprintf(c.out, "isolation: inline only, for trusted code: %v\n", err)
		return
	}
	defer pool.Close()
	fmt.Fprintln(c.out, "isolation: process")
	for _, layer := range pool.Hardening() {
		fmt.Fprintln(c.out, "  "+layer.String())
	}
}

func versionOf(info *debug.BuildInfo) string {
	switch {
	case version != "":
		return version
	case info != nil && info.Main.Version != "":
		return info.Main.Version
	}
	return "(devel)"
}
