package notify

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDescription is what GitHub takes for a status' description, in characters.
const maxDescription = 140

// clip puts s on one line of at most limit characters. What is cut ends at a word,
// where there is one to end at, and in an ellipsis.
func clip(s string, limit int) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "�"), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	if utf8.RuneCountInString(s) <= limit {
		return s
	}
	if limit <= 0 {
		return ""
	}
	r := []rune(s)[:limit]
	cut := limit - 1 // room for the ellipsis
	for i := cut; i > limit/2; i-- {
		if r[i] == ' ' {
			cut = i
			break
		}
	}
	return strings.TrimRight(string(r[:cut]), " ,;:") + "…"
}
