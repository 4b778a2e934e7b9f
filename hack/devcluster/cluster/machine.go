package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lock makes this process the only user of a data directory: a second etcd on the same data would
// silently wait for the first to end.
func lock(path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another devcluster is running in %s", filepath.Dir(path))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = file.Close() }, nil
}

// keptPort returns the wanted port, or else the one that is stored in path if it is free, or else any free port. It stores
// the port, so that kubeconfigs stay valid across restarts.
func keptPort(ctx context.Context, path string, wanted int) (int, error) {
	port := wanted
	switch {
	case wanted > 0:
		if !free(ctx, wanted) {
			return 0, fmt.Errorf("port %d on 127.0.0.1 is taken", wanted)
		}
	default:
		var err error
		if port, err = remembered(path); err != nil {
			return 0, err
		}
		if port == 0 || !free(ctx, port) {
			if port, err = freePort(ctx); err != nil {
				return 0, err
			}
		}
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(port)+"\n"), 0o600); err != nil {
		return 0, fmt.Errorf("remember the port: %w", err)
	}
	return port, nil
}

func remembered(path string) (int, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the last port: %w", err)
	}
	if port, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil {
		return port, nil
	}
	return 0, nil // a damaged file is as good as none
}

func free(ctx context.Context, port int) bool {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	_ = listener.Close()
	return true
}

// The system uses none of these ports for outgoing connections (net.ipv4.ip_local_port_range), and Kubernetes none for node
// ports. From an ephemeral port, whoever waits for etcd could connect to itself: TCP allows that if nobody listens yet.
const (
	firstPort = 12_000
	lastPort  = 30_000

	portAttempts = 100
)

// freePort returns a port that is free, and stays free until somebody asks for it by its number.
func freePort(ctx context.Context) (int, error) {
	for range portAttempts {
		if port := firstPort + rand.IntN(lastPort-firstPort); free(ctx, port) {
			return port, nil
		}
	}
	return 0, errors.New("find a free port: all that were tried are taken")
}

// tail returns the last lines of a log, for an error message.
func tail(path string) string {
	const lines = 10
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}
