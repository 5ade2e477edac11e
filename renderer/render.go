package renderer

import (
	"context"
	"io/fs"

	"github.com/setpoint-net/setpoint/models"
)

// Result is what a tree renders to: every device, or every mistake.
type Result struct {
	Devices  []Device         // by name; nil when there are mistakes
	Mistakes []models.Mistake // by file, line, column; nil when there are none
	Files    int              // YAML and CUE files that were read
}

// Device is an inventory entry and its intended config.
type Device struct {
	models.Device
	Config []byte      // canonical RFC 7951 JSON
	Hash   models.Hash // of Config
}

// Render renders a config repo. The error is one of reading the tree, or ctx's;
// whatever the repo's authors can mend is in Result.Mistakes.
func Render(ctx context.Context, tree fs.FS) (*Result, error) {
	l := &ledger{}
	src, err := gather(ctx, tree, l)
	if err != nil {
		return nil, err
	}
	d := decoder{ledger: l, names: make(map[string]place)}
	for _, s := range src.yaml {
		docs, _ := parse(s, l)
		for _, n := range docs {
			d.document(n)
		}
	}
	return &Result{Mistakes: settle(l.list), Files: len(src.yaml) + len(src.kinds)}, nil
}
