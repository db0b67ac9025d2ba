package main

import (
	"context"
	"slices"
	"strings"

	"silod/mi"
	"silod/sip"
)

// fakeDomains are the domains of the fake, as of a daemon that listens on 127.0.0.1.
var fakeDomains = func() sip.Domains {
	d := sip.NewDomains()
	d.Configure(sip.DomainNames{Names: []string{"example.org"}, Aliases: []string{"127.0.0.1"}})
	return d
}()

// canonical returns a request with the AoRs of the users and rooms that it names.
func canonical(req *mi.Request, usage []string) (*mi.Request, error) {
	parsed := *req
	parsed.Args = slices.Clone(req.Args)
	for i, a := range parsed.Args {
		name := a.Name
		if name == "" && i < len(usage) {
			name = strings.Trim(usage[i], "[]")
		}
		if _, given := req.Given(name, i); !given || !slices.Contains([]string{"owner", "room", "user", "from", "to"}, name) {
			continue
		}
		aor, _, err := fakeDomains.Parse(a.Value)
		if err != nil {
			return nil, mi.Errorf(400, "Bad %s, %v", name, err)
		}
		parsed.Args[i].Value = aor.String()
	}
	return &parsed, nil
}

func (f *fake) listDomains(context.Context, *mi.Request) (*mi.Node, error) {
	n := &mi.Node{List: true}
	for _, d := range fakeDomains.List() {
		n.Add("DOMAIN", nil, mi.Attr{Name: "domain", Value: d.Domain}, mi.Attr{Name: "name", Value: d.Name})
	}
	return n, nil
}

// uri returns the canonical address of a user or a room.
func uri(s string) string {
	a, _, _ := fakeDomains.Parse(s)
	return a.String()
}
