package mi

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func knownCommand(name string) bool { return name == "pwd" || name == "which" || name == "ul_rm" }

// frames reads all requests of a source.
func frames(t *testing.T, src io.Reader) []*Frame {
	t.Helper()
	var all []*Frame
	for r := NewReader(src, knownCommand); ; {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("after %d frames: %v", len(all), err)
		}
		all = append(all, f)
	}
}

// brief returns a frame in the form of the tables below.
func brief(f *Frame) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s>%s", f.Command, f.ReplyTo)
	for _, a := range f.Args {
		if a.Name != "" {
			fmt.Fprintf(&b, " %s::%q", a.Name, a.Value)
		} else {
			fmt.Fprintf(&b, " %q", a.Value)
		}
	}
	if f.Cut {
		b.WriteString(" CUT")
	}
	if f.Err != nil {
		fmt.Fprintf(&b, " !%s", f.Err)
	}
	return b.String()
}

func briefs(fs []*Frame) []string {
	var out []string
	for _, f := range fs {
		out = append(out, brief(f))
	}
	return out
}

// notRequest is the form of a line that does not begin a request.
const notRequest = "> !400 not a request: it begins with neither ':' nor '{'"

// TestReaderClassic: valid and broken requests in the framing of mi_fifo.
func TestReaderClassic(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     []string
	}{
		{"no arguments", ":pwd:r1\n\n", []string{"pwd>r1"}},
		{"arguments", ":ul_rm:r1\nlocation\nbob@x\n\n", []string{`ul_rm>r1 "location" "bob@x"`}},
		{"name of the reply with a colon", ":pwd:name:x\n\n", []string{"pwd>name:x"}},
		{"white space after the header", ":pwd:r1 \t\r\n\n", []string{"pwd>r1"}},
		{"white space in front", " \t:pwd:r1\n\n", []string{"pwd>r1"}},
		{"names are not trimmed inside", ": pwd:r1\n\n:pwd :r1\n\n", []string{" pwd>r1", "pwd >r1"}},
		{"no reply name", ":pwd:\n\n", []string{"pwd>"}},
		{"CRLF everywhere", ":ul_rm:r1\r\nlocation\r\n\r\n:pwd:r2\r\n\r\n", []string{`ul_rm>r1 "location"`, "pwd>r2"}},
		{"CRLF but for the last line", ":ul_rm:r1\r\nlocation\r\n\n", []string{`ul_rm>r1 "location"`}},
		{"several in one write", ":pwd:r1\n\n:pwd:r2\n\n:which:r3\n\n", []string{"pwd>r1", "pwd>r2", "which>r3"}},
		{"one blank line between", ":pwd:r1\n\n\n:pwd:r2\n\n", []string{"pwd>r1", "pwd>r2"}},
		{"many blank lines between", "\n\r\n \n:pwd:r1\n\n\n\n\n:pwd:r2\n\n", []string{"pwd>r1", "pwd>r2"}},

		{"trimmed", ":x:r\n  a b \t\n\n", []string{`x>r "a b"`}},
		{"a line of spaces is skipped", ":x:r\na\n   \nb\n\n", []string{`x>r "a" "b"`}},
		{"named", ":x:r\nname :: value\n\n", []string{`x>r name::"value"`}},
		{"only the first :: splits", ":x:r\na::b::c\n\n", []string{`x>r a::"b::c"`}},
		{"empty name", ":x:r\n::v\n\n", []string{`x>r "v"`}},
		{"empty value", ":x:r\nn::\n\n", []string{`x>r n::""`}},
		{"quoted", ":x:r\n\" a \"\n\n", []string{`x>r " a "`}},
		{"quoted and named", ":x:r\nn:: \"a b\" \n\n", []string{`x>r n::"a b"`}},
		{"colons inside quotes", ":x:r\n\"a::b\"\n\n", []string{`x>r "a::b"`}},
		{"quoted over lines", ":x:r\n\"From: a\r\nTo: b\r\n\"\n\n", []string{`x>r "From: a\r\nTo: b\r\n"`}},
		{"empty CRLF line inside quotes", ":x:r\n\"a\r\n\r\nb\"\n\n", []string{`x>r "a\r\n\r\nb"`}},
		{"escaped quote", ":x:r\n\"a\\\"b\"\n\n", []string{`x>r "a\"b"`}},
		{"backslashes stay", ":x:r\n\"a\\\\b\"\n\n", []string{`x>r "a\\\\b"`}},
		{"a lone backslash", ":x:r\n\"\\\"\n\n", []string{`x>r "\\"`}},
		{"900 arguments", ":x:r\n" + strings.Repeat("abcdefghijkl\n", 900) + "\n", []string{"x>r" + strings.Repeat(` "abcdefghijkl"`, 900)}},

		{"escape as first character", ":x:r\n\"\\\"a\"\n\n:pwd:r2\n\n", []string{`x>r "\\" !400 parse error in command`, "pwd>r2"}},
		{"text after a quote", ":x:r\n\"a\" b\n\n:pwd:r2\n\n", []string{`x>r "a" !400 parse error in command`, "pwd>r2"}},
		{"bare quote", ":x:r\na\"b\n\n:pwd:r2\n\n", []string{`x>r "a\"b" !400 parse error in command`, "pwd>r2"}},
		{"empty quotes", ":x:r\n\"\"\n\n:pwd:r2\n\n", []string{`x>r "" !400 parse error in command`, "pwd>r2"}},
		{"lone ::", ":x:r\n::\n\n:pwd:r2\n\n", []string{`x>r "" !400 parse error in command`, "pwd>r2"}},
		{"open quote", ":x:r\n\"abc\n\n:pwd:r2\n\n", []string{`x>r !400 parse error in command`, "pwd>r2"}},
		{"open quote and no empty line", ":x:r\n\"abc\n:pwd:r2\n\n", []string{`x>r !400 parse error in command`, "pwd>r2"}},
		{"NUL in an argument", ":x:r\na\x00b\n\n:pwd:r2\n\n", []string{`x>r !400 parse error in command`, "pwd>r2"}},
		{"NUL in the command", ":p\x00d:r\n\n:pwd:r2\n\n", []string{`>r !400 bad character in the command's name`, "pwd>r2"}},

		{"no last line, then another", ":which:r1\n:pwd:r2\n\n", []string{"which>r1 CUT", "pwd>r2"}},
		{"no last line with arguments, then another", ":ul_rm:r1\nlocation\n:pwd:r2\n\n", []string{`ul_rm>r1 "location" CUT`, "pwd>r2"}},
		{"no last line, then JSON", ":which:r1\n{\"jsonrpc\":\"2.0\",\"method\":\"pwd\",\"reply_name\":\"r2\"}\n", []string{"which>r1 CUT", "pwd>r2"}},
		{"no last line, then OpenSIPS", ":which:r1\n:r2:{\"method\":\"pwd\",\"id\":1}\n", []string{"which>r1 CUT", "pwd>r2"}},
		{"an argument that looks like a request for no command", ":x:r1\n:smile:grin\n\n", []string{`x>r1 ":smile:grin"`}},
		{"no last line at the end", ":ul_rm:r1\nlocation\n", []string{`ul_rm>r1 "location" CUT`}},
		{"no line feed at the end", ":ul_rm:r1\nlocation", []string{`ul_rm>r1 "location" CUT`}},
		{"half a header at the end", ":pwd:r1", []string{"pwd>r1 CUT"}},

		{"no leading colon", "pwd:r\n\n:pwd:r2\n\n", []string{notRequest, "pwd>r2"}},
		{"slash", "/pwd:r\n\n:pwd:r2\n\n", []string{notRequest, "pwd>r2"}},
		{"no second colon", ":pwd\n\n:pwd:r2\n\n", []string{notRequest, "pwd>r2"}},
		{"only a colon", ":\n\n:pwd:r2\n\n", []string{notRequest, "pwd>r2"}},
		{"two colons", "::\n\n:pwd:r2\n\n", []string{"> !400 no command between the colons", "pwd>r2"}},
		{"no command", "::r\n\n:pwd:r2\n\n", []string{">r !400 no command between the colons", "pwd>r2"}},
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n:pwd:r2\n\n", []string{notRequest, "pwd>r2"}},
		{"binary rubbish", "\x00\xff\xfe\x01\n\x80\n:pwd:r2\n\n", []string{notRequest, "pwd>r2"}},
		{"path as reply name", ":pwd:../x\n\n:pwd:r2\n\n", []string{"pwd> !400 bad reply name", "pwd>r2"}},
		{"dot in reply name", ":pwd:a.b\n\n:pwd:r2\n\n", []string{"pwd> !400 bad reply name", "pwd>r2"}},
		{"backslash in reply name", ":pwd:a\\b\n\n:pwd:r2\n\n", []string{"pwd> !400 bad reply name", "pwd>r2"}},
		{"long header", ":" + strings.Repeat("x", 1020) + ":r\n\n:pwd:r2\n\n", []string{">r !400 request line is longer than 1023 bytes", "pwd>r2"}},
		{"long header whose tail looks like a command", ":" + strings.Repeat("x", 1022) + ":pwd:r\n\n:pwd:r2\n\n", []string{">pwd:r !400 request line is longer than 1023 bytes", "pwd>r2"}},
		{"long reply name", ":pwd:" + strings.Repeat("x", 128) + "\n\n:pwd:r2\n\n", []string{"pwd> !400 bad reply name", "pwd>r2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for way, src := range map[string]io.Reader{
				"at once":      strings.NewReader(tc.in),
				"byte by byte": iotest.OneByteReader(strings.NewReader(tc.in)),
				"in halves":    iotest.HalfReader(strings.NewReader(tc.in)),
			} {
				got := briefs(frames(t, src))
				if way != "at once" { // each piece of rubbish is refused
					got = compactJunk(got)
				}
				if !reflect.DeepEqual(got, tc.want) {
					t.Errorf("%s:\n got %q\nwant %q", way, got, tc.want)
				}
			}
		})
	}
}

