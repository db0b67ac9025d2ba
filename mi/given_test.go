package mi

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
)

// An argument that a client leaves out before another one is missing, and not an empty one.
func TestGiven(t *testing.T) {
	r := NewRegistry(slog.New(slog.DiscardHandler))
	r.Add(Command{Name: "c", Args: "[owner] [from] [limit]", MaxArgs: 3, Run: func(_ context.Context, req *Request) (*Node, error) {
		owner, hasOwner := req.Given("owner", 0)
		from, hasFrom := req.Given("from", 1)
		return &Node{Value: fmt.Sprintf("%q %v %q %v", owner, hasOwner, from, hasFrom)}, nil
	}})
	for _, tc := range []struct {
		args []Arg
		want string
	}{
		{nil, `"" false "" false`},
		{[]Arg{{"", ""}}, `"" true "" false`},
		{[]Arg{{"", "a"}, {"", ""}}, `"a" true "" true`},
		{[]Arg{{"limit", "1"}}, `"" false "" false`},
		{[]Arg{{"limit", "1"}, {"From", "b"}}, `"" false "b" true`},
		{[]Arg{{"limit", "1"}, {"owner", ""}}, `"" true "" false`},
	} {
		for _, d := range []Dialect{OpenSIPS, Native} {
			n, err := r.Call(t.Context(), &Request{Command: "c", Args: tc.args, Dialect: d})
			if err != nil || n.Value != tc.want {
				t.Errorf("%v: %v, %v, want %s", tc.args, n, err, tc.want)
			}
		}
	}
}
