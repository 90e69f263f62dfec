// Adds c = a + b + the length of s.
package main

import (
	"errors"

	"go.osiris.dev/sdk"
)

type Config struct{ Mode string }

type Row struct {
	A int64  `json:"a"`
	B int64  `json:"b"`
	S string `json:"s"`
	C int64  `json:"c"`
}

func init() { osiris.Processor(transform) }
func main() {}

func transform(c Config, in osiris.Inputs, out *osiris.Output) error {
	if c.Mode == "columns" {
		return in[0].Transform(out, "main", columns)
	}
	table, err := out.JSONTable("main")
	if err != nil {
		return err
	}
	for row, err := range osiris.Records[Row](in[0]) {
		if err != nil {
			return err
		}
		row.C = row.A + row.B + int64(len(row.S))
		if err := table.Add(row); err != nil {
			return err
		}
	}
	return nil
}

func columns(b *osiris.Batch) error {
	x, err := osiris.Get[int64](b, "a")
	y, err2 := osiris.Get[int64](b, "b")
	s, err3 := osiris.Get[string](b, "s")
	sum := osiris.Of(make([]int64, b.Rows()))
	for i := range sum.Values {
		sum.Values[i] = x.Values[i] + y.Values[i] + int64(len(s.Values[i]))
	}
	return errors.Join(err, err2, err3, osiris.Set(b, "c", sum))
}
