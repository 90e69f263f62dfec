// Greets each name in the config.
package main

import (
	"log/slog"

	"go.osiris.dev/sdk"
)

type Config struct {
	Names []string `json:"names"`
}

type Greeting struct {
	ID       int64  `col:"id"`
	Greeting string `col:"greeting"`
}

func init() { osiris.Extractor(extract) }
func main() {}

func extract(config Config, out *osiris.Output) error {
	slog.Info("greeting", "names", len(config.Names))
	rows := []Greeting{}
	for index, name := range config.Names {
		rows = append(rows, Greeting{int64(index + 1), "hello " + name})
	}
	return osiris.WriteTable(out, "main", rows)
}
