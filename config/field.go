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

// A field is a key of a Config with its value.
type field struct {
	key   string // "silo.add_date"
	tag   reflect.StructTag
	value reflect.Value
}

// A value is implemented by the types of this package that fields have. The error of
// UnmarshalText describes the mistake only; the text of expects is added to it.
type value interface {
	UnmarshalText([]byte) error
	expects() string // allowed values: "a listen address such as ..."
	text() string    // in the form of the file
}

// fields iterates over the keys in the order of the documentation.
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

// defaults returns a Config with the default of every key; paths are still relative. It
// panics if a default violates the rule of its key.
func defaults() *Config {
	c := &Config{}
	for f := range c.fields() {
		if err := f.set(f.defaultValue()); err != nil {
			panic(fmt.Sprintf("config: default of %s: %v", f.key, err))
		}
	}
	return c
}

// defaultValue returns the default with the type that the TOML library decodes it to.
func (f field) defaultValue() any {
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

// set sets the field to a value that the TOML library decoded.
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

// setOne sets dst, which is the field's value or an element of its list.
func (f field) setOne(dst reflect.Value, v any) error {
	detail, err := f.assign(dst, v)
	if err == nil {
		return nil
	}
	text := "expected " + f.expects(dst.Type())
	if _, secret := reflect.TypeAssert[*DBURL](dst.Addr()); !secret { // it may contain a password
		text += ", got " + show(v)
	}
	if detail != "" {
		text += ": " + detail
	}
	return fmt.Errorf("%s", text)
}

// errWrong is returned for a value that is not allowed.
var errWrong = fmt.Errorf("wrong value")

// assign sets dst to v. It returns errWrong if v is not allowed, and in detail the reason
// if v alone does not show it.
func (f field) assign(dst reflect.Value, v any) (detail string, err error) {
	if own, ok := reflect.TypeAssert[value](dst.Addr()); ok {
		s, ok := v.(string)
		if !ok {
			return "", errWrong
		}
		if err := own.UnmarshalText([]byte(s)); err != nil {
			return err.Error(), errWrong
		}
		return "", f.checkRules(own.text())
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
		return "", f.checkRules(s)
	case *map[string]string:
		return "", assignMap(p, v)
	default:
		panic(fmt.Sprintf("config: %s has a type that is not known here: %s", f.key, dst.Type()))
	}
	return "", nil
}

// checkRules applies the tags allow and is to a string. An empty string means that the
// key is not set; it is accepted if the default is empty.
func (f field) checkRules(s string) error {
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

// assignMode accepts 0o660 and "0660".
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

// toBool accepts true and false, and 0 and 1 as in Kamailio's parameters.
func toBool(v any) (b, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case int64:
		return v == 1, v == 0 || v == 1
	}
	return false, false
}
