package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// service is a "toolrun serve" with a data directory of its own.
type service struct {
	binary, address, data string
	cmd                   *exec.Cmd
}

// start runs the binary and waits until it is ready.
func start(binary, dir, name string, flags ...string) (*service, error) {
	s := &service{binary: binary, data: filepath.Join(dir, name)}
	s.cmd = exec.Command(binary, append([]string{
		"serve", "--addr", "127.0.0.1:0", "--data", s.data, "--tools", filepath.Join(dir, "tools"), "--log-format", "json",
	}, flags...)...)
	log, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct{ Msg, Addr string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			s.address = line.Addr
			go tellFaults(lines)
			return s, s.awaitReady()
		}
		fmt.Fprintln(os.Stderr, lines.Text())
	}
	return nil, errors.Join(errors.New("the service didn't start"), s.cmd.Wait())
}

// tellFaults shows what the service warns of.
func tellFaults(lines *bufio.Scanner) {
	for lines.Scan() {
		if !strings.Contains(lines.Text(), `"level":"INFO"`) {
			fmt.Fprintln(os.Stderr, lines.Text())
		}
	}
}

func (s *service) awaitReady() error {
	for range 500 {
		response, err := http.Get("http://" + s.address + "/readyz")
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.New("the service isn't ready after 10 s")
}

func (s *service) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
}

// key makes an API key beside the running service.
func (s *service) key() (string, error) {
	out, err := exec.Command(s.binary, "keys", "create", "--data", s.data, "--organization", "acme", "--role", "member", "--name", "bench", "--json").Output()
	if err != nil {
		return "", err
	}
	secret := regexp.MustCompile(`ak_live_\w+`).Find(out)
	if secret == nil {
		return "", errors.New("toolrun keys create printed no key")
	}
	return string(secret), nil
}

// metric is the sum of a metric whose series begin with a prefix.
func (s *service) metric(prefix string) (float64, error) {
	response, err := http.Get("http://" + s.address + "/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for line := range strings.SplitSeq(string(text), "\n") {
		name, value, _ := strings.Cut(line, "} ")
		if !strings.HasPrefix(line, prefix) {
			continue
		}
		if value == "" {
			name, value, _ = strings.Cut(line, " ")
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", name, err)
		}
		sum += n
	}
	return sum, nil
}

// bytesKept is how large the data directory is.
func (s *service) bytesKept() int64 {
	var sum int64
	_ = filepath.WalkDir(s.data, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil // NATS just removed it
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

// usage is what a process and its children take.
type usage struct {
	cpu              time.Duration
	rss, childrenRSS int64
	children         int
}

// tick is the unit of times in /proc/PID/stat: USER_HZ, which is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// usageOf reads /proc.
func usageOf(pid int) (u usage, err error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return u, err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		id, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:]) // from field 3 of proc(5) on
		number := func(field int) int64 { n, _ := strconv.ParseInt(string(fields[field-3]), 10, 64); return n }
		switch {
		case id == pid:
			u.cpu += time.Duration(number(14)+number(15)+number(16)+number(17)) * tick // with children that have ended
			u.rss = number(24) * int64(os.Getpagesize())
		case number(4) == int64(pid):
			u.cpu += time.Duration(number(14)+number(15)) * tick
			u.childrenRSS += number(24) * int64(os.Getpagesize())
			u.children++
		}
	}
	if u.rss == 0 {
		return u, errors.New("the service has ended, or there is no /proc")
	}
	return u, nil
}

// settled is usageOf once the process does next to nothing: what it writes behind its
// answers belongs to them.
func settled(pid int) (usage, error) {
	last, err := usageOf(pid)
	for range 100 {
		if err != nil {
			return last, err
		}
		time.Sleep(50 * time.Millisecond)
		next, err := usageOf(pid)
		if err != nil || next.cpu-last.cpu <= tick {
			return next, err
		}
		last = next
	}
	return last, nil
}

// ownCPU is what this process has used.
func ownCPU() time.Duration {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
