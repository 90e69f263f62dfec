// What the driver does, natively: `native columns FOLDER` from Arrow's buffers, `native records IN OUT` from JSON lines. Prints
// milliseconds.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"
	"unsafe"
)

type Row struct {
	A int64  `json:"a"`
	B int64  `json:"b"`
	S string `json:"s"`
	C int64  `json:"c"`
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func typed[T any](bytes []byte) []T {
	var one T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(bytes))), len(bytes)/int(unsafe.Sizeof(one)))
}

func columns(folder string) {
	read := func(name string) []byte { return must(os.ReadFile(folder + "/" + name)) }
	a, b, o, text := typed[int64](read("a.bin")), typed[int64](read("b.bin")), typed[int32](read("o.bin")), read("s.bin")
	c := make([]int64, len(a))
	for i := range c {
		s := string(text[o[i]:o[i+1]])
		c[i] = a[i] + b[i] + int64(len(s))
	}
	bytes := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(c))), 8*len(c))
	must(0, os.WriteFile(folder+"/c.bin", bytes, 0o644))
}

func records(source, target string) {
	lines, out := bufio.NewScanner(must(os.Open(source))), bufio.NewWriter(must(os.Create(target)))
	encoder := json.NewEncoder(out)
	for lines.Scan() {
		var row Row
		must(0, json.Unmarshal(lines.Bytes(), &row))
		row.C = row.A + row.B + int64(len(row.S))
		must(0, encoder.Encode(row))
	}
	must(0, out.Flush())
}

func main() {
	begun := time.Now()
	if os.Args[1] == "columns" {
		columns(os.Args[2])
	} else {
		records(os.Args[2], os.Args[3])
	}
	fmt.Printf("%.1f\n", float64(time.Since(begun).Microseconds())/1000)
}
