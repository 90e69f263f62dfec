package main

import (
	"slices"
	"testing"

	"go.osiris.dev/sdk/osiristest"
)

func TestEachNameIsGreeted(t *testing.T) {
	result := osiristest.Step{Config: Config{Names: []string{"Ada", "Žofie"}}}.Run(t)
	rows := osiristest.Rows[Greeting](t, result, "main")
	if !slices.Equal(rows, []Greeting{{1, "hello Ada"}, {2, "hello Žofie"}}) {
		t.Errorf("%+v", rows)
	}
}

func TestNoNamesMakeAnEmptyTable(t *testing.T) {
	result := osiristest.Step{Config: Config{Names: []string{}}}.Run(t)
	if rows := osiristest.Rows[Greeting](t, result, "main"); len(rows) != 0 {
		t.Errorf("%+v", rows)
	}
}
