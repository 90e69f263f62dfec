package osiris

import (
	"unsafe"

	"go.osiris.dev/sdk/internal/driver"
	"go.osiris.dev/sdk/internal/host"
)

// The build declares the export of the driver's kind; the others are dropped.

//go:wasmexport osiris:driver/extract@0.2.0#run
func exportExtract(output uint32) unsafe.Pointer {
	if driver.Registered.Extract == nil {
		return host.ReturnError(missing("extractor", "Extractor"))
	}
	return host.ReturnError(AsError(driver.Registered.Extract(host.OutputAt(output))))
}

//go:wasmexport osiris:driver/transform@0.2.0#run
func exportTransform(inputs, count, output uint32) unsafe.Pointer {
	if driver.Registered.Transform == nil {
		return host.ReturnError(missing("processor", "Processor"))
	}
	return host.ReturnError(AsError(driver.Registered.Transform(host.InputsAt(inputs, count), host.OutputAt(output))))
}

//go:wasmexport osiris:driver/load@0.2.0#run
func exportLoad(inputs, count uint32) unsafe.Pointer {
	if driver.Registered.Load == nil {
		return host.ReturnError(missing("writer", "Writer"))
	}
	return host.ReturnError(AsError(driver.Registered.Load(host.InputsAt(inputs, count))))
}

func missing(kind, function string) *Error {
	return Errorf(KindInternal, "the driver's spec calls it a %s, but its code never calls `osiris.%s`", kind, function)
}
