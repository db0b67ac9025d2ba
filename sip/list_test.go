package sip

import (
	"fmt"
	"testing"
)

func TestLists(t *testing.T) {
	for in, want := range map[string]string{
		"<sip:a>":                          "[<sip:a>]",
		" \"P, Q\"  <sip:a;lr>;x=1 ":       "[\"P, Q\"  <sip:a;lr>;x=1]",
		"<sip:a;lr>,<sip:b;lr>":            "[<sip:a;lr> <sip:b;lr>]",
		",<sip:a>":                         "[<sip:a>]",
		"<sip:a>, ,":                       "[<sip:a>]",
		" , <sip:a> ,, sip:b;expires=1 , ": "[<sip:a> <sip:b>;expires=1]",
		"*":                                "[*]",
		"* ; expires=0":                    "[* ; expires=0]",
		"":                                 "error", ",": "error", "*x": "error", "*;expires=0, <sip:a>": "error", "<sip:a> <sip:b>": "error", "*, *": "error",
	} {
		list, err := SplitList(in)
		got := fmt.Sprint(list)
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