// compactJunk keeps one of several refusals of lines that do not begin a request.
func compactJunk(fs []string) []string {
	var out []string
	for i, f := range fs {
		if f != notRequest || i == 0 || fs[i-1] != notRequest {
			out = append(out, f)
		}
	}
	return out
}

// TestReaderJSON: valid and broken requests in both JSON framings.
func TestReaderJSON(t *testing.T) {
	const good = `{"jsonrpc": "2.0", "method": "pwd", "reply_name": "r2", "id": 2}` + "\n"
	for _, tc := range []struct {
		name, in string
		want     []string
	}{
		{"kamctl 5", `{"jsonrpc": "2.0", "method": "ul.lookup", "params": ["location", "a@x", 120, -1.5], "reply_name": "r1", "id": 1}` + "\n", []string{`ul.lookup>r1 "location" "a@x" "120" "-1.5"`}},
		{"kamctl 5 monitor, over lines", "{\n  \"jsonrpc\": \"2.0\",\n  \"method\": \"pwd\",\n  \"reply_name\": \"r1\",\n  \"id\": 1\n}\n", []string{"pwd>r1"}},
		{"kamctl 5 ping, raw CRLF in a string", "{\"method\": \"t\", \"params\": [\"From:a\r\nTo:b\r\n\"], \"reply_name\": \"r1\"}", []string{`t>r1 "From:a\r\nTo:b\r\n"`}},
		{"kamctl 5, numbers of printf", `{"method": "t", "params": [+49, 007, 0x1f, nan], "reply_name": "r1"}`, []string{`t>r1 "+49" "007" "0x1f" "nan"`}},
		{"escapes and braces in strings", `{"method": "t", "params": ["}\"{\\", "\u00e4"], "reply_name": "r1"}` + good, []string{`t>r1 "}\"{\\" "ä"`, "pwd>r2"}},
		{"several without space between", strings.Repeat(strings.TrimSpace(good), 3), []string{"pwd>r2", "pwd>r2", "pwd>r2"}},
		{"params by name", `{"method": "t", "params": {"b": 1, "a": [true, null]}, "reply_name": "r1"}`, []string{`t>r1 b::"1" a::"true" a::""`}},
		{"no method", `{"reply_name": "r1"}` + good, []string{">r1 !400 Invalid Request: one object with a method and params is needed", "pwd>r2"}},
		{"params of objects", `{"method": "t", "params": [{}], "reply_name": "r1"}` + good, []string{"t>r1 !400 Invalid params: strings, numbers or booleans are needed", "pwd>r2"}},
		{"params that are not a list", `{"method": "t", "params": 1, "reply_name": "r1"}` + good, []string{"t>r1 !400 Invalid params: strings, numbers or booleans are needed", "pwd>r2"}},
		{"not JSON, but a reply name", `{"method": , "reply_name" : "r1"}` + good, []string{">r1 !400 parse error in command", "pwd>r2"}},
		{"not JSON", `{"method" "x"}` + good, []string{"> !400 parse error in command", "pwd>r2"}},
		{"bad reply name", `{"method": "pwd", "reply_name": "../r"}` + good, []string{"pwd> !400 bad reply name", "pwd>r2"}},
		{"a batch", `[{"method": "pwd", "reply_name": "r1"}]` + good, []string{">r1 !400 parse error in command", "pwd>r2"}},
		{"brace missing", `{"method": "t", "params": [{"a": 1], "reply_name": "r1"` + "\n" + good, []string{">r1 CUT !400 parse error in command", "pwd>r2"}},
		{"quote missing", `{"method": "t, "reply_name": "r1"}` + "\n" + good, []string{">r1 CUT !400 parse error in command", "pwd>r2"}},
		{"brace missing, then a classic request", `{"method": "t", "reply_name": "r1"` + "\n:pwd:r2\n\n", []string{">r1 CUT !400 parse error in command", "pwd>r2"}},
		{"brace missing, then a request over lines", `{"method": "t"` + "\n{\n\"method\": \"pwd\",\n\"reply_name\": \"r2\"}\n", []string{"> CUT !400 parse error in command", "pwd>r2"}},
		{"rubbish after a request", good + "}}]\n" + good, []string{"pwd>r2", "> !400 not a request: it begins with neither ':' nor '{'", "pwd>r2"}},

		{"opensips-cli", `:opensips_fifo_reply_1_2:{"jsonrpc": "2.0", "id": "7", "method": "pwd", "params": []}`, []string{"pwd>opensips_fifo_reply_1_2"}},
		{"OpenSIPS, several", `:r1:{"id":1,"method":"pwd"}:r2:{"id":2,"method":"which"}`, []string{"pwd>r1", "which>r2"}},
		{"OpenSIPS, by name", `:r1:{"id":1,"method":"get_statistics","params":{"statistics":["a","b:"]}}`, []string{`get_statistics>r1 statistics::"a" statistics::"b:"`}},
		{"OpenSIPS, without a reply FIFO", `::{"id":1,"method":"pwd"}` + good, []string{"pwd>", "pwd>r2"}},
		{"OpenSIPS, bad reply name", `:a/b:{"id":1,"method":"pwd"}` + good, []string{"pwd> !400 bad reply name", "pwd>r2"}},
		{"OpenSIPS, a batch", `:r1:[{"id":1,"method":"pwd"}]` + good, []string{">r1 !400 parse error in command", "pwd>r2"}},
		{"OpenSIPS, not JSON", `:r1:{"id":1,"method"}` + good, []string{">r1 !400 parse error in command", "pwd>r2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for way, src := range map[string]io.Reader{
				"at once":      strings.NewReader(tc.in),
				"byte by byte": iotest.OneByteReader(strings.NewReader(tc.in)),
			} {
				if got := briefs(frames(t, src)); !reflect.DeepEqual(got, tc.want) {
					t.Errorf("%s:\n got %q\nwant %q", way, got, tc.want)
				}
			}
		})
	}
}

