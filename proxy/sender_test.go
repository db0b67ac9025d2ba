package proxy

import (
	"testing"

	"silod/registrar"
)

func TestContactOfANotice(t *testing.T) {
	bs := []registrar.Binding{{Contact: "sip:a@192.0.2.1:5062;transport=tcp"}, {Contact: "sip:a@192.0.2.2"}}
	for _, tc := range []struct {
		name, contact string
		bs            []registrar.Binding
		found         int
		elsewhere     string
	}{
		{"registered", "sip:a@192.0.2.1:5062;Transport=TCP", bs, 1, ""},
		{"a contact that is not registered", "sip:a@203.0.113.9", bs, 2, ""},
		{"no contact is registered", "sip:a@203.0.113.9", nil, 0, "sip:a@203.0.113.9"},
		{"not a URI", "a@203.0.113.9", bs, 2, ""},
	} {
		found, elsewhere := bindingsFor(tc.bs, tc.contact)
		if len(found) != tc.found || elsewhere != tc.elsewhere {
			t.Errorf("%s: %d bindings, %q elsewhere", tc.name, len(found), elsewhere)
		}
	}
}
