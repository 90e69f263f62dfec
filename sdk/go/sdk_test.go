package osiris_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.osiris.dev/sdk"
	"go.osiris.dev/sdk/check"
	"go.osiris.dev/sdk/discover"
	"go.osiris.dev/sdk/osiristest"
)

type inner struct {
	A int32   `col:"a"`
	B *string `col:"b"`
}

// everything has a column of each type that the SDK knows.
type everything struct {
	I8   int8               `col:"i8"`
	I64  *int64             `col:"i64"`
	U32  uint32             `col:"u32"`
	F32  float32            `col:"f32"`
	F64  *float64           `col:"f64"`
	Bool *bool              `col:"bool"`
	Text *string            `col:"text"`
	Raw  []byte             `col:"raw"`
	JSON json.RawMessage    `col:"json"`
	UUID *osiris.UUID       `col:"uuid"`
	Date *osiris.Date       `col:"date"`
	Time osiris.TimeOfDay   `col:"time"`
	At   *time.Time         `col:"at"`
	Wall time.Time          `col:"wall,timestamp_ns"`
	Span osiris.Interval    `col:"span"`
	Dec  *osiris.Decimal    `col:"dec,decimal(38,4)"`
	List []*string          `col:"list"`
	Decs []osiris.Decimal   `col:"decs,decimal(9,2)[]"`
	Deep [][]int64          `col:"deep"`
	Part *inner             `col:"part"`
	Many []inner            `col:"many"`
	Map  map[string]float64 `col:"map"`
	Out  chan int           `col:"-"`
}

func p[T any](v T) *T { return &v }

func decimal(text string) osiris.Decimal {
	d, err := osiris.ParseDecimal(text)
	if err != nil {
		panic(err)
	}
	return d
}

func full() everything {
	uuid, _ := osiris.ParseUUID("123e4567-e89b-12d3-a456-426614174000")
	return everything{
		I8: -128, I64: p(int64(math.MinInt64)), U32: math.MaxUint32, F32: 1.5, F64: p(math.Inf(1)), Bool: p(true),
		Text: p("žluť\x00😀"), Raw: []byte{0, 255}, JSON: json.RawMessage(`{"a":1}`), UUID: &uuid,
		Date: p(osiris.DateOf(time.Date(1969, 12, 31, 0, 0, 0, 0, time.UTC))), Time: 86399999999,
		At: p(time.Date(1900, 1, 1, 0, 0, 0, 1000, time.UTC)), Wall: time.Date(2024, 2, 29, 1, 2, 3, 4, time.UTC),
		Span: osiris.Interval{Months: -1, Days: 2, Nanoseconds: 3}, Dec: p(decimal("-9999999999999999999999999999999999.9999")),
		List: []*string{p("a"), nil, p("")}, Decs: []osiris.Decimal{decimal("1.50")}, Deep: [][]int64{{1, 2}, {}, nil},
		Part: &inner{7, p("x")}, Many: []inner{{1, nil}, {2, p("y")}}, Map: map[string]float64{"k": 1, "a": 2},
	}
}

func TestEveryTypeSurvivesWritingAndReading(t *testing.T) {
	empty := everything{Wall: time.Unix(0, 0).UTC(), List: []*string{}, Many: []inner{}, Map: map[string]float64{}}
	nothing := everything{Wall: time.Unix(0, 0).UTC()}
	var rows []everything
	for range 3000 {
		rows = append(rows, full(), empty, nothing)
	}
	osiris.Processor(func(_ struct{}, in osiris.Inputs, out *osiris.Output) error {
		input, err := in.Only()
		if err != nil {
			return err
		}
		// One table by rows, one by untouched batches.
		again, err := osiris.NewTable[everything](out, "rows")
		for row, failed := range osiris.Rows[everything](input) {
			err = errors.Join(err, failed, again.Add(row))
		}
		return errors.Join(err, input.Transform(out, "main", func(*osiris.Batch) error { return nil }))
	})
	result := osiristest.Step{Inputs: []osiristest.Input{osiristest.Table(t, "in", rows...)}}.Run(t)
	for _, name := range []string{"rows", "main"} {
		got := osiristest.Rows[everything](t, result, name)
		if len(got) != len(rows) {
			t.Fatalf("%s: %d rows", name, len(got))
		}
		for i := range rows {
			if !reflect.DeepEqual(got[i], rows[i]) {
				t.Fatalf("%s, row %d:\n%+v\n%+v", name, i, got[i], rows[i])
			}
		}
	}
}

