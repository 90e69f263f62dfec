// Package discover exports the driver's function for `osiris discover`.
package discover

import (
	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/internal/driver"
	"go.osiris.dev/sdk/internal/host"
)

// Table is a table of another system.
type Table = host.CatalogTable

// Column is a column of another system's table.
type Column = host.CatalogColumn

// Tables registers a function that lists the tables that the connection in the config can access.
func Tables[C any](run func(config C) ([]Table, error)) {
	driver.Discover = func() (tables []Table, err error) {
		err = osiris.Guard(func() error {
			config, err := osiris.Config[C]()
			if err == nil {
				tables, err = run(config)
			}
			return err
		})
		return tables, err
	}
}
