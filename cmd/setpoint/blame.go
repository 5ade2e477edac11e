package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/gitwatch"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/renderer"
	"github.com/setpoint-net/setpoint/renderer/worker"
)

func newBlame() *cobra.Command {
	var rev, output string
	c := &cobra.Command{
		Use:   "blame [DIR] DEVICE [PATH]",
		Short: "say where each leaf of a device's config comes from",
		Long: `blame prints the leaves of a device's intended config at and below PATH (default:
all), and for each the document that sets it with file and line, the line of the
kind that made it, and from git the commit, author and date of the document's line.

  setpoint blame leaf01 /interfaces/interface[name=Ethernet1]
  setpoint blame net leaf01 /system -o json

A line that was changed since the last commit has no commit yet. In a folder that is
no git repository, files and lines are all there is.

It exits with 0, or 2 when it could not tell.`,
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("-o %s: text or json", output)
			}
			dir, rest := splitDir(args)
			if len(rest) == 0 || len(rest) > 2 {
				return hint(errors.New("blame takes a device, and a path if you like"), "setpoint blame leaf01 /interfaces")
			}
			var under tree.Path
			if len(rest) == 2 {
				var err error
				if under, err = tree.ParsePath(rest[1]); err != nil {
					return err
				}
			}
			leaves, err := blame(c.Context(), c.ErrOrStderr(), dir, rev, models.DeviceName(rest[0]), under)
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(c.OutOrStdout(), leaves)
			}
			return writeBlame(c.OutOrStdout(), leaves)
		},
	}
	c.Flags().StringVar(&rev, "rev", "", "look at this git revision instead of the files on disk")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// blamed is one leaf with where it comes from, as -o json has it.
type blamed struct {
	Path     string     `json:"path"`
	Value    string     `json:"value,omitempty"`
	Secret   bool       `json:"secret,omitempty"` // Value is left out
	Document string     `json:"document"`
	File     string     `json:"file"`
	Line     int        `json:"line"`
	Kind     string     `json:"kind,omitempty"`
	KindFile string     `json:"kindFile,omitempty"`
	KindLine int        `json:"kindLine,omitempty"`
	Commit   string     `json:"commit,omitempty"`
	Author   string     `json:"author,omitempty"`
	Date     *time.Time `json:"date,omitempty"`
	Changed  bool       `json:"uncommitted,omitempty"` // the line is not in the last commit
}

func blame(ctx context.Context, errOut io.Writer, dir, rev string, device models.DeviceName, under tree.Path) ([]blamed, error) {
	files, err := treeOf(dir, rev)
	if err != nil {
		return nil, err
	}
	pool := &worker.Pool{}
	defer pool.Close()
	origins, mistakes, err := (&renderer.Renderer{Evaluator: pool}).Blame(ctx, files, device, under)
	if err != nil {
		return nil, err
	}
	if len(mistakes) > 0 {
		writeMistakes(errOut, mistakes)
		return nil, fmt.Errorf("the config repo has mistakes, so nobody can say what %s gets", device)
	}
	h, err := openHistory(dir, rev)
	if err != nil {
		fmt.Fprintf(errOut, "%s commits and authors are not known: %v\n", newTerm(errOut).dim("note:"), err)
	}
	leaves := make([]blamed, 0, len(origins))
	for _, o := range origins {
		l := blamed{
			Path: o.Path, Value: o.Value, Secret: o.Secret, Document: o.Document, File: o.Source.File, Line: o.Source.Line,
			Kind: o.Kind, KindFile: o.KindAt.File, KindLine: o.KindAt.Line,
		}
		if h != nil {
			if err := h.tell(ctx, files, &l); err != nil {
				return nil, err
			}
		}
		leaves = append(leaves, l)
	}
	return leaves, nil
}

// history is a config repo's git history, as of a commit.
type history struct {
	repo   *gitwatch.Repo
	commit string
	prefix string // of the config repo's folder in the git repository
	known  map[string][]gitwatch.Line
}

func openHistory(dir, rev string) (*history, error) {
	repo, err := gitwatch.OpenRepo(dir)
	if err != nil {
		return nil, err
	}
	h := &history{repo: repo, known: make(map[string][]gitwatch.Line)}
	if rev == "" {
		rev = "HEAD"
		h.prefix = folderInGit(dir)
	}
	if h.commit, err = repo.Resolve(rev); err != nil {
		return nil, err
	}
	return h, nil
}

// folderInGit is where a folder is in the work tree that it belongs to.
func folderInGit(dir string) string {
	full, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(full); err == nil {
		full = real
	}
	for top := full; ; top = filepath.Dir(top) {
		if _, err := os.Stat(filepath.Join(top, ".git")); err == nil {
			rel, _ := filepath.Rel(top, full)
			return filepath.ToSlash(rel)
		}
		if filepath.Dir(top) == top {
			return ""
		}
	}
}

// tell adds the commit of a leaf's line.
func (h *history) tell(ctx context.Context, files fs.FS, l *blamed) error {
	lines, ok := h.known[l.File]
	if !ok {
		data, err := fs.ReadFile(files, l.File)
		if err != nil {
			return err
		}
		if lines, err = h.repo.Blame(ctx, h.commit, path.Join(h.prefix, l.File), data); err != nil {
			return err
		}
		h.known[l.File] = lines
	}
	if l.Line < 1 || l.Line > len(lines) {
		return nil
	}
	switch line := lines[l.Line-1]; line.Commit {
	case "":
		l.Changed = true
	default:
		l.Commit, l.Author, l.Date = line.Commit, line.Author, &line.Time
	}
	return nil
}

// writeBlame writes the leaves under the line that they come from.
func writeBlame(w io.Writer, leaves []blamed) error {
	t := newTerm(w)
	var b strings.Builder
	head := ""
	for _, l := range leaves {
		if h := l.heading(t); h != head {
			head = h
			b.WriteString(h + "\n")
		}
		value := l.Value
		if l.Secret {
			value = "(secret)"
		}
		fmt.Fprintf(&b, "  %s = %s", l.Path, value)
		if l.KindFile != "" {
			b.WriteString(t.dim(fmt.Sprintf("  %s:%d", l.KindFile, l.KindLine)))
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// heading is the line that a leaf comes from, with its document and its commit.
func (l *blamed) heading(t term) string {
	h := t.bold(fmt.Sprintf("%s:%d", l.File, l.Line)) + "  " + l.Document
	switch {
	case l.Changed:
		h += "  " + t.yellow("not committed yet")
	case l.Commit != "":
		h += "  " + t.yellow(l.Commit[:7]) + " " + l.Date.Format(time.DateOnly) + " " + l.Author
	}
	return h
}
