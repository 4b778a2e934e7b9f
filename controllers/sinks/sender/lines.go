package sender

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/keyward-dev/keyward/controllers/sinks"
)

// lines returns a line for each record.
func lines(records []sinks.Record) ([]byte, error) {
	var all bytes.Buffer
	for _, record := range records {
		if err := json.Compact(&all, record.Body); err != nil { // without line breaks
			return nil, &sinks.Failure{Reason: sinks.ReasonRefused, Err: fmt.Errorf("the event is not JSON: %w", err)}
		}
		all.WriteByte('\n')
	}
	return all.Bytes(), nil
}

// stream writes lines to the standard output.
type stream struct{ to io.Writer }

// Send implements sinks.Sender.
func (s *stream) Send(_ context.Context, records []sinks.Record) (rejected int, err error) {
	text, err := lines(records)
	if err != nil {
		return 0, err
	}
	if _, err := s.to.Write(text); err != nil {
		return 0, &sinks.Failure{Reason: sinks.ReasonFile, Err: fmt.Errorf("writing events: %w", err)}
	}
	return 0, nil
}

// Close implements sinks.Sender.
func (s *stream) Close() {}

// file appends lines to a file. A line that was not written to its end, because the process or the machine has crashed, is cut off.
type file struct {
	path        string
	rotateBytes int64
	keep        int

	open *os.File // nil before the first write, and after one that has failed
	size int64    // all lines that are known to be written
}

// Send implements sinks.Sender.
func (f *file) Send(_ context.Context, records []sinks.Record) (rejected int, err error) {
	text, err := lines(records)
	if err != nil {
		return 0, err
	}
	if err := f.append(text); err != nil {
		f.Close() // what is half written is cut off when it is opened again
		return 0, &sinks.Failure{Reason: sinks.ReasonFile, Err: err}
	}
	return 0, nil
}

func (f *file) append(text []byte) error {
	if f.open == nil {
		if err := f.openFile(); err != nil {
			return err
		}
	}
	if f.size > 0 && f.size+int64(len(text)) > f.rotateBytes {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	_, err := f.open.Write(text)
	if err == nil {
		err = f.open.Sync()
	}
	if err != nil {
		// All of it is written again. What of it is in the file would be there twice; that it cannot be cut off is no other error.
		_ = f.open.Truncate(f.size)
		return fmt.Errorf("writing events: %w", err)
	}
	f.size += int64(len(text))
	return nil
}

// openFile opens the file, and cuts off a line that does not end.
func (f *file) openFile() error {
	// A pipe without a reader must not block.
	opened, err := os.OpenFile(f.path, os.O_RDWR|os.O_CREATE|os.O_APPEND|nonBlocking, 0o600)
	if err != nil {
		return fmt.Errorf("opening the file of events: %w", err)
	}
	size, err := prepare(opened)
	if err == nil {
		err = syncDir(f.path)
	}
	if err != nil {
		_ = opened.Close()
		return err
	}
	f.open, f.size = opened, size
	return nil
}

func prepare(opened *os.File) (size int64, err error) {
	info, err := opened.Stat()
	if err != nil {
		return 0, fmt.Errorf("opening the file of events: %w", err)
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("opening the file of events: %s is not a regular file", opened.Name())
	}
	// An earlier leader may still be writing, if both have the same volume.
	if err := lock(opened); err != nil {
		return 0, fmt.Errorf("locking the file of events, which another process may write: %w", err)
	}
	size, err = endOfLines(opened, info.Size())
	if err == nil && size < info.Size() {
		if err = opened.Truncate(size); err == nil {
			err = opened.Sync()
		}
	}
	if err != nil {
		return 0, fmt.Errorf("cutting off a line that does not end: %w", err)
	}
	return size, nil
}

// endOfLines returns the offset after the last line break.
func endOfLines(opened io.ReaderAt, size int64) (int64, error) {
	block := make([]byte, 64<<10)
	for end := size; end > 0; {
		begin := max(end-int64(len(block)), 0)
		part := block[:end-begin]
		if _, err := opened.ReadAt(part, begin); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if at := bytes.LastIndexByte(part, '\n'); at >= 0 {
			return begin + int64(at) + 1, nil
		}
		end = begin
	}
	return 0, nil
}

// rotate renames the file and those before it, the oldest first: a crash in between loses no file but the oldest.
func (f *file) rotate() error {
	f.Close()
	name := func(n int) string { return fmt.Sprintf("%s.%d", f.path, n) }
	for n := f.keep - 1; n >= 1; n-- {
		if err := os.Rename(name(n), name(n+1)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("rotating the file of events: %w", err)
		}
	}
	var err error
	if f.keep == 0 {
		err = os.Remove(f.path)
	} else {
		err = os.Rename(f.path, name(1))
	}
	if err != nil {
		return fmt.Errorf("rotating the file of events: %w", err)
	}
	return f.openFile()
}

// Close implements sinks.Sender.
func (f *file) Close() {
	if f.open != nil {
		_ = f.open.Close()
		f.open = nil
	}
}
