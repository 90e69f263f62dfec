package osiris

import (
	"reflect"
	"slices"
	"unsafe"

	"go.osiris.dev/sdk/internal/host"
)

// Batch is some rows of a table, column by column. Columns that a driver neither reads nor replaces are never decoded.
// A batch that was read is valid until the next one is read; the values that [Get] returned stay valid.
type Batch struct {
	rows    int
	columns []column
	stale   bool
}

// column is a column as the host passes it: its fields and nodes in pre-order.
type column struct {
	fields []host.Field
	nodes  []host.Node
}

// NewBatch makes a batch of rows without columns; add them with [Set].
func NewBatch(rows int) *Batch { return &Batch{rows: rows} }

func newBatch(rows int, fields []host.Field, nodes []host.Node) *Batch {
	b := &Batch{rows: rows}
	for at := 0; at < len(fields); {
		end := at + host.Width(fields[at:])
		b.columns = append(b.columns, column{fields[at:end], nodes[at:end]})
		at = end
	}
	return b
}

// emptyBatch is a batch without rows; a node of each format has the buffers that the format asks for.
func emptyBatch(fields []host.Field) *Batch {
	nodes := make([]host.Node, len(fields))
	for i := range nodes {
		nodes[i].Buffers = make([][]byte, buffers(fields[i].Format))
		if buffers(fields[i].Format) == 3 || fields[i].Format == "+l" || fields[i].Format == "+m" {
			nodes[i].Buffers[1] = make([]byte, 4)
		}
	}
	return newBatch(0, fields, nodes)
}

func buffers(format string) int {
	switch {
	case format == "u" || format == "z" || format == "U" || format == "Z":
		return 3
	case format == "n":
		return 0
	case format == "+s" || format[0] == '+' && format[1] == 'w' || len(format) > 2 && format[:3] == "+us":
		return 1
	}
	return 2
}

// Rows is the number of rows.
func (b *Batch) Rows() int { return b.rows }

// Names are the names of the columns, in order.
func (b *Batch) Names() []string {
	names := make([]string, len(b.columns))
	for i, c := range b.columns {
		names[i] = c.fields[0].Name
	}
	return names
}

func (b *Batch) find(name string) int {
	return slices.IndexFunc(b.columns, func(c column) bool { return c.fields[0].Name == name })
}

// Drop removes columns; names that the batch does not have are ignored.
func (b *Batch) Drop(names ...string) {
	b.columns = slices.DeleteFunc(slices.Clone(b.columns), func(c column) bool { return slices.Contains(names, c.fields[0].Name) })
}

// Rename gives a column another name.
func (b *Batch) Rename(old, name string) error {
	at := b.find(old)
	if at < 0 {
		return unknown(old, b.fields())
	}
	b.columns[at].fields = slices.Clone(b.columns[at].fields)
	b.columns[at].fields[0].Name = name
	return nil
}

func (b *Batch) fields() (all []host.Field) {
	for _, c := range b.columns {
		all = append(all, c.fields...)
	}
	return all
}

func (b *Batch) nodes() (all []host.Node) {
	for _, c := range b.columns {
		all = append(all, c.nodes...)
	}
	return all
}

// Column is a column's values as a native slice.
type Column[T any] struct {
	// Values has a value for each row; where the row is null, the zero value.
	Values []T
	valid  []byte
}

// IsNull says whether the column has no value in a row.
func (c Column[T]) IsNull(row int) bool { return validity(c.valid).null(row) }

// SetNull removes the value of a row.
func (c *Column[T]) SetNull(row int) {
	if len(c.valid) == 0 {
		c.valid = slices.Repeat([]byte{0xff}, (len(c.Values)+7)/8)
	}
	c.valid[row>>3] &^= 1 << (row & 7)
	var zero T
	c.Values[row] = zero
}

// Of is a column of values, none of which is null.
func Of[T any](values []T) Column[T] { return Column[T]{Values: values} }

// Map applies f to each value that is not null; nulls stay null.
func Map[A, B any](from Column[A], f func(A) B) Column[B] {
	to := Column[B]{Values: make([]B, len(from.Values)), valid: slices.Clone(from.valid)}
	for i, v := range from.Values {
		if !from.IsNull(i) {
			to.Values[i] = f(v)
		}
	}
	return to
}

