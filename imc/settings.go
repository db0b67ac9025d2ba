package imc

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"silod/sip"
)

// Values of Config.OwnerLeave.
const (
	OwnerLeaveDestroys = "destroy"
	OwnerLeaveRefused  = "refuse"
)

// Values of Config.OpenHistory.
const (
	OpenHistoryNever = "never" // members never read messages of the time before they joined
	OpenHistoryRoom  = "room"  // the owner and admins of a room decide
	OpenHistoryNew   = "new"   // they decide, and new rooms begin with an open history
)

// A Config holds the keys of [imc] that concern rooms, as an operator writes them.
// NewSettings checks it.
type Config struct {
	StartChar     string // prefix of commands: imc_cmd_start_char
	CreateOnJoin  bool   // #join creates a room that does not exist
	CheckOnCreate bool   // #create of a room that exists is an error
	ExtraHeaders  string // header lines, each ending in CR LF, for all messages from rooms
	RoomPattern   string // regular expression for room names, in lower case and without escapes
	Manager       string // user part of the address that takes commands for any room

	History     time.Duration // how long entries are kept; 0: until all members have them
	CatchUp     time.Duration // maximum age of an entry that is still delivered
	PauseAfter  time.Duration // how long deliveries to an unreachable member are tried; 0: for ever
	Echo        bool          // the sender gets a copy too, for other devices
	CatchUpMax  int           // missed entries that a member gets after being away; 0: no limit
	OwnerLeave  string        // OwnerLeaveDestroys or OwnerLeaveRefused: the effect of #exit by an owner
	OpenHistory string        // one of the values above
	Creators    []string      // the senders that may create rooms, for sip.ParseSenders

	// Limits, 0 for none.
	MaxMembers      int // of a room, including invited users; as many may be banned or muted
	MaxRoomsPerUser int
	MaxRooms        int
	MaxRate         int // messages and commands of a user to a room in a minute

	Texts map[string]string // replaces texts by key
}

// DefaultConfig returns the documented defaults.
func DefaultConfig() Config {
	return Config{
		StartChar:    "#",
		CreateOnJoin: true,
		RoomPattern:  "^chat-[0-9]+$",
		Manager:      "chat-manager",
		History:      7 * 24 * time.Hour,
		CatchUp:      7 * 24 * time.Hour,
		PauseAfter:   30 * 24 * time.Hour,
		OpenHistory:  OpenHistoryRoom,
		OwnerLeave:   OwnerLeaveDestroys,
		Creators:     []string{"all"},
	}
}

// Settings is a checked Config with its values parsed. It is never written to.
type Settings struct {
	config   Config
	pattern  *regexp.Regexp
	creators sip.Senders
	texts    texts
	headers  []sip.Header

	speechMark []byte // see texts.longestLiteral
}

// NewSettings checks a Config. An error names the key that is wrong.
func NewSettings(c Config) (Settings, error) {
	manager := sip.URI{Scheme: "sip", User: c.Manager, Host: "localhost"}
	c.Manager, c.StartChar = manager.AoR().Lower().User, strings.TrimSpace(c.StartChar)
	set := Settings{config: c}
	var err error
	if set.pattern, err = regexp.Compile(c.RoomPattern); err != nil {
		return Settings{}, fmt.Errorf("imc.room_pattern: %w", err)
	}
	if set.creators, err = sip.ParseSenders(c.Creators); err != nil {
		return Settings{}, fmt.Errorf("imc.creators: %w", err)
	}
	if set.texts, err = newTexts(c.Texts); err != nil {
		return Settings{}, err
	}
	set.speechMark = set.texts.longestLiteral("speech")
	if set.headers, err = parseHeaders(c.ExtraHeaders); err != nil {
		return Settings{}, fmt.Errorf("imc.extra_hdrs: %w", err)
	}
	switch {
	case c.StartChar == "":
		return Settings{}, errors.New("imc.imc_cmd_start_char: it must not be empty")
	case c.CatchUp <= 0:
		return Settings{}, errors.New("imc.catch_up: it must be longer than 0")
	case c.History < 0 || c.PauseAfter < 0:
		return Settings{}, errors.New("imc: a duration must not be negative")
	case c.CatchUpMax < 0:
		return Settings{}, errors.New("imc.catch_up_max: it must not be negative")
	case c.OpenHistory != OpenHistoryNever && c.OpenHistory != OpenHistoryRoom && c.OpenHistory != OpenHistoryNew:
		return Settings{}, fmt.Errorf("imc.open_history: %q is neither %q, %q nor %q", c.OpenHistory, OpenHistoryNever, OpenHistoryRoom, OpenHistoryNew)
	case c.OwnerLeave != OwnerLeaveDestroys && c.OwnerLeave != OwnerLeaveRefused:
		return Settings{}, fmt.Errorf("imc.owner_leave: %q is neither %q nor %q", c.OwnerLeave, OwnerLeaveDestroys, OwnerLeaveRefused)
	}
	return set, nil
}

// parseHeaders splits header lines. Each must end in CR LF, except the last.
func parseHeaders(lines string) ([]sip.Header, error) {
	var hs []sip.Header
	for line := range strings.SplitSeq(strings.TrimSuffix(lines, "\r\n"), "\r\n") {
		if lines == "" {
			break
		}
		name, value, found := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		if !found || !sip.IsToken(name) || strings.ContainsAny(value, "\r\n\x00") {
			return nil, fmt.Errorf("%q is not a header line", line)
		}
		hs = append(hs, sip.Header{Name: name, Value: value})
	}
	return hs, nil
}
