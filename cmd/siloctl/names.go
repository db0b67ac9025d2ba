package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"silod/sip"
)

// nameWords are the arguments that name a user or a room.
var nameWords = []string{"USER", "ROOM", "OWNER", "AOR", "AOR|ROOM", "FROM", "TO"}

// addresses is arguments for a command about users and rooms. An argument that names nothing is an
// error. In the usage line, the last argument stands for all that follow.
func addresses(least, most int) cobra.PositionalArgs {
	number := arguments(least, most)
	return func(cmd *cobra.Command, args []string) error {
		if err := number(cmd, args); err != nil {
			return err
		}
		words := strings.Fields(cmd.Use)[1:]
		for i, arg := range args {
			if err := checkArgument(words[min(i, len(words)-1)], arg); err != nil {
				return err
			}
		}
		return nil
	}
}

// checkArgument returns an error for an argument that names nothing. word stands for it in the usage
// line: "ROOM", "[CONTACT]", "ID...".
func checkArgument(word, arg string) error {
	word = strings.Trim(strings.TrimSuffix(word, "..."), "[]")
	switch {
	case slices.Contains(nameWords, word):
		return checkName(word, arg)
	case word != "TEXT" && strings.TrimSpace(arg) == "":
		return usagef("%s is empty", word)
	}
	return nil
}

// someDomain completes a name without a domain when its spelling is checked.
var someDomain = sip.NewDomains("localhost")

// checkName returns an error for a name of no user or room, before anything is asked of the user or of
// the daemon, which knows the domains.
func checkName(what, name string) error {
	_, _, err := someDomain.Parse(name)
	switch {
	case err == nil:
		return nil
	case strings.TrimSpace(name) == "":
		return usagef("%s is empty: write a name such as alice, or an address such as alice@example.org", what)
	case errors.Is(err, sip.ErrScheme):
		return usagef("%s %q: %s", what, name, sip.ErrScheme)
	}
	return usagef("%s %q names no user or room: write a name such as alice, or an address such as alice@example.org", what, name)
}

// completeNames completes the flags of a command that name users.
func (a *app) completeNames(cmd *cobra.Command) {
	for _, name := range []string{"user", "from"} {
		if cmd.Flags().Lookup(name) == nil {
			continue
		}
		must(cmd.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
			return a.values(cmd.Context(), liveUsers, typed), noFiles
		}))
	}
}

// nameFlag returns the user that a flag names, or "" if the flag was not given.
func nameFlag(f *pflag.FlagSet, name string) (string, error) {
	if !f.Changed(name) {
		return "", nil
	}
	value := flagText(f, name)
	return value, checkName("--"+name, value)
}

// senderFlag is nameFlag for a sender, which may be a telephone number: "tel:+4917".
func senderFlag(f *pflag.FlagSet, name string) (string, error) {
	value, err := nameFlag(f, name)
	if u, perr := sip.ParseURI(value); perr == nil && u.TelNumber() != "" {
		return value, nil
	}
	return value, err
}

// nameColumns are the columns of isName.
var nameColumns = []string{"aor", "from", "owner", "room", "user"}

// isName reports whether a column has the address of a user or a room.
func isName(column string) bool { return slices.Contains(nameColumns, strings.ToLower(column)) }

// namedCell returns the text of the value of a column.
func namedCell(column string, v any) string {
	if s, ok := v.(string); ok && isName(column) {
		return clean(readable(s))
	}
	return cell(v)
}

// readable returns the address of a user or a room with the user as people write it:
// sip:jürgen@example.org for sip:j%C3%BCrgen@example.org. Everything else of it, and text that is not
// an address, stays as it is. The result means the same as an argument.
func readable(address string) string {
	scheme, rest := "", address
	if i := strings.IndexAny(address, ":@"); i >= 0 && address[i] == ':' {
		scheme, rest = address[:i+1], address[i+1:]
	}
	user, host, found := strings.Cut(rest, "@")
	switch u, err := parseSIPURI(address); {
	case found && err == nil && u.User == user:
		return scheme + readableUser(user) + "@" + host
	case !strings.ContainsAny(address, ":@<>"): // a name without a domain
		return readableUser(address)
	}
	return address
}

// uriInText matches the address of a user or a room in a sentence.
var uriInText = regexp.MustCompile(`\bsips?:[^\s@<>"]+@[\w.-]*\w`)

// readableText returns a text of the daemon in which each address is readable.
func readableText(text string) string { return uriInText.ReplaceAllStringFunc(text, readable) }

// readableUser returns a user part as people write it. Spaces, and characters with which a shell would
// run something else, remain escaped, so that the name can be pasted into a command.
func readableUser(user string) string {
	plain := sip.URI{Scheme: "sip", User: user, Host: "localhost"}.AoR().PlainUser()
	var b strings.Builder
	for _, c := range []byte(plain) {
		if strings.IndexByte(" $&;\\`|", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
