package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// workRepo is a bare repository and a clone of it, for the demo: the git that an
// engineer works with, driven by the git command and untouched by the user's own
// configuration. The clone can be worked in by hand as well: it knows who commits
// and where to push.
type workRepo struct {
	bare, clone string
}

func newWorkRepo(ctx context.Context, dir string) (*workRepo, error) {
	w := &workRepo{bare: filepath.Join(dir, "net.git"), clone: filepath.Join(dir, "net")}
	if _, err := exec.LookPath("git"); err != nil {
		return nil, hint(err, "the demo pushes real commits; install git")
	}
	for _, folder := range []string{w.bare, w.clone} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
	}
	for _, args := range [][]string{
		{"init", "-q", "--bare"},
		{"symbolic-ref", "HEAD", "refs/heads/main"},
	} {
		if _, err := w.git(ctx, w.bare, args...); err != nil {
			return nil, err
		}
	}
	for _, args := range [][]string{
		{"init", "-q"},
		{"symbolic-ref", "HEAD", "refs/heads/main"},
		{"remote", "add", "origin", w.bare},
		{"config", "branch.main.remote", "origin"},
		{"config", "branch.main.merge", "refs/heads/main"},
		{"config", "user.name", "setpoint demo"},
		{"config", "user.email", "demo@localhost"},
	} {
		if _, err := w.git(ctx, w.clone, args...); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// push commits what lies in the clone and pushes it; it returns the commit.
func (w *workRepo) push(ctx context.Context, subject string) (string, error) {
	for _, args := range [][]string{
		{"add", "-A"},
		{"commit", "-q", "-m", subject},
		{"push", "-q", "origin", "HEAD:main"},
	} {
		if _, err := w.git(ctx, w.clone, args...); err != nil {
			return "", err
		}
	}
	return w.git(ctx, w.clone, "rev-parse", "HEAD")
}

func (w *workRepo) write(files map[string]string) error {
	for name, content := range files {
		p := filepath.Join(w.clone, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (w *workRepo) git(ctx context.Context, dir string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, "git", args...)
	c.Dir = dir
	c.Env = append(os.Environ(),
		"GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
	)
	out, err := c.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(string(out)))
	}
	return strings.TrimSpace(string(out)), nil
}
