package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/access"
	"github.com/almyty-inc/toolrun/internal/queue"
)

// keysFlags are the flags of "toolrun keys" and its commands.
type keysFlags struct {
	storeFlags
	organization string
	asJSON       bool
}

func keysCommand(c console) *cobra.Command {
	var f keysFlags
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Create, list and revoke API keys",
		Long: `Create, list and revoke the API keys of a service, with --data of the service on
this machine, running or not, or with --nats of its cluster. What is done holds at
once on every node.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return errors.New("a command is missing: toolrun keys create, list or revoke")
		},
	}
	flags := cmd.PersistentFlags()
	f.storeFlags.register(flags)
	flags.StringVar(&f.organization, "organization", "", "whose keys; '*' is the service's own operator, who belongs to all")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	cmd.AddCommand(createKeyCommand(c, &f), listKeysCommand(c, &f), revokeKeyCommand(c, &f))
	return cmd
}

func createKeyCommand(c console, f *keysFlags) *cobra.Command {
	var key access.Key
	var role string
	var expires time.Duration
	cmd := &cobra.Command{
		Use:   "create --organization ORG --role ROLE --name NAME",
		Short: "Create an API key and print it, once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key.Organization, key.Role = f.organization, access.Role(role)
			if expires < 0 {
				return errors.New("--expires-in is negative")
			}
			if expires > 0 {
				key.ExpiresAt = time.Now().Add(expires).UTC().Truncate(time.Second)
			}
			made, secret, err := access.NewKey(key)
			if err != nil {
				return ofKey(err)
			}
			return f.open(cmd.Context(), func(keys *queue.Keys) error {
				if err := keys.Create(cmd.Context(), made); err != nil {
					return err
				}
				if !f.asJSON {
					fmt.Fprintf(c.err, "Key %s of %s, role %s. It is shown this once:\n", made.ID, printable(made.Organization), made.Role)
					fmt.Fprintln(c.out, secret)
					return nil
				}
				return printJSON(c.out, struct {
					access.Key
					Secret string `json:"key"`
					Hash   string `json:"hash,omitempty"`
				}{Key: made, Secret: secret})
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&key.Name, "name", "", "what the key is for")
	flags.StringVar(&role, "role", string(access.Member), "viewer (reads), member (executes) or admin (definitions, keys)")
	flags.StringSliceVar(&key.Tools, "tool", nil, "a tool, by id or name, that the key is for; may be given more than once; all without it")
	flags.IntVar(&key.RequestsPerMinute, "requests-per-minute", 0, "limit of the key; 0 means none")
	flags.DurationVar(&expires, "expires-in", 0, "how long the key holds, like 720h; 0 means for ever")
	return cmd
}

// ofKey is a fault of a key in the words of the flags.
func ofKey(err error) error {
	api, ok := errors.AsType[*errclass.APIError](err)
	if !ok || len(api.Fields) == 0 {
		return err
	}
	var faults []string
	for _, f := range api.Fields {
		name := strings.Split(strings.TrimPrefix(f.Field, "/"), "/")[0]
		name = map[string]string{"tools": "tool", "requestsPerMinute": "requests-per-minute", "expiresAt": "expires-in"}[name] + map[bool]string{true: name}[name == "name" || name == "organization" || name == "role"]
		faults = append(faults, "--"+name+" "+f.Message)
	}
	return errors.New(strings.Join(faults, "; "))
}

func listKeysCommand(c console, f *keysFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "list --organization ORG",
		Short: "List the API keys of an organization",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.organization == "" {
				return errors.New("--organization is missing: whose keys?")
			}
			return f.open(cmd.Context(), func(keys *queue.Keys) error {
				list, err := keys.List(cmd.Context(), f.organization)
				if err != nil {
					return err
				}
				for i := range list {
					list[i].Hash = ""
				}
				if f.asJSON {
					return printJSON(c.out, list)
				}
				table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
				fmt.Fprintln(table, "ID\tNAME\tROLE\tENDS WITH\tCREATED\tSTATE")
				for _, k := range list {
					fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, printable(k.Name), k.Role, k.Hint, k.CreatedAt.Format(time.RFC3339), keyState(k, time.Now()))
				}
				return table.Flush()
			})
		},
	}
}

func keyState(k access.Key, now time.Time) string {
	switch {
	case !k.RevokedAt.IsZero():
		return "revoked " + k.RevokedAt.Format(time.RFC3339)
	case k.ExpiresAt.IsZero():
		return "holds"
	case now.After(k.ExpiresAt):
		return "expired " + k.ExpiresAt.Format(time.RFC3339)
	}
	return "holds until " + k.ExpiresAt.Format(time.RFC3339)
}

func revokeKeyCommand(c console, f *keysFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID --organization ORG",
		Short: "Revoke an API key, at once and for good",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.organization == "" {
				return errors.New("--organization is missing: whose key is it?")
			}
			return f.open(cmd.Context(), func(keys *queue.Keys) error {
				key, err := keys.Revoke(cmd.Context(), f.organization, args[0])
				if errors.Is(err, queue.ErrNotFound) {
					return fmt.Errorf("organization %s has no key %s: toolrun keys list shows the ids", f.organization, args[0])
				}
				if err != nil {
					return err
				}
				key.Hash = ""
				if f.asJSON {
					return printJSON(c.out, key)
				}
				fmt.Fprintf(c.err, "Key %s is revoked.\n", key.ID)
				return nil
			})
		},
	}
}

// open hands the store's keys over for as long as use takes.
func (f *keysFlags) open(ctx context.Context, use func(*queue.Keys) error) (err error) {
	if f.data == "" && f.nats == "" {
		return errors.New("say which service: --data DIR of one on this machine, or --nats URL of its cluster")
	}
	opts, err := f.storeFlags.options(f.data != "", slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	engine, err := queue.Open(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	keys, err := engine.Keys(ctx)
	if err != nil {
		return err
	}
	return use(keys)
}

func printJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}
