// The smallest driver: an extractor that makes a table of greetings.
package main

import "go.osiris.dev/sdk"

type Config struct{ Names []string }
type Row struct{ Greeting string }

func init() { osiris.Extractor(extract) }
func main() {}

func extract(c Config, out *osiris.Output) error {
	rows := []Row{}
	for _, name := range c.Names {
		rows = append(rows, Row{"hello " + name})
	}
	return osiris.WriteTable(out, "main", rows)
}
