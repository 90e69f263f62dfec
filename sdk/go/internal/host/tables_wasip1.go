package host

import "unsafe"

//go:wasmimport osiris:driver/tables@0.2.0 [method]input.alias
func inputAlias(self uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tables@0.2.0 [method]input.sql-name
func inputSQLName(self uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tables@0.2.0 [method]input.rows
func inputRows(self uint32) uint64

//go:wasmimport osiris:driver/tables@0.2.0 [method]input.schema
func inputSchema(self, types uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tables@0.2.0 [method]input.read
func inputRead(self, columns, count, types uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tables@0.2.0 [method]input.read-json
func inputReadJSON(self, columns, count uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tables@0.2.0 [method]reader.schema
func readerSchema(self uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tables@0.2.0 [method]reader.next
func readerNext(self uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tables@0.2.0 [resource-drop]reader
func readerDrop(self uint32)

//go:wasmimport osiris:driver/tables@0.2.0 [method]json-reader.next
func jsonReaderNext(self uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tables@0.2.0 [resource-drop]json-reader
func jsonReaderDrop(self uint32)

//go:wasmimport osiris:driver/tables@0.2.0 [method]output.create-table
func outputCreateTable(self, name, length, fields, count uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tables@0.2.0 [method]output.create-json-table
func outputCreateJSONTable(self, name, length, columns, count uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tables@0.2.0 [method]table-writer.append
func tableWriterAppend(self, rows, nodes, count uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tables@0.2.0 [method]table-writer.finish
func tableWriterFinish(self uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tables@0.2.0 [resource-drop]table-writer
func tableWriterDrop(self uint32)

//go:wasmimport osiris:driver/tables@0.2.0 [method]json-writer.append
func jsonWriterAppend(self, records, length uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tables@0.2.0 [method]json-writer.finish
func jsonWriterFinish(self uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tables@0.2.0 [resource-drop]json-writer
func jsonWriterDrop(self uint32)

//go:wasmimport osiris:driver/sql@0.2.0 create-table
func sqlCreateTable(output, name, length, sql, sqlLength uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/sql@0.2.0 query
func sqlQuery(sql, length, types uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/sql@0.2.0 query-json
func sqlQueryJSON(sql, length uint32, ret unsafe.Pointer)

// Input is one input of the step.
type Input struct{ handle uint32 }

// InputsAt are the inputs that the host passed to an export: a list of handles.
func InputsAt(start, count uint32) []*Input {
	all := make([]*Input, count)
	for i := range all {
		all[i] = &Input{word(start, uintptr(i))}
	}
	return all
}

// Alias is the input's name in the pipeline.
func (i *Input) Alias() string {
	inputAlias(i.handle, begin())
	end()
	return textAt(0)
}

// SQLName is the input's name in SQL, quoted.
func (i *Input) SQLName() string {
	inputSQLName(i.handle, begin())
	end()
	return textAt(0)
}

// Rows is the number of rows.
func (i *Input) Rows() uint64 { return inputRows(i.handle) }

// Schema is the input's columns.
func (i *Input) Schema(types Types) ([]Field, error) {
	inputSchema(i.handle, uint32(types), begin())
	end()
	if err := failure(4); err != nil {
		return nil, err
	}
	return fieldsAt(u32At(4), u32At(8)), nil
}

// Read starts reading columns, or all of them.
func (i *Input) Read(columns []string, types Types) (*Reader, error) {
	p, n := lowerTexts(columns)
	inputRead(i.handle, p, n, uint32(types), begin())
	end()
	return newReader()
}

// ReadJSON starts reading columns as JSON records.
func (i *Input) ReadJSON(columns []string) (*JSONReader, error) {
	p, n := lowerTexts(columns)
	inputReadJSON(i.handle, p, n, begin())
	end()
	return newJSONReader()
}

// Query runs a SELECT and reads its rows.
func Query(sql string, types Types) (*Reader, error) {
	p, n := lowerText(sql)
	sqlQuery(p, n, uint32(types), begin())
	end()
	return newReader()
}

// QueryJSON runs a SELECT and reads its rows as JSON records.
func QueryJSON(sql string) (*JSONReader, error) {
	p, n := lowerText(sql)
	sqlQueryJSON(p, n, begin())
	end()
	return newJSONReader()
}

func fieldsAt(start, count uint32) []Field {
	fields := make([]Field, count)
	for i := range fields {
		at := uintptr(i) * 8
		f := &fields[i]
		f.Name = string(view(word(start, at), word(start, at+1)))
		f.Format = string(view(word(start, at+2), word(start, at+3)))
		f.Nullable = word(start, at+4)&0xff != 0
		f.Children = word(start, at+5)
		pairs := texts(word(start, at+6), 2*word(start, at+7))
		for k := 0; k < len(pairs); k += 2 {
			f.Metadata = append(f.Metadata, Pair{pairs[k], pairs[k+1]})
		}
	}
	return fields
}

// Reader reads rows batch by batch.
type Reader struct {
	handle uint32
	arena  *arena
}

func newReader() (*Reader, error) {
	if err := failure(4); err != nil {
		return nil, err
	}
	reader := &Reader{handle: u32At(4)}
	if n := len(free); n > 0 {
		reader.arena, free = free[n-1], free[:n-1]
	} else {
		reader.arena = new(arena)
	}
	return reader, nil
}

// Schema is that of all batches.
func (r *Reader) Schema() []Field {
	readerSchema(r.handle, begin())
	end()
	return fieldsAt(u32At(0), u32At(4))
}

// Next is the next batch; false after the last. The buffers are valid until the next call.
func (r *Reader) Next() (rows uint32, nodes []Node, more bool, err error) {
	r.arena.reset()
	current = r.arena
	readerNext(r.handle, unsafe.Pointer(&area))
	end()
	if err := failure(4); err != nil {
		return 0, nil, false, err
	}
	if u8At(4) == 0 {
		return 0, nil, false, nil
	}
	start := u32At(12)
	nodes = make([]Node, u32At(16))
	for i := range nodes {
		at := uintptr(i) * 3
		buffers := make([][]byte, word(start, at+2))
		for k := range buffers {
			place := uintptr(k) * 2
			buffers[k] = view(word(word(start, at+1), place), word(word(start, at+1), place+1))
		}
		nodes[i] = Node{word(start, at), buffers}
	}
	return u32At(8), nodes, true, nil
}

// Close ends the reading; batches are no longer valid.
func (r *Reader) Close() {
	if r.arena != nil {
		readerDrop(r.handle)
		free = append(free, r.arena)
		r.arena = nil
	}
}

// JSONReader reads rows as JSON records.
type JSONReader struct {
	handle uint32
	open   bool
}

func newJSONReader() (*JSONReader, error) {
	if err := failure(4); err != nil {
		return nil, err
	}
	return &JSONReader{u32At(4), true}, nil
}

// Next is the next records, each followed by a line feed; false after the last.
func (r *JSONReader) Next() (records []byte, more bool, err error) {
	jsonReaderNext(r.handle, begin())
	end()
	if err := failure(4); err != nil {
		return nil, false, err
	}
	if u8At(4) == 0 {
		return nil, false, nil
	}
	return bytesAt(8), true, nil
}

// Close ends the reading.
func (r *JSONReader) Close() {
	if r.open {
		jsonReaderDrop(r.handle)
		r.open = false
	}
}

// Output is the step's output.
type Output struct{ handle uint32 }

// OutputAt is the output that the host passed to an export.
func OutputAt(handle uint32) *Output { return &Output{handle} }

// CreateTable creates a table and opens it for writing.
func (o *Output) CreateTable(name string, fields []Field) (*TableWriter, error) {
	words := make([]uint32, 0, 8*len(fields))
	for _, f := range fields {
		name, nameLength := lowerText(f.Name)
		format, formatLength := lowerText(f.Format)
		pairs, count := lowerPairs(f.Metadata)
		words = append(words, name, nameLength, format, formatLength, flag(f.Nullable), f.Children, pairs, count)
	}
	p, n := lowerText(name)
	outputCreateTable(o.handle, p, n, lowerWords(words), uint32(len(fields)), begin())
	end()
	if err := failure(4); err != nil {
		return nil, err
	}
	return &TableWriter{u32At(4)}, nil
}

// CreateJSONTable creates a table of JSON records.
func (o *Output) CreateJSONTable(name string, columns []Column) (*JSONWriter, error) {
	pairs := make([]Pair, len(columns))
	for i, c := range columns {
		pairs[i] = Pair{c.Name, c.Type}
	}
	p, n := lowerText(name)
	c, count := lowerPairs(pairs)
	outputCreateJSONTable(o.handle, p, n, c, count, begin())
	end()
	if err := failure(4); err != nil {
		return nil, err
	}
	return &JSONWriter{u32At(4)}, nil
}

// CreateTableAs creates a table from a SELECT.
func (o *Output) CreateTableAs(name, sql string) (uint64, error) {
	p, n := lowerText(name)
	q, m := lowerText(sql)
	sqlCreateTable(o.handle, p, n, q, m, begin())
	end()
	return u64At(8), failure(8)
}

// TableWriter writes a table.
type TableWriter struct{ handle uint32 }

// Append appends rows.
func (t *TableWriter) Append(rows uint32, nodes []Node) error {
	words := make([]uint32, 0, 3*len(nodes))
	for _, node := range nodes {
		buffers := make([]uint32, 0, 2*len(node.Buffers))
		for _, b := range node.Buffers {
			p, n := lowered(b)
			buffers = append(buffers, p, n)
		}
		words = append(words, node.Length, lowerWords(buffers), uint32(len(node.Buffers)))
	}
	tableWriterAppend(t.handle, rows, lowerWords(words), uint32(len(nodes)), begin())
	end()
	return failure(4)
}

// Finish ends the table and returns its number of rows.
func (t *TableWriter) Finish() (uint64, error) {
	tableWriterFinish(t.handle, begin())
	end()
	rows, err := u64At(8), failure(8)
	tableWriterDrop(t.handle)
	return rows, err
}

// JSONWriter writes a table of JSON records.
type JSONWriter struct{ handle uint32 }

// Append appends JSON objects, or arrays of them, separated by white space.
func (t *JSONWriter) Append(records []byte) error {
	p, n := lowered(records)
	jsonWriterAppend(t.handle, p, n, begin())
	end()
	return failure(4)
}

// Finish decides the types, writes the table and returns its number of rows.
func (t *JSONWriter) Finish() (uint64, error) {
	jsonWriterFinish(t.handle, begin())
	end()
	rows, err := u64At(8), failure(8)
	jsonWriterDrop(t.handle)
	return rows, err
}
