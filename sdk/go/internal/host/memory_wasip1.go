package host

import (
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"
)

// Everything that the host returns is written into memory that the Go heap does not know. The host allocates by
// calling `cabi_realloc` while an import runs, when a driver may call no import. Go's garbage collector reads the
// clock, which is one, so an allocation there could stop the driver. An arena never enters the collector, and its
// memory is reused from call to call.

//go:linkname sbrk runtime.sbrk
func sbrk(n uintptr) unsafe.Pointer

type chunk struct{ start, size, used uintptr }

// arena is memory for the results of one call. Chunks double in size, so that 40 of them hold all of a Wasm memory.
type arena struct {
	chunks [40]chunk
	count  int
}

const (
	page       = 64 << 10
	firstChunk = 128 << 10
)

func (a *arena) allocate(align, size uintptr) uintptr {
	var total uintptr
	for i := range a.chunks[:a.count] {
		c := &a.chunks[i]
		start := (c.start + c.used + align - 1) &^ (align - 1)
		if start+size <= c.start+c.size {
			c.used = start + size - c.start
			return start
		}
		total += c.size
	}
	length := max(firstChunk, total, size+align)
	length = (length + page - 1) &^ (page - 1)
	start := uintptr(sbrk(length))
	if start == 0 || a.count == len(a.chunks) {
		panic("out of memory")
	}
	a.chunks[a.count] = chunk{start, length, 0}
	a.count++
	return a.allocate(align, size)
}

func (a *arena) reset() {
	for i := range a.chunks[:a.count] {
		a.chunks[i].used = 0
	}
}

var (
	// current receives the results of the running import; nil while none runs.
	current *arena
	// scratch is for results that are copied at once.
	scratch arena
	// free holds arenas of batches that were released.
	free []*arena
)

// Outside an import, the WASI adapter allocates its state, and the host the parameters of an export.
//
//go:wasmexport cabi_realloc
func cabiRealloc(old unsafe.Pointer, oldSize, align, size uintptr) unsafe.Pointer {
	if size == 0 {
		return unsafe.Pointer(align)
	}
	var start uintptr
	if current != nil {
		start = current.allocate(align, size)
	} else {
		start = (uintptr(sbrk(size+align)) + align - 1) &^ (align - 1)
	}
	if oldSize > 0 {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(start)), size), unsafe.Slice((*byte)(old), min(size, oldSize)))
	}
	return unsafe.Pointer(start)
}

// results is where an import writes what does not fit into one number.
type results [20]uint64

// area is reused by all calls: an import's results are read before the next call.
var area results

// kept holds what is lowered until the call has returned: addresses in lowered records are numbers to the collector.
var kept []unsafe.Pointer

// begin prepares for an import whose results are copied, and returns where they go.
func begin() unsafe.Pointer {
	scratch.reset()
	current = &scratch
	return unsafe.Pointer(&area)
}

// end must follow the import.
func end() {
	current = nil
	clear(kept)
	kept = kept[:0]
}

func u8At(offset uintptr) uint8 { return *(*uint8)(unsafe.Add(unsafe.Pointer(&area), offset)) }

func u32At(offset uintptr) uint32 { return *(*uint32)(unsafe.Add(unsafe.Pointer(&area), offset)) }

func u64At(offset uintptr) uint64 { return *(*uint64)(unsafe.Add(unsafe.Pointer(&area), offset)) }

// view is the memory itself, valid until its arena is reset.
func view(start, length uint32) []byte {
	if length == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(uintptr(start))), length)
}

func textAt(offset uintptr) string { return string(view(u32At(offset), u32At(offset+4))) }

func bytesAt(offset uintptr) []byte {
	return append([]byte(nil), view(u32At(offset), u32At(offset+4))...)
}

func word(start uint32, index uintptr) uint32 {
	return *(*uint32)(unsafe.Pointer(uintptr(start) + 4*index))
}

func texts(start, count uint32) []string {
	all := make([]string, count)
	for i := range all {
		at := uintptr(i) * 2
		all[i] = string(view(word(start, at), word(start, at+1)))
	}
	return all
}

// failure is the error of a `result<_, error>` whose payload begins at offset.
func failure(offset uintptr) error {
	if u8At(0) == 0 {
		return nil
	}
	e := &Error{Kind: Kind(u8At(offset)), Message: textAt(offset + 16)}
	if u8At(offset+4) == 1 {
		e.Code = textAt(offset + 8)
	}
	if u8At(offset+24) == 1 {
		wait := time.Duration(u32At(offset+28)) * time.Millisecond
		e.RetryAfter = &wait
	}
	return e
}

func keep(p unsafe.Pointer) uint32 {
	kept = append(kept, p)
	return uint32(uintptr(p))
}

// lowered is a list or a string as an import takes it.
func lowered(b []byte) (start, length uint32) {
	if len(b) == 0 {
		return 0, 0
	}
	return keep(unsafe.Pointer(unsafe.SliceData(b))), uint32(len(b))
}

// lowerText replaces what is not UTF-8, which the host would answer with a trap.
func lowerText(s string) (start, length uint32) {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	if len(s) == 0 {
		return 0, 0
	}
	return keep(unsafe.Pointer(unsafe.StringData(s))), uint32(len(s))
}

func lowerWords(words []uint32) uint32 {
	if len(words) == 0 {
		return 0
	}
	return keep(unsafe.Pointer(unsafe.SliceData(words)))
}

func lowerTexts(all []string) (start, count uint32) {
	words := make([]uint32, 0, 2*len(all))
	for _, s := range all {
		p, n := lowerText(s)
		words = append(words, p, n)
	}
	return lowerWords(words), uint32(len(all))
}

func lowerPairs(pairs []Pair) (start, count uint32) {
	words := make([]uint32, 0, 4*len(pairs))
	for _, pair := range pairs {
		a, m := lowerText(pair.Name)
		b, n := lowerText(pair.Value)
		words = append(words, a, m, b, n)
	}
	return lowerWords(words), uint32(len(pairs))
}

func flag(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
