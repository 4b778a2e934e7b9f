package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/internal/quotaledger"
	"github.com/keyward-dev/keyward/internal/usageseries"
)

const (
	// keepFor is how long a ledger is kept after its period.
	keepFor = 62 * 24 * time.Hour

	fieldVersion = ":version"
	fieldFolded  = ":folded"
	fieldLost    = ":unattributed"
)

// Redis keeps ledgers in Redis or Valkey, each in a hash with a field for each account. How much survives a crash depends on
// the configuration of Redis: with appendfsync always, everything does.
type Redis struct {
	client redis.UniversalClient
	prefix string
	clock  clock.PassiveClock
}

// OpenRedis returns a store at a URL such as redis://user:password@host:6379/0, or rediss:// for TLS. It connects when it is
// used. Its errors do not show the URL, which may contain a password.
func OpenRedis(url, prefix string, clk clock.PassiveClock) (*Redis, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("it is not a URL of Redis; use one such as redis://host:6379/0, or rediss:// for TLS")
	}
	// Each attempt is bounded, so that an unreachable store is noticed; the Aggregator tries again.
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout, options.MaxRetries = 2*time.Second, 2*time.Second, 2*time.Second, -1
	return &Redis{client: redis.NewClient(options), prefix: prefix, clock: clk}, nil
}

// Close ends the connections.
func (r *Redis) Close() error { return r.client.Close() }

func (r *Redis) name(key Key) string {
	name := r.prefix + "usage:{" + key.Group + "}:" + key.Period.String()
	if key.UID != "" {
		name += "@" + string(key.UID)
	}
	if key.Owner != "" {
		name += ":" + key.Owner
	}
	return name
}

// Load implements Store.
func (r *Redis) Load(ctx context.Context, key Key) (Entry, error) {
	fields, err := r.client.HGetAll(ctx, r.name(key)).Result()
	if err != nil {
		return Entry{}, fmt.Errorf("reading from Redis: %w", err)
	}
	entry := Entry{Ledger: &quotaledger.Ledger{Servers: map[string]quotaledger.Counters{}}, Version: fields[fieldVersion]}
	for name, text := range fields {
		if name == fieldVersion {
			continue
		}
		var counts quotaledger.Counters
		if err := json.Unmarshal([]byte(text), &counts); err != nil {
			return Entry{}, fmt.Errorf("%s, field %s, is not an account: %w", r.name(key), name, err)
		}
		switch name {
		case fieldFolded:
			entry.Ledger.Folded = counts
		case fieldLost:
			entry.Ledger.Unattributed = counts
		default:
			entry.Ledger.Servers[name] = counts
		}
	}
	return entry, nil
}

// replace replaces the hash if it has the version, and adds to the hours what it has grown by. KEYS[1] is the hash, KEYS[2] that of the
// hours; ARGV has the version, the time to live in seconds, the number of the hour, its requests and bytes, and the names and values of
// all fields of the hash. Nothing is written before all is read, so that a hash of hours that is none leaves the ledger as it is.
var replace = redis.NewScript(`
local version = redis.call('HGET', KEYS[1], ':version') or ''
if version ~= ARGV[1] then return 0 end
` + addHour + `
redis.call('DEL', KEYS[1])
for i = 6, #ARGV, 1000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
`)

// Save implements Store.
func (r *Redis) Save(ctx context.Context, key Key, entry Entry, _ Totals) (string, error) {
	version := next(entry.Version)
	grown := entry.growth()
	if key.Owner != "" { // it is in the ledger of the Group, too
		grown = usageseries.HourUse{}
	}
	arguments := []any{
		entry.Version, r.seconds(key), int64(usageseries.HourOf(r.clock.Now())), grown.Requests, grown.Bytes, fieldVersion, version,
	}
	add := func(name string, counts quotaledger.Counters) error {
		text, err := json.Marshal(counts)
		arguments = append(arguments, name, text)
		return err
	}
	for server, counts := range entry.Ledger.Servers {
		if err := add(server, counts); err != nil {
			return "", err
		}
	}
	for name, counts := range map[string]quotaledger.Counters{fieldFolded: entry.Ledger.Folded, fieldLost: entry.Ledger.Unattributed} {
		if counts == (quotaledger.Counters{}) {
			continue
		}
		if err := add(name, counts); err != nil {
			return "", err
		}
	}
	replaced, err := replace.Run(ctx, r.client, []string{r.name(key), r.hoursOf(key.Group)}, arguments...).Int()
	if err != nil {
		return "", fmt.Errorf("writing to Redis: %w", err)
	}
	if replaced == 0 {
		return "", ErrConflict
	}
	return version, nil
}

// seconds returns how long the hash is to be kept.
func (r *Redis) seconds(key Key) int64 {
	return int64(max(time.Minute, key.Period.Begin().Add(quotaledger.MaxPeriod+keepFor).Sub(r.clock.Now())) / time.Second)
}

// next returns a version that the hash has not had before, even if Redis has lost the hash.
func next(version string) string {
	count, history, found := strings.Cut(version, "-")
	n, err := strconv.ParseUint(count, 36, 64)
	if err != nil || !found {
		history = rand.Text()
	}
	return strconv.FormatUint(n+1, 36) + "-" + history
}
