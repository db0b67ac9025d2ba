package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestProblems checks the messages of silod check. All problems of a file are reported
// together, in the order of the lines.
func TestProblems(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"out of range", "[silo]\nadd_date = 3", `2: silo.add_date: expected 0 or 1, got 3`},
		{"integer too small", "silo.expire_time = 0", `1: silo.expire_time: expected an integer of at least 1, got 0`},
		{"integer too large", "sip.max_message_size = 1_000_000_000", `1: sip.max_message_size: expected an integer from 1300 to 16777216, got 1000000000`},
		{"string for an integer", "silo.expire_time = '60'", `1: silo.expire_time: expected an integer of at least 1, got "60"`},
		{"float for an integer", "silo.expire_time = 1.5", `1: silo.expire_time: expected an integer of at least 1, got 1.5`},
		{"true or false", "imc.echo = 'yes'", `1: imc.echo: expected true or false, got "yes"`},
		{"list for a string", "log.level = ['info']", `1: log.level: expected "debug", "info", "warn" or "error", got a list`},
		{"string for a list", "sip.listen = 'udp:127.0.0.1:5060'", `1: sip.listen: expected a list [...], each a listen address such as "udp:127.0.0.1:5060" or "tls:[::1]:5061" (udp, tcp, tls, ws or wss), got "udp:127.0.0.1:5060"`},
		{"table for a value", "[silo.add_date]\nx = 1", `1: silo.add_date: expected 0 or 1, got a table`},
		{"value for a section", "silo = 1", `1: silo: expected a section: [silo]`},
		{"list of sections", "[[silo]]\nadd_date = 1\n[[silo]]\nadd_date = 0", `3: silo: expected a section: [silo]`},
		{"a date", "log.level = 2026-11-21", `1: log.level: expected "debug", "info", "warn" or "error", got a date`},

		{"unknown word", "silo.delivery = 'all'", `1: silo.delivery: expected "any" or "every", got "all"`},
		{"bad duration", "sip.accept_timeout = '5'", `1: sip.accept_timeout: expected a duration from "100ms" to "30s", got "5"`},
		{"duration as a number", "sip.accept_timeout = 5", `1: sip.accept_timeout: expected a duration from "100ms" to "30s", got 5`},
		{"duration out of range", "sip.accept_timeout = '1m'", `1: sip.accept_timeout: expected a duration from "100ms" to "30s", got "1m"`},
		{"negative duration", "imc.history = '-1h'", `1: imc.history: expected a duration such as "5s", "2h" or "7d", got "-1h"`},
		{"bad mode", "mi.fifo_mode = 660", `1: mi.fifo_mode: expected permissions from 0o000 to 0o777, got 660`},
		{"mode with a C zero", "[mi]\nfifo_mode = 0660", `2: mi.fifo_mode: Invalid integer "0660": cannot have leading zeroes; write an octal number as 0o660 or "0660"`},
		{"bad column", "silo.sc_from = 'a; DROP TABLE silo'", `1: silo.sc_from: expected a name of letters, digits and underscores, got "a; DROP TABLE silo"`},
		{"column left empty", "silo.sc_from = ''", `1: silo.sc_from: expected a name of letters, digits and underscores, got ""`},
		{"column twice", "silo.sc_to = 'SRC_addr'", `1: silo.sc_to: "SRC_addr" is already the column of silo.sc_from`},
		{"bad domain", "sip.domains = ['example.org', 'exa mple']", `1: sip.domains: expected a host name or an IP address such as "example.org", got "exa mple"`},
		{"bad SIP URI", "sip.outbound_proxy = 'proxy.example.org'", `1: sip.outbound_proxy: expected a SIP URI such as "sip:proxy.example.org;transport=tcp", got "proxy.example.org"`},
		{"bad pattern", "imc.room_pattern = '^chat-('", "1: imc.room_pattern: expected a regular expression (RE2) such as \"^chat-[0-9]+$\", got \"^chat-(\": compile: error parsing regexp: missing closing ): `^chat-(`"},
		{"bad network", "auth.trusted = ['10.0.0.1/8']", `1: auth.trusted: expected a peer such as "10.0.0.0/8", "192.0.2.1 identity relay" or "tls:proxy.example.org", got "10.0.0.1/8": bits are set after the prefix; did you mean "10.0.0.0/8"?`},
		{"bad status", "silo.store_on = ['4xx', '6xx']", `1: silo.store_on: expected a SIP status such as "480", "5xx" or "!401", got "6xx": only 3xx, 4xx and 5xx leave a message undelivered`},
		{"bad media type", "silo.ephemeral = ['text']", `1: silo.ephemeral: expected a media type such as "image/png" or "image/*", got "text"`},
		{"bad zone", "silo.time_zone = 'Mars/Base'", `1: silo.time_zone: expected "local", "UTC" or a time zone such as "Europe/Rome", got "Mars/Base": look up: unknown time zone Mars/Base`},
		{"bad date", "silo.date_format = '%Q'", `1: silo.date_format: expected a date such as "%Y-%m-%d %H:%M" (conversions of strftime), got "%Q": %Q is not supported`},
		{"bad start character", "imc.imc_cmd_start_char = '##'", `1: imc.imc_cmd_start_char: expected one character such as "#", no letter, digit or space, got "##"`},
		{"a long value is cut", "log.level = '" + strings.Repeat("x", 100) + "'", `1: log.level: expected "debug", "info", "warn" or "error", got "` + strings.Repeat("x", 57) + `..."`},

		{"unknown variable", "silo.offline_message = 'User $xU is offline'", `1: silo.offline_message: expected a text with pseudo-variables, got "User $xU is offline": there is no $xU; there are $ru $rU $rd $tu $tU $td $fu $fU $fd $fn $ci $ct $si $sp $rm $Ts $hdr(Name) and $$`},
		{"a script's variable", "silo.snd_time_avp = '$avp(i:123)'", `1: silo.snd_time_avp: expected a text with pseudo-variables, got "$avp(i:123)": $avp is set by a routing script, which silod does not have; use $hdr(Name)`},
		{"variable with text behind", "silo.offline_message = '$rUser'", `1: silo.offline_message: expected a text with pseudo-variables, got "$rUser": there is no $rUser; write $(rU)ser for $rU followed by text`},
		{"lone dollar", "silo.offline_message = '5 $ off'", `1: silo.offline_message: expected a text with pseudo-variables, got "5 $ off": a $ alone is not a variable; write $$ for a dollar sign`},
		{"backslashes in single quotes", `silo.contact_hdr = 'Contact: <sip:a@b>\r\n'`, `1: silo.contact_hdr: expected header fields such as "X-Name: value\r\n", got "Contact: <sip:a@b>\\r\\n": the line break is written with a backslash: use double quotes, in which \r\n is one`},
		{"no header", `silo.extra_hdrs = "hello"`, `1: silo.extra_hdrs: expected header fields such as "X-Name: value\r\n", got "hello": "hello" is not a header field`},
		{"a header of the stack's", `imc.extra_hdrs = "CSeq: 1 MESSAGE\r\n"`, `1: imc.extra_hdrs: expected header fields such as "X-Name: value\r\n", got "CSeq: 1 MESSAGE\r\n": CSeq is set by silod itself`},
		{"sender of notices", "silo.from_address = 'registrar'", `1: silo.from_address: expected a SIP URI such as "sip:registrar@example.org", with or without pseudo-variables, got "registrar"`},

		{"database without a name", "db.url = 'mysql://user:geheim@host'", `1: db.url: expected "sqlite:FILE", "postgres://user:password@host/database", "mysql://..." or "text:DIRECTORY": the name of the database is missing after the host: //host/database`},
		{"unknown database", "db.url = 'oracle://user:geheim@host/db'", `1: db.url: expected "sqlite:FILE", "postgres://user:password@host/database", "mysql://..." or "text:DIRECTORY": it must begin with "sqlite:", "postgres:", "mysql:" or "text:"`},
		{"bad text", "imc.texts = {joined = 1}", `1: imc.texts: expected a table of strings, got a table`},

		{"unknown key", "[silo]\n\nadd_dat = 1", `3: silo.add_dat: unknown key; did you mean silo.add_date?`},
		{"unknown key, none near", "[silo]\nfrobnicate = 1", `2: silo.frobnicate: unknown key; "silod config" prints all`},
		{"key of another section", "[silo]\nroom_pattern = 'x'", `2: silo.room_pattern: unknown key; did you mean imc.room_pattern?`},
		{"key outside its section", "add_date = 1", `1: add_date: unknown section; did you mean silo.add_date?`},
		{"unknown section", "\n[registar]\nmax_contacts = 1\nmin_expires = 1", `2: registar: unknown section; did you mean [registrar]?`},
		{"unknown section, none near", "[presence]", `1: presence: unknown section; there are [sip] [db] [registrar] [silo] [imc] [mi] [auth] [http] [log]`},
		{"odd keys", "[silo]\n\"a.b\" = 1", `2: silo."a.b": unknown key; "silod config" prints all`},

		{"open to all", "sip.listen = ['udp:0.0.0.0:5060']", `auth.mode: it is not set, and other machines can reach "udp:0.0.0.0:5060": set mode = "digest", or "none" if all senders may send as any user`},
		{"a peer's right", "auth.trusted = ['10.0.0.1 root']", `1: auth.trusted: expected a peer such as "10.0.0.0/8", "192.0.2.1 identity relay" or "tls:proxy.example.org", got "10.0.0.1 root": unknown right "root"; the rights are identity, relay, digest`},
		{"a peer's name", "auth.trusted = ['tls:a b']", `1: auth.trusted: expected a peer such as "10.0.0.0/8", "192.0.2.1 identity relay" or "tls:proxy.example.org", got "tls:a b": unknown right "b"; the rights are identity, relay, digest`},
		{"a peer twice", "auth.trusted = ['10.0.0.1 relay', '10.0.0.1/32']", `1: auth.trusted: "10.0.0.1/32" is listed twice`},
		{"a name without TLS", "auth.trusted = ['tls:proxy.example.org']", `1: auth.trusted: "tls:proxy.example.org" needs a certificate, and sip.listen has no tls`},
		{"nobody is authenticated", "auth.relay = 'authenticated'", `1: auth.relay: users are not authenticated if mode is "none": set mode = "digest", or relay = "trusted"`},
		{"unknown algorithm", "auth.algorithms = ['SHA-1']", `1: auth.algorithms: expected "SHA-512-256", "SHA-256" or "MD5", got "SHA-1"`},
		{"algorithm twice", "auth.algorithms = ['MD5', 'MD5']", `1: auth.algorithms: "MD5" is listed twice`},
		{"no algorithm", "auth.algorithms = []", `1: auth.algorithms: expected at least one`},
		{"bad rate", "auth.user_messages = '60'", `1: auth.user_messages: expected a rate such as "60/1m", or "0" for no limit, got "60": the / between number and time is missing`},
		{"no limit to failures", "auth.failures = '0'", `1: auth.failures: expected a rate such as "20/10m", got "0"`},
		{"no listener", "sip.listen = []", `1: sip.listen: expected at least one address`},
		{"listener twice", "sip.listen = ['udp:127.0.0.1', 'udp:127.0.0.1:5060']", `1: sip.listen: "udp:127.0.0.1:5060" is listed twice`},
		{"no certificate", "sip.listen = ['tls:127.0.0.1:5061']", `1: sip.listen: "tls:127.0.0.1:5061" needs tls_certificate and tls_private_key, or [[sip.certificate]]`},
		{"half a certificate", "sip.tls_certificate = '/c.pem'", `1: sip.tls_certificate: expected both tls_certificate and tls_private_key, but only one is set`},
		{"a flood of pings", "registrar.nat_ping = '1ms'", `1: registrar.nat_ping: expected "0s", or at least "100ms", got "1ms"`},
		{
			"failures of packets without an answer", "registrar.nat_ping_failures = 3",
			`1: registrar.nat_ping_failures: expected nat_ping_method = "options": nothing answers to empty lines`,
		},
		{"limits crossed", "registrar.max_expires = 30", `1: registrar.max_expires: expected 0, or at least min_expires (60), got 30`},
		{"retries crossed", "silo.retry = '10m'", `silo.max_retry: expected at least retry (10m0s), got 5m0s`},
		{"manager is a room", "imc.manager = 'chat-1'", `1: imc.manager: "chat-1" is the name of a room: it matches room_pattern`},
		{"tables", "imc.members_table = 'IMC_ROOMS'", `1: imc.members_table: "IMC_ROOMS" is already the table of imc.rooms_table`},
		{"sockets", "mi.socket_name = '/x'\nmi.control_socket = '/x'", `2: mi.control_socket: "/x" is already the path of mi.socket_name`},
		{"socket path", "mi.socket_name = '/" + strings.Repeat("x", 107) + "'", `1: mi.socket_name: "/` + strings.Repeat("x", 107) + `" is longer than 107 bytes, the maximum for a socket`},
		{"management over UDP", "mi.socket_name = 'udp:127.0.0.1:8080'", `1: mi.socket_name: expected a path (there is no management over UDP), got "udp:127.0.0.1:8080"`},

		{"not TOML", "[sip]\nlisten = [\n", `2: sip.listen: unexpected EOF; expected value`},
		{"key twice", "[log]\nlevel = 'info'\nlevel = 'warn'", `3: log.level: Key 'log.level' has already been defined.`},
		{"all at once", "[log]\nlevel = 'loud'\ncolour = 1\n[silo]\nmax_messages = -1\n", "2: log.level: expected \"debug\", \"info\", \"warn\" or \"error\", got \"loud\"\n3: log.colour: unknown key; \"silod config\" prints all\n5: silo.max_messages: expected an integer of at least 0, got -1"},
		{"lines of long values", "[silo]\noffline_message = \"\"\"a\n\nb $x\"\"\"\nstore_on = [\n '4xx',\n '7xx',\n]\nadd_date = 2 # c", "2: silo.offline_message: expected a text with pseudo-variables, got \"a\\n\\nb $x\": there is no $x; there are $ru $rU $rd $tu $tU $td $fu $fU $fd $fn $ci $ct $si $sp $rm $Ts $hdr(Name) and $$\n5: silo.store_on: expected a SIP status such as \"480\", \"5xx\" or \"!401\", got \"7xx\": only 3xx, 4xx and 5xx leave a message undelivered\n9: silo.add_date: expected 0 or 1, got 2"},
		{"lines of inline tables", "log = { level = 1,\n format = 2 }", "1: log.level: expected \"debug\", \"info\", \"warn\" or \"error\", got 1\n2: log.format: expected \"text\" or \"json\", got 2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse("t.toml", []byte(tt.text), testDirs)
			if c != nil || err == nil {
				t.Fatalf("no problem found")
			}
			var want []string
			for line := range strings.SplitSeq(tt.want, "\n") {
				if line[0] >= '0' && line[0] <= '9' {
					line = "t.toml:" + line
				} else {
					line = "t.toml: " + line
				}
				want = append(want, line)
			}
			if got := err.Error(); got != strings.Join(want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
			}
			if strings.Contains(err.Error(), "geheim") {
				t.Error("the message contains the password")
			}
		})
	}
}

// TestProblemsAreBounded parses files that are not configurations.
func TestProblemsAreBounded(t *testing.T) {
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, "key%d = 1\n", i)
	}
	_, err := Parse("t.toml", []byte(text.String()), testDirs)
	e, ok := errors.AsType[*Error](err)
	if !ok || len(e.Problems) != maxProblems+1 || !strings.HasSuffix(err.Error(), "and more: is this a silod.toml?") {
		t.Errorf("got %v", err)
	}
	if _, err := Parse("t.toml", make([]byte, maxSize+1), testDirs); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("a file that is too large: %v", err)
	}
}
