package mi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestJSONRule: every part of the rule in json.go.
func TestJSONRule(t *testing.T) {
	child := func(name string, v any) *Node { return &Node{Name: name, Value: v} }
	for _, tc := range []struct {
		node *Node
		want string
	}{
		{child("", "x"), `"x"`},
		{child("", 3), `3`},
		{child("", int64(-3)), `-3`},
		{child("", 0.25), `0.25`},
		{child("", 1e21), `1000000000000000000000`},
		{child("", math.NaN()), `null`},
		{child("", true), `true`},
		{&Node{}, `null`},
		{&Node{List: true}, `[]`},
		{&Node{List: true, Nodes: []*Node{child("A", 1), child("B", 2)}}, `[1,2]`},
		{&Node{List: true, Nodes: []*Node{{Attrs: attrs("a", 1)}}}, `[{"a":1}]`},
		{&Node{Nodes: []*Node{child("A", 1), child("B", "2")}}, `{"A":1,"B":"2"}`},
		{&Node{Nodes: []*Node{child("A", 1), child("B", 2), child("A", 3)}}, `{"A":[1,3],"B":2}`},
		{&Node{Value: "v", Attrs: attrs("a", 1, "b", nil), Nodes: []*Node{child("C", nil)}}, `{"value":"v","a":1,"b":null,"C":null}`},
		{&Node{Value: "v", List: true, Nodes: []*Node{child("C", 1)}}, `{"value":"v","nodes":[1]}`},
		{&Node{Attrs: attrs("n", 0), List: true}, `{"n":0,"nodes":[]}`},
		{child("", "\"\\\n\r\t\x00\x7fä\u2028</\xff"), `"\"\\\n\r\t\u0000\u007fä` + "\u2028" + `</` + "\ufffd" + `"`},
	} {
		got, err := json.Marshal(tc.node)
		var w writer
		w.json(tc.node, -1)
		if err != nil || string(w.buf) != tc.want || !json.Valid(got) {
			t.Errorf("got %s, %v, want %s", w.buf, err, tc.want)
		}
	}
	broken := &Node{List: true, Stream: func(yield func(*Node, error) bool) { yield(nil, errors.New("oh")) }}
	if _, err := json.Marshal(broken); err == nil {
		t.Error("a broken stream was marshalled")
	}
}

func TestClassicLines(t *testing.T) {
	for _, tc := range []struct {
		node *Node
		want string
	}{
		{&Node{}, ""},
		{&Node{Value: "x"}, "x\n"},
		{&Node{Name: "N"}, "N:: \n"},
		{&Node{Name: "N", Value: 1.5, Attrs: attrs("a", "", "b", true)}, "N:: 1.5 a= b=true\n"},
		{&Node{Attrs: attrs("a", 1, "b", 2)}, "a=1 b=2\n"},
		{&Node{Nodes: []*Node{{Value: "x", Nodes: []*Node{{Nodes: []*Node{{Value: "y"}}}}}}}, "x\n  y\n"}, // a node without a line does not indent
		{&Node{Name: "N", Value: "a\n\nb\r\n\n"}, "N:: a\\n\\nb\n"},
	} {
		var w writer
		w.classic(tc.node, "  ", 0)
		if got := string(w.buf); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

// TestStreamBreaks: a list that fails after its beginning was written has an error at its end,
// in every dialect.
func TestStreamBreaks(t *testing.T) {
	s := &Service{Registry: testRegistry(), Transport: Stream}
	for d, want := range map[Dialect]string{
		Classic:  "x\n500 incomplete list: command failed\n\n",
		Kamailio: "\"\n\t\t}],\n\t\"error\":\t{\n\t\t\"code\":\t500,\n\t\t\"message\":\t\"command failed\"\n\t},\n\t\"id\":\t1\n}\n",
		OpenSIPS: `"}],"error":{"code":-32000,"message":"Server error"},"id":1}` + "\n",
		Native:   `"}}]},"error":{"code":500,"message":"command failed"},"id":1}` + "\n",
	} {
		f := &Frame{Request: Request{Command: "rows", Args: []Arg{{Value: "2000"}, {Value: "1500"}}, Dialect: d}, id: json.RawMessage("1")}
		var out bytes.Buffer
		if err := s.Serve(t.Context(), f, &out); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.HasSuffix(got, want) {
			t.Errorf("dialect %d ends in %q, want %q", d, got[len(got)-200:], want)
		}
		if d != Classic && !json.Valid(out.Bytes()) {
			t.Errorf("the reply in dialect %d is not JSON", d)
		}
	}
}

// failing is a writer that fails after left bytes.
type failing struct{ left int }

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// TestStreamEndsWithItsReader: a stream ends when its client has disconnected.
func TestStreamEndsWithItsReader(t *testing.T) {
	r := testRegistry()
	yielded := 0
	endless := &Node{List: true, Stream: func(yield func(*Node, error) bool) {
		for yield(&Node{Value: strings.Repeat("x", 100)}, nil) {
			yielded++
		}
	}}
	s := &Service{Registry: r}
	err := s.reply(&Frame{}, &failing{left: 3 * chunk}, endless, nil)
	if !errors.Is(err, io.ErrClosedPipe) || yielded > 5*chunk/100 {
		t.Errorf("got %v after %d rows", err, yielded)
	}
	s.Transport, yielded = Datagram, 0
	var out bytes.Buffer
	if err := s.reply(&Frame{}, &out, endless, nil); err != nil || yielded > 2*maxDatagram/100 || !strings.HasPrefix(out.String(), "413 ") {
		t.Errorf("got %q, %v after %d rows", &out, err, yielded)
	}
	endless.Stream = func(func(*Node, error) bool) { panic("oh") }
	out.Reset()
	if err := s.reply(&Frame{}, &out, endless, nil); err != nil || out.String() != "500 command failed\n" {
		t.Errorf("a stream that panics: got %q, %v", &out, err)
	}
}

// TestSlowStream: the output of a stream that waits, such as one of events, is written after a
// tenth of a second at most.
func TestSlowStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, out := io.Pipe()
		node := &Node{List: true, Stream: func(yield func(*Node, error) bool) {
			for i := range 3 {
				yield(&Node{Value: i}, nil)
				time.Sleep(time.Minute)
			}
		}}
		start := time.Now()
		go func() {
			s := &Service{Registry: testRegistry()}
			_ = s.reply(&Frame{}, out, node, nil)
			_ = out.Close()
		}()
		buf := make([]byte, 100)
		for i, want := range []string{"200 OK\n0\n", "1\n", "2\n", "\n"} {
			n, err := in.Read(buf)
			at := time.Since(start) - time.Duration(i)*time.Minute
			if err != nil || string(buf[:n]) != want || at > latency {
				t.Errorf("read %d: %q, %v, %v late", i, buf[:n], err, at)
			}
		}
	})
}

