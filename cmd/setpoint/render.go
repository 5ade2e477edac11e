package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/renderer"
	"github.com/setpoint-net/setpoint/renderer/worker"
)

func newRender() *cobra.Command {
	var rev, selector, out, output string
	var explain bool
	c := &cobra.Command{
		Use:   "render [DIR] [DEVICE...]",
		Short: "print or write the intended config of devices",
		Long: `render prints the intended config of each device, RFC 7951 JSON, or writes it to
FOLDER/<device>.json. The folder is made if need be; other files in it stay.

With --explain it prints what was overridden by what instead: each leaf that
documents set to different values, the value that stands first. With -o json that
is an object of the devices, for programs.

It exits with 0 when it rendered, also with warnings of policies, which go to
stderr, 1 with mistakes, 2 when it could not run.`,
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case output != "text" && output != "json":
				return fmt.Errorf("-o %s: text or json", output)
			case !explain && output == "text" && c.Flags().Changed("output"):
				return errors.New("-o text: a config is printed as JSON; text is a form of --explain")
			}
			dir, names := splitDir(args)
			tree, err := treeOf(dir, rev)
			if err != nil {
				return err
			}
			pool := &worker.Pool{}
			defer pool.Close()
			r := &renderer.Renderer{Evaluator: pool}
			res, err := r.Render(c.Context(), tree)
			if err != nil {
				return err
			}
			if len(res.Mistakes) > 0 {
				writeMistakes(c.ErrOrStderr(), res.Mistakes)
				return errNo
			}
			writeWarnings(c.ErrOrStderr(), res.Warnings)
			devices, err := choose(res.Devices, names, selector)
			if err != nil {
				return err
			}
			if explain {
				return writeExplained(c, r, tree, devices, output)
			}
			if out != "" {
				return writeFolder(out, devices)
			}
			return writeRendered(c.OutOrStdout(), devices)
		},
	}
	c.Flags().StringVar(&rev, "rev", "", "render this git revision instead of the files on disk")
	c.Flags().StringVarP(&selector, "selector", "l", "", "only devices with these labels: role=leaf,site in (lon1,lon2)")
	c.Flags().StringVar(&out, "out", "", "write FOLDER/<device>.json instead of printing")
	c.Flags().BoolVar(&explain, "explain", false, "print what was overridden by what instead")
	c.Flags().StringVarP(&output, "output", "o", "text", "with --explain: text or json")
	c.MarkFlagsMutuallyExclusive("explain", "out")
	return c
}

// writeExplained prints each device's leaves that documents don't agree on.
func writeExplained(c *cobra.Command, r *renderer.Renderer, tree fs.FS, devices []renderer.Device, output string) error {
	var names []models.DeviceName
	for _, d := range devices {
		names = append(names, d.Name)
	}
	all, _, err := r.Explain(c.Context(), tree, names...)
	if err != nil {
		return err
	}
	for name, leaves := range all {
		all[name] = slices.DeleteFunc(leaves, func(e renderer.Explained) bool { return !e.Overridden })
	}
	w := c.OutOrStdout()
	if output == "json" {
		return printJSON(w, all)
	}
	t := newTerm(w)
	for _, name := range names {
		leaves := all[name]
		if len(leaves) == 0 {
			fmt.Fprintf(w, "%s: no document overrides another\n", name)
			continue
		}
		fmt.Fprintf(w, "%s: %s overridden\n", name, count(len(leaves), "value"))
		for _, e := range leaves {
			fmt.Fprintf(w, "  %s\n", t.bold(e.Path))
			rows := make([][]string, 0, len(e.Says))
			for _, s := range e.Says {
				rows = append(rows, []string{"    " + valueOf(e, s), said(s), fmt.Sprintf("%s:%d:%d", s.File, s.Line, s.Column)})
			}
			if err := columns(w, rows, func(row, _ int, cell string) string {
				if row > 0 {
					return t.dim(cell)
				}
				return cell
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// valueOf is what one document says of a leaf, as far as a line shows it.
func valueOf(e renderer.Explained, s renderer.Say) string {
	const most = 64
	if e.Secret {
		return "(secret)"
	}
	if r := []rune(s.Value); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s.Value
}

// said is who says it, and at which level.
func said(s renderer.Say) string {
	if strings.HasPrefix(s.Document, "Group ") {
		return fmt.Sprintf("%s, priority %d", s.Document, s.Priority)
	}
	return s.Document
}

// splitDir takes a leading folder off the arguments; without one it is the
// current folder.
func splitDir(args []string) (dir string, rest []string) {
	if len(args) > 0 {
		if fi, err := os.Stat(args[0]); err == nil && fi.IsDir() {
			return args[0], args[1:]
		}
	}
	return ".", args
}

// choose keeps the named devices and those that the selector matches; neither:
// all.
func choose(all []renderer.Device, names []string, selector string) ([]renderer.Device, error) {
	match := func(renderer.Device) bool { return true }
	if selector != "" {
		sel, err := renderer.ParseSelector(selector)
		if err != nil {
			return nil, fmt.Errorf("-l %s: %w", selector, err)
		}
		match = func(d renderer.Device) bool { return sel.Matches(d.Labels) }
	}
	for _, n := range names {
		if !slices.ContainsFunc(all, func(d renderer.Device) bool { return string(d.Name) == n }) {
			return nil, hint(fmt.Errorf("no device %q in the config repo", n), "a folder that does not exist is read as a device's name")
		}
	}
	var kept []renderer.Device
	for _, d := range all {
		if match(d) && (len(names) == 0 || slices.Contains(names, string(d.Name))) {
			kept = append(kept, d)
		}
	}
	if len(kept) == 0 && selector != "" {
		return nil, fmt.Errorf("-l %s matches no device", selector)
	}
	return kept, nil
}

// writeRendered prints one device's config as it is, several under their names.
func writeRendered(w io.Writer, devices []renderer.Device) error {
	if len(devices) == 1 {
		_, err := w.Write(indent(devices[0].Config))
		return err
	}
	all := map[models.DeviceName]json.RawMessage{}
	for _, d := range devices {
		all[d.Name] = d.Config
	}
	return printJSON(w, all)
}

func writeFolder(folder string, devices []renderer.Device) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	var errs []error
	for _, d := range devices {
		errs = append(errs, os.WriteFile(filepath.Join(folder, string(d.Name)+".json"), indent(d.Config), 0o644))
	}
	return errors.Join(errs...)
}

func indent(config []byte) []byte {
	var b bytes.Buffer
	if err := json.Indent(&b, config, "", "  "); err != nil {
		return config
	}
	b.WriteByte('\n')
	return b.Bytes()
}
