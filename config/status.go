package config

import (
	"errors"
	"strconv"
	"strings"
)

// StatusRule is one SIP status or class, "480" or "5xx", or its exclusion, "!401".
type StatusRule struct {
	Not         bool
	Low, High   int // both ends belong to it
	description string
}

// UnmarshalText reads a rule. Only a failure that leaves the message undelivered
// can be a reason to store: not a 2xx, nor a 6xx, which is the user's own refusal.
func (r *StatusRule) UnmarshalText(b []byte) error {
	s, not := strings.CutPrefix(string(b), "!")
	var low, high int
	if class, ok := strings.CutSuffix(strings.ToLower(s), "xx"); ok {
		n, err := strconv.Atoi(class)
		if err != nil || len(class) != 1 {
			return errors.New("a class has one digit: 4xx")
		}
		low, high = n*100, n*100+99
	} else {
		n, err := strconv.Atoi(s)
		if err != nil || len(s) != 3 {
			return errors.New("a status has three digits")
		}
		low, high = n, n
	}
	if low < 300 || high > 599 {
		return errors.New("only 3xx, 4xx and 5xx leave a message undelivered")
	}
	*r = StatusRule{not, low, high, string(b)}
	return nil
}

func (r *StatusRule) text() string { return r.description }

func (r *StatusRule) expects() string { return `a SIP status such as "480", "5xx" or "!401"` }

// Statuses says of which statuses something is true: of those that a rule names
// and none excludes.
type Statuses []StatusRule

// Matches tells whether status is one of them.
func (s Statuses) Matches(status int) bool {
	found := false
	for _, r := range s {
		if status >= r.Low && status <= r.High {
			if r.Not {
				return false
			}
			found = true
		}
	}
	return found
}
