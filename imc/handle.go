package imc

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"silod/im"
	"silod/sip"
)

// Request is a MESSAGE for a room or for the manager.
type Request struct {
	Sender sip.AoR // who sent it; believed
	Room   sip.AoR // the Request-URI
	im.Message
}

// Reply is what a Request is answered.
type Reply struct {
	Status     int           // 200: committed. 500: refused. 503: nothing happened, to be tried again
	Reason     string        // the reason phrase
	Code       int           // what the documented imc_manager function returns
	RetryAfter time.Duration // of a 503, and of a 500 that is about speed
}

// Codes of imc_manager that belong to no command.
const (
	codeDone       = 1
	codeNoBody     = -1
	codeBadCommand = -20
	codeUnknown    = -130
	codeMessage    = -200
)

// retryAfter is what a sender is asked to wait while the store is away.
const retryAfter = 10 * time.Second

// refusal is a no for which somebody is to blame. It is told in the words of a
// text.
type refusal struct {
	text text
	args args
	room sip.AoR // the room it is about; zero: the address written to
	wait time.Duration
	mute bool // the sender has been told before
}

func refuse(key text, a ...string) *refusal { return &refusal{text: key, args: a} }

func (r *refusal) Error() string { return wordings[r.text].reason }

// in says which room a refusal is about.
func (r *refusal) in(room sip.AoR) *refusal {
	r.room = room
	return r
}

// Handle does what a message to a room asks for. After a 2xx it is done or
// committed, whatever dies next; after a 503 it is not, and will not be later. But a
// notification, or what comes from a room's address, is answered 200 and goes no
// further. The headers and the body are kept: the caller must not write to them any
// more.
func (s *Service) Handle(ctx context.Context, req Request) Reply {
	req.Room = roomName(req.Room)
	c := inspect(&req.Message)
	switch {
	case req.Sender.User == "":
		return Reply{Status: 500, Reason: "Sender has no SIP address", Code: codeMessage}
	case c.notification, s.IsRoom(req.Sender):
		// To pass a notification on would make every client answer every other's with
		// one of its own; and what a room says to a room would come back.
		s.stats.Dropped.Add(1)
		return Reply{Status: 200, Reason: "OK", Code: codeDone}
	case s.mailer.full():
		return Reply{Status: 503, Reason: "Too much to do", Code: codeMessage, RetryAfter: retryAfter}
	}
	if err := s.admit(&req); err != nil {
		return s.reply(&req, codeMessage, err)
	}
	line, isCommand := strings.CutPrefix(strings.TrimSpace(c.text), s.cfg().StartChar)
	switch {
	case len(req.Body) == 0:
		return s.reply(&req, codeNoBody, refuse("no_body"))
	case isCommand:
		code, err := s.command(ctx, &req, line)
		return s.reply(&req, code, err)
	case s.isManager(req.Room):
		return s.reply(&req, codeMessage, refuse("manager"))
	}
	return s.reply(&req, codeMessage, s.speak(ctx, &req))
}

// admit keeps a sender's speed within its limit.
func (s *Service) admit(req *Request) error {
	most := s.cfg().MaxRate
	ok, first, wait := s.limiter.take(req.Sender, req.Room, most, s.now())
	if ok {
		return nil
	}
	no := refuse("too_fast", "limit", itoa(most))
	no.wait, no.mute = wait, !first
	return no
}

// speak puts what somebody says into the room's log.
func (s *Service) speak(ctx context.Context, req *Request) error {
	r := s.hold(req.Room, shared)
	if r == nil {
		return refuse("no_room")
	}
	defer r.step.RUnlock()
	m := r.index[req.Sender]
	switch {
	case m != nil && m.Role == Banned:
		return refuse("you_banned")
	case !m.seated():
		return refuse("not_member")
	case m.Muted:
		return refuse("you_muted")
	case r.heard(req):
		return nil
	}
	e := &Entry{Room: r.name, From: req.Sender, At: s.stamp(), Message: req.Message}
	if err := s.say(ctx, r, e); err != nil {
		return err
	}
	r.mu.Lock()
	s.seen(r, m)
	r.mu.Unlock()
	s.stats.Messages.Add(1)
	return nil
}

// stamp is the time as entries keep it.
func (s *Service) stamp() time.Time { return s.now().Truncate(time.Millisecond) }

// reply turns what came out into the answer, and tells a sender who was refused
// why.
func (s *Service) reply(req *Request, code int, err error) Reply {
	var no *refusal
	switch {
	case err == nil:
		return Reply{Status: 200, Reason: "OK", Code: codeDone}
	case errors.Is(err, ErrInvalid):
		no = refuse("not_storable")
	case !errors.As(err, &no):
		s.stats.StoreErrors.Add(1)
		s.log.Error("room request failed", slog.String("room", req.Room.String()),
			slog.String("from", req.Sender.String()), slog.String("call_id", req.CallID), slog.Any("error", err))
		return Reply{Status: 503, Reason: "Rooms are not available, try again", Code: code, RetryAfter: retryAfter}
	}
	s.stats.Refusals.Add(1)
	if s.explains(req, no, code) {
		room := no.room
		if room.IsZero() {
			room = req.Room
		}
		s.tell(req.Sender, req.Room, req.CallID, s.text(no.text, room, no.args...))
	}
	return Reply{Status: 500, Reason: no.Error(), Code: code, RetryAfter: no.wait}
}

// explains tells whether a refusal is told in a message besides the SIP answer.
// What answers a message (In-Reply-To) and is no command may come from a machine,
// a room of another server for one, and to explain would begin a conversation of
// machines.
func (s *Service) explains(req *Request, no *refusal, code int) bool {
	machine := req.Header("In-Reply-To") != "" || req.Header("Auto-Submitted") != ""
	return !no.mute && (!machine || code != codeMessage && code != codeNoBody)
}

// text writes a text about a room.
func (s *Service) text(key text, room sip.AoR, a ...string) string {
	return s.cfg().texts.write(key, append(a, "room", room.User, "room_uri", room.String(), "start", s.cfg().StartChar))
}

// tell sends a person what concerns nobody else.
func (s *Service) tell(to, from sip.AoR, cause string, bodies ...string) {
	for _, b := range bodies {
		s.send(to, letter{message: s.letter(from, to, cause, b)})
	}
}

func (s *Service) send(to sip.AoR, l letter) {
	failed := l.failed
	l.failed = func(err error) {
		s.stats.AnswersFailed.Add(1)
		s.log.Warn("message from a room could not be brought", slog.String("to", to.String()),
			slog.String("call_id", l.message.CallID), slog.Any("error", err))
		if failed != nil {
			failed(err)
		}
	}
	if s.IsRoom(to) {
		return // never a notice to a room
	}
	s.stats.Answers.Add(1)
	if !s.mailer.post(to, l) {
		l.failed(errors.New("too many messages are waiting"))
	}
}
