package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"silod/mi"
)

// session is all commands in an order in which each has data. At its beginning alice is
// connected over TCP and has sent hello to chat-1.
var session = []string{
	"uptime", "version", "info", "pwd", "arg", "ps", "which", "help", "help|ul_rm", "help|nosuch",
	"debug", "debug|2", "debug|x", "log_level", "log_level|1", "reload",
	"list_sockets", "list_tcp_conns", "tcp_info",

	"ul_add|location|bob@127.0.0.1|sip:bob@192.0.2.7:5060|0|0.5|0|0|0|4294967295",
	"ul_add|location|bob@127.0.0.1|sip:bob@192.0.2.8:5060|0|1.0|<sip:192.0.2.9;lr>|0|0|4294967295",
	"ul_add|location|bob@127.0.0.1|bob|0|1.0|0|0|0|0", "ul_add|location|bob@127.0.0.1",
	"ul_dump", "ul_dump|brief", "ul_show_contact|location|bob@127.0.0.1", "ul_show_contact|location|nobody@127.0.0.1",
	"ul_show_contact|nowhere|bob@127.0.0.1",
	"ul_rm|location|bob@127.0.0.1|sip:bob@192.0.2.7:5060", "ul_rm|location|bob@127.0.0.1|sip:bob@192.0.2.7:5060",
	"ul_rm_contact|location|bob@127.0.0.1|sip:bob@192.0.2.9", "ul_rm_contact|location|bob@127.0.0.1|sip:bob@192.0.2.8:5060",
	"ul_rm|location|bob@127.0.0.1", "ul_flush", "domain_dump",

	"silo_count", "silo_send|" + alice + "|" + bob + "|hello\tBob, \"Grüße\"", "silo_send|" + alice + "|" + bob + "|again",
	"silo_send|" + alice + "|nowhere.example|hello", "silo_remind|" + bob + "|2099-01-01T00:00:00Z|get up", "silo_remind|" + bob + "|soon|get up",
	"silo_list", "silo_list|" + bob + "|limit::1", "silo_list|carol", "silo_count|" + bob, "silo_show|1", "silo_show|99", "silo_show|x",
	"silo_export|" + bob + "|limit::1", "silo_import|" + exported, "silo_import|" + exported, "silo_import|{}", "silo_dump|" + bob,
	"silo_requeue|1", "silo_requeue|99", "silo_stats", "silo_delete|1", "silo_delete|1", "silo_purge", "silo_purge|from::" + alice, "silo_count",

	"imc_list_rooms", "imc_create_room|chat-2|" + bob, "imc_create_room|chat-2|" + bob, "imc_create_room|chat-3|" + bob + "|private",
	"imc_list_rooms", "imc_list_members|" + room1, "imc_list_members|chat-9", "imc_list_members", "imc_show_room|" + room1,
	"imc_room_active|chat-1", "imc_room_active|chat-9", "imc_add_member|chat-2|" + alice, "imc_add_member|chat-2|" + alice + "|king",
	"imc_room_member|chat-2|" + alice, "imc_room_member|chat-2|sip:carol@127.0.0.1", "imc_modify_member|chat-2|" + alice + "|admin",
	"imc_modify_member|chat-2|" + alice + "|muted", "imc_show_room|chat-2", "imc_remove_member|chat-2|" + alice,
	"imc_remove_member|chat-2|" + alice, "imc_history|chat-1", "imc_history|chat-9", "imc_unused_rooms", "imc_unused_rooms|0",
	"imc_list_bans|chat-2", "imc_unmute_member|chat-2|" + alice, "imc_ban_member|chat-2|" + alice + "|0|spam", "imc_list_bans|chat-2",
	"imc_ban_member|chat-2|" + alice + "|soon", "imc_unban_member|chat-2|" + alice, "imc_unban_member|chat-2|" + alice, "imc_list_bans|chat-2",
	"imc_moderate_room|chat-2", "imc_voice_member|chat-2|" + bob, "imc_mute_member|chat-2|sip:carol@127.0.0.1", "imc_devoice_member|chat-2|" + bob,
	"imc_unmoderate_room|chat-2", "imc_unmoderate_room|chat-9",
	"imc_set_title|chat-3|Tea friends", "imc_set_topic|chat-3|Darjeeling", "imc_set_topic|chat-3| ", "imc_set_private|chat-3|no",
	"imc_set_private|chat-3|maybe", "imc_set_title|chat-9|x", "imc_show_room|chat-3",
	"imc_destroy_room|chat-3", "imc_destroy_room|chat-3",

	"sub_list", "sub_add|dave|secret", "sub_add|dave|secret", "sub_passwd|dave|another", "sub_passwd|nobody|x", "sub_list", "sub_remove|dave",
	"sub_remove|dave", "ban_list", "ban_lift|192.0.2.66", "ban_lift|x",

	"get_statistics|imc:", "get_statistics|msilo:stored_messages|active_rooms", "get_statistics|nosuch", "clear_statistics|msilo:stored_messages",
	"reset_statistics|all", "stats.fetch|msilo:stored_messages", "stats.fetchn|imc:active_rooms", "list_statistics", "latencies", "clock_show", "clock_accept",
	"t_uac_dlg|OPTIONS|sip:nobody@127.0.0.1|.|.|From: <sip:mi@127.0.0.1>;tag=1\r\nTo: <sip:nobody@127.0.0.1>\r\n",
	"t_uac_dlg|OPTIONS", "watch|bob", "busiest", "nosuch", "kill",
}

