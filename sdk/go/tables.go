package osiris

import (
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"unsafe"

	"go.osiris.dev/sdk/internal/host"
)

// Output is the step's output: tables, which are stored only if the step succeeds.
type Output struct {
	raw      *host.Output
	appended map[string]*appended
	open     []interface{ finish() error }
}

// appended is a table that batches are appended to.
type appended struct {
	name   string
	fields []host.Field
	table  *host.TableWriter
}

func (a *appended) finish() error {
	_, err := a.table.Finish()
	return err
}

func (o *Output) finish() error {
	for _, table := range o.open {
		if err := table.finish(); err != nil {
			return err
		}
	}
	return nil
}

// Append appends a batch to a table, which the first batch creates. Name the table `main` unless the step has several
// outputs.
func (o *Output) Append(name string, b *Batch) error {
	if b.stale {
		return Errorf(KindInternal, "a batch was used after the next one had been read")
	}
	fields := b.fields()
	a := o.appended[name]
	if a == nil {
		table, err := o.raw.CreateTable(name, fields)
		if err != nil {
			return err
		}
		a = &appended{name, fields, table}
		if o.appended == nil {
			o.appended = map[string]*appended{}
		}
		o.appended[name] = a
		o.open = append(o.open, a)
	}
	if !slices.EqualFunc(fields, a.fields, func(x, y host.Field) bool { return x.Name == y.Name && x.Format == y.Format }) {
		return Errorf(KindInternal, "a batch for table `%s` has other columns or types than the first one", name)
	}
	if b.rows == 0 {
		return nil
	}
	return a.table.Append(uint32(b.rows), b.nodes())
}

// Table is a table of rows that are Go structs.
type Table[T any] struct {
	table    *host.TableWriter
	rows     *tuple
	pending  int
	total    int
	finished bool
}

// The number of rows after which a batch is sent.
const batchRows = 4096

