package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"

	"silod/mi"
)

// FuzzNativeReply: a reply comes back from the control socket as it was, except for bytes
// that are not UTF-8.
func FuzzNativeReply(f *testing.F) {
	f.Add("ROOM", "va\nlue", "attr", int64(5), 0.5, true)
	f.Fuzz(func(t *testing.T, name, value, attr string, i int64, x float64, list bool) {
		valid := func(s string) string { return strings.ToValidUTF8(s, "") }
		name, value, attr = valid(name), valid(value), valid(attr)
		if math.IsNaN(x) || math.IsInf(x, 0) || x == math.Trunc(x) {
			x = 0.5 // the others are not JSON numbers, or come back as an int64
		}
		node := &mi.Node{List: list, Nodes: []*mi.Node{{
			Name: name, Value: value, Attrs: []mi.Attr{{Name: attr, Value: i}, {Name: "x", Value: x}}, Nodes: []*mi.Node{{Value: list}},
		}}}
		sent := native(t, node)
		got := &mi.Node{}
		err := decodeReply(bytes.NewReader(sent), got, func(c *mi.Node) bool {
			got.Nodes = append(got.Nodes, c)
			return true
		})
		if err != nil || !bytes.Equal(sent, native(t, got)) {
			t.Fatalf("sent %s, got %+v, %v", sent, got, err)
		}
	})
}

// native returns a reply as the control socket sends it.
func native(t *testing.T, node *mi.Node) []byte {
	t.Helper()
	r := mi.NewRegistry(slog.New(slog.DiscardHandler))
	r.Add(mi.Command{Name: "sample", Run: func(context.Context, *mi.Request) (*mi.Node, error) { return node, nil }})
	f, err := mi.NewReader(strings.NewReader(`{"method":"sample","dialect":"native","id":1}`), func(string) bool { return true }).Next()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := (&mi.Service{Registry: r, Transport: mi.Stream}).Serve(t.Context(), f, &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// FuzzDecodeReply: no reply makes the decoders panic.
func FuzzDecodeReply(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc":"2.0","result":{"nodes":[{"name":"a","value":1,"attrs":{"b":null},"list":true,"nodes":[]}]},"id":1}`,
		`{"error":{"code":404,"message":"no"}}`, `{"result":[]}`, `{"result":{"nodes":[{]}}`, "503 too many\n\n", "200 OK\na\n\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		_ = decodeReply(bytes.NewReader(b), &mi.Node{}, func(*mi.Node) bool { return true })
		_ = copyClassic(io.Discard, bytes.NewReader(b))
	})
}

// TestDecodeReply: replies of a daemon of another version are decoded if their meaning is
// clear, and are an error otherwise.
func TestDecodeReply(t *testing.T) {
	for _, c := range []struct{ in, want, err string }{
		{`{"result":{"value":"a\u00ffb"}}`, "aÿb", ""},
		{"{\"result\":{\"value\":\"a\xffb\"}}", "a\uFFFDb", ""},
		{`{"result":{"value":"\ud800x"}}`, "\uFFFDx", ""},
		{`{"result":{"value":7},"error":null}`, "7", ""},
		{`{"result":{"value":1,"value":2}}`, "2", ""},
		{`{"result":{"name":null,"value":1e999}}`, "", "1e999"},
		{`{"result":{"value":12345678901234567890}}`, "1.2345678901234567e+19", ""},
		{`{"result":{"name":5}}`, "", "got 5, want a string"},
		{`{"result":{"list":"x"}}`, "", "got x, want a bool"},
		{`{"result":{"other":1}}`, "", "different versions"},
		{`{"result":[]}`, "", "got [, want {"},
		{`{"error":{"code":404,"message":"no","data":{}}}`, "", "404 no"},
		{`{"error":{"code":"404"}}`, "", "got 404, want a int64"},
		{`{"error":{"code":404,"message":5}}`, "", "got 5, want a string"},
		{`{"result":{"value":"cut`, "", "unexpected EOF"},
	} {
		var n mi.Node
		err := decodeReply(strings.NewReader(c.in), &n, nil)
		if c.err == "" && (err != nil || fmt.Sprint(n.Value) != c.want) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: got %v, %v; want %s %s", c.in, n.Value, err, c.want, c.err)
		}
	}
}
