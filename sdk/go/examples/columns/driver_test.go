package main

import (
	"testing"

	"go.osiris.dev/sdk/osiristest"
)

type order struct {
	Qty  int32
	Name *string
	Tags []string
}

func TestOrdersAreTransformed(t *testing.T) {
	name := "ada"
	input := osiristest.Table(t, "orders", order{2, &name, []string{"a", "b"}}, order{3, nil, nil})
	result := osiristest.Step{Inputs: []osiristest.Input{input}}.Run(t)
	type after struct {
		Qty   int64
		Upper *string
		Count *int64 `col:"tag_count"`
	}
	rows := osiristest.Rows[after](t, result, "main")
	if rows[0].Qty != 4 || *rows[0].Upper != "ADA" || *rows[0].Count != 2 || rows[1].Upper != nil || rows[1].Count != nil {
		t.Errorf("%+v", rows)
	}
}