const exported = `{"user":"carol","domain":"127.0.0.1","stored":"2019-01-02T03:04:05Z","src":"sip:alice@127.0.0.1","dst":"sip:carol@127.0.0.1",` +
	`"from":"<sip:alice@127.0.0.1>;tag=1","to":"<sip:carol@127.0.0.1>","call_id":"an-old-one","cseq":1,` +
	`"headers":[["Content-Type","text/plain"]],"body":"from the export"}`

// TestCommands compares the reply of every command in every framing with testdata. It is
// not run in parallel with other tests, because it changes the arguments of the process,
// which the command arg returns.
func TestCommands(t *testing.T) {
	args := os.Args
	os.Args = []string{"silod", "--config", "silod.toml"}
	t.Cleanup(func() { os.Args = args })
	for _, dialect := range []mi.Dialect{mi.Classic, mi.Kamailio, mi.OpenSIPS, mi.Native} {
		name := [...]string{"classic", "kamailio", "opensips", "native"}[dialect]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, filepath.Join("testdata", "commands", name+".txt"), administer(t, dialect))
		})
	}
}

// golden compares got with a file, or writes the file if the flag -update is set.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	g, w := strings.Split(got, "\n= "), strings.Split(string(want), "\n= ")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Errorf("%s:\n got %q\nwant %q", path, append(g, "")[min(i, len(g))], append(w, "")[min(i, len(w))])
		}
	}
}

// administer runs the session with a new daemon and returns the replies.
func administer(t *testing.T, dialect mi.Dialect) string {
	t.Helper()
	s := serve(t, reminders...)
	a := s.phone("tcp", "alice")
	a.message(room1, "#create")
	a.message(room1, "hello")
	s.quiet()
	known := map[string]bool{}
	var b strings.Builder
	for _, step := range session {
		cmd, _ := s.registry.Lookup(strings.Split(step, "|")[0])
		known[cmd.Name] = true
		if cmd.Follows && dialect == mi.Native {
			continue // it does not end; e2e tests it
		}
		reply := s.ask(dialect, step)
		s.quiet()
		fmt.Fprintf(&b, "= %s\n%s\n", strings.TrimSpace(step), s.unvarying(cmd.Name, reply))
	}
	for _, c := range s.registry.Commands() {
		if !known[c.Name] {
			t.Errorf("%s is not in the session", c.Name)
		}
	}
	_, port, _ := net.SplitHostPort(a.conn.LocalAddr().String())
	return regexp.MustCompile(`(src_port(?:=|":\s*))`+port+`\b`).ReplaceAllString(b.String(), "${1}PHONE")
}

// quiet waits until all messages of rooms and of users are delivered.
func (s *served) quiet() {
	s.t.Helper()
	s.eventually("the rooms' answers", func() bool { return s.stat("imc:waiting_answers") == 0 })
	s.settled()
}

// ask returns the reply to one step of a session. JSON must not have duplicate names.
func (s *served) ask(dialect mi.Dialect, step string) string {
	s.t.Helper()
	words := strings.Split(step, "|")
	cmd, _ := s.registry.Lookup(words[0])
	service := &mi.Service{Registry: s.registry, Transport: mi.Pipe}
	if dialect == mi.Native {
		service.Transport = mi.Stream
	}
	f, err := mi.NewReader(strings.NewReader(framed(dialect, cmd, words)), func(string) bool { return true }).Next()
	if err != nil {
		s.t.Fatalf("%s: %v", step, err)
	}
	var reply bytes.Buffer
	if err := service.Serve(s.t.Context(), f, &reply); err != nil {
		s.t.Fatalf("%s: %v", step, err)
	}
	if v := jsontext.Value(reply.Bytes()); dialect != mi.Classic && !v.IsValid() {
		s.t.Errorf("%s: invalid JSON, or a duplicate name: %s", step, v)
	}
	return reply.String()
}

