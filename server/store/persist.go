package store

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/keyward-dev/keyward/server/store/keytable"
)

const (
	filePerm = 0o600
	dirPerm  = 0o700
)

// openJournal replays the journal and prepares to append to it.
func (s *Store) openJournal() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := os.MkdirAll(s.config.Dir, dirPerm); err != nil {
		return err
	}
	file, err := os.OpenFile(journalPath(s.config.Dir), os.O_RDWR|os.O_APPEND, filePerm)
	if errors.Is(err, fs.ErrNotExist) {
		return s.compact()
	}
	if err != nil {
		return err
	}
	if err := s.replay(file); err != nil {
		_ = file.Close()
		return s.setAside(err)
	}
	return nil
}

// replay applies a whole journal and continues it.
func (s *Store) replay(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	good, err := readJournal(file, info.Size(), s.applyEncoded, s.beginStream)
	if err != nil {
		return err
	}
	if cut := info.Size() - good; cut > 0 {
		s.log.Warn("the persisted snapshot ended in an update that was cut off; the update was not acknowledged and is dropped",
			slog.Int64("bytes", cut))
		if err := file.Truncate(good); err != nil {
			return err
		}
		_ = os.Chtimes(file.Name(), info.ModTime(), info.ModTime()) // the time of the last contact
	}
	if s.synced.Load() {
		s.lastContact.Store(info.ModTime().UnixMilli())
	}
	s.journal = &journal{file: file, base: good, size: good, touched: info.ModTime(), syncFailed: s.logJournalError}
	groups, keys, _ := s.Size()
	s.log.Info("started from the persisted snapshot", slog.Int("groups", groups), slog.Int("keys", keys),
		slog.Bool("complete", s.synced.Load()), slog.Time("last_contact", info.ModTime()))
	return nil
}

// setAside renames a journal that cannot be trusted, so that it can be examined, and empties the store: what is missing in
// it could be a revocation.
func (s *Store) setAside(cause error) error {
	s.metrics.journalErrors.Inc()
	path := journalPath(s.config.Dir)
	aside := fmt.Sprintf("%s.damaged", path)
	if err := os.Rename(path, aside); err != nil {
		return errors.Join(cause, err)
	}
	s.log.Error("the persisted snapshot cannot be trusted; starting without it", slog.Any("error", cause), slog.String("set_aside_as", aside))
	s.mu.Lock()
	s.groups, s.keys, s.scopes, s.origins = map[string]*groupRecord{}, keytable.New(), newScopes(), origins{}
	s.mu.Unlock()
	s.beginStream()
	s.rejected = newRejections()
	s.secret.Store(nil)
	s.synced.Store(false)
	s.revision.Store(0)
	return s.compact()
}

// compact replaces the journal with one of the present state. The caller holds writing.
func (s *Store) compact() error {
	path := journalPath(s.config.Dir)
	fresh, size, err := s.writeFresh(path + ".new")
	if err != nil {
		return err
	}
	if err := os.Rename(fresh.Name(), path); err != nil {
		return errors.Join(err, fresh.Close(), os.Remove(fresh.Name()))
	}
	_ = fresh.Close()
	// Otherwise a power cut may bring back the former journal, which lacks updates that are acknowledged from now on.
	if err := syncDirectory(s.config.Dir); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, filePerm)
	if err != nil {
		return err
	}
	if s.journal != nil {
		s.journal.discard()
	}
	if at := s.LastContact(); !at.IsZero() {
		_ = os.Chtimes(path, at, at)
	}
	s.journal = &journal{file: file, base: size, size: size, syncFailed: s.logJournalError}
	return nil
}

// syncDirectory syncs the names in a directory to the disk. Tests replace it.
var syncDirectory = func(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// writeFresh writes the present state to a new file, and syncs it to the disk.
func (s *Store) writeFresh(path string) (*os.File, int64, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, filePerm)
	if err != nil {
		return nil, 0, err
	}
	out := bufio.NewWriterSize(file, 1<<16)
	size := int64(len(journalMagic))
	_, _ = out.WriteString(journalMagic) // a bufio.Writer keeps its error until Flush
	var frame []byte
	err = s.dump(func(update []byte) error {
		if len(update) == 0 {
			return nil
		}
		frame = append(beginFrame(frame[:0]), update...)
		if err := endFrame(frame); err != nil {
			return err
		}
		size += int64(len(frame))
		_, err := out.Write(frame)
		return err
	})
	if err = errors.Join(err, out.Flush(), file.Sync()); err != nil {
		return nil, 0, errors.Join(err, file.Close(), os.Remove(path))
	}
	return file, size, nil
}

// journalFailed replaces a journal that lacks an update, or removes it, so that no restart can begin from it. It returns an
// error, in which case the update must not be acknowledged, only if an outdated journal may be left.
func (s *Store) journalFailed(cause error) error {
	s.logJournalError(cause)
	if err := s.compact(); err == nil {
		return nil
	}
	if err := os.Remove(journalPath(s.config.Dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(cause, err)
	}
	if err := syncDirectory(s.config.Dir); err != nil {
		return errors.Join(cause, err)
	}
	s.journal.broken = true
	return nil
}

func (s *Store) logJournalError(err error) {
	s.metrics.journalErrors.Inc()
	s.log.Error("cannot write the persisted snapshot; check that its volume is not full or read-only", slog.Any("error", err))
}