// TestReaderTooLong: a request that is too long is refused and skipped. Its lines are not read
// as further requests.
func TestReaderTooLong(t *testing.T) {
	long := strings.Repeat("x", 2*MaxRequest)
	lines := strings.Repeat(":kill:r\n", MaxRequest/4)
	for _, tc := range []struct {
		name, in string
		want     []string
	}{
		{"one line", ":which:r1\n" + long + "\nmore\n\n:pwd:r2\n\n", []string{"which>r1 CUT !400 request is longer than 65536 bytes", "pwd>r2"}},
		{"many lines", ":which:r1\n" + lines + "\n:pwd:r2\n\n", []string{"which>r1 CUT !400 request is longer than 65536 bytes", "pwd>r2"}},
		{"header", ":" + long + ":r1\n:kill:r\n\n:pwd:r2\n\n", []string{notRequest, "pwd>r2"}},
		{"JSON", `{"method":"which","params":["` + long + `"],"reply_name":"r1"}` + "\n:kill:r\n\n:pwd:r2\n\n", []string{"> CUT !400 parse error in command", "pwd>r2"}},
		{"rubbish", long + ":kill:r\n\n:pwd:r2\n\n", []string{notRequest, "pwd>r2"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fs := frames(t, strings.NewReader(tc.in))
			for _, f := range fs {
				f.Args = nil
			}
			if got := briefs(fs); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %.300q\nwant %q", got, tc.want)
			}
		})
	}
}

