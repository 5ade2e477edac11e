package renderer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// The limits of a config repo. It is input from outside: whoever may push to it
// must not be able to exhaust the service.
const (
	maxFileBytes = 1 << 20   // one file
	maxTreeBytes = 256 << 20 // all files that are read
	maxFiles     = 100_000   // files that are read
)

const ignoreFile = ".setpointignore"

// source is one file of the tree.
type source struct {
	name string
	sum  string  // of its content
	data []byte  // nil when it is kept, and sound
	size int     // of data, in bytes
	ok   bool    // it is text
	kept *parsed // what is known of it from a tree before, nil for nothing
}

// sources is what a tree holds for the renderer.
type sources struct {
	yaml  []source // *.yaml, *.yml anywhere, by name
	kinds []source // kinds/*.cue, by name
	rules []source // policies/*.cue, by name

	folders  []string // all that were walked
	strayCUE []string // CUE files that lie elsewhere
}

// summed is a directory entry of a tree that knows its files' content without
// reading it, as git's does: files with the same sum have the same bytes.
type summed interface{ Sum() string }

// gather walks the tree in lexical order. An error is one of reading the tree;
// what the repository's authors can mend is a mistake. A file that is kept is not
// read, where the tree can tell.
func gather(ctx context.Context, tree fs.FS, kept *shelf[fileID, *parsed], l *ledger) (*sources, error) {
	ignore, err := readIgnore(tree, l)
	if err != nil {
		return nil, err
	}
	s := &sources{}
	total, count := 0, 0
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if name == "." {
			return nil
		}
		if strings.HasPrefix(path.Base(name), ".") || ignore.skips(name, d.IsDir()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			s.folders = append(s.folders, name)
			return nil
		}
		if path.Ext(name) == ".cue" && path.Dir(name) != "kinds" {
			s.strayCUE = append(s.strayCUE, name)
		}
		if d.Type()&fs.ModeSymlink != 0 {
			l.add(mistake{
				at: place{file: name}, code: codeSymlink, msg: "is a symbolic link: the config repo may hold none",
				hint: "put the file itself here, or list the link in " + ignoreFile,
			})
			return nil
		}
		into := s.place(name, l)
		if into == nil {
			return nil
		}
		if !d.Type().IsRegular() {
			l.at(place{file: name}, codeIrregular, "is not a regular file")
			return nil
		}
		if count++; count > maxFiles {
			l.at(place{file: name}, codeFiles, "is one file too many: a config repo may hold %d", maxFiles)
			return fs.SkipAll
		}
		src, err := take(tree, name, d, kept, l)
		if err != nil {
			return err
		}
		if total += src.size; total > maxTreeBytes {
			l.at(place{file: name}, codeFiles, "brings the config repo over %d MiB", maxTreeBytes>>20)
			return fs.SkipAll
		}
		if src.ok {
			*into = append(*into, src)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	byName := func(a, b source) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(s.yaml, byName)
	slices.SortFunc(s.kinds, byName)
	slices.SortFunc(s.rules, byName)
	return s, nil
}

// take is a file that is kept, or that is read now.
func take(tree fs.FS, name string, d fs.DirEntry, kept *shelf[fileID, *parsed], l *ledger) (source, error) {
	src := source{name: name}
	if known, ok := d.(summed); ok {
		src.sum = known.Sum()
	}
	if src.sum != "" {
		if p, ok := kept.get(fileID{name, src.sum}); ok {
			return p.again(), nil
		}
	}
	var err error
	if src.data, src.ok, err = readFile(tree, name, l); err != nil {
		return src, err
	}
	src.size = len(src.data)
	if src.sum == "" && src.ok {
		own := sha256.Sum256(src.data)
		src.sum = string(own[:])
		if p, ok := kept.get(fileID{name, src.sum}); ok {
			return p.again(), nil
		}
	}
	return src, nil
}

// again is the file as it is taken the next time.
func (p *parsed) again() source {
	src := p.source
	src.kept = p
	return src
}

// place says where a file belongs, nil when it is none of ours.
func (s *sources) place(name string, l *ledger) *[]source {
	switch dir, ext := path.Dir(name), path.Ext(name); {
	case ext == ".yaml" || ext == ".yml":
		return &s.yaml
	case ext == ".cue" && dir == "kinds":
		return &s.kinds
	case ext == ".cue" && strings.HasPrefix(name, "kinds/"):
		l.at(place{file: name}, codeKindFolder, "is in a subfolder: kinds are read from kinds/*.cue alone")
	case ext == ".cue" && dir == "policies":
		return &s.rules
	case ext == ".cue" && strings.HasPrefix(name, "policies/"):
		l.at(place{file: name}, codePolicyFolder, "is in a subfolder: policies are read from policies/*.cue alone")
	}
	return nil
}

func readFile(tree fs.FS, name string, l *ledger) (data []byte, ok bool, err error) {
	info, err := fs.Lstat(tree, name)
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", name, err)
	}
	if info.Size() > maxFileBytes {
		l.at(place{file: name}, codeSize, "is %d bytes: a file may have %d (1 MiB)", info.Size(), maxFileBytes)
		return nil, false, nil
	}
	data, err = fs.ReadFile(tree, name)
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxFileBytes { // a file system may be wrong about sizes
		l.at(place{file: name}, codeSize, "is %d bytes: a file may have %d (1 MiB)", len(data), maxFileBytes)
		return nil, false, nil
	}
	return data, isText(name, data, l), nil
}

