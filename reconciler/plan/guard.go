package plan

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/setpoint-net/setpoint/models/tree"
)

// The guards, by the names that a person allows them under. Each forbids a plan
// that is more likely a slip of the intent than what somebody wants.
const (
	GuardEmpty      = "empty"       // nothing is intended, and something runs
	GuardMassDelete = "mass-delete" // many entries of one list go, or half of all leaves
	GuardManagement = "management"  // the way that setpoint reaches the device by is cut
)

const (
	massPercent = 30 // of the entries of one list, of which more may not go
	massLeast   = 3  // entries, and leaves: less is no mass
)

// Guard is one that a plan offends, and by what.
type Guard struct {
	Name   string
	Reason string // one line
}

// Guards returns what forbids a plan. Running and intended are the trees that it
// leads from and to; of running it is enough to have the top containers that the
// plan touches, if leaves says how many managed leaves run in all, the keys of
// entries aside. Address is the host of the device's own management address, as it
// is dialled: a plan that takes that address, its interface or the gNMI server away
// cuts the branch it sits on.
func Guards(p *Plan, running, intended *tree.Tree, leaves int, address string) []Guard {
	var out []Guard
	if p.Empty() {
		return nil
	}
	if intended.IsEmpty() && !running.IsEmpty() {
		out = append(out, Guard{GuardEmpty, "nothing is intended: all that is managed would go"})
	} else if why := massDelete(p, running, leaves); why != "" {
		out = append(out, Guard{GuardMassDelete, why})
	}
	if why := cutsOff(p, running, address); why != "" {
		out = append(out, Guard{GuardManagement, why})
	}
	return out
}

// massDelete says which list loses more than its share of entries, or that the
// device loses half of its leaves. A list is told apart by its place: the
// neighbors of one network instance are one list.
func massDelete(p *Plan, running *tree.Tree, had int) string {
	lost := map[string]int{}
	lists := map[string]tree.Path{}
	last := ""
	going := 0
	for _, c := range p.Changes {
		if c.New != nil || c.Old == nil {
			continue
		}
		going++
		if c.whole == 0 {
			continue
		}
		entry := c.Path[:c.whole]
		if text := entry.String(); text != last {
			last = text
			list := listOf(entry)
			lost[list.String()]++
			lists[list.String()] = list
		}
	}
	worst, why := 0, ""
	for name, n := range lost {
		had := entries(running, lists[name])
		if n < massLeast || n*100 <= had*massPercent {
			continue
		}
		if line := fmt.Sprintf("%d of %d entries of %s would go", n, had, visible(name)); n > worst || n == worst && line < why {
			worst, why = n, line
		}
	}
	if why != "" {
		return why
	}
	if going >= massLeast && going*2 >= had {
		return fmt.Sprintf("%d of %d managed leaves would go", going, had)
	}
	return ""
}

// Loss says in one line what a plan takes away without putting anything in its
// place; "" for nothing.
//
// Counted are entries that come or go as a whole, by their list, and leaves that
// come or go alone, by their container, wherever on the device either is. Something
// is lost where more goes than comes: not when one server takes the place of
// another, an address moves to another interface or a port turns from access to
// trunk. A value that changes is no loss, nor is a leaf-list that gets shorter.
func Loss(p *Plan) string {
	type kind struct{ what, at string }
	gone, come := map[kind]int{}, map[kind]int{}
	last := ""
	for _, c := range p.Changes {
		what, at := "leaves", c.Path[:len(c.Path)-1]
		if c.whole > 0 {
			entry := c.Path[:c.whole].String()
			if entry == last {
				continue
			}
			last, what, at = entry, "entries", c.Path[:c.whole]
		}
		switch k := (kind{what, bare(at).String()}); {
		case c.New == nil:
			gone[k]++
		case c.Old == nil:
			come[k]++
		}
	}
	worst, why := 0, ""
	for k, n := range gone {
		line := fmt.Sprintf("−%d +%d %s of %s", n, come[k], k.what, tail(k.at))
		if net := n - come[k]; net > worst || net > 0 && net == worst && line < why {
			worst, why = net, line
		}
	}
	return why
}

// bare is a path without the keys of its entries.
func bare(p tree.Path) tree.Path {
	out := make(tree.Path, len(p))
	for i, e := range p {
		out[i].Name = e.Name
	}
	return out
}

// tail is the last three steps of a path, which tell where in the schema it is.
func tail(path string) string {
	steps := strings.Split(path, "/")
	if len(steps) <= 4 {
		return path
	}
	return "…/" + strings.Join(steps[len(steps)-3:], "/")
}

// listOf is an entry's path without its own keys.
func listOf(entry tree.Path) tree.Path {
	n := len(entry) - 1
	return append(entry[:n:n], tree.Elem{Name: entry[n].Name})
}

// entries counts those of the list at p.
func entries(t *tree.Tree, p tree.Path) int {
	around := t.Root()
	if len(p) > 1 {
		around = t.Lookup(p[:len(p)-1])
	}
	if around == nil {
		return 0
	}
	for _, m := range around.Members() {
		if isList(m) && m.Schema.Name == p[len(p)-1].Name {
			return len(m.Members())
		}
	}
	return 0
}

// cutsOff says how a plan takes away the device's management address, the
// interface that has it, or its gNMI server.
func cutsOff(p *Plan, running *tree.Tree, address string) string {
	port := ""
	host, err := netip.ParseAddr(address)
	for _, c := range p.Changes {
		text := c.Path.String()
		gone := c.New == nil
		off := c.Path[len(c.Path)-1].Name == "enabled" && c.New != nil && c.New.Text() == "false"
		if strings.HasPrefix(text, "/system/grpc-servers/grpc-server[") && (off || gone && c.whole > 0) {
			return fmt.Sprintf("%s: a gNMI server of the device would end", visible(text))
		}
		if err != nil || !strings.HasPrefix(text, "/interfaces/interface[") || !gone && !off {
			continue
		}
		if port == "" {
			port = portOf(running, host)
		}
		switch {
		case !strings.HasPrefix(text, port+"/"):
		case off:
			return fmt.Sprintf("%s: the interface with the management address %s would be shut", visible(text), host)
		case c.whole > 0 && carries(c.Path[:c.whole], host):
			return fmt.Sprintf("%s: the management address %s would go", visible(c.Path[:c.whole].String()), host)
		}
	}
	return ""
}

// carries says whether an entry that goes is the address, or what it lies in.
func carries(entry tree.Path, host netip.Addr) bool {
	last := entry[len(entry)-1]
	if last.Name != "address" {
		return last.Name == "interface" || last.Name == "subinterface"
	}
	a, err := netip.ParseAddr(last.Keys[0].Value)
	return err == nil && a.Unmap() == host.Unmap()
}

// portOf is the path of the interface that has an address; "/" for none.
func portOf(running *tree.Tree, host netip.Addr) string {
	port := "/"
	running.Leaves(func(p tree.Path, v *tree.Value) bool {
		if p[0].Name == "interfaces" && p[len(p)-1].Name == "ip" {
			if a, err := netip.ParseAddr(v.Text()); err == nil && a.Unmap() == host.Unmap() {
				port = p[:2].String()
				return false
			}
		}
		return true
	})
	return port
}
