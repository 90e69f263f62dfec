package osiris

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// Date is a day, as days since 1970-01-01.
type Date int32

// DateOf is the day of t in its own time zone.
func DateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// ParseDate reads a day in the form 2024-01-31.
func ParseDate(text string) (Date, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0, Errorf(KindData, "`%s` is not a date of the form 2024-01-31", text)
	}
	return DateOf(t), nil
}

// Time is the start of the day in UTC.
func (d Date) Time() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

func (d Date) String() string { return d.Time().Format(time.DateOnly) }

// MarshalText writes the form 2024-01-31.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the form 2024-01-31.
func (d *Date) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDate(string(text))
	return err
}

// TimeOfDay is a time of day without a date, in microseconds since midnight.
type TimeOfDay int64

// Duration is the time since midnight.
func (t TimeOfDay) Duration() time.Duration { return time.Duration(t) * time.Microsecond }

// Interval is DuckDB's INTERVAL: months and days vary in length, so they are counted apart.
type Interval struct {
	Months, Days int32
	Nanoseconds  int64
}

// UUID is a universally unique identifier.
type UUID [16]byte

// ParseUUID reads the form 123e4567-e89b-12d3-a456-426614174000.
func ParseUUID(text string) (u UUID, err error) {
	digits := strings.ReplaceAll(text, "-", "")
	if n, err := hex.Decode(u[:], []byte(digits)); err != nil || n != 16 || len(digits) != 32 {
		return UUID{}, Errorf(KindData, "`%s` is not a UUID", text)
	}
	return u, nil
}

func (u UUID) String() string {
	s := hex.EncodeToString(u[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// MarshalText writes the usual form.
func (u UUID) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads the usual form.
func (u *UUID) UnmarshalText(text []byte) (err error) {
	*u, err = ParseUUID(string(text))
	return err
}

// Decimal is an exact number of up to 38 digits: an integer divided by a power of ten. Its zero value is 0.
type Decimal struct {
	high  int64
	low   uint64
	scale uint8
}

// NewDecimal is unscaled / 10^scale: NewDecimal(1250, 2) is 12.50.
func NewDecimal(unscaled int64, scale int) Decimal {
	return Decimal{unscaled >> 63, uint64(unscaled), uint8(scale)}
}

// ParseDecimal reads a number such as -12.50 or 1.5e3, with all its digits.
func ParseDecimal(text string) (Decimal, error) {
	mantissa, exponent, hasExponent := strings.Cut(strings.ToLower(text), "e")
	shift := 0
	if hasExponent {
		parsed, err := strconv.Atoi(exponent)
		if err != nil || parsed > 76 || parsed < -76 {
			return Decimal{}, Errorf(KindData, "`%s` is not a decimal number", text)
		}
		shift = parsed
	}
	whole, part, _ := strings.Cut(mantissa, ".")
	scale := len(part) - shift
	digits := whole + part
	if scale < 0 {
		digits += strings.Repeat("0", -scale)
		scale = 0
	}
	if len(digits) < 18 && scale <= 38 {
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil && !strings.ContainsRune(digits, '_') {
			return NewDecimal(n, scale), nil
		}
	}
	unscaled, ok := new(big.Int).SetString(digits, 10)
	if !ok {
		return Decimal{}, Errorf(KindData, "`%s` is not a decimal number", text)
	}
	ten := big.NewInt(10)
	for rest := new(big.Int); scale > 38; scale-- {
		if unscaled.QuoRem(unscaled, ten, rest); rest.Sign() != 0 {
			return Decimal{}, Errorf(KindData, "`%s` has more than 38 digits", text)
		}
	}
	return decimalOf(unscaled, scale)
}

var limit38 = new(big.Int).Exp(big.NewInt(10), big.NewInt(38), nil)

func decimalOf(unscaled *big.Int, scale int) (Decimal, error) {
	if unscaled.CmpAbs(limit38) >= 0 {
		return Decimal{}, Errorf(KindData, "`%s` has more than 38 digits", unscaled)
	}
	low := new(big.Int).And(unscaled, new(big.Int).SetUint64(1<<64-1))
	return Decimal{new(big.Int).Rsh(unscaled, 64).Int64(), low.Uint64(), uint8(scale)}, nil
}

func (d Decimal) small() bool { return d.high == int64(d.low)>>63 }

// Unscaled is the integer that, divided by 10^Scale, is the number.
func (d Decimal) Unscaled() *big.Int {
	n := new(big.Int).Lsh(big.NewInt(d.high), 64)
	return n.Or(n, new(big.Int).SetUint64(d.low))
}

// Scale is the number of digits after the point.
func (d Decimal) Scale() int { return int(d.scale) }

// Rescale is the same number with another number of digits after the point. It fails rather than lose a digit.
func (d Decimal) Rescale(scale int) (Decimal, error) {
	if int(d.scale) == scale {
		return d, nil
	}
	if scale > int(d.scale) && d.small() {
		n, fits := int64(d.low), true
		for i := int(d.scale); i < scale && fits; i++ {
			n, fits = n*10, n < 1<<59 && n > -1<<59
		}
		if fits {
			return NewDecimal(n, scale), nil
		}
	}
	n, ten := d.Unscaled(), big.NewInt(10)
	for i := int(d.scale); i < scale; i++ {
		n.Mul(n, ten)
	}
	for i, rest := int(d.scale), new(big.Int); i > scale; i-- {
		if n.QuoRem(n, ten, rest); rest.Sign() != 0 {
			return Decimal{}, Errorf(KindData, "%s has more than %d digits after the point", d, scale)
		}
	}
	return decimalOf(n, scale)
}

// Float64 is the nearest float64.
func (d Decimal) Float64() float64 {
	f, _ := strconv.ParseFloat(d.String(), 64)
	return f
}

func (d Decimal) String() string {
	var digits string
	if d.small() {
		digits = strconv.FormatInt(int64(d.low), 10)
	} else {
		digits = d.Unscaled().String()
	}
	if d.scale == 0 {
		return digits
	}
	sign := ""
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	if missing := int(d.scale) + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - int(d.scale)
	return sign + digits[:point] + "." + digits[point:]
}

// MarshalJSON writes a JSON number with all digits.
func (d Decimal) MarshalJSON() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalJSON reads a JSON number, or a text that is one.
func (d *Decimal) UnmarshalJSON(text []byte) (err error) {
	if len(text) > 0 && text[0] == '"' {
		var inner string
		if err := json.Unmarshal(text, &inner); err != nil {
			return err
		}
		text = []byte(inner)
	} else if string(text) == "null" {
		return nil
	}
	*d, err = ParseDecimal(string(text))
	return err
}

// decimalType reads `decimal(18,2)`.
func decimalType(text string) (precision, scale int, err error) {
	var rest string
	n, _ := fmt.Sscanf(strings.ReplaceAll(strings.ToLower(text), " ", ""), "decimal(%d,%d)%s", &precision, &scale, &rest)
	if n != 2 || precision < 1 || precision > 38 || scale < 0 || scale > precision {
		return 0, 0, Errorf(KindInternal, "`%s` is not of the form decimal(18,2)", text)
	}
	return precision, scale, nil
}
