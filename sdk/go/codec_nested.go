package osiris

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"go.osiris.dev/sdk/internal/host"
)

// named are a codec's fields with a column's name; an error says that the type must be declared.
func (c *codec) named(name string) ([]host.Field, error) {
	if c.fields == nil {
		return nil, Errorf(KindInternal, "column `%s` needs a type such as decimal(18,2)", name)
	}
	fields := slices.Clone(c.fields)
	fields[0].Name = name
	return fields, nil
}

// optionalCodec is for pointers: nil is null.
func optionalCodec(t reflect.Type, as string) (*codec, error) {
	inner, err := codecOf(t.Elem(), as)
	if err != nil {
		return nil, err
	}
	return &codec{
		fields:  inner.fields,
		builder: func() builder { return &optional{inner.builder()} },
		getter: func(fields []host.Field, nodes []host.Node) (getter, error) {
			g, err := inner.getter(fields, nodes)
			return &optionalGetter{g, t.Elem()}, err
		},
	}, nil
}

type optional struct{ builder }

func (b *optional) add(p unsafe.Pointer) error {
	if target := *(*unsafe.Pointer)(p); target != nil {
		return b.builder.add(target)
	}
	b.null()
	return nil
}

type optionalGetter struct {
	getter
	t reflect.Type
}

func (g *optionalGetter) get(i int, p unsafe.Pointer) error {
	target := reflect.New(g.t).UnsafePointer()
	*(*unsafe.Pointer)(p) = target
	return g.getter.get(i, target)
}

// read stores value i at p; a null is stored as the zero value if that means null in Go, and refused otherwise.
func read(g getter, i int, p unsafe.Pointer, field host.Field, nilable bool) error {
	if !g.null(i) {
		return g.get(i, p)
	}
	if !nilable {
		return Errorf(KindData, "column `%s` is null, which its Go type does not hold; use a pointer", field.Name)
	}
	return nil
}

func nilable(t reflect.Type) bool {
	return t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map
}

// listCodec is for slices: nil is null, an empty slice is a list without items.
func listCodec(t reflect.Type, as string) (*codec, error) {
	if as != "" {
		item, ok := strings.CutSuffix(as, "[]")
		if !ok {
			return nil, Errorf(KindInternal, "a Go %s cannot be declared as %s; write the type of its items and []", t, as)
		}
		as = item
	}
	item, err := codecOf(t.Elem(), as)
	if err != nil {
		return nil, err
	}
	fields, err := item.named("l")
	c := &codec{
		builder: func() builder { return &list{t: t, size: t.Elem().Size(), items: item.builder()} },
		getter: func(fields []host.Field, nodes []host.Node) (getter, error) {
			return newListGetter(t, item, fields, nodes)
		},
	}
	if err == nil {
		c.fields = append([]host.Field{{Format: "+l", Nullable: true, Children: 1}}, fields...)
	}
	return c, nil
}

type list struct {
	t     reflect.Type
	size  uintptr
	items builder
	ends  []int32
	total int32
	bitmap
}

func (b *list) add(p unsafe.Pointer) error {
	// All slices have the same layout.
	s := *(*[]struct{})(p)
	data := *(*unsafe.Pointer)(p)
	if data == nil {
		b.null()
		return nil
	}
	for i := range s {
		if err := b.items.add(unsafe.Add(data, uintptr(i)*b.size)); err != nil {
			return err
		}
	}
	b.total += int32(len(s))
	b.ends = append(b.ends, b.total)
	b.push(true)
	return nil
}

func (b *list) null() {
	b.ends = append(b.ends, b.total)
	b.push(false)
}

func (b *list) finish() []host.Node {
	bits, count := b.take()
	node := host.Node{Length: uint32(count), Buffers: [][]byte{bits, raw(append([]int32{0}, b.ends...))}}
	b.ends, b.total = nil, 0
	return append([]host.Node{node}, b.items.finish()...)
}

type listGetter struct {
	validity
	t     reflect.Type
	items getter
	field host.Field
	span  func(i int) (start, end int)
}

func newListGetter(t reflect.Type, item *codec, fields []host.Field, nodes []host.Node) (getter, error) {
	g := &listGetter{validity: nodes[0].Buffers[0], t: t}
	switch format := fields[0].Format; {
	case format == "+l":
		ends := typed[int32](nodes[0].Buffers[1])
		g.span = func(i int) (int, int) { return int(ends[i]), int(ends[i+1]) }
	case format == "+L":
		ends := typed[int64](nodes[0].Buffers[1])
		g.span = func(i int) (int, int) { return int(ends[i]), int(ends[i+1]) }
	case strings.HasPrefix(format, "+w:"):
		n, _ := strconv.Atoi(format[3:])
		g.span = func(i int) (int, int) { return i * n, i*n + n }
	default:
		return nil, wrong(fields[0], t.String())
	}
	var err error
	g.field = fields[1]
	g.items, err = item.getter(fields[1:], nodes[1:])
	return g, err
}

