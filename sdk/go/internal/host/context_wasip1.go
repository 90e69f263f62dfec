package host

import "unsafe"

//go:wasmimport osiris:driver/context@0.2.0 step-id
func contextStepID(ret unsafe.Pointer)

//go:wasmimport osiris:driver/context@0.2.0 config
func contextConfig(ret unsafe.Pointer)

//go:wasmimport osiris:driver/context@0.2.0 partition
func contextPartition(ret unsafe.Pointer)

//go:wasmimport osiris:driver/context@0.2.0 attempt
func contextAttempt() uint32

//go:wasmimport osiris:driver/context@0.2.0 reject
func contextReject(row, rowLength, reason, reasonLength uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/context@0.2.0 log
func contextLog(level, message, length, fields, count uint32)

//go:wasmimport osiris:driver/context@0.2.0 metric
func contextMetric(name, length uint32, value float64)

//go:wasmimport osiris:driver/context@0.2.0 progress
func contextProgress(done uint64, known uint32, total uint64)

//go:wasmimport osiris:driver/secrets@0.2.0 get
func secretsGet(name, length uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/secrets@0.2.0 list
func secretsList(below, length uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/secrets@0.2.0 [method]secret.reveal
func secretReveal(self uint32, ret unsafe.Pointer)

//go:wasmimport osiris:driver/secrets@0.2.0 [resource-drop]secret
func secretDrop(self uint32)

//go:wasmimport osiris:driver/state@0.2.0 get
func stateGet(ret unsafe.Pointer)

//go:wasmimport osiris:driver/state@0.2.0 set
func stateSet(json, length uint32, ret unsafe.Pointer)

// StepID is the id of the step in the pipeline.
func StepID() string {
	contextStepID(begin())
	end()
	return textAt(0)
}

// ConfigJSON is the step's configuration.
func ConfigJSON() string {
	contextConfig(begin())
	end()
	return textAt(0)
}

// Partition is the part of the work that this instance does.
func Partition() (index, count uint32) {
	contextPartition(begin())
	end()
	return u32At(0), u32At(4)
}

// Attempt is the number of this attempt, counted from 1.
func Attempt() uint32 { return contextAttempt() }

// Reject rejects a row, which is JSON.
func Reject(row, reason string) error {
	r, rn := lowerText(row)
	p, n := lowerText(reason)
	contextReject(r, rn, p, n, begin())
	end()
	return failure(4)
}

// Log writes a structured line to the session's log.
func Log(level Level, message string, fields []Pair) {
	p, n := lowerText(message)
	f, count := lowerPairs(fields)
	contextLog(uint32(level), p, n, f, count)
	end()
}

// Metric records a number.
func Metric(name string, value float64) {
	p, n := lowerText(name)
	contextMetric(p, n, value)
	end()
}

// Progress reports done units of total, which may be unknown.
func Progress(done uint64, total *uint64) {
	if total == nil {
		contextProgress(done, 0, 0)
	} else {
		contextProgress(done, 1, *total)
	}
}

// Secret is the secret in a field of the config.
func Secret(name string) (string, bool) {
	p, n := lowerText(name)
	secretsGet(p, n, begin())
	end()
	if u8At(0) == 0 {
		return "", false
	}
	secret := u32At(4)
	secretReveal(secret, begin())
	end()
	value := textAt(0)
	secretDrop(secret)
	return value, true
}

// Secrets are the JSON pointers of the step's secrets at or below a field.
func Secrets(below string) []string {
	p, n := lowerText(below)
	secretsList(p, n, begin())
	end()
	return texts(u32At(0), u32At(4))
}

// State is the JSON value that the last run stored.
func State() (string, bool) {
	stateGet(begin())
	end()
	if u8At(0) == 0 {
		return "", false
	}
	return textAt(4), true
}

// SetState stores a JSON value for the next run.
func SetState(json string) error {
	p, n := lowerText(json)
	stateSet(p, n, begin())
	end()
	return failure(4)
}
