// Package check exports the driver's function for `osiris connections doctor`.
package check

import (
	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/internal/driver"
)

// Connection registers a function that connects and logs in without changing anything, and returns the name of the
// server, such as `PostgreSQL 15.4`. The kind of its error says what is wrong.
func Connection[C any](run func(config C) (string, error)) {
	driver.Check = func() (server string, err error) {
		err = osiris.Guard(func() error {
			config, err := osiris.Config[C]()
			if err == nil {
				server, err = run(config)
			}
			return err
		})
		return server, err
	}
}
