package imc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"silod/im"
	"silod/sip"
)

// A Request is a MESSAGE to a room or to the manager.
type Request struct {
	Sender  sip.Sender // as identified by the caller of Handle
	Account sip.AoR    // the user that the sender has authenticated as, if it sends from an alias
	Room    sip.AoR    // the Request-URI

	MayRelay bool // the sender may send to other domains
	Unproven bool // the sender is of another domain, and messages to it may be for a user that has sent nothing
	im.Message
}

// A Reply is the answer to a Request.
type Reply struct {
	Status     int           // 200: committed. 500: refused. 503: nothing was done, try again
	Reason     string        // the reason phrase
	Code       int           // the return code that imc_manager documents
	RetryAfter time.Duration // of a 503, and of a 500 for too many messages
}

// Codes of imc_manager that belong to no command.
const (
	codeDone       = 1
	codeNoBody     = -1
	codeBadCommand = -20
	codeUnknown    = -130
	codeMessage    = -200
)

// retryAfter is the Retry-After of a 503.
const retryAfter = 10 * time.Second

// A refusal is an error that a text explains to the sender of the request.
type refusal struct {
	text   textKey
	args   args
	usage  string  // the syntax of the command, which the text does not show itself
	room   sip.AoR // the room it is about; zero: the address that the request was sent to
	wait   time.Duration
	silent bool // no explanation: the sender has had it before
}

// refuse returns a refusal with the arguments of its text.
func refuse(key textKey, a ...string) *refusal { return &refusal{text: key, args: a} }

// Error returns the SIP reason phrase.
func (r *refusal) Error() string { return wordings[r.text].reason }

// in sets the room that a refusal is about and returns the refusal.
func (r *refusal) in(room sip.AoR) *refusal {
	r.room = room
	return r
}

// Handle carries out a request. A 2xx means that its effect is committed, with the messages to
// single users that it has led to. A 503 means that it has no effect, and will have none later,
// but for a command of which only these messages could not be stored: if its sender repeats it
// within unansweredLife, they are sent. Notifications, and messages
// from the address of a room, are answered 200 and dropped. Handle keeps the headers
// and the body: the caller must not write to them afterwards.
func (s *Service) Handle(ctx context.Context, req Request) Reply {
	req.Room = s.addressee(&req)
	c := inspect(&req.Message)
	switch {
	case !req.Sender.AoR.Reachable():
		return Reply{Status: 403, Reason: "Forbidden, a room is only for senders with an address sip:user@domain", Code: codeMessage}
	case req.Sender.Local && !req.Sender.Authenticated:
		return Reply{Status: 403, Reason: "Forbidden, users of this server must authenticate", Code: codeMessage}
	case req.Unproven && !s.knowsOutside(req.Sender.AoR):
		return Reply{Status: 403, Reason: "Forbidden, only users of this server may use rooms", Code: codeMessage}
	case req.Header(SpeakerField) != "":
		s.stats.Dropped.Add(1)
		return Reply{Status: 482, Reason: sip.ReasonForRooms, Code: codeMessage}
	case c.notification, s.IsRoom(req.Sender.AoR):
		// Clients would answer each other's notifications with more of them, and a
		// message from one room to another would come back.
		s.stats.Dropped.Add(1)
		return Reply{Status: 200, Reason: "OK", Code: codeDone}
	}
	if err := s.checkRate(&req); err != nil {
		return s.reply(ctx, &req, codeMessage, err)
	}
	ctx, cancel := storeContext(ctx)
	defer cancel()
	line, isCommand := s.commandIn(&req, c.text)
	switch {
	case len(req.Body) == 0:
		return s.reply(ctx, &req, codeNoBody, refuse("no_body"))
	case isCommand:
		code, err := s.runCommand(ctx, &req, line)
		return s.reply(ctx, &req, code, err)
	case s.isManager(req.Room):
		return s.reply(ctx, &req, codeMessage, refuse("manager"))
	}
	return s.reply(ctx, &req, codeMessage, s.postMessage(ctx, &req))
}