// TestReaderPatience: the Reader stops waiting for the end of a request after Patience, also
// while it skips one.
func TestReaderPatience(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"header", ":pwd:r1", "pwd>r1 CUT"},
		{"arguments", ":ul_rm:r1\nlocation\n", `ul_rm>r1 "location" CUT`},
		{"quote", ":ul_rm:r1\n\"location\n", `ul_rm>r1 CUT !400 parse error in command`},
		{"JSON", `{"method":"pwd","reply_name":"r1"`, ">r1 CUT !400 parse error in command"},
		{"OpenSIPS", `:r1:{"method":"pwd"`, ">r1 CUT !400 parse error in command"},
		{"rubbish", "xyz", notRequest},
	} {
		t.Run(tc.name, func(t *testing.T) {
			src, dst, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer src.Close()
			defer dst.Close()
			r := NewReader(src, knownCommand)
			r.Patience = 20 * time.Millisecond
			for _, in := range []string{tc.in, "\n\n:which:r2\n\n"} {
				if _, err := dst.WriteString(in); err != nil {
					t.Fatal(err)
				}
				want := tc.want
				if in != tc.in {
					want = "which>r2"
				}
				f, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				if got := brief(f); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		})
	}
	t.Run("patience with the next one", func(t *testing.T) {
		src, dst, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		defer dst.Close()
		r := NewReader(src, knownCommand)
		r.Patience = 50 * time.Millisecond
		_, _ = dst.WriteString("{\"method\"\n\n\n{\n\n\n\n\n\n")
		for range 2 {
			if f, err := r.Next(); err != nil || f.Err == nil {
				t.Fatalf("got %v, %v", f, err)
			}
		}
		r.Patience = 20 * time.Second
		_, _ = dst.WriteString("\n:whi")
		time.AfterFunc(5*time.Millisecond, func() { _, _ = dst.WriteString("ch:r2\n\n") })
		if f, err := r.Next(); err != nil || brief(f) != "which>r2" {
			t.Errorf("got %s, %v", brief(f), err)
		}
	})
	t.Run("idle", func(t *testing.T) {
		src, dst, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		defer dst.Close()
		r := NewReader(src, knownCommand)
		r.Idle = time.Millisecond
		if _, err := r.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want a time-out", err)
		}
	})
}

