package plan

import (
	"fmt"
	"strings"
	"testing"

	"github.com/setpoint-net/setpoint/models/tree"
)

// ports is a config of interfaces Ethernet1 to n, with some text of Ethernet1's own.
func ports(n int, first string) string {
	var all []string
	for i := 1; i <= n; i++ {
		own := ""
		if i == 1 {
			own = first
		}
		all = append(all, fmt.Sprintf(`{"name":"Ethernet%d","config":{"name":"Ethernet%d","mtu":%d}%s}`, i, i, 1500+i, own))
	}
	return `"openconfig-interfaces:interfaces":{"interface":[` + strings.Join(all, ",") + `]}`
}

const (
	address = `,"subinterfaces":{"subinterface":[{"index":0,"config":{"index":0},"openconfig-if-ip:ipv4":{"addresses":{"address":[{"ip":"192.0.2.9","config":{"ip":"192.0.2.9","prefix-length":24}}]}}}]}`
	noAddr  = `,"subinterfaces":{"subinterface":[{"index":0,"config":{"index":0}}]}`
	system  = `"openconfig-system:system":{"config":{"hostname":"h","motd-banner":"m","login-banner":"l"}}`
	grpc    = `"openconfig-system:system":{"openconfig-system-grpc:grpc-servers":{"grpc-server":[{"name":"gnmi","config":{"name":"gnmi","enable":true,"port":9339}}]}}`
)

func TestGuardsForbidWhatIsLikelyASlip(t *testing.T) {
	s := tree.OpenConfig()
	for _, tt := range []struct {
		name              string
		running, intended string
		address           string
		want              []string // guard: words of its reason
	}{
		{"nothing to do", ports(9, ""), ports(9, ""), "", nil},
		{"everything", ports(9, ""), "", "", []string{"empty: nothing is intended"}},
		{"everything of nothing", "", "", "", nil},
		{"three of ten entries are no mass", ports(10, ""), ports(7, ""), "", nil},
		{"four of ten entries are", ports(10, ""), ports(6, ""), "", []string{"mass-delete: 4 of 10 entries of /interfaces/interface would go"}},
		{"two entries never are", ports(3, "") + "," + system, ports(1, "") + "," + system, "", nil},
		{"half of the leaves", ports(1, "") + "," + system, ports(1, ""), "", []string{"mass-delete: 3 of 5 managed leaves would go"}},
		{"less than half of the leaves", ports(2, "") + "," + system, ports(2, ""), "", nil},
		{"the management address", ports(9, address), ports(9, noAddr), "192.0.2.9", []string{"management: /interfaces/interface[name=Ethernet1]/subinterfaces/subinterface[index=0]/ipv4/addresses/address[ip=192.0.2.9]: the management address 192.0.2.9 would go"}},
		{"another address", ports(9, address), ports(9, noAddr), "192.0.2.10", nil},
		{"the address of a device dialled by name", ports(9, address), ports(9, noAddr), "leaf01.example", nil},
		{"the port with the management address", ports(9, address), strings.Replace(ports(9, ""), `{"name":"Ethernet1","config":{"name":"Ethernet1","mtu":1501}},`, "", 1), "192.0.2.9", []string{"management: /interfaces/interface[name=Ethernet1]: the management address 192.0.2.9 would go"}},
		{"the port with the management address is shut", ports(9, address), strings.Replace(ports(9, address), `"mtu":1501`, `"mtu":1501,"enabled":false`, 1), "192.0.2.9", []string{"management: /interfaces/interface[name=Ethernet1]/config/enabled: the interface with the management address"}},
		{"another port is shut", ports(9, address), strings.Replace(ports(9, address), `"mtu":1502`, `"mtu":1502,"enabled":false`, 1), "192.0.2.9", nil},
		{"the gNMI server", grpc + "," + ports(20, ""), ports(20, ""), "", []string{"management: /system/grpc-servers"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			running, err := tree.Parse(s, []byte("{"+tt.running+"}"))
			if err != nil {
				t.Fatal(err)
			}
			intended, err := tree.Parse(s, []byte("{"+tt.intended+"}"))
			if err != nil {
				t.Fatal(err)
			}
			got := Guards(Diff(running, intended), running, intended, tt.address)
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %q", got, tt.want)
			}
			for i, g := range got {
				if line := g.Name + ": " + g.Reason; !strings.HasPrefix(line, tt.want[i]) {
					t.Errorf("got %q, want %q…", line, tt.want[i])
				}
			}
		})
	}
}
