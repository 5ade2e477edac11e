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
			p := Diff(running, intended)
			leaves, keys := running.Size()
			got := Guards(p, running.Only(p.Roots()), intended, leaves-keys, tt.address)
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

func TestLossIsWhatNothingTakesThePlaceOf(t *testing.T) {
	s := tree.OpenConfig()
	servers := func(list ...string) string {
		var all []string
		for _, ip := range list {
			all = append(all, fmt.Sprintf(`{"address":%q,"config":{"address":%q,"iburst":true}}`, ip, ip))
		}
		return `"openconfig-system:system":{"config":{"hostname":"h"},"ntp":{"servers":{"server":[` + strings.Join(all, ",") + `]}}}`
	}
	port := func(name, text string) string {
		return fmt.Sprintf(`{"name":%q,"config":{"name":%q}%s}`, name, name, text)
	}
	two := func(a, b string) string {
		return `"openconfig-interfaces:interfaces":{"interface":[` + port("Ethernet1", a) + "," + port("Ethernet2", b) + `]}`
	}
	vlan := func(config string) string {
		return `,"openconfig-if-ethernet:ethernet":{"openconfig-vlan:switched-vlan":{"config":{` + config + `}}}`
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"nothing", ports(3, ""), ports(3, ""), ""},
		{"an entry comes", ports(3, ""), ports(4, ""), ""},
		{"an entry goes", ports(3, ""), ports(2, ""), "−1 +0 entries of /interfaces/interface"},
		{"everything goes", ports(3, ""), "", "−3 +0 entries of /interfaces/interface"},
		{"a server takes the place of another", servers("192.0.2.1"), servers("192.0.2.2"), ""},
		{"one takes the place of two", servers("192.0.2.1", "192.0.2.3"), servers("192.0.2.2"), "−2 +1 entries of …/ntp/servers/server"},
		{"two take the place of one", servers("192.0.2.2"), servers("192.0.2.1", "192.0.2.3"), ""},
		{"an address moves to another port", two(address, noAddr), two(noAddr, address), ""},
		{"an address goes", two(address, noAddr), two(noAddr, noAddr), "−1 +0 entries of …/ipv4/addresses/address"},
		{"what is in an entry that goes does not count by itself", two(address, ""), two("", ""), "−1 +0 entries of …/interface/subinterfaces/subinterface"},
		{"a leaf goes", `"openconfig-system:system":{"config":{"hostname":"h","motd-banner":"m"}}`, `"openconfig-system:system":{"config":{"hostname":"h"}}`, "−1 +0 leaves of /system/config"},
		{"a leaf goes to its default", two(`,"hold-time":{"config":{"up":5}}`, ""), two(`,"hold-time":{"config":{"up":0}}`, ""), ""},
		{"a value changes", `"openconfig-system:system":{"config":{"hostname":"h"}}`, `"openconfig-system:system":{"config":{"hostname":"i"}}`, ""},
		{"an access port becomes a trunk", two(vlan(`"interface-mode":"ACCESS","access-vlan":10`), ""), two(vlan(`"interface-mode":"TRUNK","trunk-vlans":[10,20]`), ""), ""},
		{"a trunk carries less", two(vlan(`"interface-mode":"TRUNK","trunk-vlans":[10,20]`), ""), two(vlan(`"interface-mode":"TRUNK","trunk-vlans":[10]`), ""), ""},
		{"the worst is named", ports(3, "") + "," + servers("192.0.2.1"), ports(1, "") + "," + servers(), "−2 +0 entries of /interfaces/interface"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			old, err := tree.Parse(s, []byte("{"+tt.old+"}"))
			if err != nil {
				t.Fatal(err)
			}
			intended, err := tree.Parse(s, []byte("{"+tt.new+"}"))
			if err != nil {
				t.Fatal(err)
			}
			if got := Loss(Diff(old, intended)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
