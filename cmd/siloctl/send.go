package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	gosip "github.com/emiago/sipgo/sip"
	"github.com/spf13/cobra"

	"silod/sip"
)

// maxUDPText is the longest text that is sent over UDP: a request may have 1300 bytes there (RFC 3261
// section 18.1.1), and its header fields need about 600.
const maxUDPText = 1300 - 600

// maxInput is the longest text from standard input in bytes.
const maxInput = 1 << 20

// sendCommand returns the command that sends a MESSAGE over SIP.
func (a *app) sendCommand() *cobra.Command {
	var server sipFlags
	var contentType string
	var headers []string
	cmd := &cobra.Command{
		Use: "send FROM TO TEXT", Short: "Send a MESSAGE over SIP and show the response", GroupID: groupTry,
		Long: "Sends an instant message over SIP as a phone does, and shows the server's response and its meaning.\n" +
			"TEXT may be - for standard input.\n\n" + bareNames + "\n\n" +
			"The exit code is 0 when the message was accepted (2xx), 1 when it was refused, and 3 when no server\n" +
			"answered.",
		Example: "  siloctl send alice@example.org bob@example.org \"are you there?\"\n" +
			"  siloctl send alice bob - --header \"Subject: minutes\" < minutes.txt",
		Args: addresses(3, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := server.check(cmd, a); err != nil {
				return err
			}
			text, err := a.text(args[2], server.passwordStdin)
			if err != nil {
				return err
			}
			list, err := parseHeaders(headers)
			if err != nil {
				return err
			}
			from, err := a.address(cmd, &server, args[0])
			if err != nil {
				return err
			}
			to, err := a.address(cmd, &server, args[1])
			if err != nil {
				return err
			}
			u, err := a.userAgent(cmd, &server, from, len(text) > maxUDPText, nil)
			if err != nil {
				return err
			}
			defer u.close()
			res, err := u.do(cmd.Context(), sipRequest{
				method: "MESSAGE", to: to.String(), body: []byte(text),
				headers: append([]sip.Header{{Name: "Content-Type", Value: contentType}}, list...),
			})
			if err != nil {
				return err
			}
			return a.reportSent(shortURI(to.URI), res)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	server.add(cmd)
	cmd.Flags().StringVar(&contentType, "type", "text/plain;charset=utf-8", "the Content-Type")
	cmd.Flags().StringArrayVar(&headers, "header", nil, "a further header field, \"Subject: hello\"; may be repeated")
	return cmd
}

// text returns the text of the message: arg, or standard input if arg is "-". That is an error if the
// password comes from standard input.
func (a *app) text(arg string, passwordStdin bool) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	if passwordStdin {
		return "", usagef("the text and the password cannot both come from standard input")
	}
	b, err := io.ReadAll(io.LimitReader(a.stdin, maxInput+1))
	if err != nil {
		return "", fmt.Errorf("read the text: %w", err)
	}
	if len(b) > maxInput {
		return "", usagef("the text is longer than %d bytes", maxInput)
	}
	return string(b), nil
}

// parseHeaders parses "Name: value". The user agent checks names and values.
func parseHeaders(list []string) ([]sip.Header, error) {
	var headers []sip.Header
	for _, h := range list {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, usagef("--header %q is not of the form \"Name: value\"", h)
		}
		headers = append(headers, sip.Header{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
	}
	return headers, nil
}

// A notAcceptedError is the error of a refusal that was printed as JSON.
type notAcceptedError struct{ status string }

func (e *notAcceptedError) Error() string { return "the message was not accepted: " + e.status }

// reportSent prints the response. It returns an error for a refusal.
func (a *app) reportSent(to string, res *gosip.Response) error {
	means := meaning(to, res)
	if a.output == "json" {
		err := writeLine(a.out, sendReport{Code: res.StatusCode, Reason: res.Reason, Means: means, CallID: fieldOf(res, "call-id", "i")})
		if err != nil || res.IsSuccess() {
			return err
		}
		return &notAcceptedError{statusOf(res)}
	}
	if !res.IsSuccess() {
		return fmt.Errorf("%s: %s", statusOf(res), means)
	}
	fmt.Fprintf(a.out, "%s: %s\n", clean(statusOf(res)), clean(means))
	return nil
}

// A sendReport is the response for -o json.
type sendReport struct {
	Code   int    `json:"code"`
	Reason string `json:"reason"`
	Means  string `json:"means"`
	CallID string `json:"call_id"`
}

// meaning returns the meaning of a response to a MESSAGE for its sender.
func meaning(to string, res *gosip.Response) string {
	switch res.StatusCode {
	case 200:
		return "delivered to " + to
	case 202:
		return "stored; " + to + " gets it as soon as they are online"
	case 400:
		return "the server cannot read the message"
	case 401, 407:
		return "the password is missing or wrong: give the sender's with --password-stdin"
	case 403:
		return "the server does not allow it"
	case 404:
		return "there is no " + to + " there"
	case 405, 501:
		return "the server does not accept instant messages"
	case 408, 480:
		return to + " cannot be reached now, and the message was not stored"
	case 413, 513:
		return "the message is too long"
	case 415:
		return to + " does not accept messages of this type"
	case 503:
		after, _, _ := strings.Cut(fieldOf(res, "retry-after"), ";")
		if n, err := strconv.ParseUint(strings.TrimSpace(after), 10, 32); err == nil {
			return fmt.Sprintf("the server cannot accept it now: try again in %d seconds", n)
		}
		return "the server cannot accept it now: try again later"
	}
	switch res.StatusCode / 100 {
	case 2:
		return "the server accepted it"
	case 5:
		if r := res.Reason; res.StatusCode == 500 && r != "" && r != "Server Internal Error" {
			return "the server refuses it" // the reason phrase has the cause
		}
		return "the server failed: see its log"
	}
	return to + " refuses it"
}
