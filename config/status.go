package config

import (
	"errors"
	"strconv"
	"strings"
)

// A StatusRule is a SIP status or class, "480" or "5xx", or its exclusion, "!401".
type StatusRule struct {
	Not         bool
	Low, High   int // inclusive
	description string
}

// UnmarshalText parses a rule. It accepts 3xx, 4xx and 5xx only: after a 2xx the message
// is delivered, and a 6xx is the decision of the user.
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

// Statuses is a set of statuses: those that a rule includes and no rule excludes.
type Statuses []StatusRule

// Matches reports whether status is in the set.
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
