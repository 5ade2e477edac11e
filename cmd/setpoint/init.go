package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	repotemplate "github.com/setpoint-net/setpoint/repo-template"
)

func newInit() *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "write a config repo to begin with",
		Long: `init writes a config repo into DIR, which is made where it is missing: a fabric of
two spines and four leaves, and workflow files for GitHub, GitLab and Gitea. DIR has
to be empty, but for .git.`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir := args[0]
			entries, err := os.ReadDir(dir)
			if err != nil && !os.IsNotExist(err) {
				return fmt.Errorf("config repo: %w", err)
			}
			for _, e := range entries {
				if e.Name() != ".git" {
					return hint(fmt.Errorf("%s is not empty: it holds %s", dir, e.Name()), "name a new folder")
				}
			}
			if err := os.CopyFS(dir, repotemplate.Files); err != nil {
				return fmt.Errorf("write config repo: %w", err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: two spines and four leaves; next: setpoint validate %s\n", dir, dir)
			return err
		},
	}
}
