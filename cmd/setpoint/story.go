package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/setpoint-net/setpoint/bus/notify/notifytest"
)

// edit is a change to one file of the config repo, as a person makes it.
type edit struct{ file, old, now string }

// The edits of the demo, and of what it offers to try. Each has to fit the
// template's files, which the demo looks at before it begins.
var (
	putBack    = edit{"inventory/groups.yaml", "mode: alert", "mode: enforce, enforce: {after: 1s}"}
	renameVLAN = edit{"fabric/fabric.yaml", "name: storage", "name: backup"}
	tooFar     = edit{"tenants/tenant-a/servers.yaml", "vlan: 10,", "vlan: 5000,"}
	tryRename  = edit{"fabric/fabric.yaml", "name: web", "name: shop"}
)

const (
	demoVLAN  = 20
	driftPort = "Ethernet1"
	driftLeaf = "leaf02"
)

// story is the demo's steps; the first that does not hold ends it.
func (s *show) story(ctx context.Context) error {
	for _, e := range []edit{putBack, renameVLAN, tooFar, tryRename} {
		if _, err := s.edited(e); err != nil {
			return err
		}
	}
	for _, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{fmt.Sprintf("a first deploy: %d new switches, each observed until it is approved", len(s.names)), s.firstDeploy},
		{"a commit renames a VLAN", s.rename},
		{"another client changes a switch", s.driftAndHeal},
		{"a commit with a mistake touches nothing", s.mistake},
	} {
		s.title(step.title)
		stepCtx, cancel := context.WithTimeout(ctx, demoPatience)
		err := step.do(stepCtx)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	return nil
}

// edited is a file of the clone with the edit made.
func (s *show) edited(e edit) (string, error) {
	text, err := os.ReadFile(filepath.Join(s.repo.clone, e.file))
	if err != nil {
		return "", err
	}
	if !bytes.Contains(text, []byte(e.old)) {
		return "", fmt.Errorf("%s holds no %q: the template is not the one that this demo knows", e.file, e.old)
	}
	return strings.ReplaceAll(string(text), e.old, e.now), nil
}

func (s *show) apply(e edit) error {
	text, err := s.edited(e)
	if err != nil {
		return err
	}
	return s.repo.write(map[string]string{e.file: text})
}

func (s *show) firstDeploy(ctx context.Context) error {
	if err := s.apply(putBack); err != nil {
		return err
	}
	sha, err := s.push(ctx, "describe the network")
	if err != nil {
		return err
	}
	if err := s.status(ctx, sha, "setpoint/plan", "success"); err != nil {
		return err
	}
	if err := s.status(ctx, sha, "setpoint/deploy", "error"); err != nil {
		return err
	}
	if n := s.sets(); n != 0 {
		return fmt.Errorf("%d Sets went out before anything was approved", n)
	}
	if err := s.command(ctx, exitOK, append([]string{"approve"}, s.names...)...); err != nil {
		return err
	}
	if err := s.deployed(ctx, sha); err != nil {
		return err
	}
	return s.everywhere("storage")
}

func (s *show) rename(ctx context.Context) error {
	if err := s.apply(renameVLAN); err != nil {
		return err
	}
	if err := s.command(ctx, exitNo, "diff", "net", "leaf01"); err != nil {
		return err
	}
	sha, err := s.push(ctx, "rename VLAN 20 to backup")
	if err != nil {
		return err
	}
	if err := s.deployed(ctx, sha); err != nil {
		return err
	}
	return s.everywhere("backup")
}