// byteOrderMarks of UTF-8 and UTF-16. The first is allowed in YAML and stands in the
// way everywhere else: of a diff, a shebang, a file laid behind another.
var byteOrderMarks = []struct{ mark, name string }{
	{"\xef\xbb\xbf", "UTF-8 with"},
	{"\xff\xfe", "UTF-16 with"},
	{"\xfe\xff", "UTF-16 with"},
}

// isText refuses bytes that are not UTF-8 text, at their place.
func isText(name string, data []byte, l *ledger) bool {
	if !slices.ContainsFunc(data, func(b byte) bool { return b < ' ' && b != '\t' && b != '\n' && b != '\r' || b >= 0x7f }) {
		return true
	}
	for _, b := range byteOrderMarks {
		if bytes.HasPrefix(data, []byte(b.mark)) {
			l.add(mistake{at: place{name, 1, 1}, code: codeBOM, msg: "is " + b.name + " a byte order mark", hint: "save it as UTF-8 without"})
			return false
		}
	}
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		at := place{name, line, column}
		switch {
		case r == utf8.RuneError && n == 1:
			l.at(at, codeEncoding, "byte 0x%02x is not UTF-8", data[i])
			return false
		case unseen(r) != "":
			l.at(at, codeControl, "%s U+%04X", unseen(r), r)
			return false
		}
		i += n
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return true
}

// isControl tells the characters that no YANG string holds (RFC 7950 section 14),
// however they are written.
func isControl(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' }

// unseen says what a character is that has no place in a file as it stands, "" for
// all others: nobody sees it, or it makes text look like another. Escapes show.
func unseen(r rune) string {
	switch {
	case isControl(r), r >= 0x7f && r < 0xa0 && r != 0x85:
		return "control character"
	case r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
		return "direction override" // Unicode TR 36: what is shown is not what is read
	case r == 0xfeff, r == 0x200b, r == 0x2060:
		return "invisible character"
	case r >= 0xfdd0 && r <= 0xfdef, r&0xfffe == 0xfffe:
		return "noncharacter"
	}
	return ""
}

// ignores are the patterns of .setpointignore at the root, after gitignore(5):
// the last that matches decides, "!" takes back, a leading or inner slash binds
// the pattern to the root, a trailing one to folders, "**" spans folders. A file
// inside a skipped folder can't be taken back.
type ignores []ignore

type ignore struct {
	parts      []string // the pattern between slashes
	back       bool     // "!"
	folderOnly bool
}

func readIgnore(tree fs.FS, l *ledger) (ignores, error) {
	info, err := fs.Lstat(tree, ignoreFile)
	if err != nil || !info.Mode().IsRegular() {
		return nil, nil // absent: nothing is skipped
	}
	data, ok, err := readFile(tree, ignoreFile, l)
	if err != nil || !ok {
		return nil, err
	}
	return parseIgnore(string(data), l), nil
}

func parseIgnore(text string, l *ledger) ignores {
	var out ignores
	number := 0
	for raw := range strings.Lines(text) {
		number++
		line := strings.TrimRight(raw, " \t\r\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var g ignore
		line, g.back = strings.CutPrefix(line, "!")
		line, g.folderOnly = strings.CutSuffix(line, "/")
		rooted := strings.Contains(line, "/")
		g.parts = strings.Split(strings.TrimPrefix(line, "/"), "/")
		if !rooted {
			g.parts = append([]string{"**"}, g.parts...)
		}
		if strings.Count(line, "**") > 3 || slices.ContainsFunc(g.parts, func(p string) bool { _, err := path.Match(p, ""); return err != nil || p == "" }) {
			l.at(place{ignoreFile, number, 1}, codeIgnore, "%q is no pattern", line)
			continue
		}
		out = append(out, g)
	}
	return out
}

func (g ignores) skips(name string, folder bool) bool {
	parts := strings.Split(name, "/")
	for _, p := range slices.Backward(g) {
		if (folder || !p.folderOnly) && matchParts(p.parts, parts) {
			return !p.back
		}
	}
	return false
}

// matchParts matches a pattern against a name, both cut at slashes.
func matchParts(pattern, name []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			if len(pattern) == 1 {
				return true
			}
			for i := range name {
				if matchParts(pattern[1:], name[i:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 {
			return false
		}
		if ok, err := path.Match(pattern[0], name[0]); err != nil || !ok {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0
}