// errCrowded is the error of a request while too many others wait for its room: those for other
// rooms would find no goroutine to serve them.
var errCrowded = fmt.Errorf("%w: too many requests for one room at once", ErrBusy)

// postMessage appends a member's message to the room's log.
func (s *Service) postMessage(ctx context.Context, req *Request) error {
	if !s.busy.Enter(req.Room) {
		return errCrowded
	}
	defer s.busy.Leave(req.Room)
	r := s.lockRoom(req.Room, shared)
	if r == nil {
		return refuse("no_room")
	}
	defer r.stateMu.RUnlock()
	if err := inTime(ctx); err != nil {
		return err
	}
	if r.isHiddenFrom(req.Sender.AoR) {
		return refuse("no_room")
	}
	if err := s.checkSpeech(r, req.Sender.AoR, req.Account, "you_muted"); err != nil {
		return err
	}
	if err := s.loadTail(ctx, r); err != nil {
		return err
	}
	if r.isRepeat(req) {
		return nil
	}
	e := &Entry{Room: r.name, From: req.Sender.AoR, At: s.entryTime(), Message: req.Message}
	if err := s.checkContent(r, e); err != nil {
		return err
	}
	if err := s.appendEntry(ctx, r, e); err != nil {
		return err
	}
	r.mu.Lock()
	s.markSeen(r, r.find(req.Sender.AoR))
	r.mu.Unlock()
	s.stats.Messages.Add(1)
	return nil
}

// entryTime returns the time in the precision of Entry.At.
func (s *Service) entryTime() time.Time { return s.stamp().Truncate(time.Millisecond) }

// reply returns the answer to a request that ended with err. The sender of
// a refused request gets an explanation as a direct message.
func (s *Service) reply(ctx context.Context, req *Request, code int, err error) Reply {
	var refused *refusal
	switch {
	case err == nil:
		return Reply{Status: 200, Reason: "OK", Code: codeDone}
	case errors.Is(err, ErrInvalid):
		refused = refuse("not_storable")
	case !errors.As(err, &refused):
		s.stats.StoreErrors.Add(1)
		s.log.Error("room request failed", slog.String("room", req.Room.String()),
			slog.String("from", req.Sender.AoR.String()), slog.String("call_id", req.CallID), slog.Any("error", err))
		reason := "Rooms are not available, try again"
		switch {
		case errors.Is(err, errUnanswered):
			reason = "Done, but the answer could not be stored, try again"
		case errors.Is(err, errNoHistory):
			reason = "The history cannot be read now, try again"
		case errors.Is(err, ErrNumbers):
			reason = "Rooms cannot change now, the numbers of their rows are used up until the administrator raises their limit"
		}
		return Reply{Status: 503, Reason: reason, Code: code, RetryAfter: retryAfter}
	}
	s.stats.Refusals.Add(1)
	if s.isExplained(req, refused, code) {
		room := refused.room
		if room.IsZero() {
			room = req.Room
		}
		text := s.text(refused.text, room, refused.args...)
		if refused.usage != "" {
			text += " " + s.text("usage", room, "usage", refused.usage)
		}
		if !bytes.Contains(req.Body, []byte(text)) { // else a program repeats every text that it gets
			s.explain(ctx, req.Sender.AoR, req.Room, req.CallID, text)
		}
	}
	status := 500
	if wordings[refused.text].status == 482 {
		status = 482
	}
	return Reply{Status: status, Reason: refused.Error(), Code: code, RetryAfter: refused.wait}
}

// isExplained reports whether a refusal is explained in a direct message besides the
// SIP answer. A message that is an answer (In-Reply-To) and not a command may be
// automatic, for instance from a room on another server; an explanation could start
// an endless exchange. The address of a sender of another domain that has not been identified may be
// forged: unless it is a member, the SIP answer is enough.
func (s *Service) isExplained(req *Request, refused *refusal, code int) bool {
	automatic := req.Header("In-Reply-To") != "" || req.Header("Auto-Submitted") != ""
	known := req.Sender.Local || req.Sender.Authenticated || len(s.roomsOf(req.Sender.AoR)) > 0
	return known && !refused.silent && (!automatic || code != codeMessage && code != codeNoBody)
}
