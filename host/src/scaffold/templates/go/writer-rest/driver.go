// Sends each row to an HTTP API.
package main

import (
	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/web"
)

type Config struct {
	Connection struct {
		URL string `json:"url"`
	} `json:"connection"`
}

func init() { osiris.Writer(load) }
func main() {}

func load(config Config, in osiris.Inputs) error {
	input, err := in.Only()
	if err != nil {
		return err
	}
	client := &web.Client{}
	if token, found := osiris.Secret("/connection/token"); found {
		client.Auth = web.Bearer(token)
	}
	for row, err := range input.Records() {
		if err != nil {
			return err
		}
		if err := client.PostJSON(config.Connection.URL+"/orders", row, nil); err != nil {
			return err
		}
		osiris.Progress(uint64(client.Sent()), input.Rows())
	}
	return nil
}
