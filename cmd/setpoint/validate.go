package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/gitwatch"
	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/renderer"
	"github.com/setpoint-net/setpoint/renderer/worker"
)

func newValidate() *cobra.Command {
	var rev, output string
	c := &cobra.Command{
		Use:   "validate [DIR]",
		Short: "check a config repo and report every mistake",
		Long: `validate renders the config repo in DIR (default: the current folder) as it lies
on disk, or at a git revision, and reports every mistake at its line.

It contacts nothing. It exits with 0 when clean, also with warnings of policies, 1
with mistakes, 2 when it could not run.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("-o %s: text or json", output)
			}
			res, err := renderFrom(c.Context(), dirOf(args), rev)
			if err != nil {
				return err
			}
			return writeVerdict(c.OutOrStdout(), res, output)
		},
	}
	c.Flags().StringVar(&rev, "rev", "", "check this git revision instead of the files on disk")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

func dirOf(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}

// treeOf gives the files of dir as they lie on disk, or at rev from git.
func treeOf(dir, rev string) (fs.FS, error) {
	if rev == "" {
		fi, err := os.Stat(dir)
		if err != nil {
			return nil, fmt.Errorf("config repo: %w", err)
		}
		if !fi.IsDir() {
			return nil, fmt.Errorf("config repo: %s is a file; name its folder", dir)
		}
		return os.DirFS(dir), nil
	}
	repo, err := gitwatch.OpenRepo(dir)
	if err != nil {
		return nil, err
	}
	commit, err := repo.Resolve(rev)
	if err != nil {
		return nil, err
	}
	return repo.Tree(commit)
}

func renderFrom(ctx context.Context, dir, rev string) (*renderer.Result, error) {
	tree, err := treeOf(dir, rev)
	if err != nil {
		return nil, err
	}
	return renderTree(ctx, tree)
}

// renderWith renders with a renderer that has rendered before, or will again.
func renderWith(ctx context.Context, r *renderer.Renderer, dir, rev string) (*renderer.Result, error) {
	tree, err := treeOf(dir, rev)
	if err != nil {
		return nil, err
	}
	return r.Render(ctx, tree)
}

// renderTree renders with processes that kinds are evaluated in.
func renderTree(ctx context.Context, tree fs.FS) (*renderer.Result, error) {
	pool := &worker.Pool{}
	defer pool.Close()
	return (&renderer.Renderer{Evaluator: pool}).Render(ctx, tree)
}

// writeVerdict says what validate found; errNo when that is a mistake.
func writeVerdict(w io.Writer, res *renderer.Result, output string) error {
	if output == "json" {
		v := struct {
			Devices  int              `json:"devices"`
			Files    int              `json:"files"`
			Mistakes []models.Mistake `json:"mistakes"`
			Warnings []models.Mistake `json:"warnings,omitempty"`
			Notes    []models.Mistake `json:"notes,omitempty"`
		}{len(res.Devices), res.Files, append([]models.Mistake{}, res.Mistakes...), res.Warnings, res.Notes}
		if err := printJSON(w, v); err != nil {
			return err
		}
	} else {
		writeNotes(w, res.Notes)
		writeWarnings(w, res.Warnings)
		writeMistakes(w, res.Mistakes)
	}
	switch {
	case len(res.Mistakes) > 0:
		return errNo
	case output == "json":
		return nil
	}
	warned := ""
	if n := len(res.Warnings); n > 0 {
		warned = ", " + count(n, "warning")
	}
	_, err := fmt.Fprintf(w, "%s: %s, %s, no mistakes%s\n", newTerm(w).green("ok"), count(len(res.Devices), "device"), count(res.Files, "file"), warned)
	return err
}

// writeNotes says what is read and not acted upon.
func writeNotes(w io.Writer, notes []models.Mistake) {
	t := newTerm(w)
	for _, n := range notes {
		fmt.Fprintf(w, "%s %s %s\n", t.bold(place(n)), t.yellow("note:"), n.Message)
	}
}

// writeWarnings says what policies warn of.
func writeWarnings(w io.Writer, ms []models.Mistake) {
	t := newTerm(w)
	for _, m := range ms {
		fmt.Fprintf(w, "%s %s %s %s\n", t.bold(place(m)), t.yellow("warning:"), text(m), t.dim("["+string(m.Code)+"]"))
		if m.Hint != "" {
			fmt.Fprintf(w, "  %s %s\n", t.dim("hint:"), m.Hint)
		}
	}
}

// writeMistakes writes each mistake at its place, with what to do about it, and
// how many there are.
func writeMistakes(w io.Writer, ms []models.Mistake) {
	if len(ms) == 0 {
		return
	}
	t := newTerm(w)
	files := map[string]bool{}
	for _, m := range ms {
		files[m.File] = true
		fmt.Fprintf(w, "%s %s %s\n", t.bold(place(m)), text(m), t.dim("["+string(m.Code)+"]"))
		if m.Hint != "" {
			fmt.Fprintf(w, "  %s %s\n", t.dim("hint:"), m.Hint)
		}
	}
	fmt.Fprintf(w, "%s in %s\n", t.red(count(len(ms), "mistake")), count(len(files), "file"))
}

// place is "file:line:column:", as editors and terminals make it a link.
func place(m models.Mistake) string {
	switch {
	case m.Line == 0:
		return m.File + ":"
	case m.Column == 0:
		return fmt.Sprintf("%s:%d:", m.File, m.Line)
	}
	return fmt.Sprintf("%s:%d:%d:", m.File, m.Line, m.Column)
}

// text is the message behind the path that it speaks of. A message that begins
// with the path's leaf, for places that show no path, says it once here.
func text(m models.Mistake) string {
	if m.Path == "" {
		return m.Message
	}
	leaf := m.Path[strings.LastIndexByte(m.Path, '/')+1:]
	return m.Path + ": " + strings.TrimPrefix(m.Message, leaf+": ")
}

// count is "1 device", "2 devices".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
