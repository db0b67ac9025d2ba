package imc

import (
	"slices"
	"testing"
	"time"
)

// TestSpeech checks who may speak.
func TestSpeech(t *testing.T) {
	now := time.Unix(1700000000, 0)
	before, after := now.Add(-time.Second), now.Add(time.Second)
	in := func(role Role) Member { return Member{Role: role} }
	for _, tc := range []struct {
		name          string
		moderated     bool
		user, account *Member
		want          silence
	}{
		{"a stranger", false, nil, nil, outside},
		{"an invited user", false, &Member{Role: Invited}, nil, outside},
		{"a former member", false, &Member{Role: Former, Muted: true}, nil, outside},
		{"a member", false, new(in(Plain)), nil, maySpeak},
		{"a banned user", false, new(in(Banned)), nil, banned},
		{"a user whose ban has not ended", false, &Member{Role: Banned, BannedUntil: after}, nil, banned},
		{"a user whose ban has ended", false, &Member{Role: Banned, BannedUntil: before}, nil, outside},
		{"a user whose ban ends now", false, &Member{Role: Banned, BannedUntil: now}, nil, outside},
		{"a muted member", false, &Member{Role: Plain, Muted: true}, nil, muted},
		{"a muted admin", false, &Member{Role: Admin, Muted: true}, nil, muted},
		{"an owner", false, &Member{Role: Owner, Muted: true}, nil, maySpeak},
		{"a member whose mute has not ended", false, &Member{Role: Plain, Muted: true, MutedUntil: after}, nil, muted},
		{"a member whose mute has ended", false, &Member{Role: Plain, Muted: true, MutedUntil: before}, nil, maySpeak},
		{"a member of a moderated room", true, new(in(Plain)), nil, voiceless},
		{"a member with voice", true, &Member{Role: Plain, Voiced: true}, nil, maySpeak},
		{"a muted member with voice", true, &Member{Role: Plain, Voiced: true, Muted: true}, nil, muted},
		{"a muted admin of a moderated room", true, &Member{Role: Admin, Muted: true}, nil, muted},
		{"an admin of a moderated room", true, new(in(Admin)), nil, maySpeak},
		{"the owner of a moderated room", true, new(in(Owner)), nil, maySpeak},
		{"an alias of a banned user", false, new(in(Plain)), new(in(Banned)), banned},
		{"an alias of a muted user", false, new(in(Plain)), &Member{Role: Former, Muted: true}, muted},
		{"an alias of a member", false, new(in(Plain)), new(in(Plain)), maySpeak},
		{"an alias that is muted", false, &Member{Role: Plain, Muted: true}, new(in(Plain)), muted},
	} {
		var m, a *member
		if tc.user != nil {
			m = &member{Member: *tc.user}
		}
		if tc.account != nil {
			a = &member{Member: *tc.account}
		}
		if got := speech(&Room{Moderated: tc.moderated}, m, a, now); got != tc.want {
			t.Errorf("%s: %d, want %d", tc.name, got, tc.want)
		}
	}
}

// TestTextsAreSpeech checks that each command that carries a text of the caller to others is
// marked as one.
func TestTextsAreSpeech(t *testing.T) {
	for _, c := range commands {
		carries := slices.ContainsFunc(c.params, func(p param) bool { return p == textParam || p == reasonParam })
		if carries && !c.speaks {
			t.Errorf("#%s carries a text and is not marked", c.name)
		}
	}
}
