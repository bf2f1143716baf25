package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

// What the parts can do for themselves is tested with them; this is the command that puts
// them together: TLS, tokens, the configuration's file and environment, and a caller's trace
// that goes on to the upstream, also of an execution that waits.
func TestServeIsWired(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Header.Get("Traceparent"))
	}))
	defer upstream.Close()
	var exported atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			exported.Add(1)
		}
	}))
	defer collector.Close()

	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	certificate, key := selfSigned(t)
	secret := strings.Repeat("s", 40)
	config := write("toolrun.yaml", fmt.Sprintf("tls-cert: %s\ntls-key: %s\njwt-secret-file: %s\notlp-endpoint: %s\nallow: [%s]\n",
		write("cert.pem", certificate), write("key.pem", key), write("secret", secret+"\n"), collector.URL, upstream.Listener.Addr()))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "tools"), 0o755))
	write("tools/trace.yaml", "name: trace\ntype: http\nexecutionConfig: {url: '"+upstream.URL+"'}\n")
	t.Setenv("TOOLRUN_TOOLS", filepath.Join(dir, "tools"))
	cmd, base := startServe(t, "--config", config, "--data", filepath.Join(dir, "data"))
	base = strings.Replace(base, "http:", "https:", 1)

	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM([]byte(certificate)))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"sub": "ada", "iss": "almyty", "aud": "almyty-api", "exp": time.Now().Add(time.Hour).Unix(), "organizationId": "acme", "role": "member",
	}).SignedString([]byte(secret))
	require.NoError(t, err)
	ask := func(method, path string, header ...string) (int, string, http.Header) {
		request, err := http.NewRequestWithContext(t.Context(), method, base+path, nil)
		require.NoError(t, err)
		for i := 0; i < len(header); i += 2 {
			request.Header.Set(header[i], header[i+1])
		}
		response, err := client.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return response.StatusCode, string(body), response.Header
	}
	authorized := []string{"Authorization", "Bearer " + token}
	traced := append(authorized, "Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")

	status, body, _ := ask("POST", "/tools/trace/execute")
	require.Equal(t, http.StatusUnauthorized, status, body)
	status, body, _ = ask("POST", "/tools/trace/execute", traced...)
	require.Equal(t, http.StatusOK, status, body)
	require.Contains(t, body, "00-"+trace+"-", "the trace goes on")
	require.NotContains(t, body, "00f067aa0ba902b7", "with a span of its own")

	status, body, header := ask("POST", "/tools/trace/execute?mode=async", traced...)
	require.Equal(t, http.StatusAccepted, status, body)
	require.Eventually(t, func() bool {
		_, body, _ = ask("GET", header.Get("Location"), authorized...)
		return strings.Contains(body, `"state":"done"`)
	}, 30*time.Second, 10*time.Millisecond)
	require.Contains(t, body, "00-"+trace+"-", "also to a worker")

	// The container's probe finds the service by its variables.
	path, err := exec.LookPath("toolrun")
	require.NoError(t, err)
	probe := exec.CommandContext(t.Context(), path, "healthcheck")
	_, port, err := net.SplitHostPort(strings.TrimPrefix(base, "https://"))
	require.NoError(t, err)
	probe.Env = append(os.Environ(), "TOOLRUN_ADDR=:"+port, "TOOLRUN_TLS_CERT=x")
	said, err := probe.CombinedOutput()
	require.NoError(t, err, string(said))

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
	require.Positive(t, exported.Load(), "what waits is sent before the end")
}

// selfSigned makes a certificate for 127.0.0.1 and its key.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
}
