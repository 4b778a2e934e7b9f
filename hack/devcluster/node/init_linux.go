package node

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Init is what process 1 of the namespaces does: it runs a program, with its own standard files and the given number of further
// descriptors, passes signals on to it, and collects all processes that have lost their parents, like the shims of
// containers. It returns the exit code when the program has ended; with process 1 all others end.
func Init(command []string, files int) (int, error) {
	if os.Getpid() != 1 {
		return 0, errors.New("this is not the first process of its namespace: devcluster up --node starts it")
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)

	attributes := &syscall.ProcAttr{Env: os.Environ()}
	for descriptor := range 3 + files {
		attributes.Files = append(attributes.Files, uintptr(descriptor))
	}
	program, err := syscall.ForkExec(command[0], command, attributes)
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", command[0], err)
	}
	go func() {
		for received := range signals {
			_ = syscall.Kill(program, received.(syscall.Signal)) // fails only when it has already ended
		}
	}()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for processes: %w", err)
		case pid == program && status.Signaled():
			return 128 + int(status.Signal()), nil
		case pid == program && status.Exited():
			return status.ExitStatus(), nil
		}
	}
}
