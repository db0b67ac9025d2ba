package config

import "iter"

// nearest returns the candidate that is most similar to a mistyped word, "" if more than
// a third of the bytes of each candidate would have to change.
func nearest(word string, candidates iter.Seq[string]) string {
	best, least := "", 1000
	for c := range candidates {
		if n := distance(word, c); n < least && n <= max(1, len(c)/3) {
			best, least = c, n
		}
	}
	return best
}

// distance returns the Levenshtein distance of a and b in bytes. For words that are far
// longer than any key it returns the length of the longer one.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
