package proxy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"silod/delivery"
)

// A failure response is about the message, about the device, or about the moment.
func TestRefusals(t *testing.T) {
	message := []int{
		400, 406, 411, 412, 413, 414, 415, 416, 417, 420, 421, 424, 428, 433, 436, 437, 438, 470, 485, 488, 489, 493, 494,
		505, 513, 600, 603, 604, 606, 607, 608,
	}
	device := []int{401, 403, 405, 407, 501}
	moment := []int{
		300, 301, 302, 305, 380, 402, 404, 408, 409, 410, 422, 423, 425, 429, 430, 439, 440, 480, 481, 482, 483, 484, 486, 487, 491,
		500, 502, 503, 504, 580,
	}
	for status := 300; status < 700; status++ {
		isMessage, isDevice := slices.Contains(message, status), slices.Contains(device, status)
		if got := refuses("<urn:uuid:1>", status); got != (isMessage || isDevice || status >= 600) {
			t.Errorf("%d of a device: %v", status, got)
		}
		if got := refuses("", status); got != (isMessage || status >= 600) {
			t.Errorf("%d of a server: %v", status, got)
		}
		if slices.Contains(moment, status) && refuses("x", status) {
			t.Errorf("%d is about the moment", status)
		}
	}
}

// The devices of an outcome: those that have refused, and those that may accept it later.
func TestVerdictOfDevices(t *testing.T) {
	known := []delivery.Device{{Name: "x"}, {Name: "y"}}
	for _, tc := range []struct {
		name     string
		devices  []string
		statuses []int // 0: no answer; -1: open
		known    []delivery.Device
		verdict  delivery.Verdict
		refusals string
		failed   []string
		silent   bool
	}{
		{name: "all refuse", devices: []string{"a", "b"}, statuses: []int{415, 603}, verdict: delivery.Refused, refusals: "a 415, b 603, "},
		{name: "one is busy", devices: []string{"a", "b"}, statuses: []int{415, 486}, refusals: "a 415, ", failed: []string{"b"}},
		{name: "one does not answer", devices: []string{"a", "b"}, statuses: []int{603, 0}, refusals: "a 603, ", failed: []string{"b"}, silent: true},
		{name: "time is up", devices: []string{"a", "b"}, statuses: []int{488, -1}, refusals: "a 488, ", failed: []string{"b"}, silent: true},
		{name: "two contacts of one device", devices: []string{"a", "a"}, statuses: []int{488, 0}, verdict: delivery.Refused, refusals: "a 488, a 488, ", silent: true},
		{name: "a server", devices: []string{""}, statuses: []int{488}, verdict: delivery.Refused, refusals: " 488, "},
		{name: "a server without MESSAGE", devices: []string{""}, statuses: []int{405}, failed: []string{""}},
		{name: "a server for known devices", devices: []string{""}, statuses: []int{488}, known: known, verdict: delivery.Refused, refusals: "x 488, y 488, "},
		{name: "a busy server for known devices", devices: []string{""}, statuses: []int{503}, known: known, failed: []string{"x", "y"}},
	} {
		results := tc.statuses
		open := slices.Index(results, -1)
		if open >= 0 {
			results = results[:open]
		}
		k := forked(ForkOptions{}, len(tc.devices), results...)
		for i, name := range tc.devices {
			k.attempts[i].device = name
		}
		patience := time.Duration(0)
		if open >= 0 {
			patience = time.Millisecond
		}
		out := k.Wait(t.Context(), patience)
		v := verdictPerDevice(&out, tc.devices, tc.known)
		refusals := ""
		for _, r := range v.Refusals {
			refusals += r.Device + " " + r.Reason[:3] + ", "
		}
		if v.Verdict != tc.verdict || refusals != tc.refusals || !slices.Equal(v.Failed, tc.failed) || v.Silent != tc.silent {
			t.Errorf("%s: %+v", tc.name, v)
		}
	}
}

// An item is sent to the devices that have not refused it.
func TestChosenDevices(t *testing.T) {
	for _, tc := range []struct {
		devices string // of the owner
		refused []string
		want    string
	}{
		{"a b c", nil, "a b c"},
		{"a b c", []string{"c", "a"}, "b"},
		{"a b c", []string{"x"}, "a b c"},
		{"a", []string{"a"}, ""},
		{"", []string{"x"}, ""},
	} {
		var ds []Device
		for name := range strings.FieldsSeq(tc.devices) {
			ds = append(ds, Device{Name: name})
		}
		chosen, leftOut := choose(ds, &delivery.Item{Refused: tc.refused})
		var names []string
		for _, d := range chosen {
			names = append(names, d.Name)
		}
		if got := strings.Join(names, " "); got != tc.want || leftOut != nil {
			t.Errorf("%q of %q: %q, %v", tc.refused, tc.devices, got, leftOut)
		}
	}
	elsewhere := []Device{{Routes: []Route{{URI: "sip:bob@example.net"}}}}
	if ds, _ := choose(elsewhere, &delivery.Item{Refused: []string{"", "a"}}); len(ds) != 1 {
		t.Error("a server is left out")
	}
}