func TestColumnsAreReadAndReplaced(t *testing.T) {
	type row struct {
		Qty  *int32 `col:"qty"`
		Name *string
		Keep string
	}
	osiris.Processor(func(_ struct{}, in osiris.Inputs, out *osiris.Output) error {
		return in[0].Transform(out, "main", func(b *osiris.Batch) error {
			qty, err := osiris.Get[int64](b, "qty")
			name, err2 := osiris.Get[string](b, "name")
			marked := osiris.Of(make([]bool, b.Rows()))
			for i := range marked.Values {
				marked.Values[i] = !qty.IsNull(i)
			}
			if b.Rows() > 1 {
				marked.SetNull(1)
			}
			price := osiris.Of(make([]osiris.Decimal, b.Rows()))
			return errors.Join(err, err2, osiris.Set(b, "qty", osiris.Map(qty, func(q int64) int64 { return 2 * q })),
				osiris.Set(b, "upper", osiris.Map(name, strings.ToUpper)), osiris.Set(b, "marked", marked),
				osiris.Set(b, "price", price, "decimal(18,2)"), b.Rename("keep", "kept"))
		})
	})
	input := osiristest.Table(t, "in", row{p(int32(3)), p("a"), "x"}, row{nil, nil, "y"})
	result := osiristest.Step{Inputs: []osiristest.Input{input}}.Run(t)
	type after struct {
		Qty    *int64
		Upper  *string
		Marked *bool
		Kept   string
		Price  osiris.Decimal
	}
	want := []after{{p(int64(6)), p("A"), p(true), "x", osiris.NewDecimal(0, 2)}, {nil, nil, nil, "y", osiris.NewDecimal(0, 2)}}
	if got := osiristest.Rows[after](t, result, "main"); !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v", got)
	}
	// An empty input still makes the table with its columns.
	none := osiristest.Step{Inputs: []osiristest.Input{osiristest.Table[row](t, "in")}}.Run(t)
	if got, want := none.Columns(t, "main"), result.Columns(t, "main"); !reflect.DeepEqual(got, want) || len(got) != 6 {
		t.Fatalf("%v, not %v", got, want)
	}
}

func TestColumnsThatWereSetAreCopies(t *testing.T) {
	type row struct{ N, Text, Mapped *int64 }
	osiris.Extractor(func(_ struct{}, out *osiris.Output) error {
		b := osiris.NewBatch(2)
		numbers := osiris.Of([]int64{1, 2})
		numbers.SetNull(1)
		mapped := osiris.Map(numbers, func(n int64) int64 { return 10 * n })
		err := errors.Join(osiris.Set(b, "n", numbers), osiris.Set(b, "mapped", mapped))
		mapped.SetNull(0)
		numbers.Values[0] = 5
		return errors.Join(err, osiris.Set(b, "text", numbers), out.Append("main", b))
	})
	rows := osiristest.Rows[row](t, osiristest.Step{}.Run(t), "main")
	if *rows[0].N != 1 || *rows[0].Text != 5 || *rows[0].Mapped != 10 || rows[1] != (row{}) {
		t.Errorf("%+v", rows)
	}
}

func TestValuesThatDoNotFitAreRefused(t *testing.T) {
	type wide struct{ V int64 }
	type float struct{ V float64 }
	type narrow struct{ V int8 }
	type optional struct{ V *int64 }
	type precise struct {
		V osiris.Decimal `col:"v,decimal(4,2)"`
	}
	for _, c := range []struct {
		run  func(in osiris.Inputs, out *osiris.Output) error
		in   osiristest.Input
		want string
	}{
		{readAs[narrow], osiristest.Table(t, "in", wide{1}, wide{300}), "row 2, column `v`: 300 does not fit into int8"},
		{readAs[float], osiristest.Table(t, "in", wide{1<<53 + 1}), "row 1, column `v`: 9007199254740993 does not fit into float64"},
		{readAs[wide], osiristest.Table(t, "in", optional{}), "row 1, column `v` is null, which its Go type does not hold; use a pointer"},
		{readAs[struct{ X int }], osiristest.Table(t, "in", wide{1}), "`in` has no column `x`"},
		{readAs[struct{ V string }], osiristest.Table(t, "in", wide{1}), "column `v` has Arrow format `l`, which cannot be read as string"},
		{writes(precise{decimal("1.005")}), osiristest.Table(t, "in", wide{1}), "row 1, column `v`: 1.005 has more than 2 digits after the point"},
		{writes(precise{decimal("123")}), osiristest.Table(t, "in", wide{1}), "row 1, column `v`: 123.00 does not fit into decimal(4,2)"},
		{writes(struct{ At time.Time }{time.Unix(0, 1)}), osiristest.Table(t, "in", wide{1}), "has more digits than the column; use Truncate(1µs)"},
		{writes(struct{ C complex64 }{}), osiristest.Table(t, "in", wide{1}), "a Go complex64 has no column type"},
		{func(_ osiris.Inputs, out *osiris.Output) error {
			table, err := out.JSONTable("main")
			return errors.Join(err, table.AddJSON([]byte("{\"a\":\"\xff\"}")))
		}, osiristest.Table(t, "in", wide{1}), "a record is not UTF-8"},
		{func(_ osiris.Inputs, out *osiris.Output) error {
			table, err := out.JSONTable("main")
			return errors.Join(err, table.AddJSON([]byte(`[{"a": 1}, {"a": 2}] [3]`)))
		}, osiristest.Table(t, "in", wide{1}), "record 3 is not a JSON object"},
		{writes(struct{ D osiris.Decimal }{}), osiristest.Table(t, "in", wide{1}), "column `d` needs a type such as decimal(18,2)"},
	} {
		osiris.Processor(func(_ struct{}, in osiris.Inputs, out *osiris.Output) error { return c.run(in, out) })
		result := osiristest.Step{Inputs: []osiristest.Input{c.in}}.Try(t)
		if result.Err == nil || !strings.Contains(result.Err.Message, c.want) {
			t.Errorf("%v, not %s", result.Err, c.want)
		}
	}
}