// TestReadDatagram: valid and broken datagrams, as for mi_datagram.
func TestReadDatagram(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{":pwd:\n", "pwd>"},
		{":pwd:", "pwd>"},
		{":pwd:\r\n", "pwd>"},
		{":x:\na\nb\n\n", `x> "a" "b"`},
		{":x:\na\n\nb", `x> "a" "b"`},
		{":x:\na\r\n", `x> "a"`},
		{":x:\n\"a\nb\"", `x> "a\nb"`},
		{":x:\n\"a", `x> !400 parse error in command`},
		{":x:\na\n:pwd:\n", `x> "a" ":pwd:"`},
		{":pwd:name\n", "> !500 command not available"},
		{" :pwd:\n", "> !500 command not available"},
		{"pwd\n", "> !500 command not available"},
		{"::\n", "> !500 command not available"},
		{":" + strings.Repeat("x", 1200) + ":\n", "> !500 command not available"},
		{`{"jsonrpc":"2.0","method":"imc.list_rooms","id":1}`, "imc.list_rooms>"},
		{`{"jsonrpc":"2.0","method":"x"`, "> !400 parse error in command"},
		{`{"method":"x"}{"method":"y"}`, "> !400 parse error in command"},
	} {
		if got := brief(ReadDatagram([]byte(tc.in))); got != tc.want {
			t.Errorf("%q: got %s, want %s", tc.in, got, tc.want)
		}
	}
	if f := ReadDatagram([]byte(" \n")); f != nil {
		t.Errorf("an empty datagram is a request: %s", brief(f))
	}
}

// TestReaderRubbishIsCheap: the time to read lines that all look like the beginning of a
// request is proportional to their length, not to its square, and the Reader waits Patience
// only once.
func TestReaderRubbishIsCheap(t *testing.T) {
	for _, line := range []string{"{\n", "{\n\"\n", "[\n", "{\"\n", "{\"jsonrpc\"\n", ":r:{\n", ":pwd:r\n", ":pwd:r\n\"\n", "\"\n:pwd:r\n", "{\n\"\"\n"} {
		src, dst, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			_, _ = dst.WriteString(strings.Repeat(line, 2*MaxRequest/len(line)) + "\n\n")
			time.Sleep(300 * time.Millisecond) // longer than Patience, on a busy machine too
			_, _ = dst.WriteString(":which:good\n\n")
			_ = dst.Close()
		}()
		r := NewReader(src, knownCommand)
		r.Patience = 5 * time.Millisecond
		reads := 0
		for {
			f, err := r.Next()
			if err != nil {
				t.Errorf("%q: the good request was not found: %v", line, err)
				break
			}
			if reads++; f.ReplyTo == "good" {
				break
			}
		}
		_ = src.Close()
	}
}
