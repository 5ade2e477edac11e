package e2e

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// TestTheRoadOnAnExternalNATS runs setpoint on a NATS server that is not its own,
// restarts it, and finds everything where it was.
func TestTheRoadOnAnExternalNATS(t *testing.T) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoLog: true, NoSigs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not come up")
	}
	w := newWorld(t, 2)
	w.configExtra = fmt.Sprintf("nats: {urls: [%q]}\n", s.ClientURL())
	w.start()
	w.deployed(w.push(w.network("engineering", "enforce")))
	w.stop()
	w.start()
	got := w.awaitState(func(s state) bool { return s.Rollout.State == "done" })
	if got.Rebuilt != "" || got.Head.Generation != 1 {
		t.Errorf("after a restart the service says %+v", got)
	}
	w.deployed(w.push(map[string]string{"network.yaml": networkYAML("operations")}))
	w.set(1, vlanName, `"squatters"`)
	w.holds(1, `"operations"`)
	for i, target := range w.fleet {
		if n, want := target.ChangingSets(), 2+2*i; n != want {
			t.Errorf("%s saw %d changing Sets, not %d", w.name(i), n, want)
		}
	}
	w.stop()
}