func (g *listGetter) get(i int, p unsafe.Pointer) error {
	start, end := g.span(i)
	slice := reflect.MakeSlice(g.t, end-start, end-start)
	data, size, canBeNil := slice.UnsafePointer(), g.t.Elem().Size(), nilable(g.t.Elem())
	for k := start; k < end; k++ {
		if err := read(g.items, k, unsafe.Add(data, uintptr(k-start)*size), g.field, canBeNil); err != nil {
			return err
		}
	}
	reflect.NewAt(g.t, p).Elem().Set(slice)
	return nil
}

// member is a field of a Go struct that is a column, or a member of a STRUCT.
type member struct {
	name    string
	offset  uintptr
	nilable bool
	codec   *codec
}

// members are the fields of a struct: the tag `col:"name,type"` names the column and its DuckDB type; without a name
// the column is called as in JSON, or else as the field in lower case. `col:"-"` leaves a field out.
func members(t reflect.Type) (all []member, err error) {
	for i := range t.NumField() {
		field := t.Field(i)
		name, as, _ := strings.Cut(field.Tag.Get("col"), ",")
		if name == "-" || !field.IsExported() {
			continue
		}
		if name == "" {
			name, _, _ = strings.Cut(field.Tag.Get("json"), ",")
		}
		if name == "" || name == "-" {
			name = strings.ToLower(field.Name)
		}
		c, err := codecOf(field.Type, as)
		if err != nil {
			return nil, fmt.Errorf("field %s of %s: %w", field.Name, t, err)
		}
		all = append(all, member{name, field.Offset, nilable(field.Type), c})
	}
	if len(all) == 0 {
		return nil, Errorf(KindInternal, "%s has no exported fields", t)
	}
	return all, nil
}

// tuple builds the columns of a struct's fields.
type tuple struct {
	members  []member
	builders []builder
	bitmap
}

func newTuple(members []member) *tuple {
	b := &tuple{members: members}
	for _, m := range members {
		b.builders = append(b.builders, m.codec.builder())
	}
	return b
}

func (b *tuple) add(p unsafe.Pointer) error {
	for i, inner := range b.builders {
		if err := inner.add(unsafe.Add(p, b.members[i].offset)); err != nil {
			return fmt.Errorf("column `%s`: %w", b.members[i].name, err)
		}
	}
	b.push(true)
	return nil
}

func (b *tuple) null() {
	for _, inner := range b.builders {
		inner.null()
	}
	b.push(false)
}

func (b *tuple) columns() (nodes []host.Node) {
	for _, inner := range b.builders {
		nodes = append(nodes, inner.finish()...)
	}
	return nodes
}

func (b *tuple) finish() []host.Node {
	bits, count := b.take()
	return append([]host.Node{{Length: uint32(count), Buffers: [][]byte{bits}}}, b.columns()...)
}

// tupleGetter reads a struct's fields from the columns of their names.
type tupleGetter struct {
	validity
	members []member
	fields  []host.Field
	getters []getter
}

func newTupleGetter(members []member, fields []host.Field, nodes []host.Node) (*tupleGetter, error) {
	g := &tupleGetter{members: members}
next:
	for _, m := range members {
		for at := 0; at < len(fields); at += host.Width(fields[at:]) {
			if fields[at].Name == m.name {
				inner, err := m.codec.getter(fields[at:], nodes[at:])
				if err != nil {
					return nil, err
				}
				g.getters = append(g.getters, inner)
				g.fields = append(g.fields, fields[at])
				continue next
			}
		}
		return nil, unknown(m.name, fields)
	}
	return g, nil
}

func unknown(name string, fields []host.Field) error {
	var names []string
	for at := 0; at < len(fields); at += host.Width(fields[at:]) {
		names = append(names, "`"+fields[at].Name+"`")
	}
	return Errorf(KindNotFound, "there is no column `%s`; there are %s", name, strings.Join(names, ", "))
}

func (g *tupleGetter) get(i int, p unsafe.Pointer) error {
	for k, inner := range g.getters {
		m := g.members[k]
		if err := read(inner, i, unsafe.Add(p, m.offset), g.fields[k], m.nilable); err != nil {
			return err
		}
	}
	return nil
}

