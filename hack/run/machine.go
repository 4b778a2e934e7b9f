package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Ports on 127.0.0.1.
const (
	proxyPort   = 8080
	httpPort    = 8081
	grpcPort    = 8082
	adminPort   = 8083
	webhookPort = 9443
	syncPort    = 9444
	metricsPort = 9445
	healthPort  = 9446

	consolePort       = 8443
	consoleHealthPort = 8444
)

// allPorts are those of everything that runs beside the cluster.
var allPorts = []int{proxyPort, httpPort, grpcPort, adminPort, webhookPort, syncPort, metricsPort, healthPort, consolePort, consoleHealthPort}

func localAddress(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func localURL(port int) string { return "http://" + localAddress(port) }

// checkTools looks for the programs that are needed.
func checkTools(root string) error {
	for _, name := range []string{"devcluster", "envtest/kubectl", "keyward-manager", "keyward-validator", "keyward-console"} {
		if _, err := os.Stat(filepath.Join(root, "bin", name)); err != nil {
			return fmt.Errorf("bin/%s is missing: use make run, which builds it", name)
		}
	}
	if _, err := exec.LookPath("curl"); err != nil {
		return fmt.Errorf("curl is missing, and the instructions that are printed in the end need it: install curl")
	}
	return nil
}

// checkPorts makes sure that the ports are free, before anything is started.
func checkPorts(ctx context.Context, wanted []int) error {
	var taken []string
	for _, port := range wanted {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", localAddress(port))
		if err != nil {
			taken = append(taken, strconv.Itoa(port))
			continue
		}
		_ = listener.Close()
	}
	switch len(taken) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("port %s on 127.0.0.1 is in use: end the program that uses it and try again", taken[0])
	default:
		return fmt.Errorf("ports %s on 127.0.0.1 are in use: end the programs that use them (another make run?) and try again",
			strings.Join(taken, ", "))
	}
}
