package reconciler

import (
	"encoding/json"
	"time"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/reconciler/device/sim"
)

const (
	soon    = 5 * time.Second  // a change is known from the stream
	sampled = 15 * time.Second // or from samples
)

// every is a fault's length on each kind of RPC.
func every(d time.Duration, rpcs ...string) map[string]sim.Duration {
	all := map[string]sim.Duration{}
	for _, rpc := range rpcs {
		all[rpc] = sim.Duration(d)
	}
	return all
}

// traps is a target that takes commits that wait, in a way that was seen somewhere.
func traps(names ...string) sim.Faults {
	return sim.Faults{Commit: "supported", CommitTraps: names}
}

// faultRows are the matrix' rows: what each fault of the target is to lead to.
var faultRows = []fault{
	{name: "none", deploys: models.DeviceApplied, within: soon, rung: map[string]string{"read": "get-config", "watch": "on-change"}},

	// What a Set does.
	{
		name: "refuses a path", faults: sim.Faults{Refuse: []string{"/system/config/login-banner"}},
		deploys: models.DeviceHeld, says: "refused: ",
		in: map[strategy]otherwise{inPhases: {models.DeviceHeld, "refused in phase 2 of 4, phase 1 stays: ", 2}},
	},
	{
		name: "refuses what comes second", faults: sim.Faults{Refuse: []string{"/interfaces/interface[name=Ethernet1]/config/mtu"}},
		deploys: models.DeviceHeld, says: "refused: ",
		in: map[strategy]otherwise{inPhases: {models.DeviceHeld, "refused in phase 3 of 4, phases 1 to 2 stay: ", 3}},
	},
	{
		name: "wants one thing before another",
		faults: sim.Faults{Order: map[string]string{
			"/interfaces/interface[name=Ethernet1]":                    "/system/config/login-banner",
			"/interfaces/interface[name=Ethernet2]/config/description": "/system/config/motd-banner",
		}},
		deploys: models.DeviceHeld, says: "refused: ",
		in: map[strategy]otherwise{inPhases: {models.DeviceApplied, "", 4}},
	},
	{
		name: "drops a leaf", faults: sim.Faults{Drop: []string{"/system/config/login-banner"}},
		deploys: models.DeviceHeld, says: "accepted, but after read back it differs: /system/config/login-banner",
	},
	{
		name: "ignores a delete", faults: sim.Faults{KeepDeleted: []string{"/system/config/motd-banner"}},
		deploys: models.DeviceHeld, says: "accepted, but after read back it differs: /system/config/motd-banner",
	},
	{
		name:    "makes objects of its own",
		faults:  sim.Faults{Implicit: []sim.Object{{Path: "/interfaces/interface[name=Ethernet9]/config/description", Value: json.RawMessage(`"made by the device"`)}, {Path: "/system/config/domain-name", Value: json.RawMessage(`"example.net"`)}}},
		deploys: models.DeviceApplied, within: soon, quiet: true,
	},
	{
		name:    "renames an object",
		faults:  sim.Faults{Rename: map[string]string{"/interfaces/interface[name=Ethernet1]": "Ethernet1/0"}},
		deploys: models.DeviceHeld, says: "accepted, but after read back it differs: /interfaces/interface[name=Ethernet1]",
	},
	{name: "is locked", faults: sim.Faults{Lock: "aborted"}, deploys: models.DeviceUnknown, says: "locked"},
	{name: "is locked, by another code", faults: sim.Faults{Lock: "failed-precondition"}, deploys: models.DeviceUnknown, says: "locked"},
	{name: "is locked, by a third code", faults: sim.Faults{Lock: "unavailable"}, deploys: models.DeviceUnknown, says: "locked"},
	{
		name:    "does a Set by halves",
		faults:  sim.Faults{NonAtomic: true, Refuse: []string{"/system/config/login-banner"}},
		deploys: models.DeviceHeld, says: "refused, and changed in part all the same: ",
		in: map[strategy]otherwise{inPhases: {models.DeviceHeld, "refused in phase 2 of 4, phase 1 stays: ", 2}},
	},
	{name: "loses the answer to a Set", faults: sim.Faults{LoseAnswer: "hang"}, deploys: models.DeviceApplied, within: soon},
	{name: "loses the connection in a Set", faults: sim.Faults{LoseAnswer: "cut"}, deploys: models.DeviceApplied, within: soon},

	// What is told.
	{name: "hashes secrets", faults: sim.Faults{Secrets: "hash"}, deploys: models.DeviceApplied, within: soon, quiet: true},
	{name: "hashes secrets anew at each read", faults: sim.Faults{Secrets: "resalt"}, deploys: models.DeviceApplied, within: soon, quiet: true},
	{name: "writes values in other forms", faults: sim.Faults{Rewrite: true}, deploys: models.DeviceApplied, within: soon, quiet: true},
	{name: "reports defaults", faults: sim.Faults{Defaults: "report"}, deploys: models.DeviceApplied, within: soon, quiet: true},
	{name: "hides defaults", faults: sim.Faults{Defaults: "hide"}, deploys: models.DeviceApplied, within: soon, quiet: true},

	// How it answers.
	{name: "is slow", faults: sim.Faults{Delay: every(14*time.Second, "get", "set", "subscribe")}, deploys: models.DeviceApplied, within: 2 * time.Minute},
	{name: "is slow to read", faults: sim.Faults{Delay: every(14*time.Second, "get")}, deploys: models.DeviceApplied, within: 2 * time.Minute},
	{name: "is slow to write", faults: sim.Faults{Delay: every(14*time.Second, "set")}, deploys: models.DeviceApplied, within: time.Minute},
	{name: "is slow to stream", faults: sim.Faults{Delay: every(14*time.Second, "subscribe")}, deploys: models.DeviceApplied, within: time.Minute, rung: map[string]string{"watch": "on-change"}},
	{name: "hangs in a Get", faults: sim.Faults{Hang: []string{"get"}}, deploys: models.DeviceUnreachable, says: "no answer in time"},
	{name: "hangs in a Subscribe", faults: sim.Faults{Hang: []string{"subscribe"}}, deploys: models.DeviceApplied},
	{name: "has no Get", faults: sim.Faults{GetUnimplemented: true}, deploys: models.DeviceApplied, within: soon, rung: map[string]string{"read": "once"}},
	{name: "has Get ALL alone", faults: sim.Faults{GetAllOnly: "unimplemented"}, deploys: models.DeviceApplied, within: soon, rung: map[string]string{"read": "get-all"}},
	{name: "has Get ALL alone, by another code", faults: sim.Faults{GetAllOnly: "invalid-argument"}, deploys: models.DeviceApplied, within: soon, rung: map[string]string{"read": "get-all"}},
	{name: "reads in part", faults: sim.Faults{PartialGet: "/interfaces"}, deploys: models.DeviceApplied, within: soon},
	{name: "has a wrong clock", faults: sim.Faults{ClockSkew: sim.Duration(-400 * 24 * time.Hour)}, deploys: models.DeviceApplied, within: soon},

	// What streams do.
	{
		name: "takes scalars for leaves", faults: sim.Faults{Leaves: "scalar"}, profile: models.Profile{Leaves: "scalar"},
		deploys: models.DeviceApplied, within: soon, quiet: true,
	},
	{
		name: "is silent without an origin", faults: sim.Faults{GetUnimplemented: true, Origin: "openconfig"}, profile: models.Profile{Origin: "openconfig"},
		deploys: models.DeviceApplied, within: soon, rung: map[string]string{"read": "once", "watch": "on-change"},
	},
	{name: "refuses ON_CHANGE", faults: sim.Faults{NoOnChange: "refuse"}, deploys: models.DeviceApplied, within: sampled, rung: map[string]string{"watch": "sample"}},
	{name: "takes ON_CHANGE and is silent", faults: sim.Faults{NoOnChange: "silent"}, deploys: models.DeviceApplied},
	{name: "loses notifications", faults: sim.Faults{LoseNotifications: 1000}, deploys: models.DeviceApplied},
	{name: "is silent on a path", faults: sim.Faults{SilentPath: []string{"/system"}}, deploys: models.DeviceApplied},
	{name: "ends its streams", faults: sim.Faults{CloseStream: "always"}, deploys: models.DeviceApplied, within: 2 * time.Minute},
	{name: "ends a stream once", faults: sim.Faults{CloseStream: "once"}, deploys: models.DeviceApplied, within: soon},
	{name: "cancels a stream once", faults: sim.Faults{CancelStream: "once"}, deploys: models.DeviceApplied, within: soon},
	{name: "cancels its streams", faults: sim.Faults{CancelStream: "always"}, deploys: models.DeviceApplied, within: 2 * time.Minute},
	{name: "streams bad paths", faults: sim.Faults{Malformed: "path"}, deploys: models.DeviceApplied},
	{name: "streams bad values", faults: sim.Faults{Malformed: "value"}, deploys: models.DeviceApplied, within: soon},
	{name: "streams more than fits", faults: sim.Faults{Malformed: "oversized"}, deploys: models.DeviceApplied, within: soon},

	{
		name: "reboots with an old configuration", deploys: models.DeviceApplied, within: 2 * time.Minute,
		changes: func(c *cell) { c.target.Reboot() },
	},

	{
		name: "reboots, and hashes secrets", faults: sim.Faults{Secrets: "hash"}, deploys: models.DeviceApplied, within: 2 * time.Minute, quiet: true,
		changes: func(c *cell) { c.target.Reboot() },
	},

	// What it makes of extensions. None is sent, so it must make no difference.
	{name: "takes commits that wait", faults: sim.Faults{Commit: "supported"}, deploys: models.DeviceApplied, within: soon},
	{name: "ignores that a commit waits", faults: sim.Faults{Commit: "ignored"}, deploys: models.DeviceApplied, within: soon},
	{name: "refuses commits that wait", faults: sim.Faults{Commit: "refused"}, deploys: models.DeviceApplied, within: soon},
	{name: "takes a second commit while one waits", faults: traps("second"), deploys: models.DeviceApplied, within: soon},
	{name: "asks a commit for no id", faults: traps("any-id"), deploys: models.DeviceApplied, within: soon},
	{name: "waits for a commit that failed", faults: traps("stuck"), deploys: models.DeviceApplied, within: soon},
	{name: "reads whole seconds", faults: traps("whole-seconds"), deploys: models.DeviceApplied, within: soon},
	{name: "arbitrates", faults: sim.Faults{Arbitration: "supported"}, deploys: models.DeviceApplied, within: soon},
	{name: "arbitrates without roles", faults: sim.Faults{Arbitration: "no-role"}, deploys: models.DeviceApplied, within: soon},
	{name: "ignores arbitration", faults: sim.Faults{Arbitration: "ignored"}, deploys: models.DeviceApplied, within: soon},
	{name: "refuses arbitration", faults: sim.Faults{Arbitration: "refused"}, deploys: models.DeviceApplied, within: soon},
}

