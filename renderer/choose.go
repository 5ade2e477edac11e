package renderer

// Selector picks devices by label for a command's -l flag, with the grammar of
// the config repo's selectors (see the type selector). The zero Selector matches
// every device.
type Selector struct {
	requirements selector
}

// ParseSelector reads a selector; its error says what is wrong with the text.
func ParseSelector(s string) (Selector, error) {
	r, err := parseSelector(s)
	return Selector{r}, err
}

// Matches says whether a device with these labels is picked.
func (s Selector) Matches(labels map[string]string) bool {
	return s.requirements.matches(labels)
}
