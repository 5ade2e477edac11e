package gitwatch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// gitBlame is what git says, one commit for each line.
func gitBlame(u *upstream, commit, file string) []string {
	var out []string
	for line := range strings.Lines(u.raw("blame", "--porcelain", commit, "--", file)) {
		word, rest, _ := strings.Cut(line, " ")
		if len(word) == 40 && strings.Count(rest, " ") > 0 && !strings.HasPrefix(line, "\t") {
			out = append(out, word)
		}
	}
	return out
}

func commitsOf(t *testing.T, u *upstream, commit, file, content string) []string {
	t.Helper()
	lines, err := openRepo(t, u.dir).Blame(context.Background(), commit, file, []byte(content))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range lines {
		out = append(out, l.Commit)
	}
	return out
}

// The lines differ from each other, so that there is one answer.
func TestBlameAgreesWithGit(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	u := newUpstream(t)
	var lines []string
	text := func() string { return strings.Join(lines, "") }
	for i := range 60 {
		for range 1 + random.IntN(4) {
			at := random.IntN(len(lines) + 1)
			switch random.IntN(3) {
			case 0, 1:
				lines = slices.Insert(lines, at, fmt.Sprintf("line %d.%d: %d\n", i, at, random.Uint64()))
			default:
				if at < len(lines) {
					lines = slices.Delete(lines, at, at+1)
				}
			}
		}
		if len(lines) == 0 {
			lines = []string{"first\n"}
		}
		files := []blob{{"", "a/b/c.yaml", text()}}
		if i%3 == 1 {
			files = []blob{{"", "a/other.yaml", text()}} // its lines come with a later commit
		}
		u.push("main", files...)
	}
	u.push("main", blob{"", "a/b/c.yaml", text()})
	commit := u.push("main", blob{"", "a/other.yaml", "x"})
	want := gitBlame(u, commit, "a/b/c.yaml")
	if got := commitsOf(t, u, commit, "a/b/c.yaml", text()); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if len(want) < 10 {
		t.Errorf("only %d lines", len(want))
	}
}

func TestBlameGoesThroughMerges(t *testing.T) {
	u := newUpstream(t)
	base := u.push("main", blob{"", "f", "one\ntwo\nthree\nfour\nfive\n"})
	left := u.commit("left", base, blob{"", "f", "ONE\ntwo\nthree\nfour\nfive\n"})
	right := u.commit("right", base, blob{"", "f", "one\ntwo\nthree\nfour\nFIVE\n"})
	merged := "ONE\ntwo\nmerged\nfour\nFIVE\n"
	tree := u.at("rev-parse", u.commit("scratch", base, blob{"", "f", merged})+"^{tree}")
	merge := u.at("commit-tree", tree, "-p", left, "-p", right, "-m", "merge")
	want := []string{left, base, merge, base, right}
	if got := commitsOf(t, u, merge, "f", merged); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestBlameKnowsWhatIsNotCommitted(t *testing.T) {
	u := newUpstream(t)
	commit := u.push("main", blob{"", "f", "one\ntwo\n"})
	if got, want := commitsOf(t, u, commit, "f", "one\nnew\ntwo\n"), []string{commit, "", commit}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := commitsOf(t, u, commit, "absent", "one\n"), []string{""}; !slices.Equal(got, want) {
		t.Errorf("of a file that is not there: got %v, want %v", got, want)
	}
	if got := commitsOf(t, u, commit, "f", ""); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
	lines, err := openRepo(t, u.dir).Blame(context.Background(), commit, "f", []byte("one\n"))
	if err != nil || lines[0].Author != "t" || lines[0].Time.IsZero() {
		t.Errorf("%+v, %v", lines, err)
	}
}
