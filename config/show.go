package config

import (
	"fmt"
	"io/fs"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// inRange tells whether v lies in a range "low..high" of which either end may be
// left out. No range allows all.
func inRange[T int64 | time.Duration](bounds string, v T, parse func(string) (T, error)) bool {
	low, high, ok := strings.Cut(bounds, "..")
	if !ok {
		return true
	}
	if n, err := parse(low); err == nil && v < n {
		return false
	}
	n, err := parse(high)
	return err != nil || v <= n
}

func parseInt(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

// expects says what the field, or an element of type t in its list, may hold.
func (f field) expects(t reflect.Type) string {
	if own, ok := reflect.TypeAssert[value](reflect.New(t)); ok {
		if rule := f.tag.Get("is"); rule != "" {
			return rules[rule].expects
		}
		return own.expects()
	}
	switch reflect.New(t).Elem().Interface().(type) {
	case time.Duration:
		if b := f.bounds(`"`); b != "" {
			return "a duration" + b
		}
		return `a duration such as "5s", "2h" or "7d"`
	case fs.FileMode:
		return "permissions from 0o000 to 0o777"
	}
	switch t.Kind() {
	case reflect.Bool:
		if d := f.tag.Get("default"); d == "true" || d == "false" {
			return "true or false"
		}
		return "0 or 1"
	case reflect.Int:
		return "an integer" + f.bounds("")
	case reflect.Map:
		return "a table of strings"
	}
	if words := f.tag.Get("allow"); words != "" {
		quoted := `"` + strings.ReplaceAll(words, "|", `", "`) + `"`
		if i := strings.LastIndex(quoted, ", "); i >= 0 {
			quoted = quoted[:i] + " or " + quoted[i+2:]
		}
		return quoted
	}
	if name := f.tag.Get("is"); name != "" {
		return rules[name].expects
	}
	return "a string"
}

// maxInt32 is the limit of times in Kamailio's tables; to people it is no limit.
const maxInt32 = "2147483647"

// bounds puts a range into words, its ends in the given quotes.
func (f field) bounds(quote string) string {
	low, high, ok := strings.Cut(f.tag.Get("allow"), "..")
	switch {
	case !ok:
		return ""
	case high == "" || high == maxInt32:
		return " of at least " + quote + low + quote
	case low == "":
		return " of at most " + quote + high + quote
	default:
		return " from " + quote + low + quote + " to " + quote + high + quote
	}
}

// written is the field's value as it stands in a file.
func (f field) written() string {
	if f.value.Kind() == reflect.Slice {
		var list []string
		for i := range f.value.Len() {
			list = append(list, f.writtenOne(f.value.Index(i)))
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	return f.writtenOne(f.value)
}

func (f field) writtenOne(v reflect.Value) string {
	switch p := v.Addr().Interface().(type) {
	case value:
		return strconv.Quote(p.text())
	case *time.Duration:
		return strconv.Quote(formatDuration(*p))
	case *fs.FileMode:
		return fmt.Sprintf("%O", uint32(*p))
	case *bool:
		if f.expects(v.Type()) == "0 or 1" {
			if *p {
				return "1"
			}
			return "0"
		}
		return strconv.FormatBool(*p)
	case *string:
		return strconv.Quote(*p)
	}
	return fmt.Sprint(v.Interface())
}

// show puts a decoded TOML value into a message: short, and never a whole table.
func show(v any) string {
	switch v := v.(type) {
	case string:
		if len(v) > 60 {
			v = v[:57] + "..."
		}
		return strconv.Quote(v)
	case map[string]any, []map[string]any:
		return "a table"
	case []any:
		return "a list"
	case time.Time:
		return "a date"
	}
	return fmt.Sprint(v)
}