func structCodec(t reflect.Type) (*codec, error) {
	members, err := members(t)
	if err != nil {
		return nil, err
	}
	c := &codec{
		builder: func() builder { return newTuple(members) },
		getter: func(fields []host.Field, nodes []host.Node) (getter, error) {
			if fields[0].Format != "+s" {
				return nil, wrong(fields[0], t.String())
			}
			width := host.Width(fields)
			g, err := newTupleGetter(members, fields[1:width], nodes[1:width])
			if err != nil {
				return nil, err
			}
			g.validity = nodes[0].Buffers[0]
			return g, nil
		},
	}
	c.fields = []host.Field{{Format: "+s", Nullable: true, Children: uint32(len(members))}}
	for _, m := range members {
		fields, err := m.codec.named(m.name)
		if err != nil {
			c.fields = nil
			break
		}
		c.fields = append(c.fields, fields...)
	}
	return c, nil
}

// mapCodec is for maps with text keys; nil is null. Keys are written in order, so that the output is always the same.
func mapCodec(t reflect.Type, as string) (*codec, error) {
	if t.Key().Kind() != reflect.String {
		return nil, Errorf(KindInternal, "a Go %s has no column type; its keys must be strings", t)
	}
	key, err := codecOf(t.Key(), "")
	if err != nil {
		return nil, err
	}
	value, err := codecOf(t.Elem(), as)
	if err != nil {
		return nil, err
	}
	c := &codec{
		builder: func() builder { return &mapBuilder{t: t, keys: key.builder(), values: value.builder()} },
		getter: func(fields []host.Field, nodes []host.Node) (getter, error) {
			if fields[0].Format != "+m" {
				return nil, wrong(fields[0], t.String())
			}
			keys, err := key.getter(fields[2:], nodes[2:])
			if err != nil {
				return nil, err
			}
			at := 2 + host.Width(fields[2:])
			values, err := value.getter(fields[at:], nodes[at:])
			return &mapGetter{nodes[0].Buffers[0], t, typed[int32](nodes[0].Buffers[1]), keys, values, fields[at]}, err
		},
	}
	keyFields, _ := key.named("key")
	keyFields[0].Nullable = false
	if valueFields, err := value.named("value"); err == nil {
		c.fields = []host.Field{{Format: "+m", Nullable: true, Children: 1}, {Name: "entries", Format: "+s", Children: 2}}
		c.fields = append(append(c.fields, keyFields...), valueFields...)
	}
	return c, nil
}

type mapBuilder struct {
	t            reflect.Type
	keys, values builder
	ends         []int32
	total        int32
	bitmap
}

func (b *mapBuilder) add(p unsafe.Pointer) error {
	m := reflect.NewAt(b.t, p).Elem()
	if m.IsNil() {
		b.null()
		return nil
	}
	names := m.MapKeys()
	slices.SortFunc(names, func(x, y reflect.Value) int { return cmp.Compare(x.String(), y.String()) })
	slot := reflect.New(b.t.Elem())
	for _, name := range names {
		text := name.String()
		slot.Elem().Set(m.MapIndex(name))
		if err := b.keys.add(unsafe.Pointer(&text)); err != nil {
			return err
		}
		if err := b.values.add(slot.UnsafePointer()); err != nil {
			return err
		}
	}
	b.total += int32(len(names))
	b.ends = append(b.ends, b.total)
	b.push(true)
	return nil
}

func (b *mapBuilder) null() {
	b.ends = append(b.ends, b.total)
	b.push(false)
}

func (b *mapBuilder) finish() []host.Node {
	bits, count := b.take()
	nodes := []host.Node{
		{Length: uint32(count), Buffers: [][]byte{bits, raw(append([]int32{0}, b.ends...))}},
		{Length: uint32(b.total), Buffers: [][]byte{nil}},
	}
	b.ends, b.total = nil, 0
	return append(append(nodes, b.keys.finish()...), b.values.finish()...)
}

type mapGetter struct {
	validity
	t            reflect.Type
	ends         []int32
	keys, values getter
	field        host.Field
}

func (g *mapGetter) get(i int, p unsafe.Pointer) error {
	m := reflect.MakeMap(g.t)
	for k := int(g.ends[i]); k < int(g.ends[i+1]); k++ {
		key, value := reflect.New(g.t.Key()), reflect.New(g.t.Elem())
		if err := g.keys.get(k, key.UnsafePointer()); err != nil {
			return err
		}
		if err := read(g.values, k, value.UnsafePointer(), g.field, nilable(g.t.Elem())); err != nil {
			return err
		}
		m.SetMapIndex(key.Elem(), value.Elem())
	}
	reflect.NewAt(g.t, p).Elem().Set(m)
	return nil
}
