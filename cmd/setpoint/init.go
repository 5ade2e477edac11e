package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	repotemplate "github.com/setpoint-net/setpoint/repo-template"
)

func newInit() *cobra.Command {
	var devices int
	c := &cobra.Command{
		Use:   "init DIR [--devices N]",
		Short: "write a config repo to begin with",
		Long: `init writes a config repo into DIR, which is made where it is missing: a fabric of
two spines and four leaves, workflow files for GitHub, GitLab and Gitea, and a schema
for editors (see "setpoint schema"). DIR has to be empty, but for .git.

With --devices it is a generated network of so many devices instead, to try how large
a network behaves: sites of spines and leaves, the same for the same number.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir := args[0]
			if generated := c.Flags().Changed("devices"); generated && (devices < 1 || devices > repotemplate.MaxDevices) {
				return fmt.Errorf("--devices %d: 1 to %d", devices, repotemplate.MaxDevices)
			}
			entries, err := os.ReadDir(dir)
			if err != nil && !os.IsNotExist(err) {
				return fmt.Errorf("config repo: %w", err)
			}
			for _, e := range entries {
				if e.Name() != ".git" {
					return hint(fmt.Errorf("%s is not empty: it holds %s", dir, e.Name()), "name a new folder")
				}
			}
			what := "two spines and four leaves"
			if c.Flags().Changed("devices") {
				what = count(devices, "device")
				err = writeFabric(dir, devices)
			} else {
				err = os.CopyFS(dir, repotemplate.Files)
			}
			if err == nil {
				err = writeSchema(c.Context(), dir)
			}
			if err != nil {
				return fmt.Errorf("write config repo: %w", err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s; next: setpoint validate %s\n", dir, what, dir)
			return err
		},
	}
	c.Flags().IntVar(&devices, "devices", 0, "a generated network of so many devices instead")
	return c
}

// writeFabric writes a generated config repo.
func writeFabric(dir string, devices int) error {
	files, err := repotemplate.Fabric(devices)
	if err != nil {
		return err
	}
	for name, data := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writeSchema writes the schema that the editors' settings of the config repo name.
func writeSchema(ctx context.Context, dir string) error {
	data, err := schemaOf(ctx, nil, dir)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, filepath.FromSlash(schemaFile))
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o666)
}
