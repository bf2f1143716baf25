package main

import (
	"cmp"
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
// that have no shell and no curl. It finds the service by the variables that the
// service itself is set by.
func healthcheckCommand(console) *cobra.Command {
	var addr string
	var secure bool
	cmd := &cobra.Command{
		Use:    "healthcheck",
		Short:  "Ask the service on this machine whether it is ready",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
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
		},
	}
	cmd.Flags().StringVar(&addr, "addr", cmp.Or(os.Getenv(settings.Variable("addr")), "127.0.0.1:8080"), "address of the service")
	cmd.Flags().BoolVar(&secure, "tls", os.Getenv(settings.Variable("tls-cert")) != "", "ask by TLS")
	return cmd
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
