package discover

import (
	"unsafe"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/internal/driver"
	"go.osiris.dev/sdk/internal/host"
)

//go:wasmexport osiris:driver/discover@0.2.0#run
func exportDiscover() unsafe.Pointer {
	tables, err := driver.Discover()
	if err != nil {
		return host.ReturnError(osiris.AsError(err))
	}
	return host.ReturnTables(tables)
}
