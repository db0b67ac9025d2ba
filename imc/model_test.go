package imc_test

import (
	"slices"
)

// model is a simple model of one room.
type model struct {
	exists, private bool
	moderated       bool
	people          map[string]string // role by user: owner, admin, member, invited, banned, former
	voiced          map[string]bool
	muted           map[string]bool
	topic           string
	added, left     map[string]bool // by another user; left for good
}

// in reports whether a user is a member.
func (m *model) in(u string) bool {
	r := m.people[u]
	return r == "owner" || r == "admin" || r == "member"
}

// rank returns the rank of a user's rights. A muted admin has those of a member.
func (m *model) rank(u string) int {
	if m.people[u] == "admin" && m.muted[u] {
		return 1
	}
	return map[string]int{"member": 1, "admin": 2, "owner": 3}[m.people[u]]
}

// leave makes a user one that is not in the room. Its mute stays.
func (m *model) leave(u string) {
	delete(m.people, u)
	delete(m.voiced, u)
	if m.muted[u] {
		m.people[u] = "former"
	}
}

// maySpeak reports whether a user may speak.
func (m *model) maySpeak(u string) bool {
	return m.in(u) && !m.muted[u] && (!m.moderated || m.people[u] != "member" || m.voiced[u])
}

// mayActOn reports whether a may change b, which takes a higher role than b's; an admin may
// also change itself.
func (m *model) mayActOn(a, b string) bool {
	return m.rank(a) >= 2 && m.people[b] != "" && m.people[b] != "owner" && (m.people[b] != "admin" || m.rank(a) == 3 || a == b)
}

// members returns the users that get messages.
func (m *model) members() []string {
	var us []string
	for u := range m.people {
		if m.in(u) {
			us = append(us, u)
		}
	}
	slices.Sort(us)
	return us
}

// do changes the model by a command. It reports whether the command is carried out and
// returns the notice to all members, or "".
func (m *model) do(by, cmd, user, arg string) (ok bool, notice string) {
	if !m.exists && cmd != "create" && cmd != "join" {
		return false, ""
	}
	if m.left == nil {
		m.left = map[string]bool{}
	}
	switch cmd {
	case "create", "join":
		switch {
		case !m.exists:
			*m = model{
				exists: true, private: arg == "private" && cmd == "create", people: map[string]string{by: "owner"}, muted: map[string]bool{},
				voiced: map[string]bool{},
				added:  map[string]bool{}, left: m.left,
			}
			delete(m.left, by)
			return true, ""
		case m.in(by):
			delete(m.added, by)
			return true, ""
		case m.people[by] == "banned" || m.private && m.people[by] != "invited":
			return false, ""
		}
		m.people[by] = "member"
		m.here(by, false)
		return true, by + " has joined chat-1."
	case "accept":
		switch {
		case m.in(by):
			delete(m.added, by)
			return true, ""
		case m.people[by] != "invited":
			return false, ""
		}
		m.people[by] = "member"
		m.here(by, false)
		return true, by + " has joined chat-1."
	case "deny":
		if m.people[by] != "invited" {
			return false, ""
		}
		m.leave(by)
		return true, ""
	case "exit":
		switch {
		case !m.in(by):
			return false, ""
		case m.people[by] == "owner":
			m.exists = false
			return true, by + ", the owner, has left. chat-1 has been destroyed."
		}
		m.leave(by)
		m.left[by] = true
		return true, by + " has left chat-1."
	case "destroy":
		if m.people[by] != "owner" {
			return false, ""
		}
		m.exists = false
		return true, "chat-1 has been destroyed by " + by + "."
	case "speak":
		return m.maySpeak(by), ""
	}
	if m.rank(by) < 2 {
		return false, ""
	}
	return m.doAdmin(by, cmd, user, arg)
}

// here notes that a user is in the room: by its own command, or because another has added it.
func (m *model) here(u string, added bool) {
	delete(m.added, u)
	if added {
		m.added[u] = true
	} else {
		delete(m.left, u)
	}
}

// doAdmin is do for the commands of admins.
func (m *model) doAdmin(by, cmd, user, arg string) (ok bool, notice string) {
	switch cmd {
	case "invite", "add":
		switch {
		case m.in(user):
			if by == user && cmd == "add" {
				delete(m.added, user)
			}
			return true, ""
		case m.people[user] == "banned", cmd == "add" && m.left[user]:
			return false, ""
		case cmd == "invite":
			m.people[user] = "invited"
			return true, ""
		}
		m.people[user] = "member"
		m.here(user, true)
		return true, user + " has joined chat-1."
	case "remove":
		if !m.mayActOn(by, user) || m.people[user] == "banned" || m.people[user] == "former" {
			return false, ""
		}
		if m.in(user) {
			notice = user + " has been removed from chat-1 by " + by + "."
		}
		m.leave(user)
		return true, notice
	case "modify":
		switch {
		case !m.in(user):
			return false, ""
		case m.people[user] == arg:
			return true, ""
		case !m.mayActOn(by, user) || arg == "owner" && (m.people[by] != "owner" || m.added[user]):
			return false, ""
		}
		if arg == "owner" {
			m.people[by] = "admin"
			delete(m.muted, user)
		}
		m.people[user] = arg
		return true, user + " is now " + arg + " of chat-1."
	case "ban":
		switch {
		case m.people[user] == "banned":
			return true, ""
		case m.people[user] != "" && !m.mayActOn(by, user):
			return false, ""
		}
		if m.in(user) {
			notice = user + " has been banned from chat-1 by " + by + "."
		}
		m.people[user] = "banned"
		delete(m.voiced, user)
		return true, notice
	case "unban":
		if m.people[user] != "banned" {
			return false, ""
		}
		m.leave(user)
		return true, ""
	case "voice", "devoice":
		voice := cmd == "voice"
		switch {
		case !m.in(user) || !m.mayActOn(by, user):
			return false, ""
		case m.voiced[user] == voice:
			return true, ""
		case voice:
			m.voiced[user] = true
			return true, user + " has been given voice by " + by + "."
		}
		delete(m.voiced, user)
		return true, by + " has taken the voice of " + user + "."
	case "moderate", "unmoderate":
		if m.moderated == (cmd == "moderate") {
			return true, ""
		}
		m.moderated = !m.moderated
		if m.moderated {
			return true, "chat-1 is now moderated: only the owner, the admins and members with voice can speak."
		}
		return true, "chat-1 is no longer moderated: all members can speak."
	case "mute", "unmute":
		mute := cmd == "mute"
		switch {
		case !m.in(user) && !m.muted[user] || !m.mayActOn(by, user):
			return false, ""
		case m.muted[user] == mute:
			return true, ""
		case !m.in(user):
			delete(m.muted, user)
			if m.people[user] == "former" {
				delete(m.people, user)
			}
			return true, ""
		case mute:
			m.muted[user] = true
			return true, user + " has been muted by " + by + "."
		}
		delete(m.muted, user)
		return true, user + " has been unmuted by " + by + "."
	case "private", "public":
		if m.private == (cmd == "private") {
			return true, ""
		}
		m.private = !m.private
		if m.private {
			return true, "chat-1 is now private: new members need an invitation."
		}
		return true, "chat-1 is now public: any user may join."
	case "topic":
		m.topic = arg
		return true, by + " has set the topic: " + arg
	}
	panic(cmd)
}