// driftAndHeal changes a leaf through a gNMI session of its own, then waits for
// the alert, the healing and the all-clear.
func (s *show) driftAndHeal(ctx context.Context) error {
	path := "/interfaces/interface[name=" + driftPort + "]/ethernet/switched-vlan/config/access-vlan"
	if err := s.command(ctx, exitOK, "sim", "set", driftLeaf, path, "20"); err != nil {
		return err
	}
	done := s.await("waiting for the alert, and for " + driftLeaf + " to be put back")
	err := s.chat.Await(ctx, func(all []notifytest.Post) bool {
		s.tell(nil, all)
		return len(all) >= 2
	})
	done()
	if err != nil {
		return fmt.Errorf("alert and all-clear: %w (%s of 2 came)", err, count(len(s.chat.All()), "message"))
	}
	c, err := s.running(driftLeaf)
	if err != nil {
		return err
	}
	if vlan := c.accessVLAN(driftPort); vlan != 10 {
		return fmt.Errorf("%s has %s in VLAN %d after the all-clear", driftLeaf, driftPort, vlan)
	}
	s.say("gnmi", fmt.Sprintf("%s has %s in VLAN 10 again", driftLeaf, driftPort))
	return nil
}

func (s *show) mistake(ctx context.Context) error {
	before := s.sets()
	if err := s.apply(tooFar); err != nil {
		return err
	}
	sha, err := s.push(ctx, "move tenant-a to VLAN 5000")
	if err != nil {
		return err
	}
	for _, name := range []string{"setpoint/plan", "setpoint/deploy", "setpoint/policy"} {
		if err := s.status(ctx, sha, name, "failure"); err != nil {
			return err
		}
	}
	if err := s.apply(edit{tooFar.file, tooFar.now, tooFar.old}); err != nil {
		return err
	}
	if sha, err = s.push(ctx, "take that back"); err != nil {
		return err
	}
	if err := s.deployed(ctx, sha); err != nil {
		return err
	}
	if after := s.sets(); after != before {
		return fmt.Errorf("%d Sets went out for a commit with a mistake", after-before)
	}
	s.say("gnmi", "no switch was written to")
	return nil
}

// command runs this program in the demo's folder, shows what it is told and what
// it prints, and holds it to its exit code.
func (s *show) command(ctx context.Context, code int, args ...string) error {
	s.say("$", "setpoint "+shellWords(args))
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := exec.CommandContext(ctx, self, args...)
	c.Dir = s.dir
	c.Env = append(os.Environ(), "SETPOINT_SOCKET=") // the folder's own
	if s.colour {
		c.Env = append(c.Env, forceColour+"=1")
	}
	out, err := c.CombinedOutput()
	s.quote(string(out))
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	if got := c.ProcessState.ExitCode(); got != code {
		return fmt.Errorf("setpoint %s exits with %d, not %d", args[0], got, code)
	}
	return nil
}

// shellWords is args as one would type them.
func shellWords(args []string) string {
	words := slices.Clone(args)
	for i, w := range words {
		if strings.ContainsAny(w, " []*$") {
			words[i] = "'" + w + "'"
		}
	}
	return strings.Join(words, " ")
}

func (s *show) push(ctx context.Context, subject string) (string, error) {
	sha, err := s.repo.push(ctx, subject)
	if err != nil {
		return "", err
	}
	s.say("git", fmt.Sprintf("pushed %.7s %s", sha, subject))
	return sha, nil
}

// deployed waits for the commit's last word and follows its link.
func (s *show) deployed(ctx context.Context, sha string) error {
	for _, name := range []string{"setpoint/plan", "setpoint/policy", "setpoint/deploy"} {
		if err := s.status(ctx, sha, name, "success"); err != nil {
			return err
		}
	}
	return s.follow(ctx, sha)
}

// follow opens the link of the commit's plan, as a person would from the forge,
// and holds it to naming every device that the commit changes.
func (s *show) follow(ctx context.Context, sha string) error {
	plan, _ := s.forge.Last(sha, "setpoint/plan")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, plan.TargetURL, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("follow the plan's link: %w", err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("follow the plan's link: %s, %w", resp.Status, err)
	}
	for _, n := range s.names {
		if strings.Contains(plan.Description, n) && !bytes.Contains(page, []byte(n)) {
			return fmt.Errorf("the page behind the plan's link does not name %s", n)
		}
	}
	s.say("http", fmt.Sprintf("the plan's link opens a page of %d kB with the whole diff", (len(page)+1023)/1024))
	return nil
}

