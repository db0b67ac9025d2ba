package config

import (
	"fmt"
	"io/fs"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// inRange reports whether v is in bounds, "low..high", of which either end may be
// missing. Other bounds, such as "", allow all values.
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

// expects describes the allowed values of the field, or of an element in its list; t is
// the type of the value.
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

// maxInt32 is the maximum of times in Kamailio's tables. Messages do not mention it.
const maxInt32 = "2147483647"

// bounds describes the range of the tag allow; quote is put around its ends.
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

// format returns the field's value in the form of the file.
func (f field) format() string {
	if f.isTables() {
		return f.formatTables()
	}
	if f.value.Kind() == reflect.Slice {
		var list []string
		for i := range f.value.Len() {
			list = append(list, f.formatOne(f.value.Index(i)))
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	return f.formatOne(f.value)
}

func (f field) formatOne(v reflect.Value) string {
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

// show returns a decoded TOML value for a message, at most 60 bytes of it.
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