// Get is a column's values. T is a number, bool, string, []byte, time.Time, [Date], [TimeOfDay], [Interval], [UUID],
// [Decimal], json.RawMessage, or a slice, struct or map of these. A number is read as any type that holds all of its
// values exactly; another one is an error.
func Get[T any](b *Batch, name string) (c Column[T], err error) {
	if b.stale {
		return c, Errorf(KindInternal, "a batch was used after the next one had been read")
	}
	at := b.find(name)
	if at < 0 {
		return c, unknown(name, b.fields())
	}
	t := reflect.TypeFor[T]()
	codec, err := codecOf(t, "")
	if err != nil {
		return c, err
	}
	fields, nodes := b.columns[at].fields, b.columns[at].nodes
	g, err := codec.getter(fields, nodes)
	if err != nil {
		return c, err
	}
	c.valid = slices.Clone(nodes[0].Buffers[0])
	switch g := g.(type) {
	case *fixedGetter[T]:
		c.Values = slices.Clone(g.values[:b.rows])
		return c, nil
	case *textGetter[int32]:
		if values, ok := any(&c.Values).(*[]string); ok {
			*values = g.strings(b.rows)
			return c, nil
		}
	}
	c.Values = make([]T, b.rows)
	for i := range c.Values {
		if !g.null(i) {
			if err := g.get(i, unsafe.Pointer(&c.Values[i])); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// strings are all values of a column, which share one copy of its bytes.
func (g *textGetter[Offset]) strings(rows int) []string {
	values := make([]string, rows)
	if rows > 0 {
		start := g.ends[0]
		all := string(g.bytes[start:g.ends[rows]])
		for i := range values {
			values[i] = all[g.ends[i]-start : g.ends[i+1]-start]
		}
	}
	return values
}

// Set replaces a column by a copy of c, or adds one at the end. The column needs a value for each row. `as` declares the DuckDB type
// where Go's does not say it: `decimal(18,2)`, which a Decimal always needs, or `timestamp` for a time without a zone.
func Set[T any](b *Batch, name string, c Column[T], as ...string) error {
	if len(c.Values) != b.rows {
		return Errorf(KindInternal, "column `%s` has %d values, the batch %d rows", name, len(c.Values), b.rows)
	}
	codec, err := codecOf(reflect.TypeFor[T](), append(as, "")[0])
	if err != nil {
		return err
	}
	fields, err := codec.named(name)
	if err != nil {
		return err
	}
	build := codec.builder()
	var nodes []host.Node
	texts, areTexts := any(c.Values).([]string)
	if _, ok := build.(*fixed[T]); ok {
		nodes = []host.Node{{Length: uint32(b.rows), Buffers: [][]byte{slices.Clone(c.valid), raw(slices.Clone(c.Values))}}}
	} else if areTexts {
		if nodes, err = textNodes(texts, slices.Clone(c.valid)); err != nil {
			return err
		}
	} else {
		for i := range c.Values {
			if c.IsNull(i) {
				build.null()
			} else if err := build.add(unsafe.Pointer(&c.Values[i])); err != nil {
				return Errorf(AsError(err).Kind, "column `%s`, row %d of the batch: %w", name, i, err)
			}
		}
		nodes = build.finish()
	}
	if at := b.find(name); at >= 0 {
		b.columns[at] = column{fields, nodes}
	} else {
		b.columns = append(b.columns, column{fields, nodes})
	}
	return nil
}

// textNodes is a column of strings, whose bytes are copied once. The value of a null row is empty.
func textNodes(values []string, valid []byte) ([]host.Node, error) {
	total := 0
	for _, v := range values {
		total += len(v)
	}
	if total > 1<<31-1 {
		return nil, Errorf(KindData, "the texts of a batch are larger than 2 GiB")
	}
	ends, bytes := make([]int32, len(values)+1), make([]byte, 0, total)
	for i, v := range values {
		bytes = append(bytes, v...)
		ends[i+1] = int32(len(bytes))
	}
	return []host.Node{{Length: uint32(len(values)), Buffers: [][]byte{valid, raw(ends), bytes}}}, nil
}
