// A processor that works on columns: those that it does not touch are passed on as they came.
package main

import (
	"errors"
	"strings"

	"go.osiris.dev/sdk"
)

func init() { osiris.Processor(transform) }
func main() {}

func transform(_ struct{}, in osiris.Inputs, out *osiris.Output) error {
	input, err := in.Only()
	if err != nil {
		return err
	}
	return input.Transform(out, "main", func(b *osiris.Batch) error {
		qty, err1 := osiris.Get[int64](b, "qty")
		name, err2 := osiris.Get[string](b, "name")
		tags, err3 := osiris.Get[[]string](b, "tags")
		return errors.Join(err1, err2, err3,
			osiris.Set(b, "qty", osiris.Map(qty, func(q int64) int64 { return 2 * q })),
			osiris.Set(b, "upper", osiris.Map(name, strings.ToUpper)),
			osiris.Set(b, "tag_count", osiris.Map(tags, func(t []string) int64 { return int64(len(t)) })))
	})
}
