package osiris

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"go.osiris.dev/sdk/internal/host"
)

// codec converts between values of one Go type and the nodes of one column.
type codec struct {
	// fields are the column's field and those of its parts; the first one's name is not set.
	fields []host.Field
	// builder starts a column.
	builder func() builder
	// getter reads a column whose fields and nodes begin here.
	getter func(fields []host.Field, nodes []host.Node) (getter, error)
}

// builder collects values of a column.
type builder interface {
	// add appends the value at p.
	add(p unsafe.Pointer) error
	null()
	// finish returns the nodes of the column and its parts, and starts over.
	finish() []host.Node
}

// getter reads values of a column.
type getter interface {
	null(i int) bool
	// get stores value i, which is not null, at p.
	get(i int, p unsafe.Pointer) error
}

type bitmap struct {
	bits  []byte
	count int
	nulls bool
}

func (b *bitmap) push(valid bool) {
	if b.count&7 == 0 {
		b.bits = append(b.bits, 0)
	}
	if valid {
		b.bits[b.count>>3] |= 1 << (b.count & 7)
	} else {
		b.nulls = true
	}
	b.count++
}

// take returns the bitmap, which is empty without nulls, and starts over.
func (b *bitmap) take() (bits []byte, count int) {
	if b.nulls {
		bits = b.bits
	}
	count = b.count
	*b = bitmap{}
	return bits, count
}

type validity []byte

func (v validity) null(i int) bool { return len(v) > 0 && v[i>>3]>>(i&7)&1 == 0 }

// raw are the bytes of values, without a copy.
func raw[T any](values []T) []byte {
	var one T
	if len(values) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)*int(unsafe.Sizeof(one)))
}

// typed are bytes as values, without a copy.
func typed[T any](b []byte) []T {
	var one T
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(one)))
}

type codecKey struct {
	t  reflect.Type
	as string
}

var codecs sync.Map

// codecOf is the codec of a Go type; `as` is the DuckDB type that a tag declares, or empty.
func codecOf(t reflect.Type, as string) (*codec, error) {
	key := codecKey{t, as}
	if known, ok := codecs.Load(key); ok {
		return known.(*codec), nil
	}
	c, err := newCodec(t, as)
	if err != nil {
		return nil, err
	}
	codecs.Store(key, c)
	return c, nil
}

func newCodec(t reflect.Type, as string) (*codec, error) {
	switch t {
	case reflect.TypeFor[time.Time]():
		return timeCodec(as)
	case reflect.TypeFor[Decimal]():
		return decimalCodec(as)
	}
	c := plainCodec(t)
	if c == nil {
		return nestedCodec(t, as)
	}
	if as != "" {
		return nil, Errorf(KindInternal, "a Go %s cannot be declared as %s", t, as)
	}
	return c, nil
}

func plainCodec(t reflect.Type) *codec {
	switch t {
	case reflect.TypeFor[Date]():
		return fixedCodec[Date]("tdD")
	case reflect.TypeFor[TimeOfDay]():
		return fixedCodec[TimeOfDay]("ttu")
	case reflect.TypeFor[Interval]():
		return fixedCodec[Interval]("tin")
	case reflect.TypeFor[UUID]():
		return uuidCodec()
	case reflect.TypeFor[json.RawMessage]():
		return textCodec("u", host.Pair{Name: "ARROW:extension:name", Value: "arrow.json"})
	case reflect.TypeFor[[]byte]():
		return textCodec("z")
	}
	switch t.Kind() {
	case reflect.Bool:
		return boolCodec()
	case reflect.String:
		return textCodec("u")
	case reflect.Int8:
		return integerCodec[int8]("c")
	case reflect.Int16:
		return integerCodec[int16]("s")
	case reflect.Int32:
		return integerCodec[int32]("i")
	case reflect.Int64, reflect.Int:
		return integerCodec[int64]("l")
	case reflect.Uint8:
		return integerCodec[uint8]("C")
	case reflect.Uint16:
		return integerCodec[uint16]("S")
	case reflect.Uint32:
		return integerCodec[uint32]("I")
	case reflect.Uint64, reflect.Uint:
		return integerCodec[uint64]("L")
	case reflect.Float32:
		return floatCodec[float32]("f")
	case reflect.Float64:
		return floatCodec[float64]("g")
	}
	return nil
}

func nestedCodec(t reflect.Type, as string) (*codec, error) {
	switch t.Kind() {
	case reflect.Pointer:
		return optionalCodec(t, as)
	case reflect.Slice:
		return listCodec(t, as)
	case reflect.Struct:
		return structCodec(t)
	case reflect.Map:
		return mapCodec(t, as)
	}
	return nil, Errorf(KindInternal, "a Go %s has no column type", t)
}

// wrong is the error for a column that is read as a type that it does not have.
func wrong(field host.Field, wanted string) error {
	return Errorf(KindData, "column `%s` has Arrow format `%s`, which cannot be read as %s", field.Name, field.Format, wanted)
}

// isExtension says whether the field has this extension type.
func isExtension(field host.Field, name string) bool {
	return slices.Contains(field.Metadata, host.Pair{Name: "ARROW:extension:name", Value: name})
}

// isHuge says whether the field is a HUGEINT or UHUGEINT.
func isHuge(field host.Field) (signed, huge bool) {
	if field.Format != "w:16" || !isExtension(field, "arrow.opaque") {
		return false, false
	}
	for _, pair := range field.Metadata {
		if pair.Name == "ARROW:extension:metadata" && strings.Contains(pair.Value, "hugeint") {
			return !strings.Contains(pair.Value, "uhugeint"), true
		}
	}
	return false, false
}

