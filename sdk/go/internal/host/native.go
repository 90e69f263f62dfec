//go:build !wasip1

package host

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Step is what the in-memory host gives to a driver, and what it received from it.
type Step struct {
	ID          string
	Config      string
	Secrets     map[string]string
	State       *string
	KeepsState  bool
	Index       uint32
	Count       uint32
	AttemptN    uint32
	Rejects     int
	Rejected    []RejectedRow
	Inputs      []*Input
	Files       map[string][]byte
	QueryFunc   func(sql string) (*Table, error)
	Output      *Output
	Logs        []LogLine
	Metrics     map[string]float64
	LastDone    uint64
	Temporaries int
}

// LogLine is one line that the driver logged.
type LogLine struct {
	Level   Level
	Message string
	Fields  []Pair
}

// RejectedRow is a row that the driver rejected, as JSON, and its reason.
type RejectedRow struct{ Row, Reason string }

// Table is a table of the in-memory host.
type Table struct {
	Fields   []Field
	Batches  []Batch
	Records  []json.RawMessage
	Columns  []Column
	Rows     uint64
	Finished bool
	// SQL is the SELECT that made the table, which the in-memory host does not run.
	SQL string
}

// Batch is rows of a table.
type Batch struct {
	Rows  uint32
	Nodes []Node
}

// Current is the step that runs.
var Current = &Step{}

func fail(kind Kind, format string, values ...any) error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, values...)}
}

// StepID is the id of the step.
func StepID() string { return Current.ID }

// ConfigJSON is the step's configuration.
func ConfigJSON() string { return Current.Config }

// Partition is the part of the work that this instance does.
func Partition() (index, count uint32) { return Current.Index, max(Current.Count, 1) }

// Attempt is the number of this attempt.
func Attempt() uint32 { return max(Current.AttemptN, 1) }

// Reject records a row.
func Reject(row, reason string) error {
	Current.Rejected = append(Current.Rejected, RejectedRow{row, reason})
	if len(Current.Rejected) > Current.Rejects {
		return fail(Data, "a row was rejected: %s", reason)
	}
	return nil
}

// Log records a line.
func Log(level Level, message string, fields []Pair) {
	Current.Logs = append(Current.Logs, LogLine{level, message, fields})
}

// Metric records a number.
func Metric(name string, value float64) {
	if Current.Metrics == nil {
		Current.Metrics = map[string]float64{}
	}
	Current.Metrics[name] = value
}

// Progress records how far the driver is.
func Progress(done uint64, _ *uint64) { Current.LastDone = done }

func pointer(name string) string {
	if name == "" || name[0] == '/' {
		return name
	}
	return "/" + strings.ReplaceAll(name, ".", "/")
}

// Secret is the secret in a field of the config.
func Secret(name string) (string, bool) {
	value, ok := Current.Secrets[pointer(name)]
	return value, ok
}

// Secrets are the JSON pointers of the secrets at or below a field.
func Secrets(below string) (found []string) {
	below = pointer(below)
	for name := range Current.Secrets {
		if name == below || below == "" || strings.HasPrefix(name, below+"/") {
			found = append(found, name)
		}
	}
	return found
}

// State is the JSON value of the last run.
func State() (string, bool) {
	if Current.State == nil {
		return "", false
	}
	return *Current.State, true
}

// SetState stores a JSON value.
func SetState(text string) error {
	if !Current.KeepsState {
		return fail(Denied, "the step keeps no state")
	}
	if !json.Valid([]byte(text)) {
		return fail(Data, "the state is not JSON")
	}
	Current.State = &text
	return nil
}

// Input is one input of the step.
type Input struct {
	Name string
	*Table
}

// Alias is the input's name in the pipeline.
func (i *Input) Alias() string { return i.Name }

// SQLName is the input's name in SQL.
func (i *Input) SQLName() string { return strconv.Quote(i.Name) }

// Rows is the number of rows.
func (i *Input) Rows() uint64 { return i.Table.Rows }

// Schema is the input's columns.
func (i *Input) Schema(Types) ([]Field, error) { return i.Fields, nil }

// Read starts reading columns, or all of them.
func (i *Input) Read(columns []string, _ Types) (*Reader, error) {
	if len(columns) == 0 {
		return &Reader{table: i.Table}, nil
	}
	chosen := &Table{Rows: i.Table.Rows, Batches: make([]Batch, len(i.Batches))}
	for k, b := range i.Batches {
		chosen.Batches[k].Rows = b.Rows
	}
next:
	for _, name := range columns {
		for at := 0; at < len(i.Fields); {
			width := Width(i.Fields[at:])
			if i.Fields[at].Name == name {
				chosen.Fields = append(chosen.Fields, i.Fields[at:at+width]...)
				for k, b := range i.Batches {
					chosen.Batches[k].Nodes = append(chosen.Batches[k].Nodes, b.Nodes[at:at+width]...)
				}
				continue next
			}
			at += width
		}
		return nil, fail(NotFound, "input `%s` has no column `%s`", i.Name, name)
	}
	return &Reader{table: chosen}, nil
}

