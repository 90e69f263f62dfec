// Package driver holds what a driver registered until the host calls it.
package driver

import "go.osiris.dev/sdk/internal/host"

// Kind is the driver's function by its kind; the others are nil.
type Kind struct {
	Extract   func(*host.Output) error
	Transform func([]*host.Input, *host.Output) error
	Load      func([]*host.Input) error
}

// What the driver registered. The last kind counts.
var (
	Registered Kind
	Check      func() (string, error)
	Discover   func() ([]host.CatalogTable, error)
)
