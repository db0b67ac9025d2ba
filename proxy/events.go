package proxy

import (
	"silod/sip/transaction"
	"silod/watch"
)

// The functions below are called only while events are watched.

func (k *Fork) publishSent(contact string) {
	k.proxy.watch.Publish(watch.Event{
		What: watch.Sent, User: k.opt.Recipient, From: k.msg.From, CallID: k.msg.CallID, Contact: contact,
		Type: k.msg.Header("Content-Type"), Body: k.msg.Body,
	})
}

// publishAnswered publishes the response of a device, or that there is none.
func (k *Fork) publishAnswered(contact string, res transaction.Result) {
	e := watch.Event{What: watch.Answered, User: k.opt.Recipient, From: k.msg.From, CallID: k.msg.CallID, Contact: contact}
	if res.Err != nil {
		e.Reason = "no answer: " + res.Err.Error()
	} else {
		e.Status, e.Reason = res.Response.Status, res.Response.Reason
	}
	k.proxy.watch.Publish(e)
}
