// Reads all pages of a REST API.
package main

import (
	"encoding/json"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/web"
)

type Config struct{ URL string }

type Page struct {
	Items []json.RawMessage
	Next  int
}

func init() { osiris.Extractor(extract) }
func main() {}

func extract(c Config, out *osiris.Output) error {
	table, err := out.JSONTable("main", osiris.Declared{Name: "amount", Type: "DECIMAL(18,2)"},
		osiris.Declared{Name: "created_at", Type: "TIMESTAMPTZ"})
	if err != nil {
		return err
	}
	token, _ := osiris.Secret("/token")
	client := &web.Client{Auth: web.Bearer(token)}
	next := func(p *Page, r *web.Response) string { return web.Numbered(r, "page", p.Next) }
	for page, err := range web.Pages(client, c.URL, next) {
		if err != nil {
			return err
		}
		if err := table.AddJSON(page.Items...); err != nil {
			return err
		}
	}
	return nil
}
