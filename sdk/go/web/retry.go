package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// resets are headers that say when a limit of requests is reset, and whether they count in seconds from now on.
var resets = []struct {
	name     string
	relative bool
}{
	{"X-Ratelimit-Reset-After", true},
	{"Ratelimit-Reset", false},
	{"X-Ratelimit-Reset", false},
	{"X-Rate-Limit-Reset", false},
	{"X-Ratelimit-Reset-Requests", true},
}

// From this number on, seconds are a point in time since 1970; from a hundred times that on, they are milliseconds.
const epoch = 1e9

// askedWait is how long the server asks to wait: `Retry-After`, or else until its limit of requests is reset, if the
// response is about that limit. A date is relative to the response's own, since clocks differ.
func askedWait(status int, header http.Header, now time.Time) *time.Duration {
	if date, err := http.ParseTime(header.Get("Date")); err == nil {
		now = date
	}
	if wait := retryAfter(header.Get("Retry-After"), now); wait != nil {
		return wait
	}
	left := header.Get("X-Ratelimit-Remaining") + header.Get("Ratelimit-Remaining") + header.Get("X-Rate-Limit-Remaining")
	if status != 429 && status != 503 && !(status == 403 && strings.TrimSpace(left) == "0") {
		return nil
	}
	for _, reset := range resets {
		value := strings.TrimSpace(header.Get(reset.name))
		if value == "" {
			continue
		}
		number, err := strconv.ParseFloat(strings.TrimSuffix(value, "s"), 64)
		if err != nil {
			return retryAfter(value, now)
		}
		if !reset.relative && number >= epoch {
			if number >= 100*epoch {
				number /= 1000
			}
			number -= float64(now.UnixMilli()) / 1000
		}
		return seconds(number)
	}
	return nil
}

// retryAfter reads seconds, or a date.
func retryAfter(value string, now time.Time) *time.Duration {
	value = strings.TrimSpace(value)
	if number, err := strconv.ParseFloat(value, 64); err == nil {
		return seconds(number)
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return nil
	}
	return seconds(date.Sub(now).Seconds())
}

func seconds(number float64) *time.Duration {
	if number != number || number > 1e9 {
		return nil
	}
	wait := time.Duration(max(number, 0) * float64(time.Second))
	return &wait
}
