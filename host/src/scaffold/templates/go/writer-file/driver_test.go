package main

import (
	"strings"
	"testing"

	"go.osiris.dev/sdk/osiristest"
)

type order struct {
	Product *string `col:"product"`
}

func step(t *testing.T, products ...*string) osiristest.Step {
	rows := []order{}
	for _, product := range products {
		rows = append(rows, order{product})
	}
	input := osiristest.Table(t, "orders", rows...)
	config := Config{Path: "a.txt", Column: "product"}
	return osiristest.Step{Config: config, Inputs: []osiristest.Input{input}, Files: map[string][]byte{}}
}

func text(text string) *string { return &text }

func TestEachRowIsALine(t *testing.T) {
	step := step(t, text("tea"), text("žito"), text(""))
	step.Run(t)
	if got := string(step.Files["a.txt"]); got != "tea\nžito\n\n" {
		t.Errorf("%q", got)
	}
}

func TestWhatIsNotOneLineIsAnError(t *testing.T) {
	for _, wrong := range []*string{nil, text("a\nb")} {
		failed := step(t, text("tea"), wrong).Try(t).Err
		if failed == nil || !strings.HasPrefix(failed.Message, "row 2 ") {
			t.Error(failed)
		}
	}
}