// ReadJSON starts reading as JSON records, which the test gave as such.
func (i *Input) ReadJSON([]string) (*JSONReader, error) {
	if i.Records == nil && i.Table.Rows > 0 {
		return nil, fail(Internal, "input `%s` has no JSON records; give them to the test's step", i.Name)
	}
	return &JSONReader{records: i.Records}, nil
}

func query(sql string) (*Table, error) {
	if Current.QueryFunc == nil {
		return nil, fail(Internal, "the native host runs no SQL; set `Query` of the test's step")
	}
	return Current.QueryFunc(sql)
}

// Query returns what the test gave for a SELECT.
func Query(sql string, _ Types) (*Reader, error) {
	table, err := query(sql)
	return &Reader{table: table}, err
}

// QueryJSON returns what the test gave for a SELECT.
func QueryJSON(sql string) (*JSONReader, error) {
	table, err := query(sql)
	if err != nil {
		return nil, err
	}
	return &JSONReader{records: table.Records}, nil
}

// Reader reads the batches of a table.
type Reader struct {
	table *Table
	at    int
}

// Schema is that of all batches.
func (r *Reader) Schema() []Field { return r.table.Fields }

// Next is the next batch; false after the last.
func (r *Reader) Next() (rows uint32, nodes []Node, more bool, err error) {
	if r.at == len(r.table.Batches) {
		return 0, nil, false, nil
	}
	r.at++
	b := r.table.Batches[r.at-1]
	return b.Rows, b.Nodes, true, nil
}

// Close ends the reading.
func (r *Reader) Close() {}

// JSONReader reads records, one a call.
type JSONReader struct{ records []json.RawMessage }

// Next is the next record.
func (r *JSONReader) Next() (records []byte, more bool, err error) {
	if len(r.records) == 0 {
		return nil, false, nil
	}
	next := r.records[0]
	r.records = r.records[1:]
	return append(append([]byte(nil), next...), '\n'), true, nil
}

// Close ends the reading.
func (r *JSONReader) Close() {}

// Output is the step's output.
type Output struct{ Tables map[string]*Table }

func (o *Output) add(name string, table *Table) error {
	if o.Tables[name] != nil {
		return fail(Data, "table `%s` exists already", name)
	}
	if o.Tables == nil {
		o.Tables = map[string]*Table{}
	}
	o.Tables[name] = table
	return nil
}

// CreateTable creates a table.
func (o *Output) CreateTable(name string, fields []Field) (*TableWriter, error) {
	table := &Table{Fields: fields}
	return &TableWriter{table}, o.add(name, table)
}

// CreateJSONTable creates a table of JSON records.
func (o *Output) CreateJSONTable(name string, columns []Column) (*JSONWriter, error) {
	table := &Table{Columns: columns}
	return &JSONWriter{table}, o.add(name, table)
}

// CreateTableAs records a SELECT, with the rows that the test gives for it.
func (o *Output) CreateTableAs(name, sql string) (uint64, error) {
	table := &Table{}
	if Current.QueryFunc != nil {
		found, err := Current.QueryFunc(sql)
		if err != nil {
			return 0, err
		}
		table = found
	}
	table.SQL, table.Finished = sql, true
	return table.Rows, o.add(name, table)
}

// TableWriter writes a table.
type TableWriter struct{ table *Table }

// Append appends a copy of the rows.
func (t *TableWriter) Append(rows uint32, nodes []Node) error {
	if len(nodes) != len(t.table.Fields) {
		return fail(Data, "the batch has %d nodes, the table %d fields", len(nodes), len(t.table.Fields))
	}
	copied := make([]Node, len(nodes))
	for i, node := range nodes {
		copied[i].Length = node.Length
		for _, b := range node.Buffers {
			copied[i].Buffers = append(copied[i].Buffers, bytes.Clone(b))
		}
	}
	t.table.Batches = append(t.table.Batches, Batch{rows, copied})
	t.table.Rows += uint64(rows)
	return nil
}

// Finish ends the table.
func (t *TableWriter) Finish() (uint64, error) {
	t.table.Finished = true
	return t.table.Rows, nil
}

// JSONWriter writes a table of JSON records.
type JSONWriter struct{ table *Table }

