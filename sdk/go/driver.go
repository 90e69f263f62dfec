// Package osiris is the SDK for Osiris drivers in Go.
//
// A driver registers one function in an init function, and has an empty main:
//
//	type Config struct {
//		Names []string `json:"names"`
//	}
//
//	type Row struct {
//		Greeting string `col:"greeting"`
//	}
//
//	func init() {
//		osiris.Extractor(func(c Config, out *osiris.Output) error {
//			table, err := osiris.NewTable[Row](out, "main")
//			for _, name := range c.Names {
//				err = errors.Join(err, table.Add(Row{"hello " + name}))
//			}
//			return err
//		})
//	}
//
//	func main() {}
//
// There are four ways to move data, fastest first: SQL ([CreateTable], nothing crosses the boundary), columns
// ([Input.Batches], [Get], [Set]), rows as structs ([NewTable], [Rows]) and JSON records ([Output.JSONTable],
// [Input.Records]).
//
// All tables that a driver opened are finished when its function returns nil. If it returns an error or panics, the
// step fails and nothing is stored.
package osiris

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"

	"go.osiris.dev/sdk/internal/driver"
	"go.osiris.dev/sdk/internal/host"
)

// Extractor registers a driver that reads rows from outside. C is the type of its config; see [Config].
func Extractor[C any](run func(config C, out *Output) error) {
	driver.Registered = driver.Kind{Extract: func(raw *host.Output) error {
		return Guard(func() error {
			config, err := Config[C]()
			if err != nil {
				return err
			}
			out := &Output{raw: raw}
			if err := run(config, out); err != nil {
				return err
			}
			return out.finish()
		})
	}}
}

// Processor registers a driver that transforms rows.
func Processor[C any](run func(config C, in Inputs, out *Output) error) {
	driver.Registered = driver.Kind{Transform: func(inputs []*host.Input, raw *host.Output) error {
		return Guard(func() error {
			config, err := Config[C]()
			if err != nil {
				return err
			}
			out := &Output{raw: raw}
			if err := run(config, newInputs(inputs), out); err != nil {
				return err
			}
			return out.finish()
		})
	}}
}

// Writer registers a driver that delivers rows to the outside.
func Writer[C any](run func(config C, in Inputs) error) {
	driver.Registered = driver.Kind{Load: func(inputs []*host.Input) error {
		return Guard(func() error {
			config, err := Config[C]()
			if err != nil {
				return err
			}
			return run(config, newInputs(inputs))
		})
	}}
}

// Config is the step's config as a C, decoded by encoding/json. A field of a struct is required unless it is a
// pointer or has the tag option `omitempty` or `omitzero`; numbers in an `any` become json.Number. Secrets are not in the config; see [Secret].
func Config[C any]() (config C, err error) {
	text := []byte(host.ConfigJSON())
	if err := decode(text, &config); err != nil {
		return config, Errorf(KindConfig, "cannot read the step's config: %w", err)
	}
	return config, required(reflect.TypeFor[C](), text, "")
}

// decode reads JSON; numbers in an `any` become json.Number, so that no digit is lost.
func decode(text []byte, to any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(to)
}

// required checks that the object in text has all the members that t requires.
func required(t reflect.Type, text []byte, place string) error {
	if t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return Errorf(KindConfig, "the config's `%s` is not an object", strings.TrimSuffix(place, "."))
	}
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" || !field.IsExported() && !field.Anonymous {
			continue
		}
		if field.Anonymous && name == "" {
			if err := required(field.Type, text, place); err != nil {
				return err
			}
			continue
		}
		if name == "" {
			name = field.Name
		}
		value, found := members[name]
		for known := range members {
			if !found && strings.EqualFold(known, name) {
				value, found = members[known], true
			}
		}
		optional := field.Type.Kind() == reflect.Pointer || strings.Contains(options, "omitempty") ||
			strings.Contains(options, "omitzero")
		switch {
		case found && string(value) != "null":
			if err := required(field.Type, value, place+name+"."); err != nil {
				return err
			}
		case !optional:
			return Errorf(KindConfig, "the config has no `%s%s`, which this driver requires", place, name)
		}
	}
	return nil
}

// Guard runs a function and turns a panic into an error with the panic's text, file and line. The SDK
// guards the driver's own function; a goroutine that the driver starts needs its own guard.
func Guard(run func() error) (err error) {
	defer func() {
		reason := recover()
		if reason == nil {
			return
		}
		place := origin()
		host.Log(host.LevelError, fmt.Sprintf("the driver panicked: %v", reason),
			[]host.Pair{{Name: "at", Value: place}, {Name: "stack", Value: string(debug.Stack())}})
		message := fmt.Sprintf("panic: %v (%s)", reason, place)
		if cause, ok := reason.(error); ok {
			known := new(Error)
			if errors.As(cause, &known) {
				err = &Error{Kind: known.Kind, Code: known.Code, Message: message, RetryAfter: known.RetryAfter}
				return
			}
		}
		err = &Error{Kind: KindInternal, Message: message}
	}()
	return run()
}

// origin is the driver's line that panicked: the first one that is neither the runtime's nor the SDK's.
func origin() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	first := ""
	for {
		frame, more := frames.Next()
		place := fmt.Sprintf("%s:%d", path.Base(frame.File), frame.Line)
		switch {
		case strings.HasPrefix(frame.Function, "runtime."):
		case strings.HasPrefix(frame.Function, "go.osiris.dev/sdk."), strings.HasPrefix(frame.Function, "go.osiris.dev/sdk/internal/"):
			if first == "" {
				first = place
			}
		default:
			return place
		}
		if !more {
			return first
		}
	}
}
