package router

import (
	"errors"
	"strings"

	"silod/silo"
)

// refusals are the answers to messages that could not be stored, by the error of silo.Put. A
// later attempt, or one while the recipient is online, may succeed after a 480.
var refusals = []struct {
	err    error
	status int
	reason string
}{
	{silo.ErrUnknownUser, 404, "Not Found, the recipient is not a user of this server"},
	{silo.ErrSender, 480, "Temporarily Unavailable, and messages of your address are not stored"},
	{silo.ErrQuota, 480, "Temporarily Unavailable, the recipient's mailbox is full"},
	{silo.ErrSenderQuota, 480, "Temporarily Unavailable, the recipient's mailbox has enough of your messages"},
	{silo.ErrSenderTotal, 480, "Temporarily Unavailable, enough of your messages wait for their recipients"},
	{silo.ErrSourceQuota, 480, "Temporarily Unavailable, enough messages from your address wait for their recipients"},
	{silo.ErrStrangersQuota, 480, "Temporarily Unavailable, no more messages of unknown senders are stored now"},
	{silo.ErrExpired, 480, "Temporarily Unavailable, and the message has expired"},
	{silo.ErrEmpty, 480, "Temporarily Unavailable, and a message without a body is not stored"},
	{silo.ErrTooFar, 400, "Bad time of a reminder, it is too far ahead"},
}

// rejectUnstored answers a message that could not be stored because of err.
func (r *Router) rejectUnstored(in *incoming, err error) {
	for _, x := range refusals {
		if errors.Is(err, x.err) {
			in.tx.Respond(x.status, x.reason)
			return
		}
	}
	if errors.Is(err, silo.ErrInvalid) {
		r.opt.Log.Info("message cannot be stored", "call_id", in.silo.Message.CallID, "error", err)
		in.tx.Respond(400, "This message cannot be stored, "+invalidReason(err))
		return
	}
	r.opt.Log.Error("message not stored", "call_id", in.silo.Message.CallID, "error", err)
	reason := "Message cannot be stored now"
	if errors.Is(err, silo.ErrNumbers) {
		reason += ", the numbers of messages are used up until the administrator raises their limit"
	}
	in.tx.Unavailable(reason)
}

// invalidReason returns the part of an ErrInvalid that is meant for the sender: the text
// before that of the sentinel.
func invalidReason(err error) string {
	s, _, _ := strings.Cut(err.Error(), ": "+silo.ErrInvalid.Error())
	if i := strings.LastIndex(s, ": "); i >= 0 {
		s = s[i+2:]
	}
	return s
}
