package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/keyward-dev/keyward/hack/devcluster/node"
	"github.com/keyward-dev/keyward/hack/devcluster/pki"
)

const (
	// nodeStopTimeout is enough to stop all components in order.
	nodeStopTimeout = 40 * time.Second
	// insideReady is what the program in the namespaces says when the cluster can be used.
	insideReady = "ready"
	// pidFile has the process whose namespaces are the node's.
	pidFile = "node.pid"
)

// The program calls itself with these commands; Run and users do not.
const (
	commandInit    = "node-init"
	commandInside  = "node-inside"
	commandJanitor = "node-janitor"
)

// inside is what the program in the namespaces has to know.
type inside struct {
	Options   Options
	Node      NodeOptions
	Cgroup    string
	Listeners int
}

// CheckNode returns what is missing on this machine for a node.
func CheckNode() error { return node.Check() }

// RunWithNode is Run for a cluster that has a node, in namespaces of its own. What is reachable from the host is on 127.0.0.1.
func RunWithNode(ctx context.Context, opts Options, nodeOpts NodeOptions, ready func(server string)) (err error) {
	if err := node.Check(); err != nil {
		return err
	}
	if opts.DataDir, err = filepath.Abs(opts.DataDir); err != nil {
		return fmt.Errorf("resolve the data directory: %w", err)
	}
	if err := os.MkdirAll(opts.DataDir, 0o700); err != nil {
		return fmt.Errorf("create the data directory: %w", err)
	}
	unlock, err := lock(filepath.Join(opts.DataDir, "lock"))
	if err != nil {
		return err
	}
	defer unlock()
	if opts.Port, err = keptPort(ctx, filepath.Join(opts.DataDir, "host-port"), opts.Port); err != nil {
		return err
	}
	forwards := append([]ForwardOption{{Port: strconv.Itoa(opts.Port), Target: apiServerInside}}, nodeOpts.Forwards...)
	nodeOpts.Forwards = forwards
	listeners, err := listen(ctx, forwards)
	if err != nil {
		return err
	}
	defer closeAll(listeners)

	machine, lines, err := spawn(opts, nodeOpts, listeners)
	if err != nil {
		return err
	}
	closeAll(listeners) // those inside have their own descriptors
	ended := make(chan error, 1)
	go func() { ended <- machine.Wait() }()
	defer func() {
		machine.Stop(nodeStopTimeout)
		if stopped := <-ended; err == nil && ctx.Err() == nil {
			err = fmt.Errorf("the node ended: %w", stopped)
		}
		_ = os.Remove(filepath.Join(opts.DataDir, pidFile)) // nothing there to point to
	}()
	if err := os.WriteFile(filepath.Join(opts.DataDir, pidFile), []byte(strconv.Itoa(machine.Pid())), 0o600); err != nil {
		return err
	}
	select {
	case line := <-lines:
		if line != insideReady {
			return errors.New("the node did not start, see above")
		}
	case <-ctx.Done():
		return nil
	}
	server := "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(opts.Port))
	if err := writeAdminKubeconfig(opts, server); err != nil {
		return err
	}
	ready(server)
	select {
	case <-ctx.Done():
	case <-lines: // closed when the program inside ends
	}
	return nil
}

// spawn starts the program in namespaces. Its lines arrive in the channel.
func spawn(opts Options, nodeOpts NodeOptions, listeners []*os.File) (*node.Machine, <-chan string, error) {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(opts.DataDir))
	cgroup := fmt.Sprintf("devcluster-%x", hash.Sum64())
	config, err := json.Marshal(inside{Options: opts, Node: nodeOpts, Cgroup: cgroup, Listeners: len(listeners)})
	if err != nil {
		return nil, nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = write.Close() }() // those inside have their own descriptors
	machine, err := node.Spawn(node.Program{
		Command: []string{opts.Executable, commandInit, strconv.Itoa(len(listeners)), opts.Executable, commandInside, string(config)},
		Janitor: []string{opts.Executable, commandJanitor, cgroup},
		Cgroup:  cgroup,
		Stdout:  write,
		Files:   listeners,
	})
	if err != nil {
		_ = read.Close()
		return nil, nil, err
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(read); scanner.Scan(); {
			lines <- scanner.Text()
		}
		_ = read.Close()
	}()
	return machine, lines, nil
}

// NodeCommand runs one of the commands with which the program calls itself.
func NodeCommand(name string, args []string) (int, error) {
	switch {
	case name == commandInit && len(args) > 1:
		files, err := strconv.Atoi(args[0])
		if err != nil {
			return 1, err
		}
		return node.Init(args[1:], files)
	case name == commandInside && len(args) == 1:
		var config inside
		if err := json.Unmarshal([]byte(args[0]), &config); err != nil {
			return 1, err
		}
		return 0, config.run(os.Stdout)
	case name == commandJanitor && len(args) == 1:
		return 0, node.Clean(os.Stdin, args[0])
	}
	return 2, fmt.Errorf("unknown command %q", name)
}

// listen opens the ports of the host.
func listen(ctx context.Context, forwards []ForwardOption) (files []*os.File, err error) {
	for _, forward := range forwards {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", forward.Port))
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("forward port %s: %w", forward.Port, err)
		}
		file, err := listener.(*net.TCPListener).File()
		_ = listener.Close() // file is a duplicate
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("forward port %s: %w", forward.Port, err)
		}
		files = append(files, file)
	}
	return files, nil
}

func closeAll[C io.Closer](all []C) {
	for _, one := range all {
		_ = one.Close()
	}
}

// writeAdminKubeconfig writes the kubeconfig for the host, with the certificates that were issued inside.
func writeAdminKubeconfig(opts Options, server string) error {
	authority, err := pki.Open(filepath.Join(opts.DataDir, "pki"), time.Now)
	if err != nil {
		return err
	}
	admin, err := authority.Issue("admin", pki.Request{CommonName: "admin", Organizations: []string{"system:masters"}})
	if err != nil {
		return err
	}
	return writeKubeconfig(opts.Kubeconfig, server, authority.Cert(), admin, embedded)
}

// LoadImages imports images into the node of the cluster whose data is in dataDir. A source is an archive, or NAME=PROGRAM for an
// image with nothing but one static program.
func LoadImages(ctx context.Context, dataDir string, sources []string) error {
	text, err := os.ReadFile(filepath.Join(dataDir, pidFile))
	if err != nil {
		return fmt.Errorf("no cluster with a node runs in %s: %w", dataDir, err)
	}
	socket := filepath.Join("/proc", strings.TrimSpace(string(text)), "root", containerdSocket)
	for _, source := range sources {
		if err := importImage(ctx, socket, source); err != nil {
			return err
		}
	}
	return nil
}
