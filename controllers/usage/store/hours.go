package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/keyward-dev/keyward/internal/usageseries"
)

// hoursOf returns the name of the hash with the hours of a Group: a field for each, by its number, with the requests and the bytes. No
// period has a name like that.
func (r *Redis) hoursOf(group string) string { return r.prefix + "usage:{" + group + "}:hours" }

// maxOfHour is the highest number that Redis calculates with exactly.
const maxOfHour = 1<<53 - 1

// addHour adds what was used to the hour, where there is anything to add. Only a new hour has others removed: those of longer ago than
// is kept, and those that are so far ahead that a clock was wrong. So all are among the last 192 up to the latest one: an hour before
// it is only added where the latest is at most a day ahead. Numbers are exact: they stay below 2^53. The hash expires when its latest
// write is as long ago as hours are kept.
var addHour = fmt.Sprintf("local kept, ahead, most = %d, %d, %d", usageseries.MaxHours, usageseries.HoursAhead, maxOfHour) + `
local requests, bytes = tonumber(ARGV[4]), tonumber(ARGV[5])
if requests > 0 or bytes > 0 then
  local hour, was = tonumber(ARGV[3]), redis.call('HGET', KEYS[2], ARGV[3])
  if was then
    local r, b = string.match(was, '^(%d+) (%d+)$')
    requests, bytes = requests + tonumber(r or 0), bytes + tonumber(b or 0)
  else
    for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
      local other = tonumber(name)
      if not other or other <= hour - kept or other > hour + ahead then
        redis.call('HDEL', KEYS[2], name)
      end
    end
  end
  redis.call('HSET', KEYS[2], ARGV[3], string.format('%.0f %.0f', math.min(requests, most), math.min(bytes, most)))
  redis.call('EXPIRE', KEYS[2], (kept + 1) * 3600)
end
`

// Hours returns what was used of a Group in each of the hours that are kept; those without use are missing. What is no hour is left out.
func (r *Redis) Hours(ctx context.Context, group string) (map[usageseries.Hour]usageseries.HourUse, error) {
	fields, err := r.client.HGetAll(ctx, r.hoursOf(group)).Result()
	if err != nil {
		return nil, fmt.Errorf("reading from Redis: %w", err)
	}
	hours := make(map[usageseries.Hour]usageseries.HourUse, len(fields))
	for name, text := range fields {
		if hour, use, ok := parseHour(name, text); ok {
			hours[hour] = use
		}
	}
	return hours, nil
}

func parseHour(name, text string) (usageseries.Hour, usageseries.HourUse, bool) {
	hour, err := strconv.ParseInt(name, 10, 64)
	if err != nil {
		return 0, usageseries.HourUse{}, false
	}
	requests, bytes, _ := strings.Cut(text, " ")
	use := usageseries.HourUse{}
	if use.Requests, err = strconv.ParseUint(requests, 10, 64); err != nil {
		return 0, usageseries.HourUse{}, false
	}
	if use.Bytes, err = strconv.ParseUint(bytes, 10, 64); err != nil {
		return 0, usageseries.HourUse{}, false
	}
	return usageseries.Hour(hour), use, true
}
