package sip

import "strings"

// SplitList splits the comma-separated values of a header field such as Path.
func SplitList(s string) ([]string, error) {
	list, err := ParseList(s)
	if err != nil {
		return nil, err
	}
	if len(list) == 1 {
		return []string{strings.Trim(s, ", \t")}, nil // as it was written
	}
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return out, nil
}
