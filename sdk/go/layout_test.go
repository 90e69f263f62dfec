package osiris

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"
)

type layoutInner struct {
	X *int64 `json:"x"`
	Y string
}

// manyKinds has what is read and written here, and what is left to encoding/json.
type manyKinds struct {
	I    int              `json:"i"`
	I8   int8             `json:"i8"`
	U16  uint16           `json:"U16"`
	U    uint64           `json:"u"`
	F    float64          `json:"f"`
	F32  float32          `json:"f 32"`
	B    bool             `json:"b"`
	S    string           `json:"s"`
	P    *string          `json:"p"`
	PP   **int64          `json:"pp"`
	L    []layoutInner    `json:"l"`
	LL   [][]string       `json:"ll"`
	In   layoutInner      `json:"in"`
	By   []byte           `json:"by"`
	M    map[string]any   `json:"m"`
	Any  any              `json:"any"`
	Raw  json.RawMessage  `json:"raw"`
	Num  json.Number      `json:"num"`
	At   time.Time        `json:"at"`
	D    Decimal          `json:"d"`
	Omit int              `json:"-"`
	Self *manyKinds       `json:"self"`
	Arr  [2]float32       `json:"arr"`
	Ids  map[int64]string `json:"ids"`
	own  int
}

func many() []manyKinds {
	text, number, huge := `quo"te\ žluť 😀 </script> `+"\n\x00\u2028", int64(-9007199254740993), int64(math.MinInt64)
	pointer := &huge
	empty := manyKinds{Raw: json.RawMessage("null"), Num: "0", At: time.Unix(0, 0).UTC()}
	full := manyKinds{
		I: math.MinInt64, I8: -128, U16: math.MaxUint16, U: math.MaxUint64, F: 0.1, F32: 0.1, B: true, S: text, P: &text, PP: &pointer,
		L: []layoutInner{{&number, "a"}, {nil, ""}}, LL: [][]string{{}, nil, {"x", `,]}"`}}, In: layoutInner{&number, "in"},
		By: []byte{0, 255}, M: map[string]any{"k": json.Number("12345678901234567890.5"), "n": nil}, Any: []any{"x", true},
		Raw: json.RawMessage(`{"a":[1,{"b":"}"}]}`), Num: "1e400", At: time.Date(2024, 2, 29, 1, 2, 3, 4000, time.UTC),
		D: NewDecimal(-125, 1), Self: &empty, Arr: [2]float32{1, -2.5}, Ids: map[int64]string{-1: "x"},
	}
	rows := []manyKinds{empty, full}
	for _, f := range []float64{1e-6, 9.9e-7, 1e21, 1e20, 123456789, -0.0, math.Copysign(0, -1), math.MaxFloat64, 5e-324, 1.0 / 3} {
		row := empty
		row.F, row.F32 = f, float32(f)
		if !math.IsInf(float64(row.F32), 0) {
			rows = append(rows, row)
		}
	}
	return rows
}

func TestRecordsAreWrittenAndReadAsByEncodingJSON(t *testing.T) {
	l := layoutOf(reflect.TypeFor[manyKinds]())
	if l.kind != layoutStruct {
		t.Fatal("left to encoding/json")
	}
	for _, row := range many() {
		want, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.append(nil, unsafe.Pointer(&row))
		if err != nil || string(got) != string(want) {
			t.Fatalf("%v\n%s\n%s", err, got, want)
		}
		var again manyKinds
		if err := l.decode(got, unsafe.Pointer(&again)); err != nil || !reflect.DeepEqual(again, row) {
			t.Fatalf("%v\n%+v\n%+v", err, again, row)
		}
	}
}

func TestNamesAreFoundInAnyOrderAndCase(t *testing.T) {
	for _, text := range []string{
		`{"i8":1,"s":"x","b":true}`, `{"unknown":{"s":"no"},"B":true,"other":[[1],"s"],"S":"x","I8":1}`, `{"\u0062":true,"s":"x","i8":1}`,
	} {
		var got manyKinds
		if err := layoutOf(reflect.TypeFor[manyKinds]()).decode([]byte(text), unsafe.Pointer(&got)); err != nil {
			t.Fatal(err)
		}
		if got.I8 != 1 || got.S != "x" || !got.B {
			t.Fatalf("%s: %+v", text, got)
		}
	}
}

func TestRecordsThatDoNotFitAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"i8":128}`:                    "column `i8`: json: cannot unmarshal number 128",
		`{"i":1.5}`:                     "cannot unmarshal number 1.5",
		`{"i":9223372036854775808}`:     "cannot unmarshal number",
		`{"u":-1}`:                      "cannot unmarshal number -1",
		`{"U16":65536}`:                 "cannot unmarshal number 65536",
		`{"f 32":1e39}`:                 "cannot unmarshal number 1e39",
		`{"s":1}`:                       "cannot unmarshal number",
		`{"b":"true"}`:                  "cannot unmarshal string",
		`{"i":null}`:                    "column `i`: it is null, which its Go type does not hold; use a pointer",
		`{"in":null}`:                   "column `in`: it is null",
		`{"l":[{"x":"1"}]}`:             "cannot unmarshal string",
		`{"in":{"Y":null,"x":1}}`:       "column `in`: column `Y`: it is null",
		`{"at":"2024-02-30T00:00:00Z"}`: "column `at`",
	} {
		var got manyKinds
		err := layoutOf(reflect.TypeFor[manyKinds]()).decode([]byte(text), unsafe.Pointer(&got))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestTextsThatAreNotUTF8AreRefused(t *testing.T) {
	bad := "a\xffb"
	for _, value := range []any{
		layoutInner{Y: bad}, &layoutInner{Y: bad}, map[string]any{"k": []any{bad}}, map[string]string{bad: "v"}, manyKinds{Any: &bad, Raw: json.RawMessage("1"), Num: "1"},
	} {
		var table JSONTable
		if err := table.Add(value); err == nil || !strings.Contains(err.Error(), "not UTF-8") {
			t.Errorf("%v: %v", value, err)
		}
		if len(table.pending) != 0 {
			t.Errorf("left behind: %s", table.pending)
		}
	}
	for name, err := range map[string]error{"a rejected row": Reject(map[string]string{"k": bad}, "why"), "a state": SetState([]string{bad})} {
		if err == nil || !strings.Contains(err.Error(), "not UTF-8") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var table JSONTable
	left := struct {
		own string
		Out string `json:"-"`
		In  any
	}{bad, bad, []any{"\ufffd"}}
	if err := table.Add(map[string]string{"k": "\ufffd"}, layoutInner{Y: "\ufffd"}, left); err != nil {
		t.Error(err)
	}
	if err := table.Add(map[string]float64{"k": math.NaN()}, struct{ F float64 }{math.Inf(1)}); err == nil {
		t.Error("not a number is no JSON")
	}
}
