package plan

import "bytes"

// SameShape says whether two configs, as canonical JSON, have the same entries and
// the same leaves, so that they differ in values alone: then nothing is lost from one
// to the other, as Loss would say, and neither has to be parsed for that. Where it
// says no, it is not known.
//
// A shape is the text with every value left out, but for the keys of entries: YANG has
// them as the leaves that are members of the entry itself (RFC 7950 section 7.8.2).
func SameShape(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	return bytes.Equal(shape(a), shape(b))
}

// What the innermost value is that a scan is in.
const (
	inObject = '{'
	inArray  = '['
	inEntry  = 'e' // an object in an array
)

func shape(data []byte) []byte {
	out := make([]byte, 0, len(data))
	var in []byte
	for i := 0; i < len(data); {
		c, top := data[i], byte(0)
		if len(in) > 0 {
			top = in[len(in)-1]
		}
		switch c {
		case '{':
			if top == inArray {
				in = append(in, inEntry)
			} else {
				in = append(in, inObject)
			}
		case '[':
			in = append(in, inArray)
		case '}', ']':
			in = in[:max(0, len(in)-1)]
		case ',', ':':
		default:
			end := scalarEnd(data, i)
			if top == inEntry || end < len(data) && data[end] == ':' {
				out = append(out, data[i:end]...)
			} else {
				out = append(out, '.')
			}
			i = end
			continue
		}
		out = append(out, c)
		i++
	}
	return out
}

// scalarEnd is where the string, number or word ends that begins at i.
func scalarEnd(data []byte, i int) int {
	if data[i] != '"' {
		for i++; i < len(data); i++ {
			switch data[i] {
			case ',', ':', '{', '}', '[', ']', '"':
				return i
			}
		}
		return len(data)
	}
	for i++; i < len(data); i++ {
		n := bytes.IndexByte(data[i:], '"')
		if n < 0 {
			break
		}
		escaped := bytes.IndexByte(data[i:i+n], '\\')
		if escaped < 0 {
			return i + n + 1
		}
		i += escaped + 1 // on what is escaped
	}
	return len(data)
}
