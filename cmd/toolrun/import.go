package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/example"
	"github.com/almyty-inc/toolrun/internal/openapi"
	"github.com/almyty-inc/toolrun/runner"
)

func importCommand(c console) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Make definitions of an API's description",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown format %q: toolrun import openapi SPEC", args[0])
			}
			return errors.New("the format is missing: toolrun import openapi SPEC")
		},
	}
	cmd.AddCommand(importOpenAPICommand(c))
	return cmd
}

// importFlags are those of import openapi.
type importFlags struct {
	openapi.Options
	dir            string
	force, verbose bool
}

func importOpenAPICommand(c console) *cobra.Command {
	var f importFlags
	cmd := &cobra.Command{
		Use:   "openapi SPEC",
		Short: "Make a definition of each operation of an OpenAPI description",
		Long: `Make a definition of each operation in SPEC, a file (or - for stdin) with
OpenAPI 3.x or Swagger 2.0 in JSON or YAML, and write it to DIR/NAME.yaml.

A tool is named by operationId, or by method and path. Its parameters are the
operation's, and "body" is the request's body. Secrets are read from the
environment variables that the summary names. Defaults are told in descriptions
and not filled in: the API does that where a value is missing.

Every written definition is valid. What can't be imported is listed on stderr,
each with its place in SPEC and the reason.

Exit status: 0 all is imported or listed, 2 SPEC can't be read, a file is in the
way or the command line is wrong.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("one SPEC is needed: toolrun import openapi SPEC")
			}
			return importOpenAPI(cmd.Context(), c, args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.dir, "output", "o", "", "directory to write definitions to; it is made if it isn't there")
	flags.StringVar(&f.Server, "server", "", "base URL in place of the servers that SPEC names; may be an expression such as {{env.API_URL}}")
	flags.StringArrayVar(&f.Tags, "tag", nil, "import operations with this tag only; may be given more than once")
	flags.StringArrayVar(&f.Include, "include", nil, "import operations only whose name, operationId or path matches this pattern (* is any text, ? a character); may be given more than once")
	flags.BoolVar(&f.force, "force", false, "overwrite files that differ")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "list each operation, also where many have the same reason")
	return cmd
}

// maxImportTime is some hundred times what the largest known descriptions take.
const maxImportTime = 5 * time.Minute

func importOpenAPI(ctx context.Context, c console, spec string, f importFlags) error {
	if f.dir == "" {
		return errors.New("-o is missing: the directory to write to")
	}
	data, err := readSpec(c.in, spec)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, maxImportTime, fmt.Errorf("it takes longer than %v", maxImportTime))
	defer cancel()
	result, err := openapi.Import(ctx, data, f.Options)
	if err != nil {
		return fmt.Errorf("%s: %w", spec, err)
	}
	if result.Operations > 0 && result.Skipped == result.Operations {
		return fmt.Errorf("%s: none of its %s has such a tag, name or path", spec, plural(result.Operations, "operation", "operations"))
	}
	files, err := checkImported(ctx, result)
	if err != nil {
		return err
	}
	if err := writeImported(f.dir, files, f.force); err != nil {
		return err
	}
	printImported(c.err, spec, f, result, len(files))
	return nil
}

// readSpec reads a file, or stdin for -, a byte more than is taken at most.
func readSpec(stdin io.Reader, spec string) ([]byte, error) {
	in := stdin
	if spec != "-" {
		file, err := os.Open(spec)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }() // it is only read
		in = file
	}
	return io.ReadAll(io.LimitReader(in, openapi.MaxBytes+1))
}

// importedFile is a definition to be written.
type importedFile struct {
	name string
	data []byte
}

// checkImported runs every definition through the checks that loading one runs:
// what doesn't pass is left out, with the fault.
func checkImported(ctx context.Context, result *openapi.Result) ([]importedFile, error) {
	var files []importedFile
	var defs []*runner.Definition
	faults := map[string]string{} // by file
	for _, t := range result.Tools {
		file := importedFile{t.Name + ".yaml", openapi.YAML(t.Definition)}
		def, err := runner.Parse(file.name, file.data)
		if err == nil {
			err = example.Check([]*runner.Definition{def})
		}
		if err != nil {
			faults[file.name] = err.Error()
			continue
		}
		files, defs = append(files, file), append(defs, def)
	}
	r, err := runner.New(runner.Options{Tools: defs})
	if err == nil {
		err = r.Close(ctx)
	}
	if invalid, ok := errors.AsType[*errclass.APIError](err); ok {
		err = nil
		for _, fault := range invalid.Fields {
			name, _, _ := strings.Cut(fault.Message, ":")
			faults[name] = cmp.Or(faults[name], fault.Message)
		}
	}
	if err != nil {
		return nil, err
	}
	for _, t := range result.Tools {
		if fault := faults[t.Name+".yaml"]; fault != "" {
			result.LeftOut = append(result.LeftOut, openapi.Remark{Operation: t.Operation, Place: t.Place, Text: "makes a definition that isn't valid: " + fault})
		}
	}
	return slices.DeleteFunc(files, func(f importedFile) bool { return faults[f.name] != "" }), nil
}

// writeImported writes the files, or none where one would replace another. None
// leaves dir, whatever symbolic links lie there.
func writeImported(dir string, files []importedFile, force bool) error {
	if len(files) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range files {
		old, err := root.ReadFile(f.name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("%s is in the way: %w", filepath.Join(dir, f.name), err)
		case !force && !bytes.Equal(old, f.data):
			return fmt.Errorf("%s is there and differs: --force overwrites it", filepath.Join(dir, f.name))
		}
	}
	for _, f := range files {
		if err := root.WriteFile(f.name, f.data, 0o666); err != nil {
			return fmt.Errorf("%s can't be written: %w", filepath.Join(dir, f.name), err)
		}
	}
	return nil
}

// printImported says what became of the description.
func printImported(w io.Writer, spec string, f importFlags, result *openapi.Result, written int) {
	line := func(format string, args ...any) {
		fmt.Fprintln(w, example.Printable(fmt.Sprintf(format, args...)))
	}
	line("%s: %s, %d imported to %s, %d left out, %d not asked for",
		spec, plural(result.Operations, "operation", "operations"), written, f.dir, len(result.LeftOut), result.Skipped)
	printRemarks(line, "left out", result.LeftOut, f.verbose)
	printRemarks(line, "to know", result.Remarks, f.verbose)
	if len(result.Secrets) > 0 {
		line("put into the file for --env-file:")
	}
	for _, s := range result.Secrets {
		line("  %s=  (%s, sent to %s)", s.Name, s.Use, strings.Join(s.Servers, ", "))
	}
}

// maxListed is how many operations with the same remark are printed a line each;
// --verbose prints all.
const maxListed = 5

// printRemarks prints a line each, or where many have the same text one for all.
func printRemarks(line func(string, ...any), title string, remarks []openapi.Remark, verbose bool) {
	if len(remarks) > 0 {
		line("%s:", title)
	}
	same := map[string][]string{}
	for _, r := range remarks {
		same[r.Text] = append(same[r.Text], cmp.Or(r.Operation, r.Place))
	}
	for _, r := range remarks {
		names := same[r.Text]
		switch {
		case !verbose && len(names) > maxListed:
			line("  %s, %s and %d more (--verbose lists them): %s", names[0], names[1], len(names)-2, r.Text)
			same[r.Text] = []string{}
		case len(names) == 0: // said for all
		case r.Operation == "":
			line("  %s [%s]", r.Text, r.Place)
		default:
			line("  %s: %s [%s]", r.Operation, r.Text, r.Place)
		}
	}
}
