package check

import (
	"unsafe"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/internal/driver"
	"go.osiris.dev/sdk/internal/host"
)

//go:wasmexport osiris:driver/check@0.2.0#run
func exportCheck() unsafe.Pointer {
	server, err := driver.Check()
	if err != nil {
		return host.ReturnError(osiris.AsError(err))
	}
	return host.ReturnText(server)
}
