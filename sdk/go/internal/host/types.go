// Package host is the contract osiris:driver@0.2.0 in plain Go types: the component's imports when built for
// Wasm, and an in-memory host otherwise, so that drivers can be tested natively.
package host

import "time"

// Kind says what went wrong, in the order of the contract's `error-kind`.
type Kind uint8

// The kinds of the contract.
const (
	Config Kind = iota
	Auth
	Denied
	NotFound
	RateLimited
	Transient
	Timeout
	Data
	Limit
	Internal
	Other
)

var kindNames = [...]string{"config", "auth", "denied", "not-found", "rate-limited", "transient", "timeout", "data",
	"limit", "internal", "other"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Error is a failure that the host and the user can act on.
type Error struct {
	// Kind says who can fix it, and whether another attempt may help.
	Kind Kind
	// Code is the error's name in the system that it comes from, such as `23505` or `HTTP 503`; or empty.
	Code string
	// Message is one sentence for the user, in lower case and without a full stop.
	Message string
	// RetryAfter is how long the server asks to wait before another attempt, or nil.
	RetryAfter *time.Duration
	// Cause is the error that this one wraps, or nil.
	Cause error
}

func (e *Error) Error() string { return e.Message }

// Unwrap returns the error that this one wraps.
func (e *Error) Unwrap() error { return e.Cause }

// Level is the level of a log line.
type Level uint8

// The levels of the contract.
const (
	LevelTrace Level = iota
	LevelDebug
	LevelInfo
	LevelWarn
	LevelError
)

// Types says which types a reader returns.
type Types uint8

// Exact types can be written back unchanged; with Plain, types that few languages have become text or decimals.
const (
	Exact Types = iota
	Plain
)

// Pair is a name and a value.
type Pair struct{ Name, Value string }

// Field is a column, or a part of a nested column, in Arrow's terms.
type Field struct {
	Name     string
	Format   string
	Nullable bool
	Children uint32
	Metadata []Pair
}

// Node holds the values of one field: their number, and Arrow's buffers.
type Node struct {
	Length  uint32
	Buffers [][]byte
}

// Column is a declared column of a table of JSON records.
type Column struct{ Name, Type string }

// CatalogColumn is a column of another system's table.
type CatalogColumn struct {
	Name string
	// SourceType is the system's own name of the type.
	SourceType string
	// DuckdbType is the type that the driver converts it to.
	DuckdbType string
	Nullable   bool
}

// CatalogTable is a table of another system.
type CatalogTable struct {
	// Schema is the table's schema or database, or empty.
	Schema     string
	Name       string
	Columns    []CatalogColumn
	PrimaryKey []string
	// EstimatedRows is the system's estimate of the number of rows, or nil.
	EstimatedRows *uint64
}

// Format is how a SELECT is written to a file.
type Format uint8

// The formats of the contract.
const (
	CSV Format = iota
	Parquet
	JSON
)

// TLS says how a connection is encrypted.
type TLS struct {
	// Insecure accepts any certificate.
	Insecure bool
	// ServerName is the name in the certificate; by default the host of the connection.
	ServerName string
	// CA holds trusted roots as PEM, instead of the machine's own.
	CA string
}

// Width is the number of fields of the first column: itself and all its descendants.
func Width(fields []Field) int {
	at, left := 0, 1
	for ; left > 0; left-- {
		left += int(fields[at].Children)
		at++
	}
	return at
}
