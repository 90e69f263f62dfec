package osiris

import (
	"encoding/json"
	"iter"
	"reflect"
	"slices"
	"unicode/utf8"
	"unsafe"

	"go.osiris.dev/sdk/internal/host"
)

// Declared is the DuckDB type of a column of a table of JSON records.
type Declared = host.Column

// JSONTable is a table of JSON records, whose column types the host decides.
type JSONTable struct {
	table    *host.JSONWriter
	pending  []byte
	finished bool
	// record is where a struct is put while it is written, and layout is that of its type.
	record reflect.Value
	layout *layout
}

const pendingBytes = 1 << 20

// JSONTable creates a table of JSON records, with a column for each member that a record has. The host decides the
// types over all records, so that every value survives; columns can be declared instead.
func (o *Output) JSONTable(name string, columns ...Declared) (*JSONTable, error) {
	table, err := o.raw.CreateJSONTable(name, columns)
	if err != nil {
		return nil, err
	}
	t := &JSONTable{table: table}
	o.open = append(o.open, t)
	return t, nil
}

// Add appends records: structs, maps, or json.RawMessage, which is appended as it is, with all digits of its numbers.
// They are written as by encoding/json, except that a text that is not UTF-8 is an error.
func (t *JSONTable) Add(records ...any) error {
	for _, record := range records {
		if text, is := record.(json.RawMessage); is {
			if err := t.AddJSON(text); err != nil {
				return err
			}
			continue
		}
		written, err := t.write(record)
		if err != nil {
			return Errorf(KindData, "cannot write a record as JSON: %w", err)
		}
		if err := t.added(written); err != nil {
			return err
		}
	}
	return nil
}

// write is what is pending with a record behind it.
func (t *JSONTable) write(record any) ([]byte, error) {
	value := reflect.ValueOf(record)
	if value.Kind() != reflect.Struct {
		return appendAny(t.pending, record)
	}
	if t.layout == nil || t.layout.t != value.Type() {
		t.layout, t.record = layoutOf(value.Type()), reflect.New(value.Type()).Elem()
	}
	t.record.Set(value)
	return t.layout.append(t.pending, t.record.Addr().UnsafePointer())
}

// added keeps what was written, and sends it once it is large.
func (t *JSONTable) added(written []byte) error {
	t.pending = append(written, '\n')
	if len(t.pending) < pendingBytes {
		return nil
	}
	return t.flush()
}

// AddJSON appends texts of JSON objects, such as the items of a page; a text may hold several, or arrays of
// them, separated by white space.
func (t *JSONTable) AddJSON(records ...json.RawMessage) error {
	for _, record := range records {
		if err := t.added(append(t.pending, record...)); err != nil {
			return err
		}
	}
	return nil
}

func (t *JSONTable) flush() error {
	if len(t.pending) == 0 {
		return nil
	}
	if !utf8.Valid(t.pending) {
		return Errorf(KindData, "a record is not UTF-8")
	}
	err := t.table.Append(t.pending)
	t.pending = t.pending[:0]
	return err
}

// Finish decides the types, writes the table and returns its number of rows.
func (t *JSONTable) Finish() (uint64, error) {
	if err := t.flush(); err != nil {
		return 0, err
	}
	t.finished = true
	return t.table.Finish()
}

func (t *JSONTable) finish() error {
	if t.finished {
		return nil
	}
	_, err := t.Finish()
	return err
}

// Records are the rows of an input as JSON objects, one at a time; see the contract for how values are written.
func (i *Input) Records(columns ...string) iter.Seq2[json.RawMessage, error] {
	return records(func() (*host.JSONReader, error) { return i.raw.ReadJSON(columns) })
}

// Records are the rows of an input as JSON objects, decoded into T as by encoding/json: a struct, or a map with any value,
// whose numbers are json.Number with all of their digits. [Rows] also serves types that JSON has not.
func Records[T any](input *Input, columns ...string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		layout, row := layoutOf(reflect.TypeFor[T]()), 0
		for text, err := range input.Records(columns...) {
			var record T
			if row++; err == nil {
				if err = layout.decode(text, unsafe.Pointer(&record)); err != nil {
					err = Errorf(KindData, "row %d of input `%s`: %w", row, input.Alias(), err)
				}
			}
			if !yield(record, err) || err != nil {
				return
			}
		}
	}
}

// QueryRecords runs one SELECT over the inputs and returns its rows as JSON objects.
func QueryRecords(sql string) iter.Seq2[json.RawMessage, error] {
	return records(func() (*host.JSONReader, error) { return host.QueryJSON(sql) })
}

func records(open func() (*host.JSONReader, error)) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		reader, err := open()
		if err != nil {
			yield(nil, err)
			return
		}
		defer reader.Close()
		for {
			lines, more, err := reader.Next()
			if err != nil {
				yield(nil, err)
				return
			}
			if !more {
				return
			}
			for start := 0; start < len(lines); {
				end := start + slices.Index(lines[start:], '\n')
				if !yield(json.RawMessage(lines[start:end:end]), nil) {
					return
				}
				start = end + 1
			}
		}
	}
}
