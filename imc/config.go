package imc

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"silod/sip"
)

// What happens to a room when its owner leaves it.
const (
	OwnerLeaveDestroys = "destroy"
	OwnerLeaveRefused  = "refuse"
)

// Config is what an operator can set. The keys of [imc] that are not here, tables,
// hash_size and outbound_proxy, are nothing that a room would have to know.
type Config struct {
	StartChar     string // what a command starts with: imc_cmd_start_char
	CreateOnJoin  bool   // #join makes a room that does not exist
	CheckOnCreate bool   // #create of a room that exists is an error
	ExtraHdrs     string // header lines, each ending in CR LF, for all that rooms send
	RoomPattern   string // regular expression for rooms' names, in lower case
	Manager       string // user part of the address that takes commands for any room

	History    time.Duration // how long what was said is kept; 0: until all members have it
	CatchUp    time.Duration // how old what a returning member gets may be
	PauseAfter time.Duration // how long an unreachable member is tried for; 0: for ever
	Echo       bool          // the sender gets a copy too, for other devices
	OwnerLeave string        // OwnerLeaveDestroys or OwnerLeaveRefused

	// Limits, 0 for none.
	MaxMembers      int // in a room, invited ones counted; as many again may be banned
	MaxRoomsPerUser int
	MaxRooms        int
	MaxRate         int // messages and commands that a user may send to a room in a minute

	Texts map[string]string // replaces texts by key; an unknown key's error lists them
}

// DefaultConfig gives the documented defaults.
func DefaultConfig() Config {
	return Config{
		StartChar:    "#",
		CreateOnJoin: true,
		RoomPattern:  "^chat-[0-9]+$",
		Manager:      "chat-manager",
		History:      7 * 24 * time.Hour,
		CatchUp:      7 * 24 * time.Hour,
		PauseAfter:   30 * 24 * time.Hour,
		OwnerLeave:   OwnerLeaveDestroys,
	}
}

// settings are a Config made ready. They are never written to.
type settings struct {
	Config
	pattern  *regexp.Regexp
	texts    texts
	extra    []sip.Header
	commands []*command
}

func newSettings(c Config) (*settings, error) {
	c.Manager, c.StartChar = strings.ToLower(c.Manager), strings.TrimSpace(c.StartChar)
	set := &settings{Config: c, commands: commands}
	var err error
	if set.pattern, err = regexp.Compile(c.RoomPattern); err != nil {
		return nil, fmt.Errorf("imc.room_pattern: %w", err)
	}
	if set.texts, err = newTexts(c.Texts); err != nil {
		return nil, err
	}
	if set.extra, err = parseHeaders(c.ExtraHdrs); err != nil {
		return nil, fmt.Errorf("imc.extra_hdrs: %w", err)
	}
	switch {
	case c.StartChar == "":
		return nil, errors.New("imc.imc_cmd_start_char: it must not be empty")
	case c.CatchUp <= 0:
		return nil, errors.New("imc.catch_up: it must be longer than nothing")
	case c.History < 0 || c.PauseAfter < 0:
		return nil, errors.New("imc: no duration may be negative")
	case c.OwnerLeave != OwnerLeaveDestroys && c.OwnerLeave != OwnerLeaveRefused:
		return nil, fmt.Errorf("imc.owner_leave: %q is neither %q nor %q", c.OwnerLeave, OwnerLeaveDestroys, OwnerLeaveRefused)
	}
	return set, nil
}

// parseHeaders takes header lines apart. Each must end in CR LF, or be the last.
func parseHeaders(lines string) ([]sip.Header, error) {
	var hs []sip.Header
	for line := range strings.SplitSeq(strings.TrimSuffix(lines, "\r\n"), "\r\n") {
		if lines == "" {
			break
		}
		name, value, found := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !found || !sip.IsToken(name) || strings.ContainsAny(value, "\r\n\x00") {
			return nil, fmt.Errorf("%q is no header line", line)
		}
		hs = append(hs, sip.Header{Name: name, Value: value})
	}
	return hs, nil
}
