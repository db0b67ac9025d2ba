package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"silod/config"
)

// configNoun returns the commands for silod's configuration file. They need no daemon.
func (a *app) configNoun() noun {
	return noun{name: "config", short: "silod's configuration: import", more: []*cobra.Command{{
		Use: "import KAMAILIO.CFG", Short: "Convert the parameters of a Kamailio configuration to TOML", DisableFlagsInUseLine: true,
		Long: "Prints a configuration for silod with the parameters of msilo, imc, mi_fifo, mi_datagram, jsonrpcs,\n" +
			"registrar, usrloc and auth_db, the listen addresses and the aliases. On standard error it lists the\n" +
			"settings that it left out, with the reasons. For - it reads standard input.",
		Example: "  siloctl config import /etc/kamailio/kamailio.cfg > silod.toml",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.output == "mi" {
				return usagef("config import does not ask the daemon: use -o table or -o json")
			}
			return a.importConfig(cmd.Context(), args[0])
		},
	}}}
}

// maxConfig is the size limit of a configuration in bytes.
const maxConfig = 1 << 20

// importConfig prints the new configuration, and on standard error the settings that it left out.
func (a *app) importConfig(ctx context.Context, path string) error {
	in := io.Reader(a.stdin)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxConfig+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if len(text) > maxConfig {
		return fmt.Errorf("%s is longer than %d bytes", path, maxConfig)
	}
	toml, out := convert(ctx, string(text))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if a.output == "json" {
		return writeLine(a.out, imported{toml, out})
	}
	for _, l := range out {
		a.note(l.String())
	}
	_, err = a.out.WriteString(toml)
	return err
}

// An imported is the result of -o json.
type imported struct {
	TOML    string    `json:"toml"`
	LeftOut []leftOut `json:"left_out"`
}

// A draft is the TOML that is being written: lines by section.
type draft map[string][]draftLine

// A draftLine sets one key.
type draftLine struct {
	text    string
	from    int    // the line of Kamailio's configuration
	param   string // Kamailio's module and parameter; "" for those of the core
	refused string // silod's reason to refuse it; "" if silod accepts it
}

// sections are the sections of a draft in their order.
var sections = []string{"sip", "db", "registrar", "silo", "imc", "mi", "auth"}

// convert returns a configuration for silod with the settings of one for Kamailio, and the settings
// that it left out. A line that silod would refuse becomes a comment.
func convert(ctx context.Context, text string) (string, []leftOut) {
	settings, out := readKamailio(text)
	d := draft{}
	n := serverNames{port: "5060", tlsPort: "5061"}
	for _, s := range settings {
		switch {
		case n.take(s), s.module == "":
		case s.module == "auth_db" && len(d["auth"]) == 0: // passwords were required
			d.add("auth", "mode", `"digest"`, s.line)
			fallthrough
		default:
			if why := d.put(s); why != "" {
				out = append(out, leftOut{s.line, s.module + " " + s.name, why})
			}
		}
	}
	out = append(out, n.put(d)...)
	_, refused := d.checked(ctx)
	out = append(append(out, refused...), d.dropOwnProxies()...)
	toml, _ := d.write()
	slices.SortStableFunc(out, func(x, y leftOut) int { return x.Line - y.Line })
	return toml, out
}

// renamed maps module and name of a parameter to section and key in silod, if the two names differ.
var renamed = map[[2]string][2]string{
	{"jsonrpcs", "fifo_reply_dir"}: {"mi", "reply_dir"},
	{"jsonrpcs", "dgram_socket"}:   {"mi", "socket_name"},
	{"jsonrpcs", "dgram_mode"}:     {"mi", "unix_socket_mode"},
	{"jsonrpcs", "dgram_user"}:     {"mi", "unix_socket_user"},
	{"jsonrpcs", "dgram_group"}:    {"mi", "unix_socket_group"},
	{"jsonrpcs", "dgram_timeout"}:  {"mi", "socket_timeout"},
	{"usrloc", "db_url"}:           {"db", "url"},
	{"auth_db", "db_url"}:          {"db", "url"},

	{"nathelper", "natping_interval"}: {"registrar", "nat_ping"},
}

// sectionOf maps modules to the sections in which silod has their parameters under the same names.
var sectionOf = map[string]string{
	"msilo": "silo", "imc": "imc", "registrar": "registrar", "mi_fifo": "mi", "mi_datagram": "mi", "jsonrpcs": "mi",
}

// bareKey matches a TOML key that needs no quotation marks.
var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// put adds a module's parameter, or returns the reason why it is left out. Of several values of
// one parameter the last counts, as in Kamailio.
func (d draft) put(s setting) (why string) {
	section, key := sectionOf[s.module], s.name
	if to, ok := renamed[[2]string{s.module, s.name}]; ok {
		section, key = to[0], to[1]
	}
	if section == "" || !bareKey.MatchString(key) {
		return "silod has no such module or parameter"
	}
	param := s.module + " " + s.name
	for i := range d[section] {
		l := &d[section][i]
		if !strings.HasPrefix(l.text, key+" = ") {
			continue
		}
		text := key + " = " + s.toml()
		if l.text != text && l.param != param {
			return fmt.Sprintf("line %d has set %s already", l.from, key)
		}
		l.text, l.from, l.param = text, s.line, param
		return ""
	}
	d.add(section, key, s.toml(), s.line)
	d[section][len(d[section])-1].param = param
	return ""
}

