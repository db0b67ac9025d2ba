package sip

import (
	"net/netip"
	"strings"
	"testing"
)

// message returns a MESSAGE with other values of some lines, by their names; "start" is the
// request line. A line without a value is left out.
func message(change map[string]string) []byte {
	lines := []string{change["start"]}
	if lines[0] == "" {
		lines[0] = "MESSAGE sip:b@b.example SIP/2.0"
	}
	for _, line := range []string{
		"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport", "Max-Forwards: 70", "From: <sip:a@a.example>;tag=1", "To: <sip:b@b.example>",
		"Call-ID: 1", "CSeq: 1 MESSAGE", "Content-Type: text/plain",
	} {
		name, _, _ := strings.Cut(line, ":")
		if value, other := change[name]; other {
			line = name + ":" + value
		}
		lines = append(lines, line)
	}
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\nhello")
}

// read parses a request.
func read(raw []byte) (*Request, error) {
	m, err := Parse(raw, false)
	if err != nil {
		return nil, err
	}
	r := new(Request)
	_, err = r.Read(m)
	return r, err
}

// TestPartiesThatAreMended reads values of From that are not well-formed and have one meaning.
// They are sent on well-formed (RFC 4475 section 3.1.2). Where only the URI has characters that
// the grammar does not allow, these are escaped, and nothing else changes.
func TestPartiesThatAreMended(t *testing.T) {
	for in, want := range map[string]string{
		`Bell, Alexander <sip:a@b>;tag=43`:          `"Bell, Alexander" <sip:a@b>;tag=43`, // RFC 4475 section 3.1.2.15
		`Alice (home) <sip:a@b>;tag=1`:              `"Alice (home)" <sip:a@b>;tag=1`,
		`a@b.example <sip:a@b>;tag=1`:               `"a@b.example" <sip:a@b>;tag=1`,
		`Re: x/y [1] {2} = #3? <sip:a@b>;tag=1`:     `"Re: x/y [1] {2} = #3?" <sip:a@b>;tag=1`,
		`A \ B <sip:a@b>`:                           `"A \\ B" <sip:a@b>`,
		`"A" < sip:a@b >;tag=1`:                     `"A" <sip:a@b>;tag=1`, // section 3.1.2.14
		`sip:a@b?Subject=x;tag=1`:                   `<sip:a@b?Subject=x>;tag=1`,
		`<a@b>;tag=1`:                               `<sip:a@b>;tag=1`,
		`a@b;tag=1`:                                 `<sip:a@b>;tag=1`,
		`"A" <a@b>;tag=1`:                           `"A" <sip:a@b>;tag=1`,
		`"" <sip:@gw.example>;tag=1`:                `<sip:gw.example>;tag=1`,
		`<sip:a@b:>;tag=1`:                          `<sip:a@b>;tag=1`,
		`<sip:a@b:0>;tag=1`:                         `<sip:a@b>;tag=1`,
		`<sip:a@b;;x;>;tag=1`:                       `<sip:a@b;x>;tag=1`,
		`<sip:a@b:;x?>;tag=1`:                       `<sip:a@b;x>;tag=1`,
		`<sip:a@[fe80::1%eth0]:5060;x>;tag=1`:       `<sip:a@[fe80::1]:5060;x>;tag=1`,
		`<sip:a@b>;;tag=1;`:                         `<sip:a@b>;tag=1`,
		`sip:a@b;;tag=1`:                            `<sip:a@b>;tag=1`,
		`<sip:a@b>;tag="x y";z`:                     `<sip:a@b>;tag="x y";z`,
		`sip:a@b;tag=1`:                             `sip:a@b;tag=1`,
		"J\xfcrgen   M\u00fcller<sip:a@b> ; tag=1":  "J\xfcrgen   M\u00fcller<sip:a@b> ; tag=1",
		`O'Brien <sip:9901#1{}|^@b;x=~>;tag={1}`:    `O'Brien <sip:9901%231%7B%7D%7C%5E@b;x=~>;tag={1}`,
		"\"\u00fc <x>\"\t<SIP:j\u00fc@B>; tag =1;y": "\"\u00fc <x>\"\t<sip:j%C3%BC@b>; tag =1;y",
		"sip:j\xfc@b ;tag=\"\\\"#\"":                "sip:j%FC@b ;tag=\"\\\"#\"",
		`<sip:a:p#@b;x;y=#;z=?h=^>;t=`:              `<sip:a:p%23@b;x;y=%23;z?h=%5E>;t=`,
		`<IM:j#@b#c>;tag=1`:                         `<im:j%23@b#c>;tag=1`,
		`<im:%0#@b>;tag=1`:                          `<im:%0%23@b>;tag=1`,
		`A, B <sip:j#@b>;tag=1`:                     `"A, B" <sip:j%23@b>;tag=1`,
		`<sip:%6A%fc@B.Example:05060;X=Y>;tag=1`:    `<sip:%6A%fc@B.Example:05060;X=Y>;tag=1`,
		`<tel:+1-(2);ext=[::1]>;tag=1`:              `<tel:+1-(2);ext=[::1]>;tag=1`,
		`<sip:a@b>;x/y=1;tag=1`:                     `<sip:a@b>;tag=1`,
	} {
		r, err := read(message(map[string]string{"From": " " + in, "To": " " + in}))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if r.FromValue() != want || r.ToValue() != want {
			t.Errorf("%s is sent on as %s, want %s", in, r.FromValue(), want)
		}
		if got := StrictParty(want); got != want {
			t.Errorf("%s is sent on as %s, and that as %s", in, want, got)
		}
		if got := StrictParty(in); !r.From.Mended && got != want {
			t.Errorf("%s is delivered as %s, want %s", in, got, want)
		}
		if again, err := ParseNameAddr(want); err != nil || again.Mended || !again.URI.Equal(r.From.URI) || again.URI.AoR() != r.From.URI.AoR() || again.Tag() != r.From.Tag() {
			t.Errorf("%s is sent on as %s, which is read as %+v, %v", in, want, again, err)
		}
	}
}

