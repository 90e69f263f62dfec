// A driver for the tests: passes its input through Go values, computes with columns, or fails, as its config says.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/check"
	"go.osiris.dev/sdk/discover"
)

type part struct {
	A int32   `col:"a"`
	B *string `col:"b"`
}

// row has a column of each type that the SDK knows.
type row struct {
	I8   *int8             `col:"i8"`
	I64  *int64            `col:"i64"`
	U64  *uint64           `col:"u64"`
	F32  *float32          `col:"f32"`
	F64  *float64          `col:"f64"`
	Bool *bool             `col:"bool"`
	Text *string           `col:"text"`
	Raw  []byte            `col:"raw"`
	JSON json.RawMessage   `col:"json"`
	UUID *osiris.UUID      `col:"uuid"`
	Date *osiris.Date      `col:"date"`
	Time *osiris.TimeOfDay `col:"time"`
	At   *time.Time        `col:"at"`
	Wall *time.Time        `col:"wall,timestamp"`
	Span *osiris.Interval  `col:"span"`
	Dec  *osiris.Decimal   `col:"dec,decimal(38,4)"`
	Huge *osiris.Decimal   `col:"huge,decimal(38,0)"`
	List []*string         `col:"list"`
	Deep [][]int64         `col:"deep"`
	Part *part             `col:"part"`
	Many []part            `col:"many"`
	Map  map[string]int64  `col:"map"`
}

type typedRow struct {
	I *int64   `json:"i"`
	D float64  `json:"d"`
	S *string  `json:"s"`
	L []string `json:"l"`
	B bool     `json:"b"`
}

type config struct {
	Mode string `json:"mode"`
}

type connection struct{ Connection config }

func init() {
	osiris.Processor(transform)
	check.Connection(func(c connection) (string, error) { return "tests of " + c.Connection.Mode, nil })
	discover.Tables(func(connection) ([]discover.Table, error) {
		rows := uint64(1) << 40
		return []discover.Table{
			{Schema: "s", Name: "t", PrimaryKey: []string{"a", "b"}, EstimatedRows: &rows, Columns: []discover.Column{
				{Name: "a", SourceType: "int8", DuckdbType: "BIGINT"}, {Name: "b", SourceType: "text", DuckdbType: "VARCHAR", Nullable: true}}},
			{Name: "u"}}, nil
	})
}

func main() {}

func transform(c config, in osiris.Inputs, out *osiris.Output) error {
	switch c.Mode {
	case "rows":
		return rows(in, out)
	case "records":
		return records(in, out)
	case "typed":
		return typed(in, out)
	case "compute":
		return in[0].Transform(out, "main", compute)
	case "texts":
		return in[0].Transform(out, "main", texts)
	case "garbage":
		return garbage(in, out)
	case "utf8":
		osiris.Log.Info("wrong \xff")
		return errors.New("wrong \xff")
	case "panic":
		var missing map[string]int
		missing["x"]++
	case "fail":
		wait := 1500 * time.Millisecond
		return fmt.Errorf("outside: %w", &osiris.Error{Kind: osiris.KindRateLimited, Code: "E42", Message: "inside", RetryAfter: &wait})
	case "exit":
		fmt.Fprintln(os.Stderr, "last words")
		os.Exit(3)
	case "sql":
		_, err := osiris.CreateTable(out, "main", "select count(*) as n from "+in[0].SQLName())
		return err
	}
	return nil
}

func rows(in osiris.Inputs, out *osiris.Output) error {
	table, err := osiris.NewTable[row](out, "main")
	for r, failed := range osiris.Rows[row](in[0]) {
		if err = errors.Join(err, failed); err == nil {
			err = table.Add(r)
		}
	}
	return err
}

func records(in osiris.Inputs, out *osiris.Output) error {
	table, err := out.JSONTable("main")
	if err != nil {
		return err
	}
	for record, err := range in[0].Records() {
		if err := errors.Join(err, table.AddJSON(record)); err != nil {
			return err
		}
	}
	return nil
}

// typed passes on structs that are decoded from JSON and encoded again, and rows with any member.
func typed(in osiris.Inputs, out *osiris.Output) error {
	table, err := out.JSONTable("main")
	other, err2 := out.JSONTable("any")
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	for r, err := range osiris.Records[typedRow](in[0]) {
		if err := errors.Join(err, table.Add(r)); err != nil {
			return err
		}
	}
	for r, err := range osiris.Records[map[string]any](in[0]) {
		if err := errors.Join(err, other.Add(r)); err != nil {
			return err
		}
	}
	return nil
}

// compute adds c = a + b + length of s.
func compute(b *osiris.Batch) error {
	x, err := osiris.Get[int64](b, "a")
	y, err2 := osiris.Get[int64](b, "b")
	s, err3 := osiris.Get[string](b, "s")
	sum := osiris.Of(make([]int64, b.Rows()))
	for i := range sum.Values {
		sum.Values[i] = x.Values[i] + y.Values[i] + int64(len(s.Values[i]))
	}
	return errors.Join(err, err2, err3, osiris.Set(b, "c", sum))
}

// texts adds t = s in capitals.
func texts(b *osiris.Batch) error {
	s, err := osiris.Get[string](b, "s")
	return errors.Join(err, osiris.Set(b, "t", osiris.Map(s, strings.ToUpper)))
}

// garbage allocates much between and during calls, with two readers at a time, so that the collector runs often.
func garbage(in osiris.Inputs, out *osiris.Output) error {
	var held [][]byte
	for b, err := range in[0].Batches("a", "s") {
		if err != nil {
			return err
		}
		for range 20 {
			held = append(held, make([]byte, 100<<10))
		}
		if len(held) > 200 {
			held = nil
		}
		for other, err := range osiris.Query("select max(s) as m from " + in[0].SQLName() + " limit 1") {
			if _, err2 := osiris.Get[string](other, "m"); errors.Join(err, err2) != nil {
				return errors.Join(err, err2)
			}
		}
		osiris.Log.Debug("batch", "rows", b.Rows(), "held", len(held))
		if err := out.Append("main", b); err != nil {
			return err
		}
	}
	return nil
}
