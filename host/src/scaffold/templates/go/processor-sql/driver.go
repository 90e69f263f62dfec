// Counts the rows of the input by a column, inside DuckDB.
package main

import (
	"fmt"

	"go.osiris.dev/sdk"
)

type Config struct {
	By string `json:"by"`
}

func init() { osiris.Processor(transform) }
func main() {}

func transform(config Config, in osiris.Inputs, out *osiris.Output) error {
	input, err := in.Only()
	if err != nil {
		return err
	}
	_, err = osiris.CreateTable(out, "main", query(config.By, input.SQLName()))
	return err
}

func query(by, source string) string {
	return fmt.Sprintf("select %s, count(*) as rows from %s group by all order by all", osiris.QuoteName(by), source)
}
