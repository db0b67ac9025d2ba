package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	gosip "github.com/emiago/sipgo/sip"
	"github.com/spf13/cobra"

	"silod/sip"
)

// listenCommand returns the command that registers and prints messages.
func (a *app) listenCommand() *cobra.Command {
	var server sipFlags
	var expires time.Duration
	var count int
	cmd := &cobra.Command{
		Use: "listen AOR", Short: "Register over SIP and print the messages that arrive", GroupID: groupTry,
		Long: "Registers as a phone does, prints each message that arrives, and answers it with 200. Stored messages\n" +
			"arrive first. It ends at ^C, or after --count messages, and removes the registration. With -o json\n" +
			"each message is one object on a line of its own.\n\n" + bareNames,
		Example: "  siloctl listen bob@example.org\n  siloctl listen bob --count 1 -o json",
		Args:    addresses(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := server.check(cmd, a); err != nil {
				return err
			}
			if count < 0 || expires < time.Second {
				return usagef("--count cannot be below 0, nor --expires below 1s")
			}
			aor, err := a.address(cmd, &server, args[0])
			if err != nil {
				return err
			}
			return a.listen(cmd, &server, aor, expires, int64(count))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	server.add(cmd)
	cmd.Flags().DurationVar(&expires, "expires", 5*time.Minute, "lifetime of the registration, which is refreshed")
	cmd.Flags().IntVarP(&count, "count", "n", 0, "end after this number of messages; 0 for no limit")
	return cmd
}

// listen registers, prints messages and removes the registration. A message that was not printed is
// answered 480, so that the server keeps it.
func (a *app) listen(cmd *cobra.Command, server *sipFlags, aor sip.NameAddr, expires time.Duration, count int64) error {
	ctx, stop := context.WithCancelCause(cmd.Context())
	defer stop(nil)
	seen := int64(0)
	u, err := a.userAgent(cmd, server, aor, false, func(m *sipMessage) int {
		seen++
		if count > 0 && seen > count { // the server keeps it
			return gosip.StatusTemporarilyUnavailable
		}
		if err := a.printMessage(m); err != nil {
			stop(err)
			return gosip.StatusTemporarilyUnavailable
		}
		if seen == count {
			stop(nil)
		}
		return gosip.StatusOK
	})
	if err != nil {
		return err
	}
	defer u.close()

	last := "" // the last note
	err = u.keepRegistered(ctx, expires, func(_ time.Duration, err error) {
		text := ""
		switch {
		case err != nil:
			text = fmt.Sprintf("%s; trying again", err)
		case last == "":
			text = fmt.Sprintf("listening as %s, ^C to end", readable(u.aor.AoR().String()))
			if count > 0 {
				text = fmt.Sprintf("listening as %s for %s", readable(u.aor.AoR().String()), plural(count, "message"))
			}
		case strings.HasSuffix(last, "trying again"):
			text = "registered again"
		}
		if text != "" && text != last {
			a.note(text)
			last = text
		}
	})
	if err != nil {
		return explain(err, shortURI(aor.URI))
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// plural returns a number with its noun.
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// explain adds advice to the error of a refused registration.
func explain(err error, aor string) error {
	refused, ok := errors.AsType[*refusal](err)
	if !ok {
		return err
	}
	switch refused.code {
	case 401, 407:
		return fmt.Errorf("%w: the password is missing or wrong: give that of %s with --password-stdin", err, aor)
	case 403:
		return fmt.Errorf("%w: the password is wrong, or %s may not register there", err, aor)
	case 404:
		return fmt.Errorf("%w: the server does not serve the domain of %s: check its sip.domains", err, aor)
	}
	return err
}

// printMessage prints a message at once.
func (a *app) printMessage(m *sipMessage) error {
	var err error
	if a.output == "json" {
		err = writeLine(a.out, receivedOf(m))
	} else {
		_, err = fmt.Fprint(a.out, formatMessage(m))
	}
	if err != nil {
		return err
	}
	return a.out.Flush()
}

// A received is a message for -o json.
type received struct {
	Time        string `json:"time"` // of its arrival
	From        string `json:"from"`
	Name        string `json:"name,omitempty"`
	To          string `json:"to"`
	Subject     string `json:"subject,omitempty"`
	Date        string `json:"date,omitempty"` // of the header field
	ContentType string `json:"content_type"`
	Text        string `json:"text,omitempty"`
	Base64      string `json:"base64,omitempty"` // in place of Text for other content
	CallID      string `json:"call_id"`
}

// receivedOf returns a message for -o json.
func receivedOf(m *sipMessage) received {
	r := received{
		Time: m.at.UTC().Format(time.RFC3339Nano), From: m.from.URI.String(), Name: m.from.Name, To: m.to.URI.String(),
		Subject: m.subject, Date: m.date, ContentType: m.contentType, CallID: m.callID,
	}
	if isText(m) {
		r.Text = string(m.body)
	} else {
		r.Base64 = base64.StdEncoding.EncodeToString(m.body)
	}
	return r
}

// formatMessage returns a message for people: time, sender, subject and text.
func formatMessage(m *sipMessage) string {
	sender := shortURI(m.from.URI)
	if m.from.Name != "" {
		sender = clean(m.from.Name) + " <" + sender + ">"
	}
	head := m.at.Format(time.TimeOnly) + gap + sender + gap
	var text strings.Builder
	if s := m.subject; s != "" {
		fmt.Fprintf(&text, "[%s] ", clean(s))
	}
	if isText(m) {
		text.WriteString(strings.TrimRight(cleanLines(string(m.body)), "\n"))
	} else {
		fmt.Fprintf(&text, "(%s, %s)", clean(m.contentType), plural(int64(len(m.body)), "byte"))
	}
	indent := "\n" + strings.Repeat(" ", len(time.TimeOnly)) + gap
	return head + strings.ReplaceAll(text.String(), "\n", indent) + "\n"
}

// isText reports whether the body can be printed as it is.
func isText(m *sipMessage) bool {
	t := strings.ToLower(strings.TrimSpace(m.contentType))
	return strings.HasPrefix(t, "text/") && m.contentEncoding == "" && utf8.Valid(m.body)
}
