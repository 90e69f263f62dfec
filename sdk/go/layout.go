package osiris

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
	"unsafe"

	"go.osiris.dev/sdk/internal/exact"
)

// layout says where a type has its parts, so that JSON is read and written without reflection on each value: in
// WebAssembly, encoding/json takes several times as long as natively. What is unusual is left to it, so that both give
// the same: types with methods of their own, maps, interfaces, numbers that do not fit, texts with escapes.
type layout struct {
	t    reflect.Type
	kind layoutKind
	// size is that of an item of a slice or of a number.
	size uintptr
	// part is what a pointer or slice has.
	part    *layout
	members []layoutMember
}

type layoutMember struct {
	name   string
	key    []byte // The name as JSON, with its colon.
	offset uintptr
	*layout
}

type layoutKind uint8

const (
	layoutOther layoutKind = iota
	layoutBool
	layoutInt
	layoutUint
	layoutFloat
	layoutString
	layoutPointer
	layoutSlice
	layoutStruct
)

var layouts sync.Map

func layoutOf(t reflect.Type) *layout {
	if known, ok := layouts.Load(t); ok {
		return known.(*layout)
	}
	l := newLayout(t, nil)
	layouts.Store(t, l)
	return l
}

// newLayout is the layout of a type that the types `around` contain. A type that contains itself is left to
// encoding/json, which knows cycles.
func newLayout(t reflect.Type, around []reflect.Type) *layout {
	l := &layout{t: t, size: t.Size()}
	for _, outer := range around {
		if outer == t {
			return l
		}
	}
	around = append(around[:len(around):len(around)], t)
	if hasOwnJSON(t) {
		return l
	}
	switch t.Kind() {
	case reflect.Bool:
		l.kind = layoutBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		l.kind = layoutInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		l.kind = layoutUint
	case reflect.Float32, reflect.Float64:
		l.kind = layoutFloat
	case reflect.String:
		l.kind = layoutString
	case reflect.Pointer:
		l.kind, l.part = layoutPointer, newLayout(t.Elem(), around)
	case reflect.Slice:
		// Bytes are written in Base64.
		if t.Elem().Kind() != reflect.Uint8 {
			l.kind, l.part = layoutSlice, newLayout(t.Elem(), around)
			l.size = t.Elem().Size()
		}
	case reflect.Struct:
		if members, usual := layoutMembers(t, around); usual {
			l.kind, l.members = layoutStruct, members
		}
	}
	return l
}

// hasOwnJSON says whether encoding/json asks the type, or treats it in a way of its own.
func hasOwnJSON(t reflect.Type) bool {
	for _, asked := range []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[encoding.TextMarshaler](),
		reflect.TypeFor[json.Unmarshaler](), reflect.TypeFor[encoding.TextUnmarshaler]()} {
		if t.Implements(asked) || reflect.PointerTo(t).Implements(asked) {
			return true
		}
	}
	return t == reflect.TypeFor[json.Number]()
}

// layoutMembers are the members of a struct, unless it embeds others or has options such as `omitempty`.
func layoutMembers(t reflect.Type, around []reflect.Type) (members []layoutMember, usual bool) {
	names := map[string]bool{}
	for i := range t.NumField() {
		field := t.Field(i)
		tag := field.Tag.Get("json")
		if field.Anonymous || strings.Contains(tag, ",") {
			return nil, false
		}
		if !field.IsExported() || tag == "-" {
			continue
		}
		name := tag
		if name == "" {
			name = field.Name
		}
		folded := strings.ToLower(name)
		if names[folded] || strings.ContainsFunc(name, isUnusual) {
			return nil, false
		}
		names[folded] = true
		key := append(strconv.AppendQuote(nil, name), ':')
		members = append(members, layoutMember{name, key, field.Offset, newLayout(field.Type, around)})
	}
	return members, true
}

