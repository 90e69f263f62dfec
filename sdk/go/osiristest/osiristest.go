//go:build !wasip1

// Package osiristest runs a driver natively, against a host in memory, so that it can be tested with `go test`:
//
//	func TestGreetings(t *testing.T) {
//		step := osiristest.Step{Config: Config{Names: []string{"Ada"}}}
//		result := step.Run(t)
//		rows := osiristest.Rows[Row](t, result, "main")
//		...
//	}
//
// It grants every file and every address, and runs no SQL: a test that needs some gives the rows by [Step.Query].
package osiristest

import (
	"encoding/json"
	"testing"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/internal/driver"
	"go.osiris.dev/sdk/internal/host"
)

// Step is a step to run.
type Step struct {
	// Config is written as JSON; nil is an empty object.
	Config any
	// Secrets are values by their JSON pointers, such as `/token`.
	Secrets map[string]string
	// KeepsState says whether the step stores a state.
	KeepsState bool
	// State is the JSON value that the last run stored, or empty.
	State string
	// Rejects is how many rows the pipeline lets the step reject.
	Rejects int
	// Inputs are the step's inputs, in order.
	Inputs []Input
	// Files are the contents of files by their paths; files that the driver writes are added.
	Files map[string][]byte
	// Query gives the rows of a SELECT, as structs or maps.
	Query func(sql string) (Input, error)
}

// Input is a table for a step to read.
type Input struct {
	alias string
	table *host.Table
}

// Table is an input whose rows are structs, as for osiris.NewTable.
func Table[T any](t testing.TB, alias string, rows ...T) Input {
	t.Helper()
	defer restore(driver.Registered, host.Current)
	osiris.Extractor(func(_ struct{}, out *osiris.Output) error {
		table, err := osiris.NewTable[T](out, alias)
		if err != nil {
			return err
		}
		return table.Add(rows...)
	})
	out := &host.Output{}
	host.Current = &host.Step{Config: "{}"}
	if err := driver.Registered.Extract(out); err != nil {
		t.Fatalf("input %s: %v", alias, err)
	}
	table := out.Tables[alias]
	for _, row := range rows {
		// JSON lacks some values, such as NaN; an input with one has no records.
		text, err := json.Marshal(row)
		if err != nil {
			table.Records = nil
			break
		}
		table.Records = append(table.Records, text)
	}
	return Input{alias, table}
}

func restore(registered driver.Kind, current *host.Step) {
	driver.Registered, host.Current = registered, current
}

// Result is what a step did.
type Result struct {
	// Err is the error that the host would receive, or nil.
	Err *osiris.Error
	// Server is the result of a check.
	Server string
	// Catalog is the result of a discovery.
	Catalog []host.CatalogTable
	// Logs are the messages that were logged.
	Logs []host.LogLine
	// Rejected are the rows that the driver rejected.
	Rejected []host.RejectedRow
	// Metrics are the numbers that were recorded.
	Metrics map[string]float64
	// State is what the step stored for the next run; or what was stored before.
	State string
	// Files are the step's files, those that it wrote included.
	Files  map[string][]byte
	tables map[string]*host.Table
}

// Run runs the function that the driver registered as its kind. It fails the test if the driver returns an error; use
// [Step.Try] to test errors.
func (s Step) Run(t testing.TB) Result {
	t.Helper()
	result := s.Try(t)
	if result.Err != nil {
		t.Fatalf("the step failed (%s): %s", result.Err.Kind, result.Err.Message)
	}
	return result
}

// Try runs the function that the driver registered as its kind.
func (s Step) Try(t testing.TB) Result {
	t.Helper()
	return s.call(t, func(out *host.Output, result *Result) error {
		switch {
		case driver.Registered.Extract != nil:
			return driver.Registered.Extract(out)
		case driver.Registered.Transform != nil:
			return driver.Registered.Transform(host.Current.Inputs, out)
		case driver.Registered.Load != nil:
			return driver.Registered.Load(host.Current.Inputs)
		}
		t.Fatal("no driver is registered")
		return nil
	})
}

// Check runs the driver's check of its connection.
func (s Step) Check(t testing.TB) Result {
	return s.call(t, func(_ *host.Output, result *Result) (err error) {
		result.Server, err = driver.Check()
		return err
	})
}

// Discover runs the driver's discovery.
func (s Step) Discover(t testing.TB) Result {
	return s.call(t, func(_ *host.Output, result *Result) (err error) {
		result.Catalog, err = driver.Discover()
		return err
	})
}

func (s Step) call(t testing.TB, run func(*host.Output, *Result) error) (result Result) {
	t.Helper()
	config := []byte("{}")
	if s.Config != nil {
		var err error
		if config, err = json.Marshal(s.Config); err != nil {
			t.Fatal(err)
		}
	}
	step := &host.Step{ID: "test", Config: string(config), Secrets: s.Secrets, KeepsState: s.KeepsState, Files: s.Files,
		Rejects: s.Rejects}
	if s.State != "" {
		step.State = &s.State
	}
	for _, input := range s.Inputs {
		step.Inputs = append(step.Inputs, &host.Input{Name: input.alias, Table: input.table})
	}
	if s.Query != nil {
		step.QueryFunc = func(sql string) (*host.Table, error) {
			found, err := s.Query(sql)
			return found.table, err
		}
	}
	host.Current = step
	out := &host.Output{}
	result.Err = osiris.AsError(run(out, &result))
	result.Logs, result.Metrics, result.Files, result.tables = step.Logs, step.Metrics, step.Files, out.Tables
	result.Rejected = step.Rejected
	if step.State != nil {
		result.State = *step.State
	}
	if result.Err == nil {
		for name, table := range out.Tables {
			if !table.Finished {
				t.Errorf("table %s was not finished", name)
			}
		}
	}
	return result
}

// Input is a table of the result, as an input for another step.
func (r Result) Input(t testing.TB, name string) Input {
	t.Helper()
	table := r.tables[name]
	if table == nil {
		t.Fatalf("the step made no table %s", name)
	}
	return Input{name, table}
}

// Columns are a table's columns: their names and Arrow formats.
func (r Result) Columns(t testing.TB, name string) (columns [][2]string) {
	t.Helper()
	fields := r.Input(t, name).table.Fields
	for at := 0; at < len(fields); at += host.Width(fields[at:]) {
		columns = append(columns, [2]string{fields[at].Name, fields[at].Format})
	}
	return columns
}

// Records are the records of a table of JSON records.
func (r Result) Records(t testing.TB, name string) []json.RawMessage {
	t.Helper()
	return r.Input(t, name).table.Records
}

// SQL is the SELECT that made a table.
func (r Result) SQL(t testing.TB, name string) string {
	t.Helper()
	return r.Input(t, name).table.SQL
}

// Rows are a table's rows as structs.
func Rows[T any](t testing.TB, r Result, name string) (rows []T) {
	t.Helper()
	defer restore(driver.Registered, host.Current)
	osiris.Processor(func(_ struct{}, in osiris.Inputs, _ *osiris.Output) error {
		for row, err := range osiris.Rows[T](in[0]) {
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
		return nil
	})
	input := r.Input(t, name)
	host.Current = &host.Step{Config: "{}"}
	if err := driver.Registered.Transform([]*host.Input{{Name: name, Table: input.table}}, &host.Output{}); err != nil {
		t.Fatalf("table %s: %v", name, err)
	}
	return rows
}
