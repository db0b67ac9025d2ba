package db

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// A scanner is a row, or rows, of package sql.
type scanner interface{ Scan(dest ...any) error }

// scan reads a row into variables. Every read of rows goes through it: a column that holds NULL,
// or text in place of a number, as schemas without constraints and SQLite allow, gives the zero
// value. So no row of another program keeps the others from being read.
func scan(row scanner, dest ...any) error {
	for i, d := range dest {
		switch d := d.(type) {
		case *string:
			dest[i] = (*textValue)(d)
		case *int64:
			dest[i] = (*intValue)(d)
		case *[]byte:
			dest[i] = (*bytesValue)(d)
		case *int:
			dest[i] = (*smallValue)(d)
		case *bool:
			dest[i] = (*boolValue)(d)
		}
	}
	return row.Scan(dest...)
}

// Types that scan converts pointers to. They implement sql.Scanner, and take any value.
type (
	textValue  string
	intValue   int64
	smallValue int
	boolValue  bool
	bytesValue []byte
)

// Scan implements sql.Scanner.
func (v *textValue) Scan(src any) error {
	*v = textValue(asText(src))
	return nil
}

// Scan implements sql.Scanner.
func (v *intValue) Scan(src any) error {
	*v = intValue(asInt(src))
	return nil
}

// Scan implements sql.Scanner.
func (v *smallValue) Scan(src any) error {
	*v = smallValue(asInt(src))
	return nil
}

// Scan implements sql.Scanner.
func (v *boolValue) Scan(src any) error {
	b, ok := src.(bool)
	*v = boolValue(b || !ok && asInt(src) != 0)
	return nil
}

// Scan implements sql.Scanner. NULL gives nil, which an empty value does not.
func (v *bytesValue) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*v = nil
	case []byte: // belongs to the driver
		if *v = bytes.Clone(src); *v == nil {
			*v = []byte{}
		}
	default:
		*v = []byte(asText(src))
	}
	return nil
}

// asText returns a value as text, "" for NULL. The type of a value that a driver returns depends on
// the engine and on the program that wrote the row.
func asText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		return string(v)
	case int64:
		return strconv.FormatInt(v, 10)
	}
	return fmt.Sprint(v)
}

// asInt returns a value as a number, 0 for NULL and for other text. Numbers out of range give the
// nearest one.
func asInt(v any) int64 {
	switch v := v.(type) {
	case nil:
		return 0
	case int64:
		return v
	case float64:
		return nearestInt(v)
	case float32:
		return nearestInt(float64(v))
	}
	text := asText(v)
	n, err := strconv.ParseInt(text, 10, 64)
	if err == nil || n != 0 { // n is the nearest number where text is out of range
		return n
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil {
		return nearestInt(f)
	}
	return 0
}

// nearestInt returns a number without its fraction, 0 for NaN.
func nearestInt(f float64) int64 {
	switch {
	case math.IsNaN(f):
		return 0
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	}
	return int64(f)
}
