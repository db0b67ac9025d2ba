package imc

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"silod/im"
	"silod/sip"
)

// The widths of Kamailio's columns: imc_members.room holds the room's URI.
const (
	maxRoomURI = 64
	maxUser    = 64
	maxDomain  = 64
	maxTopic   = 200 // ours
)

// commit writes a change, and only then makes it true in memory and tells the
// members of it. After an error everything is as it was. The caller holds r.step
// exclusively, so that what it has seen of the room is still so.
func (s *Service) commit(ctx context.Context, r *room, c Change) error {
	comes, goes := r.turnover(&c)
	if err := s.seat(r, &c, comes); err != nil {
		return err
	}
	sctx, cancel := storing(ctx)
	defer cancel()
	if err := s.store.Apply(sctx, c); err != nil {
		s.unseat(r, comes)
		return fmt.Errorf("change room %s: %w", r.name, err)
	}
	s.enrol(r, comes) // before anybody is woken: Next looks there
	var posts []*post
	if c.Notice != nil {
		posts = append(posts, s.compose(c.Notice))
		s.stats.Notices.Add(1)
	}
	r.mu.Lock()
	closes := c.Room.Closed && !r.Closed
	r.apply(&c)
	hearers := s.publish(r, posts)
	r.mu.Unlock()
	if closes {
		s.vacate(r)
	}
	s.strike(r, goes)
	s.wake(hearers, posts)
	return nil
}

// turnover tells who becomes a member by a change, and who is none any more.
func (r *room) turnover(c *Change) (comes, goes []sip.AoR) {
	for _, p := range c.Put {
		next := member{Member: p}
		switch was := r.index[p.User].seated(); {
		case next.seated() && !was:
			comes = append(comes, p.User)
		case !next.seated() && was:
			goes = append(goes, p.User)
		}
	}
	for _, u := range c.Remove {
		if r.index[u].seated() {
			goes = append(goes, u)
		}
	}
	return comes, goes
}

// notice makes an entry in which the room speaks to all its members.
func (s *Service) notice(c *call, r *room, key text, a ...string) *Entry {
	return &Entry{Room: r.name, From: r.name, At: s.stamp(), Message: im.Message{
		From:    "<" + r.name.String() + ">",
		To:      "<" + r.name.String() + ">",
		CallID:  c.by.call,
		Headers: []sip.Header{plainText},
		Body:    []byte(s.text(key, r.name, a...)),
	}}
}

// newMember makes a member who is owed nothing that was said before.
func (s *Service) newMember(r *room, u sip.AoR, role Role, by sip.AoR) Member {
	return Member{User: u, Role: role, InvitedBy: by, Cursor: r.last, Seen: s.now()}
}

// storable checks a user's address against the columns that will hold it.
func storable(u sip.AoR) error {
	switch {
	case len(u.User) > maxUser:
		return refuse("too_long", "value", clip(u.User), "limit", itoa(maxUser))
	case len(u.Domain) > maxDomain:
		return refuse("too_long", "value", clip(u.Domain), "limit", itoa(maxDomain))
	}
	return nil
}

// nameable checks the name of a room that is to be made.
func (s *Service) nameable(name sip.AoR) error {
	switch {
	case s.isManager(name) || !s.cfg().pattern.MatchString(name.User):
		return refuse("bad_room", "value", clip(name.User), "pattern", s.cfg().RoomPattern)
	case len(name.String()) > maxRoomURI:
		return refuse("too_long", "value", clip(name.String()), "limit", itoa(maxRoomURI))
	}
	return nil
}

// giveWay frees the name of a closed room, which goes on under an AoR that nobody can
// have given to a room, until its members have heard its end. That they know it by its
// name is in its topic, of which it has no more need. The caller holds r.step
// exclusively.
func (s *Service) giveWay(ctx context.Context, r *room) error {
	next := r.Room
	next.AoR = sip.AoR{User: awayMark + strconv.FormatInt(r.last, 36), Domain: r.name.Domain}
	next.Topic = r.name.User
	sctx, cancel := storing(ctx)
	defer cancel()
	if err := s.store.Apply(sctx, Change{Room: next, Was: r.AoR}); err != nil {
		return fmt.Errorf("move closed room %s: %w", r.name, err)
	}
	s.mu.Lock()
	delete(s.rooms, r.AoR)
	s.rooms[next.AoR] = r
	s.mu.Unlock()
	r.mu.Lock()
	r.Room = next
	r.mu.Unlock()
	return nil
}

// awayMark begins the user part under which a closed room is kept whose name was given
// to another one; the Seq of its last entry follows.
const awayMark = "~"

// publicName is what people know a stored room by.
func publicName(stored Room) sip.AoR {
	if stored.Closed && strings.HasPrefix(stored.AoR.User, awayMark) && stored.Topic != "" {
		return sip.AoR{User: stored.Topic, Domain: stored.AoR.Domain}
	}
	return stored.AoR
}

// bury deletes a closed room: everybody has got what was said in it. The caller holds
// r.step exclusively.
func (s *Service) bury(ctx context.Context, r *room) error {
	sctx, cancel := storing(ctx)
	defer cancel()
	if err := s.store.Apply(sctx, Change{Room: r.Room, Delete: true}); err != nil {
		return fmt.Errorf("delete room %s: %w", r.name, err)
	}
	var users []sip.AoR
	for _, m := range r.members {
		if m.seated() {
			users = append(users, m.User)
		}
	}
	s.strike(r, users)
	r.mu.Lock()
	before := r.tailSize
	r.trim(time.Time{}, 0)
	s.tails.Add(int64(r.tailSize - before))
	r.mu.Unlock()
	s.drop(r)
	return nil
}
