package main

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/renderer"
	"github.com/setpoint-net/setpoint/renderer/worker"
)

// schemaFile is where a config repo keeps its schema, for the settings of editors.
const schemaFile = ".setpoint/schema.json"

func newSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [DIR]",
		Short: "write a JSON Schema of the documents, for editors",
		Long: `schema writes a JSON Schema (2020-12) of what documents of the config repo in DIR
(default: the current folder) may say: setpoint's own, the built-in kinds and the
repo's kinds. With it an editor completes and checks while you type. A repo keeps
it in ` + schemaFile + `, which "setpoint init" writes; when the repo's kinds or
setpoint's version have changed, write it anew:

  setpoint schema > ` + schemaFile + `

The schema refuses nothing that renders. "setpoint validate" finds more.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			dir := dirOf(args)
			tree, err := treeOf(dir, "")
			if err != nil {
				return err
			}
			data, err := schemaOf(c.Context(), tree, dir)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(data)
			return err
		},
	}
}

// schemaOf is the schema of the documents of a tree, nil for one without kinds of
// its own.
func schemaOf(ctx context.Context, tree fs.FS, dir string) ([]byte, error) {
	pool := &worker.Pool{}
	defer pool.Close()
	data, mistakes, err := (&renderer.Renderer{Evaluator: pool}).Schema(ctx, tree)
	if err != nil {
		return nil, err
	}
	if len(mistakes) > 0 {
		m := mistakes[0]
		return nil, hint(fmt.Errorf("%s %s", place(m), text(m)), `run "setpoint validate %s"`, dir)
	}
	return data, nil
}