// TestPartiesWithoutAMeaning checks that values with no meaning, or more than one, are errors.
func TestPartiesWithoutAMeaning(t *testing.T) {
	for _, in := range []string{
		"", "*", "<>", "a", "<a>", `"A <sip:a@b>`, `A" <sip:a@b>`, `A"b"c <sip:a@b>`, `"A" "B" <sip:a@b>`, `"A" b <sip:a@b>`, `"A\" <sip:a@b>`,
		"<sip:a@b", "sip:a@b>", "<<sip:a@b>>", "<sip:a b@c>", "<sip:a@b> tag=1", "<sip:a@b> (x)", "<sip:a@b>, <sip:c@d>", "<sip:a@b>,",
		"sip:a@b;tag=1, X <sip:c@d>", "sip:a@b, X <sip:c@d>", "A; B <sip:c@d>", "sip:a@b, <sip:c@d>", "<sip:a@b@c>", "<sip:a@2001:db8::1>",
		"<sip:a@b:70000>", "<sip:a@>", "<sip:a@b..c>", "<sip:a%zz@b>", `<sip:a"b@c>`, "A\x01 <sip:a@b>", "<sip:a@b> <sip:c@d>", "A <B <sip:a@b>",
	} {
		if r, err := read(message(map[string]string{"From": " " + in})); err == nil {
			t.Errorf("%q: accepted as %s", in, r.FromValue())
		}
	}
}

// TestRequestsThatAreMended reads requests of devices that are not well-formed and have one
// meaning.
func TestRequestsThatAreMended(t *testing.T) {
	for _, change := range []map[string]string{
		{"start": "MESSAGE  sip:b@b.example\t SIP/2.0 "}, // RFC 4475 section 3.1.2.9
		{"start": " MESSAGE sip:b@b.example sip/2.0"},
		{"start": "message sip:b@b.example SIP/2.0", "CSeq": " 1 message"},
		{"start": "Message sip:b@b.example SIP/2.0"},
		{"start": "MESSAGE sip:b@b.example: SIP/2.0"},
		{"start": "MESSAGE sip:b@b.example;; SIP/2.0"},
		{"start": "MESSAGE sip:b@b.example? SIP/2.0"},
		{"CSeq": "\t0001\t MESSAGE"},
		{"CSeq": " 1 message"},
		{"Via": " SIP/2.0/UDP [fe80::1%eth0]:5060;branch=z9hG4bK1"},
		{"Via": " SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\nVia: SIP/2.0/UDP 10.0.0.1:99999;branch=z9hG4bK2\r\nv: SIP/2.0/UDP 10.0.0.1:"},
		{"Via": " , SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1,"},
		{"Max-Forwards": " 070"},
		{"Max-Forwards": ""},
		{"Content-Type": ""},
	} {
		r, err := read(message(change))
		if err != nil {
			t.Errorf("%q: %v", change, err)
			continue
		}
		if hops, ok := r.MaxForwards(); r.Method != "MESSAGE" || r.CSeq != 1 || r.TargetErr != nil || r.Target.AoR().String() != "sip:b@b.example" ||
			r.TargetValue() != "sip:b@b.example" && r.TargetValue() != "sip:b@b.example?" || !ok || hops != 70 || string(r.Body) != "hello" {
			t.Errorf("%q: %+v, to %s, %d hops", change, r, r.TargetValue(), hops)
		}
	}
	for _, change := range []map[string]string{
		{"start": "MESSAGE sip:b @b.example SIP/2.0"},
		{"start": "MESSAGE <sip:b@b.example> SIP/2.0"},
		{"start": "MESSAGE sip:@b.example SIP/2.0"},
		{"start": "MESSAGE sip:b@b.example:0 SIP/2.0"},
		{"start": "MESSAGE b@b.example SIP/2.0"},
		{"CSeq": " +1 MESSAGE"},
		{"CSeq": " 2147483648 MESSAGE"},
		{"CSeq": " 1 MESSAGES"},
		{"CSeq": " 1MESSAGE"},
		{"CSeq": " 1 OPTIONS"},
		{"Call-ID": ""},
		{"Via": " SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1, garbage"},
	} {
		if r, err := read(message(change)); err == nil && r.TargetErr == nil {
			t.Errorf("%q: accepted", change)
		}
	}
}

