package e2e

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the expected output in testdata/script")

// TestCommandLine runs each script of testdata/script against the built binary.
func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "script"),
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
			for k, v := range map[string]string{
				"HOME": e.WorkDir, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.DevNull,
				"GIT_AUTHOR_NAME": "script", "GIT_AUTHOR_EMAIL": "script@localhost",
				"GIT_COMMITTER_NAME": "script", "GIT_COMMITTER_EMAIL": "script@localhost",
			} {
				e.Setenv(k, v)
			}
			return nil
		},
		RequireExplicitExec: true,
	})
}
