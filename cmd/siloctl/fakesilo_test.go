package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"silod/mi"
)

func (f *fake) selected(req *mi.Request) []message {
	var list []message
	for _, m := range f.messages {
		owner, from := req.Named("owner", 0), req.Named("from", -1)
		if owner != "" && uri(owner) != m.owner || from != "" && uri(from) != m.from ||
			req.Named("stuck", -1) == "true" && m.stuck == "" || req.Named("older_than", -1) == "30d" && m.id > 2 {
			continue
		}
		list = append(list, m)
	}
	return list
}

func (f *fake) list(_ context.Context, req *mi.Request) (*mi.Node, error) {
	if req.Named("reminders", -1) == "true" {
		return &mi.Node{List: true}, nil
	}
	list := f.selected(req)
	return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
		for _, m := range list {
			n := &mi.Node{Name: "MESSAGE", Attrs: []mi.Attr{
				{Name: "id", Value: m.id},
				{Name: "owner", Value: m.owner},
				{Name: "from", Value: m.from},
				{Name: "stored", Value: "2026-11-21T22:14:11Z"},
				{Name: "bytes", Value: 5},
				{Name: "call_id", Value: "c1"},
			}}
			if m.stuck != "" {
				n.Attrs = append(n.Attrs, mi.Attr{Name: "stuck", Value: m.stuck})
			}
			if !yield(n, nil) {
				return
			}
		}
	}}, nil
}

func (f *fake) byID(req *mi.Request) (int, error) {
	i := slices.IndexFunc(f.messages, func(m message) bool { return fmt.Sprint(m.id) == req.Arg(0) })
	if i < 0 {
		return 0, mi.Errorf(404, "There is no message %s; it may have been delivered", req.Arg(0))
	}
	return i, nil
}

func (f *fake) show(_ context.Context, req *mi.Request) (*mi.Node, error) {
	i, err := f.byID(req)
	if err != nil {
		return nil, err
	}
	n := &mi.Node{}
	n.Add("id", f.messages[i].id)
	n.Add("owner", f.messages[i].owner)
	hs := n.Add("headers", nil)
	hs.List = true
	hs.Add("header", "Content-Type: text/plain")
	hs.Add("header", "Subject: hello")
	ds := n.Add("devices", nil)
	ds.List = true
	ds.Add("DEVICE", nil, mi.Attr{Name: "device", Value: "<urn:uuid:1>"}, mi.Attr{Name: "answer", Value: "415 Unsupported Media Type"},
		mi.Attr{Name: "at", Value: "2026-11-21T22:14:11Z"})
	n.Add("body", "first line\nsecond line")
	return n, nil
}

func (f *fake) count(_ context.Context, req *mi.Request) (*mi.Node, error) {
	n := &mi.Node{}
	n.Add("count", len(f.selected(req)))
	return n, nil
}

func (f *fake) send(_ context.Context, req *mi.Request) (*mi.Node, error) {
	f.messages = append(f.messages, message{id: 8, owner: uri(req.Arg(1)), from: uri(req.Arg(0))})
	n := &mi.Node{}
	n.Add("id", 8)
	return n, nil
}

func (f *fake) remind(context.Context, *mi.Request) (*mi.Node, error) {
	n := &mi.Node{}
	n.Add("id", 9)
	return n, nil
}

func (f *fake) requeue(_ context.Context, req *mi.Request) (*mi.Node, error) {
	i, err := f.byID(req)
	if err != nil {
		return nil, err
	}
	f.messages[i].stuck = ""
	return &mi.Node{}, nil
}

func (f *fake) remove(_ context.Context, req *mi.Request) (*mi.Node, error) {
	i, err := f.byID(req)
	if err != nil {
		return nil, err
	}
	f.messages = slices.Delete(f.messages, i, i+1)
	return &mi.Node{}, nil
}

func (f *fake) purge(_ context.Context, req *mi.Request) (*mi.Node, error) {
	limit, _ := strconv.Atoi(req.Named("limit", -1))
	if len(req.Args) == 1 { // only a limit
		return nil, mi.Errorf(400, "Say which messages")
	}
	gone := f.selected(req)
	gone = gone[:min(len(gone), limit)]
	f.messages = slices.DeleteFunc(f.messages, func(m message) bool { return slices.Contains(gone, m) })
	n := &mi.Node{}
	n.Add("deleted", len(gone))
	return n, nil
}

func (f *fake) dump(_ context.Context, req *mi.Request) (*mi.Node, error) {
	n := &mi.Node{List: true}
	for _, c := range f.contacts {
		if aor := req.Arg(1); aor != "" && uri(aor) != c {
			return nil, mi.Errorf(404, "AOR not found")
		}
		n.Add("CONTACT", nil, mi.Attr{Name: "aor", Value: c}, mi.Attr{Name: "contact", Value: "sip:a@192.0.2.1"},
			mi.Attr{Name: "expires", Value: 60}, mi.Attr{Name: "flow", Value: "udp:127.0.0.1:5060>192.0.2.1:5060"})
	}
	return n, nil
}
