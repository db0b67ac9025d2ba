package fifo

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"silod/mi"
)

// askByShell does the same as kamctl 4.4 and opensipsctl 2.4: it makes a reply FIFO that all
// users may write to, starts its reader in the background, and prints the request into the
// request FIFO, in writes that may end at any line feed. It has no timeout.
const askByShell = `
set -e
name=kamailio_receiver_$$
path=$REPLY_DIR/$name
rm -f "$path"
mkfifo "$path"
chmod a+w "$path"
cat < "$path" | awk 'NR == 1 && /^200 OK/ { next } /^[ \t]*$/ { next } { print }' &
printf "$(printf "$1" "$name")\n\n" > "$FIFO"
wait
rm "$path"
`

// shell runs a script. It kills the script and its children after a time.
func shell(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%q: %v: %s", args, err, out)
	}
	return string(out)
}

func bash(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	return path
}

func TestShell(t *testing.T) {
	bash := bash(t)
	r := newRig(t, nil)
	env := []string{"FIFO=" + r.Path, "REPLY_DIR=" + r.ReplyDir}
	dir, _ := os.Getwd()
	for request, want := range map[string]string{
		`:pwd:%s`:                    "WD:: " + dir + "\n",
		`:echo:%s\nlocation\nbob@x`:  "location\nbob@x\n",
		`:echo:%s\n"a b"\n"c\r\nd"`:  "a b\nc\\r\\nd\n",
		`:debug:%s\nabc`:             "400 Bad parameter\n",
		`:no_such_cmd:%s`:            "500 command 'no_such_cmd' not available\n",
		`:echo:%s\n"`:                "400 parse error in command 'echo'\n",
		`:get_statistics:%s\nnosuch`: "404 Statistics Not Found\n",
		`:rows:%s\n3`:                "ROW:: 0\nROW:: 1\nROW:: 2\n",
	} {
		if got := shell(t, env, bash, "-c", askByShell, "-", request); got != want {
			t.Errorf("%s: got %q, want %q", request, got, want)
		}
	}
}

// TestShellConcurrently: scripts run at the same time, and each gets its own reply. Their
// requests stay in one piece, as each is one write here.
func TestShellConcurrently(t *testing.T) {
	bash := bash(t)
	r := newRig(t, nil)
	env := []string{"FIFO=" + r.Path, "REPLY_DIR=" + r.ReplyDir}
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			method := fmt.Sprintf(`{"jsonrpc": "2.0", "method": "echo", "params": [%d], "reply_name": "%%s", "id": 1}`, i)
			got := shell(t, env, bash, "-c", askByShell, "-", method)
			if !strings.Contains(got, fmt.Sprintf(`["%d"]`, i)) {
				t.Errorf("script %d got %q", i, got)
			}
		})
	}
	wg.Wait()
}

// TestKamctl runs kamctl of Kamailio 5, if it is installed.
func TestKamctl(t *testing.T) {
	kamctl, err := exec.LookPath("kamctl")
	if err != nil {
		if os.Getenv("SILOD_TEST_SERVERS") == "required" {
			t.Fatal("kamctl, of Debian's package kamailio, is not installed, and SILOD_TEST_SERVERS=required")
		}
		t.Skip("needs kamctl, of Debian's package kamailio")
	}
	r := newRig(t, func(o *Options) { o.ReplyDir = "/tmp/" }) // kamctl has its reply FIFOs there
	r.Registry.Counters("usrloc", mi.Stat{Name: "registered_users", Gauge: func() int64 { return 42 }})
	r.Registry.Add(mi.Command{Name: "t_uac_dlg", Aliases: []string{"tm.t_uac_wait_block"}, MinArgs: 5, MaxArgs: 6, Run: func(_ context.Context, req *mi.Request) (*mi.Node, error) {
		return &mi.Node{Value: req.Arg(4)}, nil
	}})
	env := []string{"RPCFIFOPATH=" + r.Path, "SIP_DOMAIN=example.test", "TERM=dumb"}
	for command, want := range map[string]string{
		"uptime":                          `"up_since":`,
		"ps":                              `"DSC":  "silod"`,
		"stats usrloc":                    `"usrloc:registered_users = 42"`,
		"stats nosuch":                    "result",
		"rpc core.version":                `"result": "silod 1.0.0`,
		"rpc echo +49 007 s:1 i:2 a":      `"+49"`,
		"rpc no.such":                     `"message":  "Method Not Found"`,
		"ping sip:bob@127.0.0.1":          `From:sip:daemon@example.test\r\nTo:<sip:bob@127.0.0.1>\r\n`,
		"rpc stats.reset_statistics all":  `"result": {`,
		"rpc stats.get_statistics usrloc": "result",
	} {
		got := shell(t, env, kamctl, strings.Fields(command)...)
		if !strings.Contains(got, want) {
			t.Errorf("kamctl %s: %s", command, got)
		}
	}
}
