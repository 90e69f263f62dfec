package main

import (
	"math"
	"testing"

	"go.osiris.dev/sdk/osiristest"
)

type order struct {
	Product  *string
	Quantity int64
	Cents    *int64
	Other    bool
}

type total struct {
	Total *int64  `col:"total_cents"`
	Label *string `col:"label"`
	Other bool    `col:"other"`
}

func TestTotalsAndLabelsAreAdded(t *testing.T) {
	rye, cents := "žito", int64(450)
	input := osiristest.Table(t, "orders", order{&rye, 2, &cents, true}, order{nil, 1, nil, false})
	rows := osiristest.Rows[total](t, osiristest.Step{Inputs: []osiristest.Input{input}}.Run(t), "main")
	if *rows[0].Total != 900 || *rows[0].Label != "ŽITO" || !rows[0].Other || rows[1].Total != nil || rows[1].Label != nil {
		t.Errorf("%+v", rows)
	}
}

func TestATotalBeyondTheTypeIsAnError(t *testing.T) {
	for _, pair := range [][2]int64{{math.MaxInt64, 2}, {math.MinInt64, -1}, {-1, math.MinInt64}} {
		if product, err := multiply(pair[0], pair[1]); err == nil {
			t.Error(pair, product)
		}
	}
	if product, err := multiply(-3, 5); product != -15 || err != nil {
		t.Error(product, err)
	}
}