// status waits until a commit's status in a context is final and as wanted,
// printing what the listener received. A commit whose devices await approval has
// the final status error, and another once they were approved.
func (s *show) status(ctx context.Context, sha, name, want string) error {
	done := s.await(fmt.Sprintf("waiting for %s of %.7s", name, sha))
	defer done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err := s.forge.Await(ctx, func(all []notifytest.Status) bool {
		s.tell(all, nil)
		last, ok := lastOf(all, sha, name)
		return ok && (last.State == want || last.Final() && last.State != "error")
	})
	last, _ := s.forge.Last(sha, name)
	if err != nil {
		return fmt.Errorf("%s of %.7s is %q (%s), not %s: %w", name, sha, last.State, last.Description, want, err)
	}
	if v := s.forge.Violations(); len(v) > 0 {
		return fmt.Errorf("the forge refused a request: %s", v[0])
	}
	if last.State != want {
		return fmt.Errorf("%s of %.7s is %s (%s), not %s", name, sha, last.State, last.Description, want)
	}
	return nil
}

func lastOf(all []notifytest.Status, sha, name string) (notifytest.Status, bool) {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].SHA == sha && all[i].Context == name {
			return all[i], true
		}
	}
	return notifytest.Status{}, false
}

// tell prints what the listeners received and was not printed yet.
func (s *show) tell(statuses []notifytest.Status, posts []notifytest.Post) {
	for ; s.toldForge < len(statuses); s.toldForge++ {
		st := statuses[s.toldForge]
		name := fmt.Sprintf("%-6s ", strings.TrimPrefix(st.Context, "setpoint/"))
		state := fmt.Sprintf("%-7s ", st.State)
		s.sayAfter("forge", name+state, name+s.state(st.State, state), st.Description)
	}
	for ; s.toldChat < len(posts); s.toldChat++ {
		head, rest, _ := strings.Cut(posts[s.toldChat].Plain(), "\n")
		s.say("chat", head)
		s.quote(rest)
	}
}

func (s *show) state(state, padded string) string {
	switch state {
	case "success":
		return s.green(padded)
	case "pending":
		return s.yellow(padded)
	}
	return s.red(padded)
}

// sets is how many Sets the targets have seen.
func (s *show) sets() int {
	n := 0
	for _, t := range s.fleet.Targets() {
		n += t.Sets()
	}
	return n
}

// everywhere checks the targets themselves: each that has the VLAN has it by this
// name, and some do.
func (s *show) everywhere(name string) error {
	n := 0
	for _, device := range s.names {
		c, err := s.running(device)
		if err != nil {
			return err
		}
		switch got := c.vlanName(demoVLAN); got {
		case "":
		case name:
			n++
		default:
			return fmt.Errorf("%s has VLAN %d named %q, not %q", device, demoVLAN, got, name)
		}
	}
	if n == 0 {
		return fmt.Errorf("no target has VLAN %d", demoVLAN)
	}
	s.say("gnmi", fmt.Sprintf("%d switches run VLAN %d, named %s", n, demoVLAN, name))
	return nil
}

// running reads a target's configuration past setpoint, as plain JSON.
func (s *show) running(device string) (runningConfig, error) {
	var c runningConfig
	i := slices.Index(s.names, device)
	if i < 0 {
		return c, fmt.Errorf("the template has no %s", device)
	}
	err := json.Unmarshal(s.fleet.Targets()[i].Config(), &c)
	return c, err
}

