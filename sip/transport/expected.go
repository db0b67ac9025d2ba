package transport

import "bytes"

// maxBranchSearch is the number of bytes of a response in which its branch is searched. Via is
// the first header field of nearly all responses.
const maxBranchSearch = 1024

// topBranch returns the branch of the topmost Via of a response that has not been parsed. It
// returns nil if that is not found, also where the parser would find it in an unusual spelling.
func topBranch(raw []byte) []byte {
	rest := raw[:min(len(raw), maxBranchSearch)]
	for {
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			return nil
		}
		rest = rest[end+1:]
		name, value, ok := bytes.Cut(rest, []byte{':'})
		if !ok {
			return nil
		}
		if name = bytes.TrimRight(name, " \t"); !isVia(name) {
			continue
		}
		return branchOf(value)
	}
}

func isVia(name []byte) bool {
	return len(name) == 1 && name[0]|0x20 == 'v' || len(name) == 3 && bytes.EqualFold(name, []byte("via"))
}

// branchOf returns the branch of the first Via in a value. A loop over the bytes takes half the
// time of a search for each separator.
func branchOf(value []byte) []byte {
	const param = "branch="
	for i, c := range value {
		switch c {
		case ',', '\r', '\n':
			return nil
		case ';':
			if rest := value[i+1:]; len(rest) > len(param) && bytes.EqualFold(rest[:len(param)], []byte(param)) {
				return untilSeparator(rest[len(param):])
			}
		}
	}
	return nil
}

// untilSeparator returns the start of b up to the end of a parameter's value. It returns nil if
// that is cut off.
func untilSeparator(b []byte) []byte {
	for i, c := range b {
		switch c {
		case ';', ',', ' ', '\t', '\r', '\n':
			return b[:i]
		}
	}
	return nil
}
