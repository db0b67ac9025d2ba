package db

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"silod/imc"
	"silod/sip"
)

// kamailioText is a directory as Kamailio's db_text writes it.
var kamailioText = map[string]string{
	"version": "table_name(string) table_version(int)\nsilo:8\nimc_rooms:1\nimc_members:1\nlocation:9\n",
	"silo": "id(int,auto) src_addr(string) dst_addr(string) username(string) domain(string) inc_time(int) exp_time(int) snd_time(int) " +
		"ctype(string) body(string,null) extra_hdrs(string,null) callid(string) status(int)\n" +
		`7:sip\:alice@example.org:sip\:bob@example.org:bob:example.org:1795262400:1795521600:0:text/plain:a\:b\\c\nd\r\te\0f:X-Foo\: bar\r\n::0` + "\n" +
		"\n" + // an empty line is nothing
		`9:sip\:carol@example.org:sip\:bob@example.org:bob:example.org:1795262401:0:0:text/html:<p>:::0` + "\n",
	"imc_rooms":   "id(int,auto) name(string) domain(string) flag(int)\n1:chat-1:example.org:1\n",
	"imc_members": "id(int,auto) username(string) domain(string) room(string) flag(int)\n1:alice:example.org:sip\\:chat-1@example.org:1\n",
	"location": "id(int,auto) ruid(string) username(string) domain(string,null) contact(string) received(string,null) path(string,null) expires(int) q(double) " +
		"callid(string) cseq(int) last_modified(int) flags(int) cflags(int) user_agent(string) socket(string,null) methods(int,null) instance(string,null) " +
		"reg_id(int) server_id(int) connection_id(int) keepalive(int) partition(int)\n" +
		"1:uloc-1:bob::sip\\:bob@192.0.2.1:::1795266000:0.50:reg@x:2:1795262400:0:0:Phone::::0:0:0:0:0\n",
}

func textDir(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestTextInPlace: silod reads a directory of Kamailio, and writes changes as Kamailio
// would.
func TestTextInPlace(t *testing.T) {
	t.Parallel()
	dir := textDir(t, kamailioText)
	var added int64
	for run := range 2 {
		db := open(t, "text:"+dir, Options{Domains: sip.NewDomains("example.org")})
		ms := next(t, db.Messages(), 0, 10)
		if len(ms) != 2+run || string(ms[0].Body) != "a:b\\c\nd\r\te\x00f" || ms[0].ID != 7 || ms[0].Header("X-Foo") != "bar" {
			t.Fatalf("messages: %+v", ms)
		}
		b := loadBindings(t, db.Bindings(), noon)["uloc-1"]
		if b.AoR != bob || b.Binding.Q != 0.5 || b.Binding.Expires.Unix() != 1795266000 {
			t.Errorf("binding: %+v", b)
		}
		r := loadRooms(t, db.Rooms())[room1]
		if !r.Room.Private || !reflect.DeepEqual(r.Members, map[sip.AoR]imc.Member{alice: {User: alice, Role: imc.Owner}}) {
			t.Errorf("room: %+v", r)
		}
		if run == 0 {
			m := text("new: \\ \n")
			m.Headers = []sip.Header{{Name: "X", Value: "y"}}
			add(t, db.Messages(), m)
			added = m.ID
		} else if ms[2].ID != added || string(ms[2].Body) != "new: \\ \n" {
			t.Errorf("our message: %+v", ms[2])
		}
		closeDB(t, db)
	}
	if added <= 9 {
		t.Errorf("ID %d is given again", added)
	}
	for name, want := range kamailioText {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		got := string(data)
		if head, _, _ := strings.Cut(want, "\n"); !strings.HasPrefix(got, head+"\n") {
			t.Errorf("%s begins with %q", name, got)
		}
		if name == "silo" { // the rows of before, then that of silod
			added, ok := strings.CutPrefix(got, want)
			if !ok || strings.Count(added, "\n") != 1 || !strings.Contains(added, `:new\: \\ \n:`) {
				t.Errorf("silo:\n%s", got)
			}
		}
		if name != "silo" && name != "version" && got != want {
			t.Errorf("%s was %q, is %q", name, want, got)
		}
	}
}

func TestTextRefusals(t *testing.T) {
	t.Parallel()
	for name, files := range map[string]map[string]string{
		"no columns":    {"silo": "\n"},
		"unknown type":  {"silo": "id(number)\n"},
		"missing field": {"silo": kamailioText["silo"] + "1:2\n"},
		"no number":     {"imc_rooms": kamailioText["imc_rooms"] + "x:a:b:c\n"},
		"newer":         {"version": "table_name(string) table_version(int)\nsilo:9\n", "silo": kamailioText["silo"]},
		"a bad mark":    {"silo": "id(int,maybe)\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, "text:"+textDir(t, files), Options{})
		})
	}
}

// FuzzText: a file that is read is written with the same bytes, also when each row gets its own
// values, and a row that is written is read with the same values.
func FuzzText(f *testing.F) {
	for _, text := range kamailioText {
		f.Add([]byte(text))
	}
	for _, text := range []string{
		"a(int,null) b(double) c(str,null)\n:1e3:\\\n-1:0.5:\\x\\",
		"a(int)b(string)  c(blob) \n\n1:\\0:x\n2", "a(int) b(string)\r\n1:x\r\n", "a(time) \"(int) a(int)\n1:2:3\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		file, err := parseText(in, false)
		if err != nil {
			return
		}
		if !bytes.Equal(file.bytes(), in) {
			t.Fatalf("%q became %q", in, file.bytes())
		}
		for _, l := range file.lines {
			row := file.content(l.raw)
			if row == nil {
				continue
			}
			values, err := file.values(row)
			if err != nil {
				t.Fatal(err)
			}
			if same, err := file.rewrite(l.raw, values); err == nil && !bytes.Equal(same, l.raw) {
				t.Fatalf("%q became %q", l.raw, same)
			}
			made, err := file.format(values)
			if err != nil {
				continue // too long
			}
			again, err := file.values(file.content(made))
			for i := range values {
				if values[i] == nil && !file.columns[i].null && !file.columns[i].auto || file.columns[i].kind == textDouble {
					continue // 0 or an empty text, or rounded
				}
				if err != nil || again[i] != values[i] && asText(again[i]) != asText(values[i]) {
					t.Fatalf("%q became %q: %v, %v", l.raw, made, again, err)
				}
			}
		}
	})
}
