package client

import (
	"encoding/json"
	"slices"

	"silod/mi"
)

// rpcCall is the request that a Client sends, over every transport.
type rpcCall struct {
	Version   string `json:"jsonrpc"`
	Method    string `json:"method"`
	Params    any    `json:"params,omitempty"`
	Dialect   string `json:"dialect"`
	ReplyName string `json:"reply_name,omitempty"` // of the reply FIFO
	ID        int    `json:"id"`
}

// params returns the params of a request: by name if all arguments are named, and else by
// position.
func params(args []mi.Arg) any {
	if len(args) == 0 {
		return nil
	}
	if !slices.ContainsFunc(args, func(a mi.Arg) bool { return a.Name == "" }) {
		return namedParams(args)
	}
	list := make([]string, len(args))
	for i, a := range args {
		list[i] = a.Value
	}
	return list
}

// namedParams are params by name. They keep their order.
type namedParams []mi.Arg

// MarshalJSON returns an object in which each name has the array of its values.
func (p namedParams) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, a := range p {
		same := func(b mi.Arg) bool { return b.Name == a.Name }
		if slices.ContainsFunc(p[:i], same) {
			continue
		}
		var values []string
		for _, b := range p[i:] {
			if same(b) {
				values = append(values, b.Value)
			}
		}
		name, err := json.Marshal(a.Name)
		if err != nil {
			return nil, err
		}
		list, err := json.Marshal(values)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, name...), ':'), list...)
	}
	return append(b, '}'), nil
}
