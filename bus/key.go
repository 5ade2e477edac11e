package bus

import (
	"fmt"
	"strings"
)

// maxToken bounds an escaped name in bytes: a server ends the connection on a
// protocol line of over 4096.
const maxToken = 1024

const hexDigits = "0123456789ABCDEF"

// escape turns any text into one subject token that is also a valid KV key and
// consumer name: letters, digits, '-' and '_' stand for themselves, any other
// byte is "=XX" in hexadecimal, and the empty text is "=".
func escape(s string) string {
	if s == "" {
		return "="
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'=', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}

// unescape is the inverse of escape, and refuses every text that escape does not
// make.
func unescape(s string) (string, error) {
	if s == "=" {
		return "", nil
	}
	if s == "" {
		return "", fmt.Errorf("token %q: empty", s)
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if plain(c) {
			b.WriteByte(c)
			continue
		}
		if c != '=' || i+2 >= len(s) {
			return "", fmt.Errorf("token %q: bad byte at %d", s, i)
		}
		hi, lo := strings.IndexByte(hexDigits, s[i+1]), strings.IndexByte(hexDigits, s[i+2])
		if hi < 0 || lo < 0 || plain(byte(hi<<4|lo)) {
			return "", fmt.Errorf("token %q: bad escape at %d", s, i)
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	return b.String(), nil
}

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// token is escape with the bound checked.
func token(s string) (string, error) {
	t := escape(s)
	if len(t) > maxToken {
		return "", fmt.Errorf("name %.40q… is too long: %d bytes escaped, at most %d", s, len(t), maxToken)
	}
	return t, nil
}
