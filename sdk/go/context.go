package osiris

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"go.osiris.dev/sdk/internal/exact"
	"go.osiris.dev/sdk/internal/host"
)

// StepID is the id of the step in the pipeline.
func StepID() string { return host.StepID() }

// Attempt is the number of this attempt of the step, counted from 1.
func Attempt() int { return int(host.Attempt()) }

// Partition is the part of the step's work that this instance does: part index, counted from 0, of count.
func Partition() (index, count int) {
	i, n := host.Partition()
	return int(i), int(n)
}

// Reject rejects one row that cannot be understood or delivered: the host stores it with the reason in the step's table
// `rejected`, which a writer's step has too. The row is written as JSON: a struct or map of its columns, or a string if it
// cannot be parsed. The error is for more rows than the pipeline allows (`rejects`, by default none); the step fails then
// in any case.
func Reject(row any, reason string) error {
	text, err := exact.Marshal(row)
	if err != nil {
		return Errorf(KindInternal, "cannot write the rejected row as JSON: %w", err)
	}
	return host.Reject(string(text), reason)
}

// Metric records a number under a name, such as `requests_sent`.
func Metric(name string, value float64) { host.Metric(name, value) }

// Progress reports that done units of total are finished; total is 0 if it is not known.
func Progress(done, total uint64) {
	if total == 0 {
		host.Progress(done, nil)
	} else {
		host.Progress(done, &total)
	}
}

// Secret is the secret in a field of the config, named by its JSON pointer, such as `/connection/password`, or with
// dots; false if the step has none there. The host redacts it from everything that the driver logs or returns.
func Secret(name string) (string, bool) { return host.Secret(name) }

// Secrets are the JSON pointers of the step's secrets at or below a field of the config; all of them for "".
func Secrets(below string) []string { return host.Secrets(below) }

// State decodes what the last run stored into a T; false in the first run. The spec must request `state`.
func State[T any]() (state T, found bool, err error) {
	text, found := host.State()
	if !found {
		return state, false, nil
	}
	if err := decode([]byte(text), &state); err != nil {
		return state, true, Errorf(KindData,
			"cannot read the state of the last run: %w; `osiris state reset %s` starts over", err, StepID())
	}
	return state, true, nil
}

// SetState stores a value for the next run, as JSON; the last call counts. It is committed only once this step and
// all that need it have succeeded.
func SetState(state any) error {
	text, err := exact.Marshal(state)
	if err != nil {
		return Errorf(KindInternal, "cannot write the state as JSON: %w", err)
	}
	return host.SetState(string(text))
}

// Log writes to the session's log.
var Log = slog.New(handler{})

// handler is a slog handler that writes to the session's log. The host decides what is stored, so all levels are
// enabled.
type handler struct {
	fields []host.Pair
	prefix string
}

func (handler) Enabled(context.Context, slog.Level) bool { return true }

func (h handler) Handle(_ context.Context, r slog.Record) error {
	fields := append([]host.Pair(nil), h.fields...)
	r.Attrs(func(a slog.Attr) bool {
		fields = flatten(fields, h.prefix, a)
		return true
	})
	host.Log(level(r.Level), r.Message, fields)
	return nil
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := append([]host.Pair(nil), h.fields...)
	for _, a := range attrs {
		fields = flatten(fields, h.prefix, a)
	}
	return handler{fields, h.prefix}
}

func (h handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return handler{h.fields, h.prefix + name + "."}
}

func flatten(fields []host.Pair, prefix string, a slog.Attr) []host.Pair {
	value := a.Value.Resolve()
	if value.Kind() != slog.KindGroup {
		if a.Key == "" {
			return fields
		}
		return append(fields, host.Pair{Name: prefix + a.Key, Value: fmt.Sprint(value.Any())})
	}
	if a.Key != "" {
		prefix += a.Key + "."
	}
	for _, inner := range value.Group() {
		fields = flatten(fields, prefix, inner)
	}
	return fields
}

func level(l slog.Level) host.Level {
	switch {
	case l < slog.LevelDebug:
		return host.LevelTrace
	case l < slog.LevelInfo:
		return host.LevelDebug
	case l < slog.LevelWarn:
		return host.LevelInfo
	case l < slog.LevelError:
		return host.LevelWarn
	}
	return host.LevelError
}

// QuoteName is a name as SQL writes it: "order" becomes `"order"`.
func QuoteName(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// QuoteText is a text as SQL writes it: in single quotes, with those inside it doubled.
func QuoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
