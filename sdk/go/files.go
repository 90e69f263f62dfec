package osiris

import (
	"io"

	"go.osiris.dev/sdk/internal/host"
)

// ListFiles are the files that a granted path stands for.
func ListFiles(path string) ([]string, error) { return host.ListFiles(path) }

// Source is a granted file, open for reading: an io.Reader, io.ReaderAt, io.Seeker and io.Closer.
type Source struct {
	*io.SectionReader
	raw *host.Source
}

// OpenFile opens a granted file for reading; the path must be written as in the config.
func OpenFile(path string) (*Source, error) {
	raw, err := host.OpenFile(path)
	if err != nil {
		return nil, err
	}
	return &Source{io.NewSectionReader(readerAt{raw}, 0, int64(raw.Size())), raw}, nil
}

// SQLLiteral is the file as a literal for DuckDB's readers: `from read_csv({literal})`.
func (s *Source) SQLLiteral() string { return s.raw.SQLLiteral() }

// Close closes the file.
func (s *Source) Close() error {
	s.raw.Close()
	return nil
}

type readerAt struct{ raw *host.Source }

func (r readerAt) ReadAt(b []byte, offset int64) (read int, err error) {
	for read < len(b) {
		n, err := r.raw.ReadAt(b[read:], uint64(offset)+uint64(read))
		if err != nil {
			return read, err
		}
		if n == 0 {
			return read, io.EOF
		}
		read += n
	}
	return read, nil
}

// Target is a granted file, open for writing; it replaces its target when the whole step has succeeded.
type Target struct{ raw *host.Target }

// CreateFile opens a granted file for writing.
func CreateFile(path string) (*Target, error) {
	raw, err := host.CreateFile(path)
	if err != nil {
		return nil, err
	}
	return &Target{raw}, nil
}

// Write appends bytes.
func (t *Target) Write(b []byte) (int, error) { return writeParts(b, t.raw.Write) }

// FileFormat is how DuckDB writes the rows of a SELECT.
type FileFormat = host.Format

// The formats of [Target.Copy].
const (
	FormatCSV     = host.CSV
	FormatParquet = host.Parquet
	FormatJSON    = host.JSON
)

// Option is an option of DuckDB's COPY, such as {"delimiter", ";"}.
type Option = host.Pair

// Copy writes the rows of one SELECT with DuckDB's own writer; returns their number.
func (t *Target) Copy(sql string, format FileFormat, options ...Option) (uint64, error) {
	return t.raw.Copy(sql, format, options)
}

// Temporary is a temporary file of the step: first written, then read by DuckDB.
type Temporary struct{ raw *host.Temporary }

// CreateTemporary creates an empty temporary file, which needs no grant.
func CreateTemporary() (*Temporary, error) {
	raw, err := host.CreateTemporary()
	if err != nil {
		return nil, err
	}
	return &Temporary{raw}, nil
}

// Write appends bytes.
func (t *Temporary) Write(b []byte) (int, error) { return writeParts(b, t.raw.Write) }

// SQLLiteral is the file as a literal for DuckDB's readers; it cannot be written afterwards.
func (t *Temporary) SQLLiteral() string { return t.raw.SQLLiteral() }

// Close deletes the file. Queries that use it must have ended.
func (t *Temporary) Close() error {
	t.raw.Close()
	return nil
}

// writeParts keeps each call below the contract's 64 MiB.
func writeParts(b []byte, write func([]byte) error) (written int, err error) {
	const most = 8 << 20
	for written < len(b) {
		part := b[written:min(written+most, len(b))]
		if err := write(part); err != nil {
			return written, err
		}
		written += len(part)
	}
	return written, nil
}
