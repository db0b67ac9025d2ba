package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"silod/config"
)

func TestReadKamailio(t *testing.T) {
	for _, tt := range []struct{ name, cfg, want string }{
		{"string and number", `modparam("a", "b", "c") modparam("a","n",-5)`, "[{a b c false 1} {a n -5 true 1}]"},
		{"two modules", `modparam("a|b", "c", "d")`, "[{a c d false 1} {b c d false 1}]"},
		{"escapes", `modparam("a", "b", "x\"y\r\n\\")`, `[{a b x"y` + "\r\n" + `\ false 1}]`},
		{"comments", "# modparam(\"a\", \"b\", 1)\n// x=1\n/* y=2\n*/ z=3 # w=4", "[{ z 3 true 4}]"},
		{"defined", "#!define N 5\n#!define M N\nmodparam(\"a\", \"b\", M)", "[{a b 5 true 3}]"},
		{"defined in a circle", "#!define N M\n#!define M N\nx=N", "[{ x N true 3}]"},
		{"switched off", "#!ifdef X\na=1\n#!ifndef Y\nb=2\n#!endif\n#!else\nc=3\n#!endif\nd=4", "[{ c 3 true 7} { d 4 true 9}]"},
		{"in a route", "route[X] { a=1 { b=2 } }\nc=3", "[{ c 3 true 2}]"},
		{"IPv6 addresses", "listen=[::1]:5070 [2001:db8::1]\nalias=[::1] a=[", "[{ listen [::1]:5070 true 1} { listen [2001:db8::1] true 1} { alias [::1] true 2} { a [ true 2}]"},
		{"unterminated", `modparam("a", "b", "c`, "[]"},
		{"stray marks", "}}} = ) modparam ( \x00 a=", "[]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := readKamailio(tt.cfg)
			if fmt.Sprint(got) != tt.want {
				t.Errorf("got %v, want %s", got, tt.want)
			}
		})
	}
}

func TestListenAt(t *testing.T) {
	for in, want := range map[string][]string{
		"udp:10.0.0.1:5080": {"udp:10.0.0.1:5080"},
		"TLS:10.0.0.1":      {"tls:10.0.0.1:5061"},
		"10.0.0.1":          {"udp:10.0.0.1:5060", "tcp:10.0.0.1:5060"},
		"[::1]:5070":        {"udp:[::1]:5070", "tcp:[::1]:5070"},
		"tcp:[::1]":         {"tcp:[::1]:5060"},
	} {
		if got := listenAt(in, "5060", "5061"); !slices.Equal(got, want) {
			t.Errorf("listen=%s returns %v, want %v", in, got, want)
		}
	}
}

// FuzzConvert checks that silod accepts each converted configuration.
func FuzzConvert(f *testing.F) {
	f.Add("#!define X \"y\"\nmodparam(\"msilo|imc\", \"db_url\", X)\nlisten=udp:127.0.0.1\nalias=a.b")
	f.Add(`modparam("mi_fifo", "fifo_mode", 0660) modparam("msilo", "contact_hdr", "Contact: x\r\n\x7f")`)
	f.Add("modparam(\"imc\", \"a b\\n[x]\", 1)")
	f.Fuzz(func(t *testing.T, cfg string) {
		toml, out := convert(t.Context(), cfg)
		_, err := config.Parse("x.toml", []byte(toml), config.DefaultDirs(os.Getenv))
		var bad *config.Error
		if !errors.As(err, &bad) {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		for _, p := range bad.Problems { // only reported problems may be left
			if !slices.ContainsFunc(out, func(l leftOut) bool { return l.Line == 0 && l.What == p.Key }) {
				t.Fatalf("%v in\n%s", p, toml)
			}
		}
	})
}
