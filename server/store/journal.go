package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	syncv1 "github.com/keyward-dev/keyward/api/sync/v1"
)

// The journal is one file: a magic, then frames, each an Update as it was received. An empty frame marks the beginning of a
// stream. When the appended part is larger than what the file began with, the journal is compacted: a new file with the
// present state is renamed over it.
//
// A frame has a header of three little-endian words: the length of the payload in bytes, its CRC-32C, and the CRC-32C of
// the first two words. So a frame that was cut off by a crash, which was never acknowledged, can be distinguished from
// damage to one that was.
const (
	journalName   = "snapshot.journal"
	journalMagic  = "keyward1"
	frameHeader   = 12
	maxFrame      = 256 << 20
	minOutgrown   = 1 << 20 // bytes
	touchInterval = 10 * time.Second
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errDamaged = errors.New("damaged: a checksum does not match")
	errMagic   = errors.New("not a journal of this release")
)

// journal appends to the file. Only the holder of Store.writing uses it. The one thing that goes on without it is a sync of
// the file to the disk, in a goroutine that syncing counts: it uses only file, which is closed after syncing.Wait, and
// syncFailed.
type journal struct {
	file     *os.File
	base     int64 // bytes of the state that the file began with
	size     int64
	touched  time.Time
	buf      []byte
	unsynced bool
	broken   bool // the file was removed: appended frames are lost unless a compaction succeeds

	syncing    sync.WaitGroup
	syncFailed func(error) // may be called by another goroutine
}

// append writes one frame in one system call: when it returns, the frame outlives the process. It outlives the machine
// after the next sync.
func (j *journal) append(update *syncv1.Update) error {
	var err error
	frame := beginFrame(j.buf[:0])
	if update != nil {
		if frame, err = (proto.MarshalOptions{}).MarshalAppend(frame, update); err != nil {
			return fmt.Errorf("encode an update: %w", err)
		}
		if len(frame) == frameHeader {
			return nil // an empty update would look like the beginning of a stream
		}
	}
	if err := endFrame(frame); err != nil {
		return err
	}
	j.buf = frame
	n, err := j.file.Write(frame)
	j.size += int64(n)
	j.unsynced = true
	return err
}

// beginFrame reserves space in an empty buffer for the header of a frame, whose payload is appended next. An empty frame
// marks the beginning of a stream.
func beginFrame(buf []byte) []byte { return append(buf, make([]byte, frameHeader)...) }

// endFrame fills in the header.
func endFrame(frame []byte) error {
	header, payload := frame[:frameHeader], frame[frameHeader:]
	if len(payload) > maxFrame {
		return fmt.Errorf("an update of %d bytes is too large", len(payload))
	}
	binary.LittleEndian.PutUint32(header, uint32(len(payload)))
	binary.LittleEndian.PutUint32(header[4:], crc32.Checksum(payload, castagnoli))
	binary.LittleEndian.PutUint32(header[8:], crc32.Checksum(header[:8], castagnoli))
	return nil
}

// outgrown reports whether it is time to compact.
func (j *journal) outgrown() bool { return j.broken || j.size-j.base > max(j.base, minOutgrown) }

// touch stores the time of the last contact as the file's modification time, coarsely, and starts a sync of what was
// appended to the disk. No acknowledgement waits for that.
func (j *journal) touch(now time.Time) {
	if now.Sub(j.touched) < touchInterval {
		return
	}
	j.touched = now
	_ = os.Chtimes(j.file.Name(), now, now) // at worst the server takes itself for staler than it is
	if j.unsynced {
		j.unsynced = false
		j.syncing.Go(func() {
			if err := j.file.Sync(); err != nil {
				j.syncFailed(err)
			}
		})
	}
}

// discard closes a journal whose file has been replaced.
func (j *journal) discard() {
	j.syncing.Wait()
	_ = j.file.Close() // the file is not read any more
}

func (j *journal) close() error {
	j.syncing.Wait()
	return errors.Join(j.file.Sync(), j.file.Close())
}

// readJournal passes the frames of a file to apply, each valid until the next, and to begin. It returns the length of the
// undamaged part. It fails with errDamaged or errMagic if the rest is more than a frame that was cut off.
func readJournal(file io.Reader, size int64, apply func(update []byte) error, begin func()) (good int64, err error) {
	in := bufio.NewReaderSize(file, 1<<16)
	magic := make([]byte, len(journalMagic))
	if _, err := io.ReadFull(in, magic); err != nil || string(magic) != journalMagic {
		return 0, errMagic
	}
	good = int64(len(journalMagic))
	var header [frameHeader]byte
	var payload []byte
	for size-good >= frameHeader {
		if _, err := io.ReadFull(in, header[:]); err != nil {
			return good, err
		}
		if binary.LittleEndian.Uint32(header[8:]) != crc32.Checksum(header[:8], castagnoli) {
			return good, tornOrDamaged(header[:], in)
		}
		length := int64(binary.LittleEndian.Uint32(header[:]))
		if size-good-frameHeader < length {
			return good, nil // cut off
		}
		if int64(cap(payload)) < length {
			payload = make([]byte, length)
		}
		payload = payload[:length]
		if _, err := io.ReadFull(in, payload); err != nil {
			return good, err
		}
		if binary.LittleEndian.Uint32(header[4:]) != crc32.Checksum(payload, castagnoli) {
			if good+frameHeader+length == size {
				return good, nil // its length reached the disk, its end did not
			}
			return good, errDamaged
		}
		good += frameHeader + length
		if length == 0 {
			begin()
			continue
		}
		if err := apply(payload); err != nil {
			return good, fmt.Errorf("damaged: %w", err)
		}
	}
	return good, nil
}

// tornOrDamaged returns nil for a tail of zeros, which file systems leave behind after a power cut, and errDamaged otherwise.
func tornOrDamaged(header []byte, rest io.Reader) error {
	buf := make([]byte, 1<<16)
	copy(buf, header)
	n := len(header)
	for {
		for _, b := range buf[:n] {
			if b != 0 {
				return errDamaged
			}
		}
		var err error
		if n, err = rest.Read(buf); err != nil && n == 0 {
			return nil
		}
	}
}

func journalPath(dir string) string { return filepath.Join(dir, journalName) }
