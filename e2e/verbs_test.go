package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/setpoint-net/setpoint/bus/notify/notifytest"
)

// startSim runs "setpoint sim" and waits until it serves.
func (w *world) startSim(n int) {
	w.t.Helper()
	c := exec.Command(binary, "sim", "--devices", fmt.Sprint(n), "--port", "0", "--dir", filepath.Join(w.dir, "sim"), "--password", "the-device-password")
	out, err := c.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || !strings.Contains(line, fmt.Sprintf("%d target", n)) {
		w.t.Fatalf("sim says %q, %v", line, err)
	}
	w.write("ca.pem", w.read("sim/ca.pem"))
}

// awaitEndOr waits until the process has ended (the plug was pulled) or the
// commit is deployed (the point lay beyond).
func (w *world) awaitEndOr(sha string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, w.patience)
	defer cancel()
	defer w.until(ctx, cancel)()
	_ = w.forge.Await(ctx, func([]notifytest.Status) bool {
		last, ok := w.forge.Last(sha, "setpoint/deploy")
		return ok && last.Final()
	})
}

// until calls cancel when the process ends, and returns what waits for it to be
// done with that.
func (w *world) until(ctx context.Context, cancel func()) func() {
	ended := w.proc.done
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-ended:
			cancel()
		case <-ctx.Done():
		}
	})
	return func() { cancel(); wg.Wait() }
}

// ask gets the service's own answer over its socket.
func (w *world) ask(path string, v any) error {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(w.dir, "sock"))
		},
	}}
	req, err := http.NewRequestWithContext(w.ctx, http.MethodGet, "http://setpoint"+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

// state is what the scenarios read of the service's status.
type state struct {
	Head struct {
		Generation int    `json:"generation"`
		New        string `json:"new"`
	} `json:"head"`
	Rollout struct {
		State     string `json:"state"`
		Converged int    `json:"converged"`
		Total     int    `json:"total"`
	} `json:"rollout"`
	Devices map[string]int `json:"devices"`
	Rebuilt string         `json:"rebuilt"`
}

// awaitState asks until the service's answer is as wanted: it asks again at each
// event, and at the latest after a quarter of a second.
func (w *world) awaitState(wanted func(state) bool) state {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, w.patience)
	defer cancel()
	for {
		next := w.next()
		var s state
		err := w.ask("/v1/status", &s)
		if err == nil && wanted(s) {
			return s
		}
		select {
		case <-next:
		case <-time.After(250 * time.Millisecond): // the last event may lie behind us
		case <-ctx.Done():
			w.t.Fatalf("the service never answered as wanted; last: %+v, %v\n%s", s, err, w.proc.text())
		}
	}
}

func (w *world) awaitConverged() {
	w.t.Helper()
	w.awaitState(func(s state) bool { return s.Rollout.State == "done" })
}

// get fetches a page as a browser would.
func (w *world) get(url string) (code int, body string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.ctx, http.MethodGet, url, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
