// Adds totals and labels; other columns pass through unchanged.
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
		product, err1 := osiris.Get[string](b, "product")
		quantity, err2 := osiris.Get[int64](b, "quantity")
		cents, err3 := osiris.Get[int64](b, "cents")
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		totals := osiris.Of(make([]int64, b.Rows()))
		for row := range totals.Values {
			if quantity.IsNull(row) || cents.IsNull(row) {
				totals.SetNull(row)
				continue
			}
			total, err := multiply(quantity.Values[row], cents.Values[row])
			if err != nil {
				return err
			}
			totals.Values[row] = total
		}
		return errors.Join(
			osiris.Set(b, "total_cents", totals),
			osiris.Set(b, "label", osiris.Map(product, strings.ToUpper)))
	})
}

func multiply(a, b int64) (int64, error) {
	product := a * b
	if a != 0 && (product/a != b || (a == -1 && b == -b && b != 0)) {
		return 0, osiris.Errorf(osiris.KindData, "%d × %d is beyond BIGINT", a, b)
	}
	return product, nil
}
