package config

import (
	"errors"
	"fmt"
	"strings"
)

// A Peer is a trusted peer, known by its network or by the name in its TLS certificate,
// with its rights.
type Peer struct {
	Network Network // the zero Network if the peer is known by Name
	Name    string  // of a TLS client certificate

	Identity, Relay, Digest bool
}

// rights are the words that may follow a peer.
var rights = []string{"identity", "relay", "digest"}

// right returns the field for a word of rights, nil if the word is unknown.
func (p *Peer) right(word string) *bool {
	switch word {
	case "identity":
		return &p.Identity
	case "relay":
		return &p.Relay
	case "digest":
		return &p.Digest
	}
	return nil
}

// UnmarshalText parses "10.0.0.0/8", "192.0.2.1 relay" or "tls:proxy.example.org identity".
func (p *Peer) UnmarshalText(b []byte) error {
	words := strings.Fields(string(b))
	if len(words) == 0 {
		return errors.New("it is empty")
	}
	*p = Peer{}
	if name, ok := strings.CutPrefix(words[0], "tls:"); ok {
		if !isHost(name) {
			return fmt.Errorf("%q is not a host name", name)
		}
		p.Name = name
	} else if err := p.Network.UnmarshalText([]byte(words[0])); err != nil {
		return err
	}
	for _, word := range words[1:] {
		right := p.right(word)
		if right == nil {
			return fmt.Errorf("unknown right %q; the rights are %s", word, strings.Join(rights, ", "))
		}
		*right = true
	}
	return nil
}

func (p *Peer) text() string {
	s := "tls:" + p.Name
	if p.Name == "" {
		s = p.Network.text()
	}
	for _, word := range rights {
		if *p.right(word) {
			s += " " + word
		}
	}
	return s
}

func (p *Peer) expects() string {
	return `a peer such as "10.0.0.0/8", "192.0.2.1 identity relay" or "tls:proxy.example.org"`
}
