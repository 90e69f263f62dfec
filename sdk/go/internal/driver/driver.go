// Package driver holds what a driver registered until the host calls it.
package driver

import "go.osiris.dev/sdk/internal/host"

// The functions of this driver; nil for those that it does not have.
var (
	Extract   func(*host.Output) error
	Transform func([]*host.Input, *host.Output) error
	Load      func([]*host.Input) error
	Check     func() (string, error)
	Discover  func() ([]host.CatalogTable, error)
)
