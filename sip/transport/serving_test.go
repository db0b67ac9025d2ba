package transport

import "testing"

// TestServing checks when a connection whose time is over is closed: between requests, and if
// there is always one in progress, after the last that had begun when it was forced to end.
func TestServing(t *testing.T) {
	var idle, busy, always serving
	if first, now := idle.finish(false); !first || !now || idle.begin() {
		t.Error("an idle connection does not end")
	}
	if first, now := idle.finish(false); first || now {
		t.Error("it ends twice")
	}
	for range 2 {
		if !busy.begin() {
			t.Fatal("a request is not served")
		}
	}
	if first, now := busy.finish(false); first || now || !busy.begin() {
		t.Error("a busy connection ends")
	}
	for range 3 {
		if busy.end() {
			t.Error("a connection ends before its time")
		}
	}
	if first, now := busy.finish(false); !first || !now {
		t.Error("a connection does not end between requests")
	}
	for range 2 {
		always.begin()
	}
	if first, now := always.finish(true); !first || now || always.begin() {
		t.Error("a request is served after the end")
	}
	if first, now := always.finish(true); first || now {
		t.Error("it ends again while a request is in progress")
	}
	if always.end() || !always.end() {
		t.Error("it does not end after the last request")
	}
}
