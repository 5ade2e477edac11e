package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestAStopDuringTheStartIsNoError(t *testing.T) {
	starting := func(ctx context.Context) error {
		<-ctx.Done()
		return fmt.Errorf("watch assignments: %w", ctx.Err())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := runAll(ctx, map[string]func(context.Context) error{"reconciler": starting}); err != nil {
		t.Errorf("stopped: %v", err)
	}
	broken := errors.New("broken")
	stages := map[string]func(context.Context) error{"reconciler": starting, "notify": func(context.Context) error { return broken }}
	if err := runAll(t.Context(), stages); !errors.Is(err, broken) || errors.Is(err, context.Canceled) {
		t.Errorf("a stage that failed gives %v", err)
	}
}
