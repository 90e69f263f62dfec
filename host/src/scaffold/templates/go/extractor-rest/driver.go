// Reads all orders of an HTTP API, page by page.
package main

import (
	"encoding/json"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/web"
)

type Config struct {
	Connection struct {
		URL string `json:"url"`
	} `json:"connection"`
	PageSize int `json:"page_size"`
}

type Page struct {
	Items []json.RawMessage `json:"items"`
	Next  int               `json:"next"`
}

func init() { osiris.Extractor(extract) }
func main() {}

func extract(config Config, out *osiris.Output) error {
	table, err := out.JSONTable("main",
		osiris.Declared{Name: "id", Type: "BIGINT"},
		osiris.Declared{Name: "customer", Type: "VARCHAR"},
		osiris.Declared{Name: "amount", Type: "DECIMAL(18,2)"},
		osiris.Declared{Name: "created_at", Type: "TIMESTAMPTZ"})
	if err != nil {
		return err
	}
	client := &web.Client{}
	if token, found := osiris.Secret("/connection/token"); found {
		client.Auth = web.Bearer(token)
	}
	first := web.With(config.Connection.URL+"/orders", "size", config.PageSize)
	for page, err := range web.Pages(client, first, next) {
		if err != nil {
			return err
		}
		if err := table.AddJSON(page.Items...); err != nil {
			return err
		}
		osiris.Progress(uint64(client.Sent()), 0)
	}
	return nil
}

func next(page *Page, response *web.Response) string {
	return web.Numbered(response, "page", page.Next)
}
