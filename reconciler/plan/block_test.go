package plan

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/setpoint-net/setpoint/models/tree"
)

func TestWidthIsInColumnsOfATerminal(t *testing.T) {
	for s, want := range map[string]int{
		"": 0, "abc": 3, "é": 1, "e\u0301": 1, "日本": 4, "한글": 4, "🚀": 2, "→": 1, "−": 1, "Ω я": 3, "ｆ": 2,
	} {
		if got := width(s); got != want {
			t.Errorf("%q: got %d, want %d", s, got, want)
		}
	}
}

func TestWrapKeepsEveryWordWithinItsColumns(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		var b strings.Builder
		for range rng.IntN(60) {
			b.WriteString([]string{"a", "bc", "日", "🚀", " ", "/", ",", "e\u0301"}[rng.IntN(8)])
		}
		columns := 8 + rng.IntN(20)
		lines := wrap(b.String(), columns)
		for _, l := range lines {
			if width(l) > columns {
				t.Fatalf("%q in %d columns: %q", b.String(), columns, lines)
			}
		}
		if got, want := strings.ReplaceAll(strings.Join(lines, ""), " ", ""), strings.ReplaceAll(b.String(), " ", ""); got != want {
			t.Fatalf("%q became %q", b.String(), lines)
		}
	}
}

// Without what is new the lines are the old text, without what is gone the new.
func TestBothSidesOfABlockAreWhole(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		some := func() []string {
			var out []string
			for range rng.IntN(12) {
				out = append(out, fmt.Sprintf("  %d", rng.IntN(5)))
			}
			return out
		}
		was, is := some(), some()
		var old, now []string
		for _, l := range compared(was, is) {
			if l.sign != '+' {
				old = append(old, l.text)
			}
			if l.sign != '-' {
				now = append(now, l.text)
			}
		}
		if !slices.Equal(old, was) || !slices.Equal(now, is) {
			t.Fatalf("%q and %q became %q and %q", was, is, old, now)
		}
	}
}

func TestATextTooLongToCompareIsShownWhole(t *testing.T) {
	long := strings.Repeat(`x\n`, markTo)
	banner := func(s string) string { return `{"system":{"config":{"motd-banner":"` + s + `"}}}` }
	got := text(t, Diff(mustParse(t, banner(long)), mustParse(t, banner(long+"y"))), Options{Form: Unified})
	if gone, come := strings.Count(got, "\n-  x"), strings.Count(got, "\n+  x"); gone != markTo || come != markTo {
		t.Errorf("%d lines go and %d come", gone, come)
	}
}

func TestASecretOfSeveralLinesIsNotShown(t *testing.T) {
	user := func(password string) string {
		return `{"system":{"aaa":{"authentication":{"admin-user":{"config":{"admin-password":"` + password + `"}}}}}}`
	}
	for _, running := range []string{"{}", user(`one\ntwo`), user("three")} {
		for _, intended := range []string{"{}", user(`one\nfour\n`)} {
			p := Diff(mustParse(t, running), mustParse(t, intended))
			for _, form := range Forms() {
				if got := text(t, p, Options{Form: form}); strings.Contains(got, "one") || strings.Contains(got, "two") || strings.Contains(got, "four") {
					t.Errorf("%s: %s", form, got)
				}
			}
		}
	}
}

// Nothing that a device shows, in a value or a key, reaches a terminal as anything
// but text, in any form, and no line of it passes for one of the form's own.
func FuzzForms(f *testing.F) {
	for _, s := range []string{"", "a", "\x1b[31mred", "a\nb\n", "a\r\nb", "\u202e", "\u009b31m", "```\n|`", "+x\n-y\n@@ z @@", "\x00", "]\\/", "\u2028", "\ufeff\n", "日\n🚀", "\n\n0"} {
		f.Add(s, "other\n"+s)
	}
	f.Fuzz(func(t *testing.T, was, is string) {
		config := func(s string) *tree.Tree {
			name, err := json.Marshal("e" + s)
			if err != nil {
				t.Fatal(err)
			}
			value, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			out, _, err := tree.ParseLenient(tree.OpenConfig(), fmt.Appendf(nil,
				`{"interfaces":{"interface":[{"name":%s,"config":{"name":%[1]s}}]},"system":{"config":{"motd-banner":%s}}}`, name, value))
			if err != nil {
				t.Skipf("no configuration, so no plan to write: %v", err)
			}
			return out
		}
		p := Diff(config(was), config(is))
		for _, form := range Forms() {
			got := text(t, p, Options{Form: form, Title: "leaf01"})
			if !utf8.ValidString(got) {
				t.Errorf("%s is not UTF-8: %q", form, got)
			}
			for _, r := range got {
				if r != '\n' && !unicode.IsPrint(r) {
					t.Errorf("%s: %q in %q", form, r, got)
				}
			}
			if form == Unified && p.Empty() == strings.Contains(got, "\n@@ /") {
				t.Errorf("%s: %q", form, got)
			}
		}
		for line := range strings.Lines(text(t, p, Options{Form: Unified})) {
			if own := "+-@ "; !strings.ContainsRune(own, rune(line[0])) || strings.HasPrefix(line, "@") && !strings.HasPrefix(line, "@@ /") {
				t.Errorf("a line of its own: %q", line)
			}
		}
		for _, line := range []string{Brief(p, 120), Found(p, 120)} {
			if strings.ContainsFunc(line, notPrintable) {
				t.Errorf("not one line: %q", line)
			}
		}
	})
}
