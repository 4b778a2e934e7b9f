package main

import (
	"fmt"
	"os"
	"time"

	"github.com/keyward-dev/keyward/hack/bench/process"
)

const (
	mb = 1 << 20
	// pause is long enough for the first catch-up to end and its garbage to be collected.
	pause = 3 * time.Second
)

// measureMemory compares the validation server that has no keys with the one that has many.
func (b *bench) measureMemory() error {
	time.Sleep(pause)
	none, err := b.resident(0)
	if err != nil {
		return err
	}
	with, err := b.resident(many)
	if err != nil {
		return err
	}
	b.figures.add(base, float64(none)/mb)
	b.figures.add(perKey, float64(with-none)/many)
	info, err := os.Stat(b.validator)
	if err != nil {
		return err
	}
	b.figures.add(size, float64(info.Size())/mb)
	return nil
}

// measureLoaded compares the server that has many keys, after its load, with the server without keys as it was in the
// beginning.
func (b *bench) measureLoaded() error {
	loaded, err := b.resident(many)
	if err != nil {
		return err
	}
	b.figures.add(afterLoad, (float64(loaded)-b.figures[base][0]*mb)/many)
	return nil
}

func (b *bench) resident(keys int) (int64, error) {
	f, err := b.fleetOf(keys)
	if err != nil {
		return 0, err
	}
	now, most, err := f.Memory()
	progress("%d keys: %.1f MB resident, at most %.1f MB", keys, float64(now)/mb, float64(most)/mb)
	return now, err
}

func (b *bench) fleetOf(keys int) (*fleet, error) {
	for _, f := range b.fleets {
		if f.keys == keys {
			return f, nil
		}
	}
	return nil, fmt.Errorf("there is no server with %d keys", keys)
}

// measureStart starts the server with many keys repeatedly, without a manager.
func (b *bench) measureStart() error {
	f, err := b.fleetOf(many)
	if err != nil {
		return err
	}
	f.manager.Stop()
	f.Kill()
	for range b.runs {
		v, took, err := process.StartValidator(b.validator, f.flags...)
		if err != nil {
			return err
		}
		v.Kill()
		progress("ready after %s", took)
		b.figures.add(restart, took.Seconds())
	}
	return nil
}
