package renderer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/setpoint-net/setpoint/renderer"
)

// BenchmarkEachKind renders each kind's example for 100 devices from nothing:
// what a device costs, and how much the example brings forth.
func BenchmarkEachKind(b *testing.B) {
	const devices = 100
	fabric := strings.Split(smallFabric, "---\n")
	inventory := fabric[0]
	for i := range devices {
		inventory += fmt.Sprintf("---\napiVersion: setpoint/v1\nkind: Device\nmetadata: {name: leaf%02d, labels: {role: leaf}}\n"+
			"spec: {address: 192.0.2.%d, credentials: lab, vars: {asn: %d, loopback: 10.255.0.%d}}\n", i+1, i+2, 65010+i, i+2)
	}
	inventory += "---\n" + fabric[len(fabric)-1]
	list, _, err := new(renderer.Renderer).Kinds(context.Background(), nil)
	if err != nil {
		b.Fatal(err)
	}
	all := strings.NewReplacer("{devices: [leaf01]}", "{selector: role=leaf}", "{devices: [leaf01, leaf02]}", "{selector: role=leaf}")
	for _, k := range list {
		repo := fstest.MapFS{"fabric.yaml": {Data: []byte(inventory)}, "example.yaml": {Data: []byte(all.Replace(k.Example))}}
		b.Run(k.Name, func(b *testing.B) {
			bytes := 0
			for b.Loop() {
				r := render(b, repo)
				if len(r.Mistakes) > 0 {
					b.Fatal(r.Mistakes)
				}
				bytes = len(r.Devices[0].Config)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/devices, "µs/device")
			b.ReportMetric(float64(bytes), "bytes/device")
		})
	}
}