func readAs[T any](in osiris.Inputs, _ *osiris.Output) error {
	for _, err := range osiris.Rows[T](in[0]) {
		if err != nil {
			return err
		}
	}
	return nil
}

func writes[T any](row T) func(osiris.Inputs, *osiris.Output) error {
	return func(_ osiris.Inputs, out *osiris.Output) error { return osiris.WriteTable(out, "main", []T{row}) }
}

func TestConfigsAreCheckedAndErrorsHaveKinds(t *testing.T) {
	type login struct {
		User string `json:"user"`
	}
	type config struct {
		URL   string `json:"url"`
		Limit *int   `json:"limit"`
		Login login  `json:"login"`
		Size  int    `json:"size,omitempty"`
	}
	var fails error
	osiris.Extractor(func(c config, out *osiris.Output) error {
		if c.Size == 1 {
			var rows []int
			_ = rows[c.Size]
		}
		return fails
	})
	object := func(pairs ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return m
	}
	good := object("url", "u", "login", object("user", "me"))
	wait := 3 * time.Second
	for _, c := range []struct {
		config any
		fails  error
		kind   osiris.Kind
		text   string
	}{
		{object("login", object("user", "me")), nil, osiris.KindConfig, "the config has no `url`"},
		{object("url", "u", "login", object()), nil, osiris.KindConfig, "the config has no `login.user`"},
		{object("url", 1, "login", object()), nil, osiris.KindConfig, "cannot read the step's config"},
		{object("url", "u", "login", object("user", "me"), "size", 1), nil, osiris.KindInternal, "index out of range [1] with length 0 (sdk_test.go:"},
		{good, errors.New("plain"), osiris.KindInternal, "plain"},
		{good, fmt.Errorf("outer: %w", osiris.Errorf(osiris.KindAuth, "inner")), osiris.KindAuth, "outer: inner"},
		{good, &osiris.Error{Kind: osiris.KindRateLimited, Code: "HTTP 429", Message: "slow", RetryAfter: &wait}, osiris.KindRateLimited, "slow"},
		{good, json.Unmarshal([]byte("{"), new(any)), osiris.KindData, "unexpected end of JSON"},
	} {
		fails = c.fails
		result := osiristest.Step{Config: c.config}.Try(t)
		if result.Err == nil || result.Err.Kind != c.kind || !strings.Contains(result.Err.Message, c.text) {
			t.Errorf("%v, not %s: %s", result.Err, c.kind, c.text)
		}
		if c.kind == osiris.KindRateLimited && (result.Err.Code != "HTTP 429" || *result.Err.RetryAfter != wait) {
			t.Errorf("%+v", result.Err)
		}
	}
	fails = nil
	osiristest.Step{Config: good}.Run(t)
}