// TestSentByOfDevices reads Vias whose sent-by names no usable address. The answer goes to the
// source.
func TestSentByOfDevices(t *testing.T) {
	src := netip.MustParseAddrPort("192.0.2.9:40000")
	for _, sentBy := range []string{
		"[fe80::1%eth0]:5060", "[fe80::1%25eth0]", "John's-iPhone:5060", "j\u00fcrgens-pc", "192.0.2.1:0", "192.0.2.1:70000", "192.0.2.1:", "a..b", "[::1%1]:",
	} {
		v, err := ParseVia("SIP/2.0/UDP " + sentBy + ";branch=z9hG4bK1")
		if err != nil || v.Branch() != "z9hG4bK1" || v.ReplyAddr(src) != src {
			t.Errorf("%s: %+v, %v, answered to %v", sentBy, v, err, v.ReplyAddr(src))
		}
	}
}

// TestResponsesThatAreMended reads responses whose status is clear: a device that has answered
// must not get the message again.
func TestResponsesThatAreMended(t *testing.T) {
	const fields = "\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n"
	for _, raw := range []string{
		"SIP/2.0 200 OK" + fields + "garbage\r\n\r\n", "SIP/2.0 200 OK" + fields + "X Y: z\r\n\r\n", "SIP/2.0 200 OK" + fields + "X: \x00\r\n\r\n",
		"SIP/2.0 200 OK" + fields + "Content-Length: x\r\n\r\n", "SIP/2.0 200 OK" + fields + "Content-Length: 10\r\n\r\nok",
		"sip/2.0\t200\t\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1", "SIP/2.0  200  OK " + fields + "\r\n",
	} {
		m, err := Parse([]byte(raw), false)
		if err != nil || m.Status != 200 || m.Get("Via") == "" {
			t.Errorf("%q: %+v, %v", raw, m, err)
		}
		if strings.Contains(raw, "Content-Length") {
			if _, err := Parse([]byte(raw), true); err == nil {
				t.Errorf("%q: accepted on a stream, in which the next message cannot be found", raw)
			}
		}
	}
}

// FuzzParty checks that a value which is mended has one meaning from then on.
func FuzzParty(f *testing.F) {
	for _, s := range []string{
		`Bell, A. <sip:a@b>;tag=1`, `"A" < a@b:0;; >;;tag`, `sip:@[fe80::1%lo]?x;tag="y"`, "tel:+1;tag=x", "Re: <sip:a@b>", `a, b: <sip:c@d>`, "<im:a@b/c>", "a:%0@b", "im:j#@b#;x", "<sip:\u00fc:#@b;x=;y=#?z=#>;tag=#",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := parseParty(s)
		if err != nil {
			return
		}
		if aor, ours := NewDomains("b").AoR(a.URI); !a.URI.IsSIP() && !ours && !aor.IsZero() || ours != (aor.Domain == "b") {
			t.Fatalf("%q has the AoR %s, ours: %v", s, aor, ours)
		}
		sent := a.sentOn(s)
		b, err := ParseNameAddr(sent)
		if err != nil || b.Mended || !b.URI.isStrict() || !b.URI.Equal(a.URI) || b.Name != a.Name || b.Tag() != a.Tag() || StrictParty(sent) != sent {
			t.Fatalf("%q is sent on as %q, which is read as %+v, %v", s, sent, b, err)
		}
		if aor, _ := NewDomains("b").AoR(a.URI); aor != first(NewDomains("b").AoR(b.URI)) {
			t.Fatalf("%q is sent on as %q, with another AoR", s, sent)
		}
		if !a.Mended {
			return
		}
		again, err := ParseNameAddr(a.String())
		if err != nil || again.Mended || again.URI.AoR() != a.URI.AoR() || again.Name != a.Name || again.Tag() != a.Tag() {
			t.Fatalf("%q is mended to %q, which is read as %+v, %v", s, a, again, err)
		}
	})
}

func first(a AoR, _ bool) AoR { return a }

// A value that is sent on as it is costs no allocation.
func TestPartiesWithinTheGrammar(t *testing.T) {
	r, err := read(message(map[string]string{"From": ` "Alice" <sip:%61lice:pw@[::1]:5070;transport=tcp;x>;tag=1`}))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _, _ = r.FromValue(), r.ToValue(), StrictParty(`"Bob" <sip:bob@b.example;x=y>;tag=1`) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
