// Writes a column of texts to a file, a line for each row.
package main

import (
	"strings"

	"go.osiris.dev/sdk"
)

type Config struct {
	Path   string `json:"path"`
	Column string `json:"column"`
}

func init() { osiris.Writer(load) }
func main() {}

func load(config Config, in osiris.Inputs) error {
	input, err := in.Only()
	if err != nil {
		return err
	}
	target, err := osiris.CreateFile(config.Path)
	if err != nil {
		return err
	}
	row := 0
	for batch, err := range input.Batches(config.Column) {
		if err != nil {
			return err
		}
		texts, err := osiris.Get[string](batch, config.Column)
		if err != nil {
			return err
		}
		var lines strings.Builder
		for index, text := range texts.Values {
			row++
			if texts.IsNull(index) {
				return osiris.Errorf(osiris.KindData, "row %d has null in column `%s`", row, config.Column)
			}
			if strings.Contains(text, "\n") {
				return osiris.Errorf(osiris.KindData, "row %d has a text with a line break in column `%s`", row, config.Column)
			}
			lines.WriteString(text)
			lines.WriteByte('\n')
		}
		if _, err := target.Write([]byte(lines.String())); err != nil {
			return err
		}
	}
	return nil
}