func TestJSONRecordsSQLFilesAndState(t *testing.T) {
	type row struct {
		ID int64 `json:"id" col:"id"`
	}
	type progress struct{ Last int64 }
	osiris.Processor(func(_ struct{}, in osiris.Inputs, out *osiris.Output) error {
		state, found, err := osiris.State[progress]()
		if err != nil || !found || state.Last != 4 {
			return osiris.Errorf(osiris.KindInternal, "%v %v %v", state, found, err)
		}
		table, err := out.JSONTable("main", osiris.Declared{Name: "id", Type: "BIGINT"})
		if err != nil {
			return err
		}
		for record, err := range in[0].Records() {
			if err := errors.Join(err, table.AddJSON(record)); err != nil {
				return err
			}
		}
		for record, err := range osiris.QueryRecords("from x") {
			if err := errors.Join(err, table.Add(map[string]any{"record": record})); err != nil {
				return err
			}
		}
		target, err := osiris.CreateFile("out.txt")
		if err != nil {
			return err
		}
		source, err := osiris.OpenFile("in.txt")
		if err != nil {
			return err
		}
		text := make([]byte, 3)
		if _, err := source.ReadAt(text, 1); err != nil {
			return err
		}
		secret, _ := osiris.Secret("connection.password")
		_, err = fmt.Fprintf(target, "%s %s", text, secret)
		osiris.Metric("requests", 2)
		osiris.Log.With("a", 1).WithGroup("g").Warn("careful", "b", 2)
		if err := osiris.Reject(row{7}, "too odd"); err != nil {
			return err
		}
		refused := osiris.Reject("a;b", "too few fields")
		if osiris.AsError(refused).Kind != osiris.KindData {
			return refused
		}
		_, missing := osiris.OpenFile("nowhere")
		if osiris.AsError(missing).Kind != osiris.KindNotFound {
			return missing
		}
		return errors.Join(err, osiris.SetState(progress{5}))
	})
	input := osiristest.Table(t, "in", row{1}, row{2})
	result := osiristest.Step{
		Inputs: []osiristest.Input{input}, KeepsState: true, State: `{"Last":4}`, Rejects: 1,
		Files:   map[string][]byte{"in.txt": []byte("abcde")},
		Secrets: map[string]string{"/connection/password": "pw"},
		Query:   func(string) (osiristest.Input, error) { return osiristest.Table(t, "q", row{3}), nil },
	}.Run(t)
	records := result.Records(t, "main")
	if len(records) != 3 || string(records[1]) != `{"id":2}` || string(records[2]) != `{"record":{"id":3}}` {
		t.Errorf("%s", records)
	}
	if rejected := fmt.Sprint(result.Rejected); rejected != `[{{"id":7} too odd} {"a;b" too few fields}]` {
		t.Error(rejected)
	}
	log := result.Logs[len(result.Logs)-1]
	if string(result.Files["out.txt"]) != "bcd pw" || result.State != `{"Last":5}` || result.Metrics["requests"] != 2 ||
		fmt.Sprint(log.Message, log.Fields) != "careful[{a 1} {g.b 2}]" {
		t.Errorf("%s %s %v %v", result.Files["out.txt"], result.State, result.Metrics, log)
	}
}

func TestChecksAndDiscoveriesAreRun(t *testing.T) {
	check.Connection(func(c struct{ Host string }) (string, error) { return "Server of " + c.Host, nil })
	discover.Tables(func(struct{ Host string }) ([]discover.Table, error) {
		return []discover.Table{{Name: "t", Columns: []discover.Column{{Name: "c", DuckdbType: "BIGINT"}}}}, nil
	})
	step := osiristest.Step{Config: map[string]string{"Host": "here"}}
	if got := step.Check(t).Server; got != "Server of here" {
		t.Error(got)
	}
	if got := step.Discover(t).Catalog; len(got) != 1 || got[0].Columns[0].DuckdbType != "BIGINT" {
		t.Error(got)
	}
	if got := (osiristest.Step{}).Check(t).Err; got == nil || got.Kind != osiris.KindConfig {
		t.Error(got)
	}
}

func TestDecimalsKeepAllDigits(t *testing.T) {
	for text, want := range map[string]string{"0": "0", "-0.05": "-0.05", "1.5e3": "1500", "1E-2": "0.01", "+7.": "7",
		"99999999999999999999999999999999999999": "99999999999999999999999999999999999999"} {
		if got, err := osiris.ParseDecimal(text); err != nil || got.String() != want {
			t.Errorf("%s: %s %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "1.2.3", "0x10", "1_0", "1e99", "NaN", "123456789012345678901234567890123456789"} {
		if got, err := osiris.ParseDecimal(text); err == nil {
			t.Errorf("%s: %s", text, got)
		}
	}
	var d osiris.Decimal
	if err := json.Unmarshal([]byte(`"12.340"`), &d); err != nil || d.String() != "12.340" || d.Float64() != 12.34 {
		t.Error(d, err)
	}
	if text, err := json.Marshal(map[string]any{"d": decimal("12345678901234567890.10")}); string(text) != `{"d":12345678901234567890.10}` {
		t.Error(string(text), err)
	}
}
