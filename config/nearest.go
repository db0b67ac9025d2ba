package config

import "iter"

// nearest is the candidate that a mistyped word most likely stands for; "" where
// none is near: more than a third of its letters would have to change.
func nearest(word string, candidates iter.Seq[string]) string {
	best, least := "", 1000
	for c := range candidates {
		if n := distance(word, c); n < least && n <= max(1, len(c)/3) {
			best, least = c, n
		}
	}
	return best
}

// distance counts the bytes to change, insert or leave out to make b of a
// (Levenshtein). Words far longer than any key are not worth the counting.
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