// Append appends JSON objects, or arrays of them.
func (t *JSONWriter) Append(records []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(records))
	for {
		var record json.RawMessage
		err := decoder.Decode(&record)
		if err == io.EOF {
			return nil
		}
		list := []json.RawMessage{record}
		if err == nil && record[0] == '[' {
			list = nil
			err = json.Unmarshal(record, &list)
		}
		for _, one := range list {
			if err != nil || one[0] != '{' {
				return fail(Data, "record %d is not a JSON object", len(t.table.Records)+1)
			}
			t.table.Records = append(t.table.Records, one)
		}
		if err != nil {
			return fail(Data, "record %d is not JSON: %v", len(t.table.Records)+1, err)
		}
	}
}

// Finish ends the table.
func (t *JSONWriter) Finish() (uint64, error) {
	t.table.Finished = true
	t.table.Rows = uint64(len(t.table.Records))
	return t.table.Rows, nil
}

// ListFiles is the path itself, if it exists.
func ListFiles(path string) ([]string, error) {
	if _, err := OpenFile(path); err != nil {
		return nil, err
	}
	return []string{path}, nil
}

// Source is a file to read.
type Source struct {
	path    string
	content []byte
}

// OpenFile opens a file of the test's step.
func OpenFile(path string) (*Source, error) {
	content, ok := Current.Files[path]
	if !ok {
		return nil, fail(NotFound, "`%s` does not exist", path)
	}
	return &Source{path, content}, nil
}

// SQLLiteral is the file for DuckDB's readers.
func (s *Source) SQLLiteral() string { return "'" + strings.ReplaceAll(s.path, "'", "''") + "'" }

// Size is the size in bytes.
func (s *Source) Size() uint64 { return uint64(len(s.content)) }

// ReadAt reads from an offset; 0 bytes are the end.
func (s *Source) ReadAt(b []byte, offset uint64) (int, error) {
	return copy(b, s.content[min(offset, uint64(len(s.content))):]), nil
}

// Close closes the file.
func (s *Source) Close() {}

// Target is a file to write.
type Target struct{ path string }

// CreateFile creates a file of the test's step.
func CreateFile(path string) (*Target, error) {
	if Current.Files == nil {
		Current.Files = map[string][]byte{}
	}
	Current.Files[path] = nil
	return &Target{path}, nil
}

// Copy records the SELECT as the file's content.
func (t *Target) Copy(sql string, _ Format, _ []Pair) (uint64, error) {
	Current.Files[t.path] = []byte(sql)
	return 0, nil
}

// Write appends bytes.
func (t *Target) Write(b []byte) error {
	Current.Files[t.path] = append(Current.Files[t.path], b...)
	return nil
}

// Temporary is a temporary file.
type Temporary struct{ Target }

// CreateTemporary creates a temporary file among the step's files.
func CreateTemporary() (*Temporary, error) {
	Current.Temporaries++
	target, err := CreateFile(fmt.Sprintf("temporary-%d", Current.Temporaries))
	return &Temporary{*target}, err
}

// SQLLiteral is the file for DuckDB's readers.
func (t *Temporary) SQLLiteral() string { return "'" + t.path + "'" }

// Close deletes the file.
func (t *Temporary) Close() {}

// Connection is a real connection.
type Connection struct {
	net.Conn
	timeout time.Duration
}

// Connect connects to any host: a native test has no grants.
func Connect(name string, port uint16, timeout time.Duration) (*Connection, error) {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort(name, strconv.Itoa(int(port))), timeout)
	if err != nil {
		return nil, &Error{Kind: Transient, Message: err.Error(), Cause: err}
	}
	return &Connection{conn, time.Minute}, nil
}

// SetTimeout limits how long a read or a write may wait.
func (c *Connection) SetTimeout(timeout time.Duration) { c.timeout = timeout }

// Read waits for at least one byte; 0 bytes are the end.
func (c *Connection) Read(b []byte) (int, error) {
	_ = c.Conn.SetDeadline(time.Now().Add(c.timeout))
	n, err := c.Conn.Read(b)
	if err == io.EOF {
		return 0, nil
	}
	return n, failed(err)
}

// Write sends all the bytes.
func (c *Connection) Write(b []byte) error {
	_ = c.Conn.SetDeadline(time.Now().Add(c.timeout))
	_, err := c.Conn.Write(b)
	return failed(err)
}

func failed(err error) error {
	if err == nil {
		return nil
	}
	kind := Transient
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		kind = Timeout
	}
	return &Error{Kind: kind, Message: err.Error(), Cause: err}
}

// StartTLS is not part of native tests.
func (c *Connection) StartTLS(TLS) error { return fail(Internal, "the native host does not encrypt") }

// ServerEndPoint is nil: nothing is encrypted.
func (c *Connection) ServerEndPoint() []byte { return nil }

// Close closes the connection.
func (c *Connection) Close() { _ = c.Conn.Close() }
