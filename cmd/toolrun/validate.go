package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/example"
	"github.com/almyty-inc/toolrun/runner"
)

func validateCommand(c console) *cobra.Command {
	var f common
	cmd := &cobra.Command{
		Use:   "validate [PATH...]",
		Short: "Check definitions without running them",
		Long: `Check the definitions in PATH (a file or a directory, default the current
directory): shape, schemas, expressions, source code, providers. Every fault is
a line with file, line and column.

Exit status: 0 all are valid, 1 one is not, 2 the command line is wrong.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := validate(&f, args)
			if err != nil {
				return printFaults(c.err, err, exitFailed)
			}
			fmt.Fprintf(c.out, "%s valid\n", plural(n, "definition is", "definitions are"))
			return nil
		},
	}
	f.register(cmd.Flags())
	return cmd
}

// validate checks the definitions below paths and returns how many there are.
// Its error lists the faults of all of them.
func validate(f *common, paths []string) (int, error) {
	opts, err := f.options()
	if err != nil {
		return 0, err
	}
	var faults []errclass.FieldError
	opts.Tools, err = runner.Load(orCurrent(paths)...)
	if faults, err = addFaults(faults, err); err != nil {
		return 0, err
	}
	if faults, err = addFaults(faults, example.Check(opts.Tools)); err != nil {
		return 0, err
	}
	opts.Providers, err = f.loadProviders(orCurrent(paths)...)
	if faults, err = addFaults(faults, err); err != nil {
		return 0, err
	}
	r, err := runner.New(opts)
	if faults, err = addFaults(faults, err); err != nil {
		return 0, err
	}
	if len(faults) > 0 {
		return 0, &errclass.APIError{Code: errclass.CodeValidation, Fields: faults}
	}
	return len(opts.Tools), r.Close(context.Background())
}

// addFaults adds those that err lists; another error comes back.
func addFaults(faults []errclass.FieldError, err error) ([]errclass.FieldError, error) {
	invalid, ok := errors.AsType[*errclass.APIError](err)
	if !ok {
		return faults, err
	}
	if len(invalid.Fields) == 0 {
		return append(faults, errclass.FieldError{Message: invalid.Message}), nil
	}
	return append(faults, invalid.Fields...), nil
}

// printFaults writes the faults of definitions a line each and returns the exit
// code; another error is the command line's.
func printFaults(w io.Writer, err error, code exit) error {
	invalid, ok := errors.AsType[*errclass.APIError](err)
	if !ok {
		return err
	}
	for _, f := range invalid.Fields {
		if f.Field == "" {
			fmt.Fprintln(w, example.Printable(f.Message))
			continue
		}
		fmt.Fprintf(w, "%s [%s]\n", example.Printable(f.Message), example.Printable(f.Field))
	}
	if len(invalid.Fields) == 0 {
		fmt.Fprintln(w, example.Printable(invalid.Message))
	} else {
		fmt.Fprintln(w, plural(len(invalid.Fields), "fault", "faults"))
	}
	return code
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
