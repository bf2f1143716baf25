package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/almyty-inc/toolrun/internal/settings"
)

// healthcheckCommand asks a running service whether it is ready, for containers
// that have no shell and no curl. It finds the service by the variables and the file
// that the service itself is set by.
func healthcheckCommand(c console) *cobra.Command {
	var addr, certificate, file string
	var secure bool
	cmd := &cobra.Command{
		Use:    "healthcheck",
		Short:  "Ask the service on this machine whether it is ready",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := settings.Load(cmd.Flags(), file, os.Environ(), flagsOf(serveCommand(c)), flagsOf(workerCommand(c))); err != nil {
				return err
			}
			if err := askReady(cmd.Context(), addr, secure || certificate != ""); err != nil {
				fmt.Fprintln(c.err, "toolrun:", printable(err.Error()))
				return exit(exitFailed) // Docker has reserved 2
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&addr, "addr", "127.0.0.1:8080", "address of the service")
	flags.StringVar(&certificate, "tls-cert", "", "the service's certificate: with one, ask by TLS")
	flags.BoolVar(&secure, "tls", false, "ask by TLS")
	flags.StringVar(&file, "config", os.Getenv(settings.FileVariable), "the service's YAML file of flags")
	settings.CommandLineOnly(flags, "tls")
	return cmd
}

func askReady(ctx context.Context, addr string, secure bool) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	scheme := "http"
	if secure {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+reachable(addr)+"/readyz", nil)
	if err != nil {
		return err
	}
	// No proxy of the environment may answer in the service's place. The certificate
	// is for the service's name, and nothing is told but a status.
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // see above
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", resp.Status)
	}
	return nil
}

// reachable is an address to connect to for one that is listened on: loopback for all
// addresses.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