// runningConfig is what the demo looks at of a target.
type runningConfig struct {
	Instances struct {
		Instance []struct {
			VLANs struct {
				VLAN []struct {
					ID     int `json:"vlan-id"`
					Config struct {
						Name string `json:"name"`
					} `json:"config"`
				} `json:"vlan"`
			} `json:"vlans"`
		} `json:"network-instance"`
	} `json:"openconfig-network-instance:network-instances"`
	Interfaces struct {
		Interface []struct {
			Name     string `json:"name"`
			Ethernet struct {
				VLAN struct {
					Config struct {
						Access int `json:"access-vlan"`
					} `json:"config"`
				} `json:"openconfig-vlan:switched-vlan"`
			} `json:"openconfig-if-ethernet:ethernet"`
		} `json:"interface"`
	} `json:"openconfig-interfaces:interfaces"`
}

func (c runningConfig) vlanName(id int) string {
	for _, ni := range c.Instances.Instance {
		for _, v := range ni.VLANs.VLAN {
			if v.ID == id {
				return v.Config.Name
			}
		}
	}
	return ""
}

func (c runningConfig) accessVLAN(port string) int {
	for _, i := range c.Interfaces.Interface {
		if i.Name == port {
			return i.Ethernet.VLAN.Config.Access
		}
	}
	return 0
}

// stay leaves everything up until ctx ends, says how to use it, and goes on
// printing what the listeners receive.
func (s *show) stay(ctx context.Context) {
	s.print(s.handout())
	done := s.await("up; Ctrl-C ends it and removes the folder")
	defer done()
	for {
		forge, chat := s.forge.Changed(), s.chat.Changed()
		s.tell(s.forge.All(), s.chat.All())
		select {
		case <-forge:
		case <-chat:
		case <-ctx.Done():
			return
		}
	}
}

// handout is what to try by hand.
func (s *show) handout() string {
	var b strings.Builder
	shell := func(lines ...string) {
		for _, l := range lines {
			fmt.Fprintf(&b, "  %s\n", l)
		}
	}
	last := s.forge.All()[len(s.forge.All())-1]
	fmt.Fprintf(&b, "\nswitches  %s\nlog       %s\ndiff      %s\n\n", s.addresses(), s.log.Name(), last.TargetURL)
	fmt.Fprint(&b, "All of it stays up until Ctrl-C, and what the forge and the chat are told goes\non here. To try, in a second terminal:\n\n")
	shell("cd "+s.dir, s.path())
	fmt.Fprintf(&b, "\n%s\n", s.bold("1. Change the intent, and watch it arrive."))
	shell("sed -i.bak 's/"+tryRename.old+"/"+tryRename.now+"/' net/"+tryRename.file,
		"setpoint diff net leaf01",
		"git -C net commit -qam 'rename VLAN 10' && git -C net push -q",
		"setpoint status --wait $(git -C net rev-parse HEAD)")
	fmt.Fprintf(&b, "\n%s\n", s.bold("2. Change a switch behind its back: a second later it is put back."))
	shell("setpoint sim set leaf03 /system/config/domain-name wrong.example.com",
		"setpoint devices leaf03",
		"setpoint diff net --live leaf03")
	fmt.Fprintf(&b, "\n%s\n", s.bold("3. Ask for the impossible: refused at its line, nothing is written."))
	shell("sed -i.bak 's/"+tooFar.old+"/"+tooFar.now+"/' net/"+tooFar.file,
		"setpoint validate net",
		"git -C net checkout -q "+tooFar.file)
	return b.String() + "\n"
}

// path puts this program on the shell's path.
func (s *show) path() string {
	self, err := os.Executable()
	if err != nil {
		return ""
	}
	return "export PATH=" + filepath.Dir(self) + ":$PATH"
}

func (s *show) addresses() string {
	var all []string
	for i, a := range s.fleet.Addrs() {
		all = append(all, s.names[i]+" "+a)
	}
	return strings.Join(fold(strings.Join(all, ", "), screenWidth-10), "\n          ")
}