// fixed builds a column of values that Arrow stores as they are.
type fixed[T any] struct {
	values []T
	bitmap
}

func (b *fixed[T]) add(p unsafe.Pointer) error {
	b.values = append(b.values, *(*T)(p))
	b.push(true)
	return nil
}

func (b *fixed[T]) null() {
	var zero T
	b.values = append(b.values, zero)
	b.push(false)
}

func (b *fixed[T]) finish() []host.Node {
	bits, count := b.take()
	node := host.Node{Length: uint32(count), Buffers: [][]byte{bits, raw(b.values)}}
	b.values = nil
	return []host.Node{node}
}

type fixedGetter[T any] struct {
	validity
	values []T
}

func (g *fixedGetter[T]) get(i int, p unsafe.Pointer) error {
	*(*T)(p) = g.values[i]
	return nil
}

func fixedCodec[T any](format string) *codec {
	return &codec{
		fields:  []host.Field{{Format: format, Nullable: true}},
		builder: func() builder { return &fixed[T]{} },
		getter: func(fields []host.Field, nodes []host.Node) (getter, error) {
			if fields[0].Format != format {
				return nil, wrong(fields[0], reflect.TypeFor[T]().String())
			}
			return &fixedGetter[T]{nodes[0].Buffers[0], typed[T](nodes[0].Buffers[1])}, nil
		},
	}
}

func uuidCodec() *codec {
	c := fixedCodec[UUID]("w:16")
	c.fields[0].Metadata = []host.Pair{{Name: "ARROW:extension:name", Value: "arrow.uuid"}}
	inner := c.getter
	c.getter = func(fields []host.Field, nodes []host.Node) (getter, error) {
		if !isExtension(fields[0], "arrow.uuid") {
			return nil, wrong(fields[0], "UUID")
		}
		return inner(fields, nodes)
	}
	return c
}

type bools struct{ fixed[uint8] }

func (b *bools) add(p unsafe.Pointer) error { return b.fixed.add(p) }

// bits reads the booleans that Arrow stores as bits.
type bits struct {
	validity
	values []byte
}

func (g *bits) get(i int, p unsafe.Pointer) error {
	*(*bool)(p) = g.values[i>>3]>>(i&7)&1 == 1
	return nil
}

type byteBools struct {
	validity
	values []byte
}

func (g *byteBools) get(i int, p unsafe.Pointer) error {
	*(*bool)(p) = g.values[i] != 0
	return nil
}

func boolCodec() *codec {
	return &codec{
		fields: []host.Field{{Format: "c", Nullable: true, Metadata: []host.Pair{
			{Name: "ARROW:extension:name", Value: "arrow.bool8"}}}},
		builder: func() builder { return &bools{} },
		getter: func(fields []host.Field, nodes []host.Node) (getter, error) {
			valid, values := nodes[0].Buffers[0], nodes[0].Buffers[1]
			switch {
			case fields[0].Format == "b":
				return &bits{valid, values}, nil
			case fields[0].Format == "c" && isExtension(fields[0], "arrow.bool8"):
				return &byteBools{valid, values}, nil
			}
			return nil, wrong(fields[0], "bool")
		},
	}
}

// text builds a column of strings or of bytes, which look alike in memory as far as it reads them.
type text struct {
	ends  []int32
	bytes []byte
	slice bool
	bitmap
}

func (b *text) add(p unsafe.Pointer) error {
	if b.slice {
		s := *(*[]byte)(p)
		if s == nil {
			b.null()
			return nil
		}
		b.bytes = append(b.bytes, s...)
	} else {
		b.bytes = append(b.bytes, *(*string)(p)...)
	}
	if len(b.bytes) > 1<<31-1 {
		return Errorf(KindData, "the texts of a batch are larger than 2 GiB")
	}
	b.push(true)
	b.ends = append(b.ends, int32(len(b.bytes)))
	return nil
}

func (b *text) null() {
	b.push(false)
	b.ends = append(b.ends, int32(len(b.bytes)))
}

func (b *text) finish() []host.Node {
	bits, count := b.take()
	node := host.Node{Length: uint32(count), Buffers: [][]byte{bits, raw(append([]int32{0}, b.ends...)), b.bytes}}
	b.ends, b.bytes = nil, nil
	return []host.Node{node}
}

type textGetter[Offset int32 | int64] struct {
	validity
	ends  []Offset
	bytes []byte
	slice bool
}

func (g *textGetter[Offset]) get(i int, p unsafe.Pointer) error {
	part := g.bytes[g.ends[i]:g.ends[i+1]]
	if g.slice {
		*(*[]byte)(p) = append(make([]byte, 0, len(part)), part...)
	} else {
		*(*string)(p) = string(part)
	}
	return nil
}

func textCodec(format string, metadata ...host.Pair) *codec {
	slice := format == "z" || len(metadata) > 0
	wide := strings.ToUpper(format)
	return &codec{
		fields:  []host.Field{{Format: format, Nullable: true, Metadata: metadata}},
		builder: func() builder { return &text{slice: slice} },
		getter: func(fields []host.Field, nodes []host.Node) (getter, error) {
			b := nodes[0].Buffers
			switch {
			case fields[0].Format == format && !isExtension(fields[0], "arrow.opaque"):
				return &textGetter[int32]{b[0], typed[int32](b[1]), b[2], slice}, nil
			case fields[0].Format == wide:
				return &textGetter[int64]{b[0], typed[int64](b[1]), b[2], slice}, nil
			}
			return nil, wrong(fields[0], map[string]string{"u": "string", "z": "[]byte"}[format])
		},
	}
}
