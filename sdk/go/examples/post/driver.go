// A writer that posts each row to an API as a JSON object.
package main

import (
	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/web"
)

type Config struct{ URL string }

func init() { osiris.Writer(load) }
func main() {}

func load(c Config, in osiris.Inputs) error {
	input, err := in.Only()
	if err != nil {
		return err
	}
	client := &web.Client{}
	for record, err := range input.Records() {
		if err != nil {
			return err
		}
		if err := client.PostJSON(c.URL, record, nil); err != nil {
			return err
		}
		osiris.Progress(uint64(client.Sent()), input.Rows())
	}
	return nil
}
