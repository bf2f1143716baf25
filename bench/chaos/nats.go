//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// natsVariable makes this program a NATS server; its value is a natsConfig.
const natsVariable = "TOOLRUN_CHAOS_NATS"

type natsConfig struct {
	Name                   string
	Dir                    string
	Client, Route, Monitor int // ports
	Routes                 []int
}

// beNATS is a NATS server until a signal, where this process was started to be one.
func beNATS() bool {
	text := os.Getenv(natsVariable)
	if text == "" {
		return false
	}
	var cfg natsConfig
	if err := json.Unmarshal([]byte(text), &cfg); err != nil {
		fatal(err)
	}
	opts := &server.Options{
		ServerName: cfg.Name, Host: loopback, Port: cfg.Client, HTTPHost: loopback, HTTPPort: cfg.Monitor, NoSigs: true,
		Cluster:   server.ClusterOpts{Name: "chaos", Host: loopback, Port: cfg.Route},
		JetStream: true, StoreDir: cfg.Dir, JetStreamMaxMemory: 1 << 28, JetStreamMaxStore: 4 << 30,
		MaxPayload: 12 << 20,
	}
	for _, port := range cfg.Routes {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats", Host: address(port)})
	}
	s, err := server.NewServer(opts)
	if err != nil {
		fatal(err)
	}
	s.ConfigureLogger()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go s.Start()
	<-stop
	s.Shutdown()
	s.WaitForShutdown()
	return true
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "nats:", err)
	os.Exit(1)
}

const loopback = "127.0.0.1"

func address(port int) string { return fmt.Sprintf("%s:%d", loopback, port) }

// natsNode is one server of the cluster.
type natsNode struct {
	*process
	cfg natsConfig
}

// natsNodes prepares a cluster of three; its URL names all of them.
func natsNodes(ports []int, dir string) (nodes []*natsNode, clusterURL string, err error) {
	executable, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	var urls []string
	for i := range 3 {
		cfg := natsConfig{
			Name: fmt.Sprint("n", i+1), Client: ports[i], Route: ports[3+i], Monitor: ports[6+i], Routes: ports[3:6],
		}
		cfg.Dir = filepath.Join(dir, cfg.Name)
		text, err := json.Marshal(cfg)
		if err != nil {
			return nil, "", err
		}
		n := &natsNode{cfg: cfg, process: &process{
			name: "nats-" + cfg.Name, path: executable, env: func(int) []string { return []string{natsVariable + "=" + string(text)} },
			log: filepath.Join(dir, cfg.Name+".log"),
		}}
		n.healthy = n.isHealthy
		nodes = append(nodes, n)
		urls = append(urls, "nats://"+address(cfg.Client))
	}
	return nodes, strings.Join(urls, ","), nil
}

// isHealthy says that the server has all that the others have.
func (n *natsNode) isHealthy(ctx context.Context) bool {
	return answers(ctx, "http://"+address(n.cfg.Monitor)+"/healthz", `"ok"`)
}

var probes = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// answers reports whether a GET gets 200 and a text.
func answers(ctx context.Context, url, text string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := probes.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK && strings.Contains(body.String(), text)
}

// freePorts are ports that nobody had a moment ago. They are fixed, because whoever
// comes back must be where he was.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", address(0))
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