// TestListsOfMany checks that lists contain all entries in every framing, also for a JSON
// parser that keeps only one member of each name.
func TestListsOfMany(t *testing.T) {
	t.Parallel()
	s := serve(t)
	users := []string{"alice@127.0.0.1", "bob@127.0.0.1", "carol@127.0.0.1"}
	for i, user := range users {
		s.call("ul_add", "location", user, "sip:x@192.0.2.7:5060", "0", "1", "0", "0", "0", "0")
		s.call("ul_add", "location", user, "sip:y@192.0.2.7:5060", "0", "1", "0", "0", "0", "0")
		s.call("silo_send", "sip:dave@127.0.0.1", "sip:nobody-"+user, "hello")
		s.call("imc_create_room", fmt.Sprint("chat-", i), "sip:"+user)
		s.call("imc_add_member", "chat-0", "sip:"+user)
		s.call("sub_add", user, "secret")
	}
	for _, dialect := range []mi.Dialect{mi.Classic, mi.Kamailio, mi.OpenSIPS, mi.Native} {
		for _, step := range []string{
			"ul_dump", "ul_dump|brief", "silo_list", "silo_export", "imc_list_rooms", "imc_list_members|chat-0", "imc_show_room|chat-0",
			"imc_unused_rooms|0", "sub_list",
		} {
			reply := s.ask(dialect, step)
			for _, user := range users {
				if !strings.Contains(reply, user) {
					t.Errorf("%v, %s: no %s in %s", dialect, step, user, reply)
				}
			}
		}
	}
}

// framed returns a request in the form of a client of the dialect, with the newest name of
// the command.
func framed(d mi.Dialect, cmd mi.Command, words []string) string {
	if d == mi.Classic {
		var b strings.Builder
		fmt.Fprintf(&b, ":%s:reply\n", words[0])
		for _, w := range words[1:] {
			if strings.ContainsAny(w, "\r\n\"") {
				w = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(w) + `"`
			}
			b.WriteString(w + "\n")
		}
		return b.String() + "\n"
	}
	call := map[string]any{"jsonrpc": "2.0", "method": words[0], "params": words[1:], "id": 7}
	switch d {
	case mi.Kamailio:
		call["method"] = append(cmd.Aliases, words[0])[0]
		call["reply_name"] = "reply"
	case mi.Native:
		call["dialect"] = "native"
	}
	raw, _ := json.Marshal(call)
	if d == mi.OpenSIPS {
		return ":reply:" + string(raw)
	}
	return string(raw) + "\n"
}

// volatile replaces the parts of replies that differ between runs.
var volatile = []struct {
	re   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\b20[2-8]\d-\d\d-\d\d[T ]\d\d:\d\d:\d\dZ?`), "TIME"},
	{regexp.MustCompile(`\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}`), "DATE"},
	{regexp.MustCompile(`\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \w+`), "DATE"},
	{regexp.MustCompile(`\b1[789]\d{8}\b`), "SECONDS"},
	{regexp.MustCompile(`\b3153\d{5}\b`), "FOREVER"},
	{regexp.MustCompile(`(Up time:*"?: ?"?|"uptime":\s*)\d+`), "${1}N"},
	{regexp.MustCompile(`\b(mi-[0-9a-z]{12}|[A-Z2-7]{26})@`), "CALL@"},
	{regexp.MustCompile(`\bcall-\d+@test`), "call@test"},
	{regexp.MustCompile(`\bsilod-[0-9a-f]{16,}\b`), "RUID"},
	{regexp.MustCompile(`\b[0-9a-f]{24,}\b`), "HEX"},
	{regexp.MustCompile(`\bdev-[0-9a-f]{12}\b`), "dev"},
	{regexp.MustCompile(`;branch=[^;\s\\]+`), ";branch=B"},
	{regexp.MustCompile(`;tag=[0-9a-zA-Z.-]{4,}`), ";tag=T"},
}

var (
	numbers = regexp.MustCompile(`\d+(\.\d+)?(e-\d+)?`)
	connID  = regexp.MustCompile(`(\Wid(?:=|":\s*"))[0-9a-z]+`)
	pid     = regexp.MustCompile(`((?:^|\W)PID(?:=|":\s*))\d+`)
)

func (s *served) unvarying(command, reply string) string {
	for _, v := range volatile {
		reply = v.re.ReplaceAllString(reply, v.with)
	}
	port := func(p any, with string) {
		reply = regexp.MustCompile(fmt.Sprintf(`\b%v\b`, p)).ReplaceAllString(reply, with)
	}
	port(s.addr("udp").Port(), "5060")
	port(s.addr("tcp").Port(), "5062")
	dir, _ := os.Getwd()
	reply = strings.NewReplacer(s.dir, "DIR", dir, "CWD", runtime.Version(), "GO", runtime.GOARCH+"/linux", "x86_64/linux").Replace(reply)
	if rev := revision(); rev != "" {
		reply = strings.NewReplacer("\nGIT:: "+rev, "", `,"GIT":"`+rev+`"`, "", `,{"name":"GIT","value":"`+rev+`"}`, "", rev, "").Replace(reply)
	}
	switch command {
	case "latencies", "silo_stats", "clock_show":
		reply = numbers.ReplaceAllString(reply, "N")
	case "list_tcp_conns":
		reply = connID.ReplaceAllString(reply, "${1}ID")
	case "ps":
		reply = pid.ReplaceAllString(reply, "${1}PID")
	}
	return cmp.Or(strings.TrimSuffix(reply, "\n"), "(nothing)")
}