// add adds a line that sets a key. value is in the syntax of TOML, from the line of Kamailio's
// configuration with that number.
func (d draft) add(section, key, value string, line int) {
	d[section] = append(d[section], draftLine{text: key + " = " + value, from: line})
}

// toml returns the value in the syntax of TOML. Octal numbers have another prefix than in C.
func (s setting) toml() string {
	if s.name == "db_url" {
		return tomlValue(databaseURL(s.value))
	}
	if !s.number {
		return tomlValue(s.value)
	}
	if s.name == "natping_interval" {
		return tomlValue(s.value + "s")
	}
	if n, err := strconv.ParseInt(s.value, 0, 64); err == nil {
		if len(s.value) > 1 && s.value[0] == '0' && strings.HasSuffix(s.name, "mode") {
			return "0o" + strconv.FormatInt(n, 8)
		}
		return strconv.FormatInt(n, 10)
	}
	return tomlValue(s.value)
}

// databaseURL returns a database URL of Kamailio as silod reads it. Kamailio has no escapes: the
// password is all between the first colon and the last @.
func databaseURL(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	at := strings.LastIndexByte(rest, '@')
	if !ok || at < 0 || scheme == "sqlite" || scheme == "text" {
		return url
	}
	return scheme + "://" + strings.NewReplacer("%", "%25", "?", "%3F").Replace(rest[:at]) + rest[at:]
}

// tomlValue returns a string, or a list of strings, in the syntax of TOML, which is that of JSON.
func tomlValue(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	must(e.Encode(v))
	return strings.ReplaceAll(strings.TrimSpace(b.String()), "\x7f", `\u007f`)
}

// checked returns the draft as silod accepts it, and the settings that were left out for that. Each
// round turns the refused lines into comments, until no line is refused.
func (d draft) checked(ctx context.Context) (string, []leftOut) {
	out, dirs := []leftOut{}, config.DefaultDirs(os.Getenv)
	for {
		text, at := d.write()
		_, err := config.Parse("silod.toml", []byte(text), dirs)
		var bad *config.Error
		if !errors.As(err, &bad) {
			return text, out
		}
		var rest []leftOut // problems that are not of one line
		refused := false
		for _, p := range bad.Problems {
			if l := at[p.Line]; l == nil {
				rest = append(rest, leftOut{What: p.Key, Why: p.Text})
			} else if l.refused == "" {
				l.refused, refused = p.Text, true
				out = append(out, leftOut{l.from, l.text, p.Text})
			}
		}
		if !refused || ctx.Err() != nil {
			return text, append(out, rest...)
		}
	}
}

// dropOwnProxies turns next hops that are silod itself into comments, and returns the settings
// that were left out for that. Kamailio's msilo and imc usually send to Kamailio itself.
func (d draft) dropOwnProxies() (out []leftOut) {
	addresses := draft{"auth": {{text: `mode = "none"`}}}
	proxies := map[string]*draftLine{}
	for _, section := range sections {
		for i := range d[section] {
			l := &d[section][i]
			key, _, _ := strings.Cut(l.text, " = ")
			switch {
			case l.refused != "":
				continue
			case key == "outbound_proxy":
				proxies[section+"."+key] = l
			case section != "sip":
				continue
			}
			addresses[section] = append(addresses[section], *l)
		}
	}
	text, _ := addresses.write()
	cfg, err := config.Parse("silod.toml", []byte(text), config.DefaultDirs(os.Getenv))
	if err != nil || len(proxies) == 0 {
		return nil
	}
	for _, n := range cfg.OwnProxyNotes() {
		l := proxies[n.Key]
		l.refused = n.Text
		out = append(out, leftOut{l.from, l.text, n.Text})
	}
	return out
}

// write returns the text, and by line number the draft lines that are not comments.
func (d draft) write() (string, map[int]*draftLine) {
	var b strings.Builder
	at := map[int]*draftLine{}
	line := 1
	put := func(s string) {
		b.WriteString(s + "\n")
		line++
	}
	put("# Made from a Kamailio configuration. `silod config` explains every key.")
	for _, section := range sections {
		if len(d[section]) == 0 {
			continue
		}
		put("")
		put("[" + section + "]")
		for i := range d[section] {
			l := &d[section][i]
			if l.refused != "" {
				put("#" + l.text + "  # " + strings.Map(visible, l.refused))
				continue
			}
			at[line] = l
			put(l.text)
		}
	}
	return b.String(), at
}
