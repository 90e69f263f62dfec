package osiris

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"time"
	"unsafe"

	"go.osiris.dev/sdk/internal/host"
)

type integer interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// integers reads integers of type S as type D, and refuses those that D does not hold.
type integers[S, D integer] struct {
	validity
	values []S
	name   string
}

func (g *integers[S, D]) get(i int, p unsafe.Pointer) error {
	v := g.values[i]
	d := D(v)
	if S(d) != v || (d < 0) != (v < 0) {
		return Errorf(KindData, "column `%s`: %d does not fit into %s", g.name, v, reflect.TypeFor[D]())
	}
	*(*D)(p) = d
	return nil
}

// huge reads a HUGEINT or UHUGEINT as an integer.
type huge[D integer] struct {
	validity
	values [][2]uint64
	signed bool
	name   string
}

func (g *huge[D]) get(i int, p unsafe.Pointer) error {
	low, high := g.values[i][0], g.values[i][1]
	d := D(low)
	negative := g.signed && int64(high) < 0
	if uint64(d) != low || (d < 0) != negative || high != uint64(boolInt(negative))*math.MaxUint64 {
		n := unscaled(g.values[i], g.signed)
		return Errorf(KindData, "column `%s`: %s does not fit into %s", g.name, n, reflect.TypeFor[D]())
	}
	*(*D)(p) = d
	return nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func unscaled(value [2]uint64, signed bool) *big.Int {
	n := new(big.Int).SetUint64(value[1])
	if signed {
		n.SetInt64(int64(value[1]))
	}
	return n.Or(n.Lsh(n, 64), new(big.Int).SetUint64(value[0]))
}

func integerCodec[D integer](format string) *codec {
	c := fixedCodec[D](format)
	same := c.getter
	c.getter = func(fields []host.Field, nodes []host.Node) (getter, error) {
		f := fields[0]
		if f.Format == format && !isExtension(f, "arrow.bool8") {
			return same(fields, nodes)
		}
		valid, values := nodes[0].Buffers[0], nodes[0].Buffers[1]
		switch {
		case f.Format == "c" && !isExtension(f, "arrow.bool8"):
			return &integers[int8, D]{valid, typed[int8](values), f.Name}, nil
		case f.Format == "s":
			return &integers[int16, D]{valid, typed[int16](values), f.Name}, nil
		case f.Format == "i":
			return &integers[int32, D]{valid, typed[int32](values), f.Name}, nil
		case f.Format == "l":
			return &integers[int64, D]{valid, typed[int64](values), f.Name}, nil
		case f.Format == "C":
			return &integers[uint8, D]{valid, typed[uint8](values), f.Name}, nil
		case f.Format == "S":
			return &integers[uint16, D]{valid, typed[uint16](values), f.Name}, nil
		case f.Format == "I":
			return &integers[uint32, D]{valid, typed[uint32](values), f.Name}, nil
		case f.Format == "L":
			return &integers[uint64, D]{valid, typed[uint64](values), f.Name}, nil
		}
		if signed, is := isHuge(f); is {
			return &huge[D]{valid, typed[[2]uint64](values), signed, f.Name}, nil
		}
		return nil, wrong(f, reflect.TypeFor[D]().String())
	}
	return c
}

// floats reads numbers of type S as type D, and refuses those that D does not hold exactly.
type floats[S integer | float32 | float64, D float32 | float64] struct {
	validity
	values []S
	name   string
}

func (g *floats[S, D]) get(i int, p unsafe.Pointer) error {
	v := g.values[i]
	d := D(v)
	// The largest integers round up to a float that the conversion back does not hold.
	if v == v && (S(d) != v || float64(d) >= 1<<63 && reflect.TypeFor[S]().Kind() != reflect.Float64) {
		return Errorf(KindData, "column `%s`: %v does not fit into %s", g.name, v, reflect.TypeFor[D]())
	}
	*(*D)(p) = d
	return nil
}

func floatCodec[D float32 | float64](format string) *codec {
	c := fixedCodec[D](format)
	same := c.getter
	c.getter = func(fields []host.Field, nodes []host.Node) (getter, error) {
		f := fields[0]
		valid, values := nodes[0].Buffers[0], nodes[0].Buffers[1]
		switch {
		case f.Format == format:
			return same(fields, nodes)
		case f.Format == "f":
			return &floats[float32, D]{valid, typed[float32](values), f.Name}, nil
		case f.Format == "g":
			return &floats[float64, D]{valid, typed[float64](values), f.Name}, nil
		case f.Format == "c" && !isExtension(f, "arrow.bool8"):
			return &floats[int8, D]{valid, typed[int8](values), f.Name}, nil
		case f.Format == "s":
			return &floats[int16, D]{valid, typed[int16](values), f.Name}, nil
		case f.Format == "i":
			return &floats[int32, D]{valid, typed[int32](values), f.Name}, nil
		case f.Format == "l":
			return &floats[int64, D]{valid, typed[int64](values), f.Name}, nil
		}
		return nil, wrong(f, reflect.TypeFor[D]().String())
	}
	return c
}

// The units of Arrow's timestamps per second.
var units = map[byte]int64{'s': 1, 'm': 1e3, 'u': 1e6, 'n': 1e9}

type times struct {
	unit int64
	fixed[int64]
}

func (b *times) add(p unsafe.Pointer) error {
	t := *(*time.Time)(p)
	step := int64(1e9) / b.unit
	if int64(t.Nanosecond())%step != 0 {
		return Errorf(KindData, "%s has more digits than the column; use Truncate(%s)", t.Format(time.RFC3339Nano),
			time.Duration(step))
	}
	seconds := t.Unix()
	if seconds >= math.MaxInt64/b.unit || seconds <= math.MinInt64/b.unit {
		return Errorf(KindData, "%s is outside of the column's range", t.Format(time.RFC3339))
	}
	value := seconds*b.unit + int64(t.Nanosecond())/step
	return b.fixed.add(unsafe.Pointer(&value))
}

type timeGetter struct {
	validity
	values []int64
	unit   int64
	name   string
}

func (g *timeGetter) get(i int, p unsafe.Pointer) error {
	v := g.values[i]
	if v == math.MaxInt64 || v == -math.MaxInt64 {
		return Errorf(KindData, "column `%s`: an infinite timestamp does not fit into time.Time", g.name)
	}
	seconds, rest := v/g.unit, v%g.unit
	*(*time.Time)(p) = time.Unix(seconds, rest*(1e9/g.unit)).UTC()
	return nil
}

func timeCodec(as string) (*codec, error) {
	formats := map[string]string{"": "tsu:UTC", "timestamptz": "tsu:UTC", "timestamp": "tsu:", "timestamp_s": "tss:",
		"timestamp_ms": "tsm:", "timestamp_ns": "tsn:"}
	format, ok := formats[strings.ToLower(as)]
	if !ok {
		return nil, Errorf(KindInternal, "a time.Time cannot be declared as %s", as)
	}
	return &codec{
		fields:  []host.Field{{Format: format, Nullable: true}},
		builder: func() builder { return &times{unit: units[format[2]]} },
		getter: func(fields []host.Field, nodes []host.Node) (getter, error) {
			f := fields[0]
			if !strings.HasPrefix(f.Format, "ts") {
				return nil, wrong(f, "time.Time")
			}
			return &timeGetter{nodes[0].Buffers[0], typed[int64](nodes[0].Buffers[1]), units[f.Format[2]], f.Name}, nil
		},
	}, nil
}

type decimals struct {
	precision, scale int
	most             *big.Int
	fixed[[2]uint64]
}

func (b *decimals) add(p unsafe.Pointer) error {
	d, err := (*(*Decimal)(p)).Rescale(b.scale)
	if err != nil {
		return err
	}
	if !(d.small() && b.precision > 18) && d.Unscaled().CmpAbs(b.most) >= 0 {
		return Errorf(KindData, "%s does not fit into decimal(%d,%d)", d, b.precision, b.scale)
	}
	value := [2]uint64{d.low, uint64(d.high)}
	return b.fixed.add(unsafe.Pointer(&value))
}

type decimalGetter struct {
	validity
	values [][2]uint64
	scale  uint8
}

func (g *decimalGetter) get(i int, p unsafe.Pointer) error {
	*(*Decimal)(p) = Decimal{int64(g.values[i][1]), g.values[i][0], g.scale}
	return nil
}

// hugeDecimals reads HUGEINT and UHUGEINT, which may have more than 38 digits.
type hugeDecimals struct {
	validity
	values [][2]uint64
	signed bool
}

func (g *hugeDecimals) get(i int, p unsafe.Pointer) (err error) {
	*(*Decimal)(p), err = decimalOf(unscaled(g.values[i], g.signed), 0)
	return err
}

func decimalCodec(as string) (*codec, error) {
	precision, scale := 0, 0
	if as != "" {
		var err error
		if precision, scale, err = decimalType(as); err != nil {
			return nil, err
		}
	}
	c := &codec{
		getter: func(fields []host.Field, nodes []host.Node) (getter, error) {
			var p, s int
			valid, values := nodes[0].Buffers[0], nodes[0].Buffers[1]
			if n, _ := fmt.Sscanf(fields[0].Format, "d:%d,%d", &p, &s); n == 2 {
				return &decimalGetter{valid, typed[[2]uint64](values), uint8(s)}, nil
			}
			if signed, is := isHuge(fields[0]); is {
				return &hugeDecimals{valid, typed[[2]uint64](values), signed}, nil
			}
			return nil, wrong(fields[0], "Decimal")
		},
	}
	if precision > 0 {
		most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
		c.fields = []host.Field{{Format: fmt.Sprintf("d:%d,%d", precision, scale), Nullable: true}}
		c.builder = func() builder { return &decimals{precision: precision, scale: scale, most: most} }
	}
	return c, nil
}