// isUnusual says whether a name with the character is left to encoding/json.
func isUnusual(r rune) bool {
	return r != '_' && r != '-' && r != ' ' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// append writes the value at p.
func (l *layout) append(b []byte, p unsafe.Pointer) ([]byte, error) {
	switch l.kind {
	case layoutBool:
		return strconv.AppendBool(b, *(*bool)(p)), nil
	case layoutInt:
		return strconv.AppendInt(b, signed(p, l.size), 10), nil
	case layoutUint:
		return strconv.AppendUint(b, unsigned(p, l.size), 10), nil
	case layoutFloat:
		return l.appendFloat(b, p)
	case layoutString:
		return appendText(b, *(*string)(p))
	case layoutPointer:
		if target := *(*unsafe.Pointer)(p); target != nil {
			return l.part.append(b, target)
		}
		return append(b, "null"...), nil
	case layoutSlice:
		return l.appendSlice(b, p)
	case layoutStruct:
		return l.appendStruct(b, p)
	}
	return appendAny(b, reflect.NewAt(l.t, p).Interface())
}

func (l *layout) appendStruct(b []byte, p unsafe.Pointer) (_ []byte, err error) {
	b = append(b, '{')
	for i := range l.members {
		m := &l.members[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, m.key...)
		if b, err = m.append(b, unsafe.Add(p, m.offset)); err != nil {
			return nil, fmt.Errorf("member `%s`: %w", m.name, err)
		}
	}
	return append(b, '}'), nil
}

func (l *layout) appendSlice(b []byte, p unsafe.Pointer) (_ []byte, err error) {
	// All slices have the same layout.
	data, length := *(*unsafe.Pointer)(p), len(*(*[]struct{})(p))
	if data == nil {
		return append(b, "null"...), nil
	}
	b = append(b, '[')
	for i := range length {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = l.part.append(b, unsafe.Add(data, uintptr(i)*l.size)); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// appendFloat writes a number that encoding/json writes without an exponent.
func (l *layout) appendFloat(b []byte, p unsafe.Pointer) ([]byte, error) {
	value, digits := 0.0, 64
	if l.size == 4 {
		value, digits = float64(*(*float32)(p)), 32
	} else {
		value = *(*float64)(p)
	}
	if size := math.Abs(value); size == 0 || (size >= 1e-6 && size < 1e21) {
		return strconv.AppendFloat(b, value, 'f', -1, digits), nil
	}
	return appendAny(b, reflect.NewAt(l.t, p).Interface())
}

func signed(p unsafe.Pointer, size uintptr) int64 {
	switch size {
	case 1:
		return int64(*(*int8)(p))
	case 2:
		return int64(*(*int16)(p))
	case 4:
		return int64(*(*int32)(p))
	}
	return *(*int64)(p)
}

func unsigned(p unsafe.Pointer, size uintptr) uint64 {
	switch size {
	case 1:
		return uint64(*(*uint8)(p))
	case 2:
		return uint64(*(*uint16)(p))
	case 4:
		return uint64(*(*uint32)(p))
	}
	return *(*uint64)(p)
}

// appendText writes a text. Only what JSON must escape is escaped.
func appendText(b []byte, text string) ([]byte, error) {
	plain := true
	for i := range len(text) {
		c := text[i]
		if c >= utf8.RuneSelf || c < ' ' || c == '"' || c == '\\' {
			plain = false
			break
		}
	}
	if !plain {
		return appendAny(b, text)
	}
	b = append(append(b, '"'), text...)
	return append(b, '"'), nil
}

// appendAny writes a value by encoding/json.
func appendAny(b []byte, value any) ([]byte, error) {
	text, err := exact.Marshal(value)
	return append(b, text...), err
}

// decode stores a JSON text, which is valid and has no white space between its parts, at p. A null is refused where Go
// would keep a zero.
func (l *layout) decode(text []byte, p unsafe.Pointer) error {
	if string(text) == "null" && l.kind != layoutOther && !nilable(l.t) {
		return Errorf(KindData, "it is null, which its Go type does not hold; use a pointer")
	}
	switch l.kind {
	case layoutStruct:
		if len(text) > 1 && text[0] == '{' {
			return l.decodeStruct(text, p)
		}
	case layoutPointer:
		if string(text) != "null" {
			target := reflect.New(l.part.t)
			if err := l.part.decode(text, target.UnsafePointer()); err != nil {
				return err
			}
			*(*unsafe.Pointer)(p) = target.UnsafePointer()
			return nil
		}
	case layoutString:
		if n := len(text); n > 1 && text[0] == '"' && bytes.IndexByte(text, '\\') < 0 {
			*(*string)(p) = string(text[1 : n-1])
			return nil
		}
	case layoutInt:
		if value, ok := shortInteger(text); ok && fits(value, l.size) {
			setInteger(p, l.size, value)
			return nil
		}
	case layoutBool:
		if string(text) == "true" || string(text) == "false" {
			*(*bool)(p) = text[0] == 't'
			return nil
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(reflect.NewAt(l.t, p).Interface())
}

// decodeStruct stores the members of an object. They usually come in the order of the struct's.
func (l *layout) decodeStruct(text []byte, p unsafe.Pointer) error {
	next := 0
	for at := 1; text[at] == '"'; {
		end := skipValue(text, at)
		name, from := text[at:end], end+1
		end = skipValue(text, from)
		if m := l.member(name, &next); m != nil {
			if err := m.decode(text[from:end], unsafe.Add(p, m.offset)); err != nil {
				return fmt.Errorf("column `%s`: %w", m.name, err)
			}
		}
		if at = end + 1; at >= len(text) {
			break
		}
	}
	return nil
}

// member is the member for a name in quotes: the next one, or else the one that is called so, or else one that differs
// only in case.
func (l *layout) member(name []byte, next *int) *layoutMember {
	if i := *next; i < len(l.members) && bytes.Equal(name, l.members[i].key[:len(l.members[i].key)-1]) {
		*next = i + 1
		return &l.members[i]
	}
	plain := string(name[1 : len(name)-1])
	if strings.IndexByte(plain, '\\') >= 0 && json.Unmarshal(name, &plain) != nil {
		return nil
	}
	for _, same := range []func(a, b string) bool{func(a, b string) bool { return a == b }, strings.EqualFold} {
		for i := range l.members {
			if same(l.members[i].name, plain) {
				*next = i + 1
				return &l.members[i]
			}
		}
	}
	return nil
}

// skipValue is the end of the value that begins at `at`.
func skipValue(text []byte, at int) int {
	depth := 0
	for i := at; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth < 0 {
				return i
			}
			if depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(text)
}

// shortInteger is a whole number of at most 18 digits.
func shortInteger(text []byte) (value int64, ok bool) {
	digits := text
	if len(text) > 0 && text[0] == '-' {
		digits = text[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		value = 10*value + int64(c-'0')
	}
	if len(digits) < len(text) {
		value = -value
	}
	return value, true
}

func fits(value int64, size uintptr) bool {
	unused := 64 - 8*size
	return value<<unused>>unused == value
}

func setInteger(p unsafe.Pointer, size uintptr, value int64) {
	switch size {
	case 1:
		*(*int8)(p) = int8(value)
	case 2:
		*(*int16)(p) = int16(value)
	case 4:
		*(*int32)(p) = int32(value)
	default:
		*(*int64)(p) = value
	}
}
