package silo

import (
	"context"
	"time"

	"silod/mi"
)

func (c commands) list(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	q, err := c.query(req)
	if err != nil {
		return nil, err
	}
	return &mi.Node{List: true, Stream: func(yield func(*mi.Node, error) bool) {
		for m, err := range c.silo.opt.Store.List(ctx, q) {
			if err != nil {
				yield(nil, unavailable(err))
				return
			}
			if !yield(listRow(&m), nil) {
				return
			}
		}
	}}, nil
}

// listRow returns the row of a message in a list, with everything but the body.
func listRow(m *Message) *mi.Node {
	m.takeInternal()
	n := &mi.Node{Name: "MESSAGE", Attrs: []mi.Attr{
		{Name: "id", Value: m.ID},
		{Name: "owner", Value: m.Owner.String()},
		{Name: "from", Value: m.Src},
		{Name: "stored", Value: stamp(m.Stored)},
		{Name: "expires", Value: stamp(m.Expires)},
		{Name: "bytes", Value: len(m.Body)},
		{Name: "type", Value: m.Header("Content-Type")},
		{Name: "call_id", Value: m.CallID},
	}}
	if !m.SendAt.IsZero() {
		n.Attrs = append(n.Attrs, mi.Attr{Name: "send_at", Value: stamp(m.SendAt)})
	}
	if m.Copies > 0 {
		n.Attrs = append(n.Attrs, mi.Attr{Name: "copies", Value: m.Copies})
	}
	if m.Stuck != "" {
		n.Attrs = append(n.Attrs, mi.Attr{Name: "stuck", Value: m.Stuck})
	}
	return n
}

// stamp returns a time in RFC 3339, "never" for the zero time.
func stamp(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}

func (c commands) show(ctx context.Context, req *mi.Request) (*mi.Node, error) {
	m, err := c.message(ctx, req)
	if err != nil {
		return nil, err
	}
	line := listRow(&m)
	n := &mi.Node{}
	for _, a := range line.Attrs {
		n.Add(a.Name, a.Value)
	}
	n.Add("from_header", m.From)
	n.Add("to_header", m.To)
	hs := n.Add("headers", nil)
	hs.List = true
	for _, h := range m.Headers {
		hs.Add("header", h.Name+": "+h.Value)
	}
	if m.Marked {
		marks, err := c.silo.opt.Store.Marks(ctx, m.ID)
		if err != nil {
			return nil, unavailable(err)
		}
		devices := n.Add("devices", nil)
		devices.List = true
		for _, d := range marks {
			devices.Nodes = append(devices.Nodes, deviceRow(&d))
		}
	}
	n.Add("body", string(m.Body))
	return n, nil
}

// deviceRow returns the answer of a device.
func deviceRow(c *Copy) *mi.Node {
	answer := c.Refused
	if answer == "" {
		answer = "received"
	}
	n := &mi.Node{Name: "DEVICE", Attrs: []mi.Attr{{Name: "device", Value: c.Device}, {Name: "answer", Value: answer}}}
	if !c.At.IsZero() {
		n.Attrs = append(n.Attrs, mi.Attr{Name: "at", Value: stamp(c.At)})
	}
	return n
}
