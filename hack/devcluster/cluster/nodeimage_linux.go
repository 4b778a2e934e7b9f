package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/keyward-dev/keyward/hack/devcluster/image"
)

// importImage gives containerd an image, from an archive or a program.
func importImage(ctx context.Context, socket, source string) error {
	archive, wait, err := openImage(source)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "ctr", "--address", socket, "--namespace", "k8s.io", "images", "import", "-")
	var output bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = archive, &output, &output
	err = cmd.Run()
	if written := wait(); written != nil {
		return fmt.Errorf("make the image %s: %w", source, written)
	}
	if err != nil {
		return fmt.Errorf("import %s: %w: %s", source, err, bytes.TrimSpace(output.Bytes()))
	}
	return nil
}

// openImage returns the archive, and a function that ends its making.
func openImage(source string) (archive io.Reader, wait func() error, err error) {
	name, program, made := strings.Cut(source, "=")
	if !made {
		file, err := os.Open(source)
		if err != nil {
			return nil, nil, err
		}
		return file, file.Close, nil
	}
	read, write := io.Pipe()
	result := make(chan error, 1)
	go func() {
		err := image.Write(write, name, program)
		_ = write.CloseWithError(err)
		result <- err
	}()
	return read, func() error {
		_ = read.Close() // the importer may have ended before it has read all
		if err := <-result; !errors.Is(err, io.ErrClosedPipe) {
			return err
		}
		return nil
	}, nil
}
