package sim

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc/credentials"
)

func TestFleetServesEveryDeviceBehindOneCertificate(t *testing.T) {
	ca, server := newCAForTest(t)
	ctx, cancel := context.WithCancel(context.Background())
	f, err := StartFleet(ctx, FleetConfig{
		Devices: 20, TLS: server,
		Name: func(i int) string { return fmt.Sprintf("leaf%02d", i) },
		Initial: func(i int) []byte {
			return fmt.Appendf(nil, `{"openconfig-system:system":{"config":{"hostname":"leaf%02d"}}}`, i)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, addr := range f.Addrs() {
		if seen[addr] {
			t.Errorf("%s twice", addr)
		}
		seen[addr] = true
		c := dial(t, addr, credentials.NewTLS(&tls.Config{RootCAs: ca.Pool()}))
		got, err := c.Get(deadline(t), &gnmi.GetRequest{Path: []*gnmi.Path{p(t, "/system/config/hostname")}, Encoding: gnmi.Encoding_JSON_IETF})
		if err != nil {
			t.Fatal(err)
		}
		if v := valueText(got.GetNotification()[0].GetUpdate()[0].GetVal()); v != fmt.Sprintf(`"leaf%02d"`, i) {
			t.Errorf("%s is %s", addr, v)
		}
		if _, err := c.Set(deadline(t), &gnmi.SetRequest{Delete: []*gnmi.Path{{}}}); err != nil {
			t.Error(err)
		}
		if n := f.Targets()[i].ChangingSets(); n != 1 {
			t.Errorf("target %d counts %d Sets", i, n)
		}
	}
	cancel()
	if err := f.Wait(); err != nil {
		t.Error(err)
	}
	for _, addr := range f.Addrs() {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			t.Errorf("%s still listens", addr)
		}
	}
}

// pair listens on a port, and knows the one before it to be free.
func pair(t *testing.T) (net.Listener, string) {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		before := net.JoinHostPort("127.0.0.1", strconv.Itoa(l.Addr().(*net.TCPAddr).Port-1))
		if free, err := net.Listen("tcp", before); err == nil {
			free.Close()
			return l, before
		}
		l.Close()
	}
	t.Fatal("no two free ports in a row")
	return nil, ""
}

func TestAFleetThatCannotStartLeavesNothingListening(t *testing.T) {
	l, before := pair(t)
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, err := StartFleet(ctx, FleetConfig{Devices: 2, BasePort: port - 1})
	if err == nil || !strings.Contains(err.Error(), strconv.Itoa(port)) {
		t.Errorf("got %v, want an error that names the port", err)
	}
	if first, err := net.Listen("tcp", before); err != nil {
		t.Errorf("the first device still listens: %v", err)
	} else {
		first.Close()
	}
	if _, err := StartFleet(ctx, FleetConfig{Devices: 1, Initial: func(int) []byte { return []byte("{") }}); err == nil {
		t.Error("a fleet starts with an invalid configuration")
	}
}

// BenchmarkFleet measures what an idle target costs: 1000 listeners in one
// process, without a session.
func BenchmarkFleet(b *testing.B) {
	data := leafSwitch(b)
	for _, c := range []struct {
		name    string
		devices int
		initial func(int) []byte
	}{
		{"empty/100", 100, nil},
		{"empty/1000", 1000, nil},
		{"leaf/100", 100, func(int) []byte { return data }},
		{"leaf/1000", 1000, func(int) []byte { return data }},
	} {
		b.Run(c.name, func(b *testing.B) {
			_, server := newCAForTest(b)
			before := rss(b)
			for b.Loop() {
				ctx, cancel := context.WithCancel(b.Context())
				f, err := StartFleet(ctx, FleetConfig{Devices: c.devices, TLS: server, Initial: c.initial})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(rss(b)-before)/float64(c.devices), "KiB/target")
				cancel()
				if err := f.Wait(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// rss is the live heap and stacks of the process in KiB.
func rss(b *testing.B) int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if os.Getenv("SIM_RSS") != "" {
		data, err := os.ReadFile("/proc/self/statm")
		if err != nil {
			b.Fatal(err)
		}
		pages, err := strconv.Atoi(strings.Fields(string(data))[1])
		if err != nil {
			b.Fatal(err)
		}
		return pages * os.Getpagesize() / 1024
	}
	return int(m.HeapAlloc+m.StackInuse) / 1024
}
