package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
	"k8s.io/utils/clock"

	"github.com/keyward-dev/keyward/internal/quotaledger"
)

const (
	// keepFor is how long a ledger is kept after its month.
	keepFor = 62 * 24 * time.Hour

	// attempt bounds each step of an attempt to reach Redis: to connect, to write and to read.
	attempt = 2 * time.Second
	// maxConnections is how many commands are sent at the same time.
	maxConnections = 16

	fieldVersion = ":version"
	fieldFolded  = ":folded"
)

// Redis keeps ledgers in Redis or Valkey, each in a hash with a field for each account. How much survives a crash depends on
// the configuration of Redis: with appendfsync always, everything does.
type Redis struct {
	pool   *redis.Pool
	prefix string
	clock  clock.PassiveClock
}

// OpenRedis returns a store at a URL such as redis://user:password@host:6379/0, or rediss:// for TLS. It connects when it is
// used. Its errors do not show the URL, which may contain a password.
func OpenRedis(address, prefix string, clk clock.PassiveClock) (*Redis, error) {
	if !isRedisURL(address) {
		return nil, errors.New("it is not a URL of Redis; use one such as redis://host:6379/0, or rediss:// for TLS")
	}
	// Each attempt is bounded, so that an unreachable store is noticed; the Aggregator tries again.
	bounds := []redis.DialOption{
		redis.DialConnectTimeout(attempt), redis.DialTLSHandshakeTimeout(attempt), redis.DialReadTimeout(attempt), redis.DialWriteTimeout(attempt),
	}
	pool := &redis.Pool{
		MaxActive: maxConnections, MaxIdle: maxConnections, Wait: true, IdleTimeout: 5 * time.Minute,
		DialContext: func(ctx context.Context) (redis.Conn, error) { return redis.DialURLContext(ctx, address, bounds...) },
		// Redis may have been restarted since.
		TestOnBorrowContext: func(ctx context.Context, conn redis.Conn, _ time.Time) error {
			_, err := redis.DoContext(conn, ctx, "PING")
			return err
		},
	}
	return &Redis{pool: pool, prefix: prefix, clock: clk}, nil
}

var database = regexp.MustCompile(`^/?[0-9]{0,5}$`)

// isRedisURL reports whether it is a URL as DialURLContext reads it, and nothing in it would be ignored.
func isRedisURL(text string) bool {
	address, err := url.Parse(text)
	return err == nil && (address.Scheme == "redis" || address.Scheme == "rediss") && address.Hostname() != "" &&
		database.MatchString(address.Path) && address.RawQuery == "" && address.Fragment == ""
}

// Close ends the connections.
func (r *Redis) Close() error { return r.pool.Close() }

// do returns the reply of a command on a connection of the pool.
func (r *Redis) do(ctx context.Context, command func(redis.Conn) (any, error)) (reply any, err error) {
	conn, err := r.pool.GetContext(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // which gives it back
	return command(conn)
}

func (r *Redis) name(key Key) string {
	return r.prefix + "usage:{" + key.Group + "}:" + key.Month.String()
}

// Load implements Store.
func (r *Redis) Load(ctx context.Context, key Key) (Entry, error) {
	fields, err := redis.StringMap(r.do(ctx, func(conn redis.Conn) (any, error) { return redis.DoContext(conn, ctx, "HGETALL", r.name(key)) }))
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
		if name == fieldFolded {
			entry.Ledger.Folded = counts
		} else {
			entry.Ledger.Servers[name] = counts
		}
	}
	return entry, nil
}

// replace replaces the hash if it has the version. KEYS[1] is the hash; ARGV has the version, the time to live in seconds, and
// the names and values of all fields.
var replace = redis.NewScript(1, `
local version = redis.call('HGET', KEYS[1], ':version') or ''
if version ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
for i = 3, #ARGV, 1000 do
  redis.call('HSET', KEYS[1], unpack(ARGV, i, math.min(i + 999, #ARGV)))
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return 1
`)

// Save implements Store.
func (r *Redis) Save(ctx context.Context, key Key, entry Entry, _ Totals) (string, error) {
	version := next(entry.Version)
	arguments := []any{r.name(key), entry.Version, r.seconds(key), fieldVersion, version}
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
	if entry.Ledger.Folded != (quotaledger.Counters{}) {
		if err := add(fieldFolded, entry.Ledger.Folded); err != nil {
			return "", err
		}
	}
	replaced, err := redis.Int(r.do(ctx, func(conn redis.Conn) (any, error) { return replace.DoContext(ctx, conn, arguments...) }))
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
	return int64(max(time.Minute, key.Month.End().Add(keepFor).Sub(r.clock.Now())) / time.Second)
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