// NewTable creates a table whose columns are the exported fields of T. The tag `col:"name,type"` gives a column's name,
// and its DuckDB type where Go's does not say it: `col:"amount,decimal(18,2)"`. Without a name it is called as in JSON,
// or else as the field in lower case; `col:"-"` leaves a field out. Pointers, slices and maps hold nulls as nil.
func NewTable[T any](out *Output, name string) (*Table[T], error) {
	members, err := members(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	var fields []host.Field
	for _, m := range members {
		column, err := m.codec.named(m.name)
		if err != nil {
			return nil, err
		}
		fields = append(fields, column...)
	}
	table, err := out.raw.CreateTable(name, fields)
	if err != nil {
		return nil, err
	}
	t := &Table[T]{table: table, rows: newTuple(members)}
	out.open = append(out.open, t)
	return t, nil
}

// Add appends rows. An error names the row, counted from 1, and the column.
func (t *Table[T]) Add(rows ...T) error {
	for i := range rows {
		t.total++
		if err := t.rows.add(unsafe.Pointer(&rows[i])); err != nil {
			return Errorf(AsError(err).Kind, "row %d, %w", t.total, err)
		}
		if t.pending++; t.pending == batchRows {
			if err := t.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *Table[T]) flush() error {
	rows := t.pending
	if rows == 0 {
		return nil
	}
	t.pending = 0
	t.rows.take()
	return t.table.Append(uint32(rows), t.rows.columns())
}

// Finish ends the table and returns its number of rows. A table that a driver does not finish is finished when the
// driver returns nil.
func (t *Table[T]) Finish() (uint64, error) {
	if err := t.flush(); err != nil {
		return 0, err
	}
	t.finished = true
	return t.table.Finish()
}

func (t *Table[T]) finish() error {
	if t.finished {
		return nil
	}
	_, err := t.Finish()
	return err
}

// CreateTable creates a table from the rows of one SELECT over the inputs; returns their number.
func CreateTable(out *Output, name, sql string) (uint64, error) {
	return out.raw.CreateTableAs(name, sql)
}

// Inputs are the step's inputs in the pipeline's order.
type Inputs []*Input

// Input is one input of the step: a table that an earlier step wrote.
type Input struct{ raw *host.Input }

func newInputs(raw []*host.Input) Inputs {
	in := make(Inputs, len(raw))
	for i := range raw {
		in[i] = &Input{raw[i]}
	}
	return in
}

// Only is the only input, for a driver that takes exactly one.
func (in Inputs) Only() (*Input, error) {
	switch len(in) {
	case 0:
		return nil, Errorf(KindConfig, "the step has no input; name one under `needs` or `inputs`")
	case 1:
		return in[0], nil
	}
	names := ""
	for _, input := range in {
		names += fmt.Sprintf(", `%s`", input.Alias())
	}
	return nil, Errorf(KindConfig, "the step has %d inputs (%s), but its driver takes one", len(in), names[2:])
}

// Named is the input with that alias, or nil.
func (in Inputs) Named(alias string) *Input {
	for _, input := range in {
		if input.Alias() == alias {
			return input
		}
	}
	return nil
}

// Alias is the input's name in the pipeline.
func (i *Input) Alias() string { return i.raw.Alias() }

// SQLName is the input's name in SQL, quoted.
func (i *Input) SQLName() string { return i.raw.SQLName() }

// Rows is the number of rows.
func (i *Input) Rows() uint64 { return i.raw.Rows() }

// Batches are the rows, batch by batch, with the given columns or all of them.
func (i *Input) Batches(columns ...string) iter.Seq2[*Batch, error] {
	return batches(func() (*host.Reader, error) { return i.raw.Read(columns, host.Exact) })
}

// Query runs one SELECT over the inputs and returns its rows, batch by batch.
func Query(sql string) iter.Seq2[*Batch, error] {
	return batches(func() (*host.Reader, error) { return host.Query(sql, host.Exact) })
}

func batches(open func() (*host.Reader, error)) iter.Seq2[*Batch, error] {
	return func(yield func(*Batch, error) bool) {
		reader, err := open()
		if err != nil {
			yield(nil, err)
			return
		}
		defer reader.Close()
		fields := reader.Schema()
		for {
			rows, nodes, more, err := reader.Next()
			if err != nil {
				yield(nil, err)
				return
			}
			if !more {
				return
			}
			b := newBatch(int(rows), fields, nodes)
			more = yield(b, nil)
			b.stale = true
			if !more {
				return
			}
		}
	}
}

// Transform passes each batch to f, which changes it, and appends it to a table of the output. If there is no row, f is
// called once with a batch without rows, so that the table has its columns.
func (i *Input) Transform(out *Output, table string, f func(*Batch) error) error {
	any := false
	for b, err := range i.Batches() {
		if err == nil {
			err = f(b)
		}
		if err == nil {
			err = out.Append(table, b)
		}
		if err != nil {
			return err
		}
		any = true
	}
	if any {
		return nil
	}
	fields, err := i.raw.Schema(host.Exact)
	if err != nil {
		return err
	}
	b := emptyBatch(fields)
	if err := f(b); err != nil {
		return err
	}
	return out.Append(table, b)
}

// Rows are the rows of an input as structs; see [NewTable] for the tags. Columns that T does not have are not read.
func Rows[T any](input *Input) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		members, err := members(reflect.TypeFor[T]())
		if err != nil {
			yield(zero, err)
			return
		}
		names := make([]string, len(members))
		for i, m := range members {
			names[i] = m.name
		}
		before := 0
		for b, err := range input.Batches(names...) {
			if err == nil {
				err = rowsOf(b, members, before, yield)
			}
			if errors.Is(err, errStop) {
				return
			}
			if err != nil {
				yield(zero, err)
				return
			}
			before += b.rows
		}
	}
}

var errStop = errors.New("stop")

func rowsOf[T any](b *Batch, members []member, before int, yield func(T, error) bool) error {
	g, err := newTupleGetter(members, b.fields(), b.nodes())
	if err != nil {
		return err
	}
	for i := range b.rows {
		var row T
		if err := g.get(i, unsafe.Pointer(&row)); err != nil {
			return Errorf(AsError(err).Kind, "row %d, %w", before+i+1, err)
		}
		if !yield(row, nil) {
			return errStop
		}
	}
	return nil
}

// WriteTable creates a table of these rows; see [NewTable].
func WriteTable[T any](out *Output, name string, rows []T) error {
	table, err := NewTable[T](out, name)
	if err != nil {
		return err
	}
	return table.Add(rows...)
}
