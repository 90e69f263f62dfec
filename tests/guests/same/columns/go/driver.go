// Computes columns from the values of others.
package main

import (
	"errors"
	"math/big"
	"time"

	"go.osiris.dev/sdk"
)

type part struct {
	A int32 `col:"a"`
	B *string `col:"b"`
}

func init() { osiris.Processor(transform) }
func main() {}

// add computes a column from the values of another.
func add[A, B any](b *osiris.Batch, name, source string, compute func(A) B, as ...string) error {
	values, err := osiris.Get[A](b, source)
	return errors.Join(err, osiris.Set(b, name, osiris.Map(values, compute), as...))
}

func transform(_ struct{}, in osiris.Inputs, out *osiris.Output) error {
	input, err := in.Only()
	if err != nil {
		return err
	}
	return input.Transform(out, "main", func(b *osiris.Batch) error {
		return errors.Join(
			add(b, "double_qty", "qty", func(qty int64) int64 { return 2 * qty }),
			add(b, "shout", "name", func(name string) string { return name + "!" }),
			add(b, "owed", "price", negated, "decimal(18,2)"),
			add(b, "not_flag", "flag", func(flag bool) bool { return !flag }),
			add(b, "half", "ratio", func(ratio float64) float64 { return ratio / 2 }),
			add(b, "next_day", "day", func(day osiris.Date) osiris.Date { return day + 1 }),
			add(b, "same_at", "at", func(at time.Time) time.Time { return at }),
			add(b, "same_key", "key", func(key osiris.UUID) osiris.UUID { return key }),
			add(b, "tag_count", "tags", func(tags []*string) int64 { return int64(len(tags)) }),
			add(b, "loud_tags", "tags", loud),
			add(b, "part_a", "part", func(p part) int64 { return int64(p.A) }))
	})
}

func negated(price osiris.Decimal) osiris.Decimal {
	unscaled := new(big.Int).Neg(price.Unscaled())
	return osiris.NewDecimal(unscaled.Int64(), price.Scale())
}

func loud(tags []*string) []*string {
	changed := make([]*string, len(tags))
	for at, tag := range tags {
		if tag != nil {
			text := *tag + "!"
			changed[at] = &text
		}
	}
	return changed
}
