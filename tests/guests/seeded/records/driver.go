// Reads a file of JSON lines, in later runs only what is new. Its spec says which bug it has.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"go.osiris.dev/sdk"
)

type Config struct {
	Bug  string
	Path string
}

// State is the largest cursor that was read, and the records that have it.
type State struct {
	Cursor int64
	IDs    []int64
}

type Record struct {
	ID      int64
	Updated int64
}

func init() { osiris.Extractor(extract) }
func main() {}

func extract(c Config, out *osiris.Output) error {
	file, err := osiris.OpenFile(c.Path)
	if err != nil {
		return err
	}
	before, _, err := osiris.State[State]()
	if err != nil {
		return err
	}
	table, err := out.JSONTable("main", osiris.Declared{Name: "id", Type: "BIGINT"}, osiris.Declared{Name: "updated", Type: "BIGINT"})
	if err != nil {
		return err
	}
	after := before
	err = lines(c, file, func(line []byte) error {
		var record Record
		if err := json.Unmarshal(line, &record); err != nil {
			return osiris.Errorf(osiris.KindData, "a line of `%s` is not a record: %v", c.Path, err)
		}
		if !isNew(c, record, before) {
			return nil
		}
		if record.Updated > after.Cursor {
			after = State{Cursor: record.Updated}
		}
		if record.Updated == after.Cursor && !slices.Contains(after.IDs, record.ID) {
			after.IDs = append(slices.Clone(after.IDs), record.ID)
		}
		return table.AddJSON(json.RawMessage(line))
	})
	if err != nil {
		return err
	}
	return osiris.SetState(after)
}

func isNew(c Config, record Record, before State) bool {
	switch c.Bug {
	case "loses-ties":
		return record.Updated > before.Cursor
	case "doubles-rows":
		return record.Updated >= before.Cursor
	}
	return record.Updated > before.Cursor || record.Updated == before.Cursor && !slices.Contains(before.IDs, record.ID)
}

// lines calls each with every line of the file, which is read in pieces.
func lines(c Config, file *osiris.Source, each func([]byte) error) error {
	var rest []byte
	for offset := int64(0); offset < file.Size(); {
		piece := make([]byte, min(file.Size()-offset, 4096))
		begun := time.Now()
		read, err := file.ReadAt(piece, offset)
		for c.Bug == "asks-forever" && err != nil && !errors.Is(err, io.EOF) {
			read, err = file.ReadAt(piece, offset)
		}
		if c.Bug == "hangs-when-slow" && time.Since(begun) > 100*time.Millisecond {
			for {
				time.Sleep(time.Second) // waits for a watchdog that nobody wrote
			}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if read == 0 && c.Bug == "ignores-the-end" {
			return nil
		}
		if read == 0 {
			return osiris.Errorf(osiris.KindData, "`%s` ends after %d of %d bytes", c.Path, offset, file.Size())
		}
		offset += int64(read)
		rest = append(rest, piece[:read]...)
		for end := bytes.IndexByte(rest, '\n'); end >= 0; end = bytes.IndexByte(rest, '\n') {
			if err := each(rest[:end]); err != nil {
				return err
			}
			rest = rest[end+1:]
		}
	}
	if len(rest) > 0 {
		return each(rest)
	}
	return nil
}
