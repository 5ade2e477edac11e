// Command gen regenerates what setpoint knows of OpenConfig from a folder of
// YANG modules: the Go package models/oc and the schema embedded in
// models/tree. It is run by "make models YANG=<folder>".
//
// The run has three steps, each in its own file. ygot.go runs ygot's generator
// at a pinned version over the seed modules and tidies the Go it writes.
// trim.go cuts the schema that ygot embeds down to what validation reads.
// treeschema.go reads the same modules with goyang, without ygot, and writes the
// config nodes that models/tree works on; secrets.go says which of their leaves
// are secret, when.go reads the conditions under which nodes may be there.
//
// The same YANG gives the same bytes: whatever order the libraries leave open is
// sorted, and no path of the machine, time or environment gets into the output.
// Nothing is written before everything that can fail has been done, and files of
// the target folders that were not generated are left alone.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

func main() {
	yang := flag.String("yang", "", "folder with the .yang files")
	oc := flag.String("oc", "models/oc", "folder of the generated Go package")
	tree := flag.String("tree", "models/tree", "folder of the tree's embedded schema")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *yang, *oc, *tree); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, yang, oc, tree string) error {
	if yang == "" {
		return fmt.Errorf("-yang names no folder")
	}
	yang, err := filepath.Abs(yang)
	if err != nil {
		return err
	}
	files, err := generateOC(ctx, yang)
	if err != nil {
		return fmt.Errorf("generate package oc: %w", err)
	}
	schema, err := treeSchema(yang, seeds)
	if err != nil {
		return fmt.Errorf("generate the tree's schema: %w", err)
	}
	if err := replaceGenerated(oc, files); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(tree, treeSchemaFile), schema, 0o644)
}
