package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/openconfig/gnmi/proto/gnmi"
	"github.com/rogpeppe/go-internal/txtar"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
)

// TestATargetTakesWhatEveryKindBringsForth sets each config of the library's
// golden cases at a target, in one Set, and reads it back.
func TestATargetTakesWhatEveryKindBringsForth(t *testing.T) {
	cases, err := filepath.Glob("../renderer/testdata/library-*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, 1)
	conn, err := grpc.NewClient(w.addrs[0], grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: w.pool(), MinVersion: tls.VersionTLS12})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(w.ctx, "username", "admin", "password", "the-device-password"), w.patience)
	defer cancel()
	target := gnmi.NewGNMIClient(conn)
	set := 0
	for _, name := range cases {
		for device, config := range wanted(t, name) {
			set++
			_, err := target.Set(ctx, &gnmi.SetRequest{Replace: []*gnmi.Update{{
				Path: &gnmi.Path{}, Val: &gnmi.TypedValue{Value: &gnmi.TypedValue_JsonIetfVal{JsonIetfVal: config}},
			}}})
			if err != nil {
				t.Errorf("%s: %s: %v", name, device, err)
				continue
			}
			got, err := target.Get(ctx, &gnmi.GetRequest{Path: []*gnmi.Path{{}}, Type: gnmi.GetRequest_CONFIG, Encoding: gnmi.Encoding_JSON_IETF})
			if err != nil {
				t.Fatal(err)
			}
			want, have := decoded(t, config), decoded(t, got.GetNotification()[0].GetUpdate()[0].GetVal().GetJsonIetfVal())
			if d := cmp.Diff(want, have, cmpopts.SortSlices(func(a, b any) bool { return fmt.Sprint(a) < fmt.Sprint(b) })); d != "" {
				t.Errorf("%s: %s: rendered (-) and read back (+):\n%s", name, device, d)
			}
		}
	}
	if set < 20 {
		t.Errorf("only %d configs in %d cases", set, len(cases))
	}
}

// wanted are the configs that a golden case renders to, by device.
func wanted(t *testing.T, name string) map[string][]byte {
	t.Helper()
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string][]byte)
	want := archive.Files[len(archive.Files)-1]
	if want.Name != "want" || !bytes.HasPrefix(want.Data, []byte("{")) {
		return nil // mistakes
	}
	d := json.NewDecoder(bytes.NewReader(want.Data))
	for d.More() {
		var device struct{ Name string }
		var config json.RawMessage
		if err := d.Decode(&device); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := d.Decode(&config); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[device.Name] = config
	}
	return out
}

func decoded(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}
