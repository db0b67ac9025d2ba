package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Rate limits how often something may happen: N times at once, and on average N times
// in each Per. The zero Rate means no limit.
type Rate struct {
	N   int
	Per time.Duration
}

// UnmarshalText parses "20/10m", or "0" for no limit.
func (r *Rate) UnmarshalText(b []byte) error {
	if string(b) == "0" {
		*r = Rate{}
		return nil
	}
	number, per, ok := strings.Cut(string(b), "/")
	if !ok {
		return errors.New("the / between number and time is missing")
	}
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 31)
	if err != nil || n == 0 {
		return fmt.Errorf("%q is not a number above 0", number)
	}
	d, err := ParseDuration(strings.TrimSpace(per))
	if err != nil {
		return err
	}
	if d < time.Millisecond {
		return fmt.Errorf("%q is too short", per)
	}
	*r = Rate{int(n), d}
	return nil
}

func (r *Rate) text() string {
	if r.N == 0 {
		return "0"
	}
	return strconv.Itoa(r.N) + "/" + formatDuration(r.Per)
}

func (r *Rate) expects() string { return `a rate such as "60/1m", or "0" for no limit` }
