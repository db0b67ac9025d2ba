package config

import (
	"fmt"
	"io/fs"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is one key of a Config.
type field struct {
	key   string // "silo.add_date"
	tag   reflect.StructTag
	value reflect.Value
}

// value is what our own types of values can do. Their UnmarshalText says in its
// error only what is wrong; what is allowed is added to it.
type value interface {
	UnmarshalText([]byte) error
	expects() string // what is allowed: "a listen address such as ..."
	text() string    // as it is written in the file
}

// fields gives every key in the order of the documentation.
func (c *Config) fields() iter.Seq[field] {
	return func(yield func(field) bool) {
		for s, v := range reflect.ValueOf(c).Elem().Fields() {
			if name, ok := s.Tag.Lookup("toml"); ok && !walk(name, v, yield) {
				return
			}
		}
	}
}

func walk(section string, v reflect.Value, yield func(field) bool) bool {
	for s, fv := range v.Fields() {
		if s.Anonymous {
			if !walk(section, fv, yield) {
				return false
			}
			continue
		}
		if !yield(field{section + "." + s.Tag.Get("toml"), s.Tag, fv}) {
			return false
		}
	}
	return true
}

// pristine has every default, paths still relative. A default that does not keep
// its own rule is an error of the programmer.
func pristine() *Config {
	c := &Config{}
	for f := range c.fields() {
		if err := f.set(f.fallback()); err != nil {
			panic(fmt.Sprintf("config: default of %s: %v", f.key, err))
		}
	}
	return c
}

// fallback is the default as the TOML library would have decoded it.
func (f field) fallback() any {
	text := f.tag.Get("default")
	switch f.value.Interface().(type) {
	case time.Duration, fs.FileMode:
		return text
	}
	switch f.value.Kind() {
	case reflect.Bool:
		return text == "1" || text == "true"
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return text
		}
		return n
	case reflect.Slice:
		list := []any{}
		for s := range strings.FieldsSeq(text) {
			list = append(list, s)
		}
		return list
	case reflect.Map:
		return map[string]any{}
	default:
		return text
	}
}

// set gives the field a value as the TOML library decoded it.
func (f field) set(v any) error {
	if f.value.Kind() != reflect.Slice {
		return f.setOne(f.value, v)
	}
	list, ok := v.([]any)
	if !ok {
		return fmt.Errorf("expected a list [...], each %s, got %s", f.expects(f.value.Type().Elem()), show(v))
	}
	s := reflect.MakeSlice(f.value.Type(), len(list), len(list))
	for i, e := range list {
		if err := f.setOne(s.Index(i), e); err != nil {
			return err
		}
	}
	f.value.Set(s)
	return nil
}

// setOne sets the field's value, or one element of its list.
func (f field) setOne(dst reflect.Value, v any) error {
	detail, err := f.assign(dst, v)
	if err == nil {
		return nil
	}
	text := "expected " + f.expects(dst.Type())
	if _, secret := reflect.TypeAssert[*DBURL](dst.Addr()); !secret { // it may hold a password
		text += ", got " + show(v)
	}
	if detail != "" {
		text += ": " + detail
	}
	return fmt.Errorf("%s", text)
}

// errWrong says that a value is not what is expected.
var errWrong = fmt.Errorf("wrong value")

// assign is setOne without words: its error says that v does not fit, and detail,
// where that is not plain from v itself, why.
func (f field) assign(dst reflect.Value, v any) (detail string, err error) {
	if own, ok := reflect.TypeAssert[value](dst.Addr()); ok {
		s, ok := v.(string)
		if !ok {
			return "", errWrong
		}
		if err := own.UnmarshalText([]byte(s)); err != nil {
			return err.Error(), errWrong
		}
		return "", f.isRight(own.text())
	}
	switch p := dst.Addr().Interface().(type) {
	case *time.Duration:
		return "", f.assignDuration(p, v)
	case *fs.FileMode:
		return "", assignMode(p, v)
	case *bool:
		b, ok := toBool(v)
		if !ok {
			return "", errWrong
		}
		*p = b
	case *int:
		n, ok := v.(int64)
		if !ok || !inRange(f.tag.Get("allow"), n, parseInt) {
			return "", errWrong
		}
		*p = int(n)
	case *string:
		s, ok := v.(string)
		if n, isInt := v.(int64); isInt && f.tag.Get("is") == "account" {
			s, ok = strconv.FormatInt(n, 10), true
		}
		if !ok {
			return "", errWrong
		}
		*p = s
		return "", f.isRight(s)
	case *map[string]string:
		return "", assignMap(p, v)
	default:
		panic(fmt.Sprintf("config: %s has a type that is not known here: %s", f.key, dst.Type()))
	}
	return "", nil
}

// isRight applies the rules of strings. An empty one passes where the default is
// empty, or for an element: it means that nothing is set.
func (f field) isRight(s string) error {
	if s == "" && f.tag.Get("default") == "" && f.value.Kind() != reflect.Slice {
		return nil
	}
	if words := f.tag.Get("allow"); words != "" && !slices.Contains(strings.Split(words, "|"), s) {
		return errWrong
	}
	if name := f.tag.Get("is"); name != "" && !rules[name].ok(s) {
		return errWrong
	}
	return nil
}

func (f field) assignDuration(p *time.Duration, v any) error {
	s, ok := v.(string)
	if !ok {
		return errWrong
	}
	d, err := ParseDuration(s)
	if err != nil || !inRange(f.tag.Get("allow"), d, ParseDuration) {
		return errWrong
	}
	*p = d
	return nil
}

// assignMode takes 0o660 and "0660".
func assignMode(p *fs.FileMode, v any) error {
	var n uint64
	switch v := v.(type) {
	case int64:
		n = uint64(v)
	case string:
		var err error
		if n, err = strconv.ParseUint(strings.TrimPrefix(v, "0o"), 8, 32); err != nil {
			return errWrong
		}
	default:
		return errWrong
	}
	if n > 0o777 {
		return errWrong
	}
	*p = fs.FileMode(n)
	return nil
}

func assignMap(p *map[string]string, v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return errWrong
	}
	texts := map[string]string{}
	for k, e := range m {
		if texts[k], ok = e.(string); !ok {
			return errWrong
		}
	}
	*p = texts
	return nil
}

// toBool takes 0 and 1, as Kamailio's parameters have them, and true and false.
func toBool(v any) (b, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case int64:
		return v == 1, v == 0 || v == 1
	}
	return false, false
}
