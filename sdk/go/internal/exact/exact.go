// Package exact writes JSON without changing a text.
package exact

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"unicode/utf8"
)

// ErrNotUTF8 is the error for a text that JSON cannot represent.
var ErrNotUTF8 = errors.New("a text is not UTF-8")

// Marshal is json.Marshal, which would replace what is not UTF-8 without a word: that is an error here.
func Marshal(value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	isReplaced := bytes.Contains(text, []byte("\ufffd")) || bytes.Contains(text, []byte(`\ufffd`))
	if isReplaced && !isUTF8(reflect.ValueOf(value), 0) {
		return nil, ErrNotUTF8
	}
	return text, nil
}

// isUTF8 says whether all texts of a value are UTF-8, up to some depth. What JSON leaves out is not looked at.
func isUTF8(value reflect.Value, depth int) bool {
	if depth > 100 {
		return true
	}
	switch value.Kind() {
	case reflect.String:
		return utf8.ValidString(value.String())
	case reflect.Pointer, reflect.Interface:
		return value.IsNil() || isUTF8(value.Elem(), depth+1)
	case reflect.Slice, reflect.Array:
		for i := range value.Len() {
			if !isUTF8(value.Index(i), depth+1) {
				return false
			}
		}
	case reflect.Map:
		for entries := value.MapRange(); entries.Next(); {
			if !isUTF8(entries.Key(), depth+1) || !isUTF8(entries.Value(), depth+1) {
				return false
			}
		}
	case reflect.Struct:
		for i := range value.NumField() {
			field := value.Type().Field(i)
			if (field.IsExported() || field.Anonymous) && field.Tag.Get("json") != "-" && !isUTF8(value.Field(i), depth+1) {
				return false
			}
		}
	}
	return true
}