// FuzzClassicReply: no value adds a line to a reply, or ends it.
func FuzzClassicReply(f *testing.F) {
	f.Add("ROOM", "a\r\n\r\n200 OK", "x\x1b]0;t\x07")
	f.Fuzz(func(t *testing.T, name, value, attr string) {
		var w writer
		w.classic(&Node{Nodes: []*Node{{Name: name, Value: value, Attrs: attrs(attr, value)}, {Name: "end"}}}, "\t", 0)
		if n := bytes.Count(w.buf, []byte("\n")); n != 2 {
			t.Fatalf("%d lines: %q", n, w.buf)
		}
		for _, c := range w.buf {
			if c < ' ' && c != '\n' && c != '\t' {
				t.Fatalf("control character in %q", w.buf)
			}
		}
	})
}

// TestLongListPauses: after its first chunk, a long list pauses for most of the time while
// there is other work. A reply that follows events does not pause.
func TestLongListPauses(t *testing.T) {
	const children = 200
	list := func(n int) *Node {
		return &Node{List: true, Stream: func(yield func(*Node, error) bool) {
			for range n {
				time.Sleep(time.Millisecond) // work
				if !yield(&Node{Value: strings.Repeat("x", 1023)}, nil) {
					return
				}
			}
		}}
	}
	var asked int64
	steadily := func() int64 { asked++; return asked }
	pause := time.Duration(pauseFactor(runtime.GOMAXPROCS(0)) * float64(time.Millisecond))
	for name, c := range map[string]struct {
		n    int
		pace *pace
		want time.Duration // to within a tenth
	}{
		"short":                   {30, &pace{load: steadily}, 30 * time.Millisecond},
		"long":                    {children, &pace{load: steadily}, 200*time.Millisecond + (children-chunk>>10)*pause},
		"long without other work": {children, &pace{load: func() int64 { return 0 }}, 200 * time.Millisecond},
		"followed":                {children, nil, 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				w := &writer{dst: io.Discard, pace: c.pace}
				w.classic(list(c.n), "\t", 0)
				if took := time.Since(begun); took < c.want-c.want/10 || took > c.want+c.want/10 {
					t.Errorf("it took %v, want %v", took, c.want)
				}
			})
		})
	}
}

// TestPauseFactor: pauses are shorter on machines with more processors.
func TestPauseFactor(t *testing.T) {
	for processors, want := range map[int]float64{1: 47, 2: 23, 8: 5, 48: 0, 64: 0} {
		if got := pauseFactor(processors); got != want {
			t.Errorf("%d processors: pauses of %v times the slice, want %v", processors, got, want)
		}
	}
}

// TestSliceIsWrittenBeforePause: the output of a slice is written before the pause, not when a
// chunk is full.
func TestSliceIsWrittenBeforePause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		w := &writer{dst: writes(func(b []byte) { sizes = append(sizes, len(b)) }), pace: &pace{load: func() int64 { return 0 }}}
		w.classic(&Node{List: true, Stream: func(yield func(*Node, error) bool) {
			for range 2 * chunk / 1024 {
				time.Sleep(time.Millisecond)
				if !yield(&Node{Value: strings.Repeat("x", 1023)}, nil) {
					return
				}
			}
		}}, "\t", 0)
		if len(sizes) != chunk/1024+1 || sizes[0] < chunk || sizes[1] > 2048 {
			t.Errorf("pieces of %v bytes", sizes)
		}
	})
}

type writes func([]byte)

func (f writes) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}
