package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/renderer"
	"github.com/setpoint-net/setpoint/renderer/worker"
)

func newKinds() *cobra.Command {
	var eject, output string
	c := &cobra.Command{
		Use:   "kinds [NAME] [DIR]",
		Short: "list the kinds of documents, or show or copy out one",
		Long: `kinds lists what documents of the config repo in DIR (default: the current folder)
may be of: the built-in kinds and the repo's own, with their fields. With NAME it
shows one in full, with an example.

--eject NAME copies a built-in kind to DIR/kinds, to be edited there: from then on
the copy takes the place of the built-in kind. It overwrites nothing.`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("-o %s: text or json", output)
			}
			if c.Flags().Changed("eject") {
				if len(args) > 1 {
					return hint(errors.New("--eject takes one folder"), "setpoint kinds --eject NAME [DIR]")
				}
				return ejectKind(c, eject, dirOf(args))
			}
			return showKinds(c, args, output)
		},
	}
	c.Flags().StringVar(&eject, "eject", "", "copy this built-in kind to DIR/kinds")
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

// showKinds lists the kinds, or shows one. A lone argument is a kind where there
// is one of that name, else a folder.
func showKinds(c *cobra.Command, args []string, output string) error {
	name, dir := "", "."
	switch len(args) {
	case 1:
		if fi, err := os.Stat(args[0]); err == nil && fi.IsDir() {
			dir = args[0]
		} else {
			name = args[0]
		}
	case 2:
		name, dir = args[0], args[1]
	}
	list, err := kindsIn(c.Context(), dir)
	if err != nil {
		return err
	}
	w := c.OutOrStdout()
	if name == "" {
		if output == "json" {
			return printJSON(w, list)
		}
		return listKinds(w, list)
	}
	k, err := kindNamed(list, name)
	if err != nil {
		return err
	}
	if output == "json" {
		return printJSON(w, k)
	}
	return showKind(w, k)
}

// kindsIn are the kinds of a folder. Where its own have mistakes nobody can say
// which there are.
func kindsIn(ctx context.Context, dir string) ([]renderer.Kind, error) {
	tree, err := treeOf(dir, "")
	if err != nil {
		return nil, err
	}
	pool := &worker.Pool{}
	defer pool.Close()
	list, mistakes, err := (&renderer.Renderer{Evaluator: pool}).Kinds(ctx, tree)
	if err != nil {
		return nil, err
	}
	if len(mistakes) > 0 {
		m := mistakes[0]
		return nil, hint(fmt.Errorf("%s %s", place(m), text(m)), `run "setpoint validate %s"`, dir)
	}
	return list, nil
}

func kindNamed(list []renderer.Kind, name string) (renderer.Kind, error) {
	var names []string
	for _, k := range list {
		if k.Name == name {
			return k, nil
		}
		if strings.EqualFold(k.Name, name) {
			return k, hint(fmt.Errorf("no kind %q, and no folder", name), "did you mean %q?", k.Name)
		}
		names = append(names, k.Name)
	}
	return renderer.Kind{}, hint(fmt.Errorf("no kind %q, and no folder", name), "known: %s", strings.Join(names, ", "))
}

func listKinds(w io.Writer, list []renderer.Kind) error {
	t := newTerm(w)
	for i, k := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		first, _, _ := strings.Cut(k.Doc, "\n\n")
		fmt.Fprintf(w, "%s  %s\n", t.bold(k.Name), t.dim(origin(k)))
		if first != "" {
			fmt.Fprintf(w, "  %s\n", strings.ReplaceAll(first, "\n", "\n  "))
		}
		if err := fieldTable(w, k.Fields); err != nil {
			return err
		}
	}
	return nil
}

// origin is where a kind comes from.
func origin(k renderer.Kind) string {
	if k.Overrides {
		return k.File + ", instead of the built-in"
	}
	return k.File
}

func showKind(w io.Writer, k renderer.Kind) error {
	t := newTerm(w)
	fmt.Fprintf(w, "%s  %s\n", t.bold(k.Name), t.dim(origin(k)))
	if k.Doc != "" {
		fmt.Fprintf(w, "\n%s\n", k.Doc)
	}
	fmt.Fprintf(w, "\n%s\n", t.bold("spec"))
	if err := fieldTable(w, k.Fields); err != nil {
		return err
	}
	if len(k.Vars) > 0 {
		fmt.Fprintf(w, "\n%s\n", t.bold("vars of the device"))
		if err := fieldTable(w, k.Vars); err != nil {
			return err
		}
	}
	if k.Example != "" {
		fmt.Fprintf(w, "\n%s\n%s", t.bold("example"), k.Example)
	}
	return nil
}

func fieldTable(w io.Writer, fields []renderer.KindField) error {
	t := newTerm(w)
	if len(fields) == 0 {
		return nil
	}
	rows := [][]string{{"  FIELD", "TYPE", "DEFAULT", "WHAT"}}
	for _, f := range fields {
		value := f.Default
		switch {
		case value != "":
		case f.Required:
			value = "required"
		default:
			value = "-"
		}
		rows = append(rows, []string{"  " + f.Name, f.Type, value, f.Doc})
	}
	return columns(w, rows, func(row, _ int, cell string) string {
		if row == 0 {
			return t.dim(cell)
		}
		return cell
	})
}

// ejectKind writes a built-in kind's file below dir. It creates the file, or fails:
// nothing is ever overwritten.
func ejectKind(c *cobra.Command, name, dir string) error {
	list, err := kindsIn(c.Context(), dir)
	if err != nil {
		return err
	}
	k, err := kindNamed(list, name)
	if err != nil {
		return err
	}
	if !k.BuiltIn {
		return hint(fmt.Errorf("kind %s is the repo's own: it is in %s", name, k.File), "edit it there")
	}
	file := filepath.Join(dir, "kinds", strings.ToLower(name)+".cue")
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return hint(fmt.Errorf("%s is there already", file), "move it away, or copy what you need from: setpoint kinds --eject %s OTHERDIR", name)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(k.Source)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s: it takes the place of the built-in %s now\n", file, name)
	return err
}
