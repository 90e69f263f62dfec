package host

import (
	"time"
	"unsafe"
)

//go:wasmimport osiris:driver/files@0.2.0 list
func filesList(path, length uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/files@0.2.0 open
func filesOpen(path, length uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/files@0.2.0 create
func filesCreate(path, length uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/files@0.2.0 create-temporary
func filesCreateTemporary(ret unsafe.Pointer)

//go:wasmimport osiris:driver/files@0.2.0 [method]temporary.write
func temporaryWrite(self, bytes, length uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/files@0.2.0 [method]temporary.sql-literal
func temporarySQLLiteral(self uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/files@0.2.0 [resource-drop]temporary
func temporaryDrop(self uint32)

//go:wasmimport osiris:driver/files@0.2.0 [method]source.sql-literal
func sourceSQLLiteral(self uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/files@0.2.0 [method]source.size
func sourceSize(self uint32) uint64

//go:wasmimport osiris:driver/files@0.2.0 [method]source.read
func sourceRead(self uint32, offset uint64, length uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/files@0.2.0 [resource-drop]source
func sourceDrop(self uint32)

//go:wasmimport osiris:driver/files@0.2.0 [method]target.copy
func targetCopy(self, sql, length, format, options, count uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/files@0.2.0 [method]target.write
func targetWrite(self, bytes, length uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tcp@0.2.0 connect
func tcpConnect(host, length, port, timeout uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tcp@0.2.0 [method]connection.set-timeout
func connectionSetTimeout(self, timeout uint32)

//go:wasmimport osiris:driver/tcp@0.2.0 [method]connection.read
func connectionRead(self, length uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tcp@0.2.0 [method]connection.write
func connectionWrite(self, bytes, length uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tcp@0.2.0 [method]connection.start-tls
func connectionStartTLS(self, verify, named, name, nameLength, trusted, ca, caLength uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tcp@0.2.0 [method]connection.server-end-point
func connectionServerEndPoint(self uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/tcp@0.2.0 [resource-drop]connection
func connectionDrop(self uint32)

// ListFiles are the files that a granted path stands for.
func ListFiles(path string) ([]string, error) {
	p, n := lowerText(path)
	filesList(p, n, begin())
	end()
	if err := failure(4); err != nil {
		return nil, err
	}
	return texts(u32At(4), u32At(8)), nil
}

// Source is a file to read.
type Source struct{ handle uint32 }

// OpenFile opens a granted file.
func OpenFile(path string) (*Source, error) {
	p, n := lowerText(path)
	filesOpen(p, n, begin())
	end()
	if err := failure(4); err != nil {
		return nil, err
	}
	return &Source{u32At(4)}, nil
}

// SQLLiteral is the file for DuckDB's readers.
func (s *Source) SQLLiteral() string {
	sourceSQLLiteral(s.handle, begin())
	end()
	return textAt(0)
}

// Size is the size in bytes.
func (s *Source) Size() uint64 { return sourceSize(s.handle) }

// ReadAt reads from an offset; 0 bytes are the end.
func (s *Source) ReadAt(b []byte, offset uint64) (int, error) {
	sourceRead(s.handle, offset, uint32(min(len(b), 8<<20)), begin())
	end()
	if err := failure(4); err != nil {
		return 0, err
	}
	return copy(b, view(u32At(4), u32At(8))), nil
}

// Close closes the file.
func (s *Source) Close() { sourceDrop(s.handle) }

// Target is a file to write.
type Target struct{ handle uint32 }

// CreateFile opens a granted file for writing.
func CreateFile(path string) (*Target, error) {
	p, n := lowerText(path)
	filesCreate(p, n, begin())
	end()
	if err := failure(4); err != nil {
		return nil, err
	}
	return &Target{u32At(4)}, nil
}

// Copy writes the rows of a SELECT.
func (t *Target) Copy(sql string, format Format, options []Pair) (uint64, error) {
	p, n := lowerText(sql)
	o, count := lowerPairs(options)
	targetCopy(t.handle, p, n, uint32(format), o, count, begin())
	end()
	return u64At(8), failure(8)
}

// Write appends bytes.
func (t *Target) Write(b []byte) error {
	p, n := lowered(b)
	targetWrite(t.handle, p, n, begin())
	end()
	return failure(4)
}

// Temporary is a temporary file.
type Temporary struct{ handle uint32 }

// CreateTemporary creates an empty temporary file.
func CreateTemporary() (*Temporary, error) {
	filesCreateTemporary(begin())
	end()
	if err := failure(4); err != nil {
		return nil, err
	}
	return &Temporary{u32At(4)}, nil
}

// Write appends bytes.
func (t *Temporary) Write(b []byte) error {
	p, n := lowered(b)
	temporaryWrite(t.handle, p, n, begin())
	end()
	return failure(4)
}

// SQLLiteral is the file for DuckDB's readers; it cannot be written afterwards.
func (t *Temporary) SQLLiteral() string {
	temporarySQLLiteral(t.handle, begin())
	end()
	return textAt(0)
}

// Close deletes the file.
func (t *Temporary) Close() { temporaryDrop(t.handle) }

// Connection is a stream of bytes to another machine.
type Connection struct{ handle uint32 }

// Connect connects to a granted host and port.
func Connect(name string, port uint16, timeout time.Duration) (*Connection, error) {
	p, n := lowerText(name)
	tcpConnect(p, n, uint32(port), milliseconds(timeout), begin())
	end()
	if err := failure(4); err != nil {
		return nil, err
	}
	return &Connection{u32At(4)}, nil
}

func milliseconds(d time.Duration) uint32 {
	return uint32(min(max(d.Milliseconds(), 0), 1<<32-1))
}

// SetTimeout limits how long a read or a write may wait.
func (c *Connection) SetTimeout(timeout time.Duration) {
	connectionSetTimeout(c.handle, milliseconds(timeout))
}

// Read waits for at least one byte; 0 bytes are the end.
func (c *Connection) Read(b []byte) (int, error) {
	connectionRead(c.handle, uint32(min(len(b), 1<<20)), begin())
	end()
	if err := failure(4); err != nil {
		return 0, err
	}
	return copy(b, view(u32At(4), u32At(8))), nil
}

// Write sends all the bytes.
func (c *Connection) Write(b []byte) error {
	p, n := lowered(b)
	connectionWrite(c.handle, p, n, begin())
	end()
	return failure(4)
}

// StartTLS encrypts the stream from here on.
func (c *Connection) StartTLS(o TLS) error {
	name, nameLength := lowerText(o.ServerName)
	ca, caLength := lowerText(o.CA)
	connectionStartTLS(c.handle, flag(!o.Insecure), flag(o.ServerName != ""), name, nameLength, flag(o.CA != ""), ca,
		caLength, begin())
	end()
	return failure(4)
}

// ServerEndPoint is the digest of the server's certificate, or nil.
func (c *Connection) ServerEndPoint() []byte {
	connectionServerEndPoint(c.handle, begin())
	end()
	if u8At(0) == 0 {
		return nil
	}
	return bytesAt(4)
}

// Close closes the connection.
func (c *Connection) Close() { connectionDrop(c.handle) }
