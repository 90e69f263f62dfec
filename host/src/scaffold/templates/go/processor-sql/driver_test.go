package main

import "testing"

func TestTheColumnIsQuoted(t *testing.T) {
	expected := `select "a ""b""", count(*) as rows from "orders" group by all order by all`
	if got := query(`a "b"`, `"orders"`); got != expected {
		t.Error(got)
	}
}
