package tree

import (
	"fmt"
	"strings"
)

// Near names the candidate that a person may have meant by word, or "". Case does
// not count, and about a third of the letters may be wrong.
func Near(word string, candidates []string) string {
	best, distance := "", 1+len(word)/3
	if len(word) > 64 {
		return ""
	}
	for _, c := range candidates {
		if len(c) > len(word)+distance || len(word) > len(c)+distance {
			continue
		}
		d := edits(strings.ToLower(word), strings.ToLower(c))
		if d < distance || d == distance && best == "" || d == distance && c < best {
			best, distance = c, d
		}
	}
	return best
}

// didYouMean is the end of a sentence about an unknown word, or "".
func didYouMean(word string, candidates []string) string {
	if n := Near(word, candidates); n != "" {
		return fmt.Sprintf(" (did you mean %q?)", n)
	}
	return ""
}

// edits is the Damerau-Levenshtein distance (optimal string alignment): two
// letters swapped count as one slip, as they do for fingers.
func edits(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