const (
	actGo    = "act.go"
	ledgerGo = "ledger.go"

	setGo      = "device/set.go"
	strategyGo = "plan/strategy.go"
)

// mutants are what each row has to catch.
var mutants = []mutation{
	{
		name: "puts nothing back", fault: "none", file: actGo,
		from: "	case heal:\n",
		to:   "	case heal:\n		if mutant(\"puts nothing back\", \"leaves a reboot as it is\") {\n			return f.done(m, f.Resync)\n		}\n",
	},
	{
		name: "takes a refusal for an answer like any other", fault: "refuses a path", file: actGo,
		from: "	if err != nil && f.Classify(err) != ClassRejected {\n		return f.miss(ctx, m, err)\n	}\n	after, readErr := f.readBack(ctx, m, d.tree, err == nil)\n	after.guards = nil\n",
		to:   "	if mutant(\"takes a refusal for an answer like any other\") && err != nil {\n		return f.settle(ctx, m, \"\", d)\n	}\n	if mutant(\"looks no more once refused\") && err != nil && f.Classify(err) == ClassRejected {\n		return f.stand(ctx, m, d, models.DeviceHeld, \"refused: \"+err.Error())\n	}\n	if mutant(\"believes an OK\") && err == nil {\n		return f.settle(ctx, m, \"\", d)\n	}\n	if mutant(\"takes silence for a refusal\") && err != nil && f.Classify(err) == ClassUnknown {\n		return f.stand(ctx, m, d, models.DeviceHeld, \"refused: \"+err.Error())\n	}\n	if mutant(\"takes a lock for a refusal\") && err != nil && f.Classify(err) == ClassRetry {\n		return f.stand(ctx, m, d, models.DeviceHeld, \"refused: \"+err.Error())\n	}\n	if mutant(\"takes a broken connection for a refusal\") && err != nil {\n		return f.stand(ctx, m, d, models.DeviceHeld, \"refused: \"+err.Error())\n	}\n	if err != nil && f.Classify(err) != ClassRejected {\n		return f.miss(ctx, m, err)\n	}\n	after, readErr := f.readBack(ctx, m, d.tree, err == nil)\n	after.guards = nil\n",
	},
	{name: "looks no more once refused", fault: "does a Set by halves"},
	{name: "believes an OK", fault: "drops a leaf"},
	{name: "takes silence for a refusal", fault: "loses the answer to a Set"},
	{name: "takes silence for a refusal", fault: "is locked, by a third code"},
	{name: "takes a refusal for an answer like any other", fault: "refuses what comes second"},
	{name: "takes a refusal for an answer like any other", fault: "wants one thing before another"},
	{name: "takes a lock for a refusal", fault: "is locked"},
	{name: "takes a lock for a refusal", fault: "is locked, by another code"},
	{name: "takes a broken connection for a refusal", fault: "loses the connection in a Set"},
	{
		name: "owns whatever stays", fault: "ignores a delete", file: ledgerGo,
		from: " || before.Lookup(c.Path) != nil {",
		to:   " || before.Lookup(c.Path) != nil && !mutant(\"owns whatever stays\") || mutant(\"owns nothing\") {",
	},
	{name: "owns nothing", fault: "makes objects of its own"},
	{
		name: "compares secrets by value", fault: "hashes secrets", file: ledgerGo,
		from: "	if !known || f.Sent != r.mark(path, secret) {",
		to:   "	if !known || f.Sent != r.mark(path, secret) || mutant(\"compares secrets by value\") {",
	},
	{
		name: "calls no secret write-only", fault: "hashes secrets anew at each read", file: actGo,
		from: "if before, ok := m.flux[path]; ok && before != mark {",
		to:   "if before, ok := m.flux[path]; ok && before != mark && !mutant(\"calls no secret write-only\") {",
	},
	{
		name: "misses no entry", fault: "renames an object", file: actGo,
		from: "	again, err := f.writeOnly(ctx, m, p)\n",
		to:   "	if mutant(\"misses no entry\") && p.Removed() == 0 {\n		p = &plan.Plan{}\n	}\n	again, err := f.writeOnly(ctx, m, p)\n",
	},
	{
		name: "compares addresses as text", fault: "writes values in other forms", file: "../models/tree/scalar.go",
		from: "func canonicalFormat(format, s string) (string, bool) {\n",
		to:   "func canonicalFormat(format, s string) (string, bool) {\n	if mutant(\"compares addresses as text\") {\n		return \"\", false\n	}\n",
	},
	{
		name: "knows no defaults", fault: "reports defaults", file: "../models/tree/tree.go",
		from: "		return b.text == b.Schema.defaultJSON\n",
		to:   "		return b.text == b.Schema.defaultJSON && !mutant(\"knows no defaults\")\n",
	},
	{name: "knows no defaults", fault: "hides defaults"},
	{
		name: "waits a second", fault: "is slow", file: "device/session.go",
		from: "	t.orDefaults()\n",
		to:   "	t.orDefaults()\n	if mutant(\"waits a second\") {\n		t.ReadTimeout, t.SetTimeout = time.Second, time.Second\n	}\n",
	},
	{
		name: "takes a failed read for an empty device", fault: "hangs in a Get", file: "device/reader.go",
		from: "		if err == nil && a.rung == once {\n",
		to:   "		if mutant(\"takes a failed read for an empty device\") {\n			err = nil\n		}\n		if err == nil && a.rung == once {\n",
	},
	{
		name: "takes a part for the whole", fault: "reads in part", file: "device/reader.go",
		from: "			refusals = append(refusals,",
		to:   "			if mutant(\"takes a part for the whole\") {\n				return answer{rung: r}, nil\n			}\n			refusals = append(refusals,",
	},
	{
		name: "knows one kind of Get", fault: "has no Get", file: "device/reader.go",
		from: "	for _, r := range []rung{getConfig, getAll, once} {\n",
		to:   "	for _, r := range []rung{getConfig, getAll, once} {\n		if r != getConfig && (mutant(\"knows one kind of Get\", \"knows Get CONFIG alone\")) {\n			continue\n		}\n",
	},
	{name: "knows Get CONFIG alone", fault: "has Get ALL alone"},
	{
		name: "goes by the device's clock", fault: "has a wrong clock", file: "device/stream.go",
		from: "		if root, ok := s.concerns(r.GetUpdate()); ok {\n",
		to:   "		if mutant(\"goes by the device's clock\") && r.GetUpdate().GetTimestamp() < 946684800000000000 {\n			continue\n		}\n		if mutant(\"drops what it can't read\") && len(r.GetUpdate().GetUpdate()) > 0 {\n			if v := r.GetUpdate().GetUpdate()[0].GetVal().GetJsonIetfVal(); len(v) > 0 && v[0] == '{' && v[len(v)-1] != '}' {\n				continue\n			}\n		}\n		if root, ok := s.concerns(r.GetUpdate()); ok {\n",
	},
	{name: "drops what it can't read", fault: "streams bad values"},
	{
		name: "sends leaves as JSON", fault: "takes scalars for leaves", file: "device/set.go",
		from: "	if s.t.Profile.Leaves == \"scalar\" {\n",
		to:   "	if s.t.Profile.Leaves == \"scalar\" && !mutant(\"sends leaves as JSON\") {\n",
	},
	{
		name: "names no origin", fault: "is silent without an origin", file: "device/reader.go",
		from: "Origin: s.t.Profile.Origin,",
		to:   "Origin: map[bool]string{false: s.t.Profile.Origin}[mutant(\"names no origin\")],",
	},
	{
		name: "calls samples a stream of changes", fault: "refuses ON_CHANGE", file: "device/stream.go",
		from: "	s.proved(\"watch\", how)\n",
		to:   "	if mutant(\"calls samples a stream of changes\") {\n		how = \"on-change\"\n	}\n	s.proved(\"watch\", how)\n",
	},
	{
		name: "trusts silence", fault: "takes ON_CHANGE and is silent", file: actGo,
		from: "	return f.done(m, f.Resync)\n}\n\n// stand records",
		to:   "	if mutant(\"trusts silence\", \"takes an end for a rest\", \"takes a cancel for its own\", \"gives up a stream that is too much\", \"drops what it can't read\", \"goes by the device's clock\", \"trusts every stream\", \"trusts a silent path\", \"trusts a stream of bad paths\", \"waits for a stream to begin\") {\n		m.failures, m.restless, m.due = 0, 0, time.Now().Add(24*time.Hour)\n		return next{}\n	}\n	return f.done(m, f.Resync)\n}\n\n// stand records",
	},
	{name: "trusts every stream", fault: "loses notifications"},
	{name: "trusts a stream of bad paths", fault: "streams bad paths"},
	{name: "trusts a silent path", fault: "is silent on a path"},
	{name: "waits for a stream to begin", fault: "hangs in a Subscribe"},
	{
		name: "takes an end for a rest", fault: "ends its streams", file: "session.go",
		from: "		if ctx.Err() != nil {\n			return\n		}\n		if err == nil {\n",
		to:   "		if ctx.Err() != nil || mutant(\"takes an end for a rest\", \"takes a cancel for its own\", \"gives up a stream that is too much\", \"waits for a stream to begin\") {\n			return\n		}\n		if err == nil {\n",
	},
	{name: "takes a cancel for its own", fault: "cancels its streams"},
	{
		name: "gives up a stream that is too much", fault: "streams more than fits", file: "device/session.go",
		from: "grpc.MaxCallRecvMsgSize(maxMessage)",
		to:   "grpc.MaxCallRecvMsgSize(func() int {\n			if mutant(\"gives up a stream that is too much\") {\n				return 4 << 20\n			}\n			return maxMessage\n		}())",
	},
	{name: "leaves a reboot as it is", fault: "reboots with an old configuration"},
	{name: "takes an end for a rest", fault: "ends a stream once"},
	{name: "takes a cancel for its own", fault: "cancels a stream once"},
	{name: "waits a second", fault: "is slow to read"},
	{name: "waits a second", fault: "is slow to write"},
	{name: "waits a second", fault: "is slow to stream"},
	{name: "knows Get CONFIG alone", fault: "has Get ALL alone, by another code"},
	{
		name: "takes a secret that it once sent for there", fault: "reboots, and hashes secrets", file: ledgerGo,
		from: "		case c.Old == nil || c.Old.Schema.Kind < tree.Leaf:\n",
		to:   "		case mutant(\"takes a secret that it once sent for there\") && c.Old == nil && r.ledger.Secrets[c.Path.String()].Sent != \"\":\n			out = append(out, c)\n		case c.Old == nil || c.Old.Schema.Kind < tree.Leaf:\n",
	},
	{
		file: ledgerGo,
		from: "		if c.Old == nil || c.New == nil || !c.New.Schema.Secret || c.New.Schema.Kind != tree.Leaf {\n",
		to:   "		if was, ok := r.ledger.Secrets[c.Path.String()]; ok && c.Old == nil && mutant(\"takes a secret that it once sent for there\") {\n			kept[c.Path.String()] = was\n		}\n		if c.Old == nil || c.New == nil || !c.New.Schema.Secret || c.New.Schema.Kind != tree.Leaf {\n",
	},

	// What it makes of extensions.
	{
		name: "lets its commits wait", fault: "takes commits that wait", file: setGo,
		from: "	if _, err := s.client.Set(ctx, s.setRequest(p)); err != nil {\n",
		to: `	req := s.setRequest(p)
	if mutant("lets its commits wait") {
		begin := &gnmi_ext.Commit_Commit{Commit: &gnmi_ext.CommitRequest{RollbackDuration: durationpb.New(30 * time.Second)}}
		req.Extension = append(req.Extension, &gnmi_ext.Extension{Ext: &gnmi_ext.Extension_Commit{Commit: &gnmi_ext.Commit{Id: "1", Action: begin}}})
	}
	if mutant("claims to be master") {
		master := &gnmi_ext.MasterArbitration{Role: &gnmi_ext.Role{Id: "setpoint"}, ElectionId: &gnmi_ext.Uint128{Low: 1}}
		req.Extension = append(req.Extension, &gnmi_ext.Extension{Ext: &gnmi_ext.Extension_MasterArbitration{MasterArbitration: master}})
	}
	if _, err := s.client.Set(ctx, req); err != nil {
`,
	},
	{
		file: setGo,
		from: "	\"github.com/openconfig/gnmi/proto/gnmi\"\n",
		to:   "	\"github.com/openconfig/gnmi/proto/gnmi\"\n	\"github.com/openconfig/gnmi/proto/gnmi_ext\"\n	\"google.golang.org/protobuf/types/known/durationpb\"\n	\"time\"\n",
	},
	{name: "lets its commits wait", fault: "ignores that a commit waits"},
	{name: "lets its commits wait", fault: "refuses commits that wait"},
	{name: "lets its commits wait", fault: "takes a second commit while one waits"},
	{name: "lets its commits wait", fault: "asks a commit for no id"},
	{name: "lets its commits wait", fault: "waits for a commit that failed"},
	{name: "lets its commits wait", fault: "reads whole seconds"},
	{name: "claims to be master", fault: "arbitrates"},
	{name: "claims to be master", fault: "arbitrates without roles"},
	{name: "claims to be master", fault: "ignores arbitration"},
	{name: "claims to be master", fault: "refuses arbitration"},

	// How it writes.
	{
		name: "knows no roots", fault: "none", how: byRoot, file: strategyGo,
		from: "Root: d.Apply == models.ApplyRoot}",
		to:   "Root: d.Apply == models.ApplyRoot && !mutant(\"knows no roots\")}",
	},
	{
		name: "replaces across an exclusion", fault: "none", how: byRoot, file: strategyGo,
		from: "	case !s.Scope.Covers(root):\n",
		to:   "	case !s.Scope.Covers(root) && !mutant(\"replaces across an exclusion\"):\n",
	},
	{
		name: "sends what a device shows", fault: "hashes secrets", how: byRoot, file: strategyGo,
		from: "	if expected != meant {\n",
		to:   "	if mutant(\"sends what a device shows\") {\n		meant = expected\n	}\n	if expected != meant {\n",
	},
	{
		name: "knows no phases", fault: "wants one thing before another", how: inPhases, file: strategyGo,
		from: "	if len(s.Phases) == 0 {\n",
		to:   "	if len(s.Phases) == 0 || mutant(\"knows no phases\") {\n",
	},
	{
		name: "goes through phases backwards", fault: "wants one thing before another", how: inPhases, file: strategyGo,
		from: "	return at\n}\n\n// divides says",
		to:   "	if mutant(\"goes through phases backwards\") {\n		return len(s.Phases) - at\n	}\n	return at\n}\n\n// divides says",
	},
	{
		name: "deletes the first phase first", fault: "wants one thing before another", how: inPhases, file: strategyGo,
		from: "	for at := n - 1; at >= 0; at-- {\n",
		to:   "	for at := n - 1; at >= 0; at-- {\n		if mutant(\"deletes the first phase first\") && at == n-1 {\n			slices.Reverse(deletes)\n		}\n",
	},
	{
		name: "takes a refused phase for done", fault: "refuses what comes second", how: inPhases, file: actGo,
		from: "		if err := f.send(ctx, m, r); err != nil && len(all) > 1 {\n",
		to:   "		if err := f.send(ctx, m, r); err != nil && mutant(\"takes a refused phase for done\") {\n			return nil\n		} else if err != nil && mutant(\"goes on after a refused phase\") {\n			continue\n		} else if err != nil && len(all) > 1 {\n",
	},
	{name: "goes on after a refused phase", fault: "refuses what comes second", how: inPhases},
}
