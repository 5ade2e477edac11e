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

// faultRows are the matrix' rows: what each fault of the target is to lead to.
var faultRows = []fault{
	{name: "none", deploys: models.DeviceApplied, within: soon, rung: map[string]string{"read": "get-config", "watch": "on-change"}},

	// What a Set does.
	{
		name: "refuses a path", faults: sim.Faults{Refuse: []string{"/system/config/login-banner"}},
		deploys: models.DeviceHeld, says: "refused: ",
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
		faults:  sim.Faults{Implicit: []sim.Object{{Path: "/interfaces/interface[name=Ethernet9]/config/description", Value: json.RawMessage(`"made by the device"`)}}},
		deploys: models.DeviceApplied, within: soon, quiet: true,
	},
	{
		name:    "renames an object",
		faults:  sim.Faults{Rename: map[string]string{"/interfaces/interface[name=Ethernet1]": "Ethernet1/0"}},
		deploys: models.DeviceHeld, says: "accepted, but after read back it differs: /interfaces/interface[name=Ethernet1]",
	},
	{name: "is locked", faults: sim.Faults{Lock: "aborted"}, deploys: models.DeviceUnknown, says: "locked"},
	{name: "is locked, by another code", faults: sim.Faults{Lock: "failed-precondition"}, deploys: models.DeviceUnknown, says: "locked"},
	{
		name:    "does a Set by halves",
		faults:  sim.Faults{NonAtomic: true, Refuse: []string{"/system/config/login-banner"}},
		deploys: models.DeviceHeld, says: "refused, and changed in part all the same: ",
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
	{name: "hangs in a Get", faults: sim.Faults{Hang: []string{"get"}}, deploys: models.DeviceUnreachable, says: "no answer in time"},
	{name: "hangs in a Subscribe", faults: sim.Faults{Hang: []string{"subscribe"}}, deploys: models.DeviceApplied},
	{name: "has no Get", faults: sim.Faults{GetUnimplemented: true}, deploys: models.DeviceApplied, within: soon, rung: map[string]string{"read": "once"}},
	{name: "has Get ALL alone", faults: sim.Faults{GetAllOnly: "unimplemented"}, deploys: models.DeviceApplied, within: soon, rung: map[string]string{"read": "get-all"}},
	{name: "reads in part", faults: sim.Faults{PartialGet: "/interfaces"}, deploys: models.DeviceApplied, within: soon},
	{name: "has a wrong clock", faults: sim.Faults{ClockSkew: sim.Duration(-400 * 24 * time.Hour)}, deploys: models.DeviceApplied, within: soon},

	// What streams do.
	{
		name: "is silent without an origin", faults: sim.Faults{GetUnimplemented: true, Origin: "openconfig"}, profile: models.Profile{Origin: "openconfig"},
		deploys: models.DeviceApplied, within: soon, rung: map[string]string{"read": "once", "watch": "on-change"},
	},
	{name: "refuses ON_CHANGE", faults: sim.Faults{NoOnChange: "refuse"}, deploys: models.DeviceApplied, within: sampled, rung: map[string]string{"watch": "sample"}},
	{name: "takes ON_CHANGE and is silent", faults: sim.Faults{NoOnChange: "silent"}, deploys: models.DeviceApplied},
	{name: "loses notifications", faults: sim.Faults{LoseNotifications: 1000}, deploys: models.DeviceApplied},
	{name: "is silent on a path", faults: sim.Faults{SilentPath: []string{"/system"}}, deploys: models.DeviceApplied},
	{name: "ends its streams", faults: sim.Faults{CloseStream: "always"}, deploys: models.DeviceApplied, within: 2 * time.Minute},
	{name: "cancels its streams", faults: sim.Faults{CancelStream: "always"}, deploys: models.DeviceApplied, within: 2 * time.Minute},
	{name: "streams bad paths", faults: sim.Faults{Malformed: "path"}, deploys: models.DeviceApplied},
	{name: "streams bad values", faults: sim.Faults{Malformed: "value"}, deploys: models.DeviceApplied, within: soon},
	{name: "streams more than fits", faults: sim.Faults{Malformed: "oversized"}, deploys: models.DeviceApplied, within: soon},

	{
		name: "reboots with an old configuration", deploys: models.DeviceApplied, within: 2 * time.Minute,
		changes: func(c *cell) { c.target.Reboot() },
	},

	{name: "takes commit-confirmed and ignores it", skip: "this version sends no commit-confirmed: there is nothing to be ignored"},
	{name: "takes arbitration and ignores it", skip: "this version sends no election id: there is nothing to be ignored"},
}

const (
	actGo    = "act.go"
	ledgerGo = "ledger.go"
)

// mutants are what each row has to catch.
var mutants = []mutation{
	{
		"puts nothing back", "none", actGo,
		"	case heal:\n", "	case heal:\n		if mutant(\"puts nothing back\") || mutant(\"leaves a reboot as it is\") {\n			return f.done(m, f.Resync)\n		}\n",
	},
	{
		"takes a refusal for an answer like any other", "refuses a path", actGo,
		"	if err != nil && f.Classify(err) != ClassRejected {\n		return f.miss(ctx, m, err)\n	}\n	after, readErr := f.readBack(ctx, m, d.tree, err == nil)\n	after.guards = nil\n",
		"	if mutant(\"takes a refusal for an answer like any other\") && err != nil {\n		return f.settle(ctx, m, \"\", d)\n	}\n	if mutant(\"looks no more once refused\") && err != nil && f.Classify(err) == ClassRejected {\n		return f.stand(ctx, m, d, models.DeviceHeld, \"refused: \"+err.Error())\n	}\n	if mutant(\"believes an OK\") && err == nil {\n		return f.settle(ctx, m, \"\", d)\n	}\n	if mutant(\"takes silence for a refusal\") && err != nil && f.Classify(err) == ClassUnknown {\n		return f.stand(ctx, m, d, models.DeviceHeld, \"refused: \"+err.Error())\n	}\n	if mutant(\"takes a lock for a refusal\") && err != nil && f.Classify(err) == ClassRetry {\n		return f.stand(ctx, m, d, models.DeviceHeld, \"refused: \"+err.Error())\n	}\n	if mutant(\"takes a lock for a refusal, by another code\") && err != nil && f.Classify(err) == ClassRetry {\n		return f.stand(ctx, m, d, models.DeviceHeld, \"refused: \"+err.Error())\n	}\n	if mutant(\"takes a broken connection for a refusal\") && err != nil {\n		return f.stand(ctx, m, d, models.DeviceHeld, \"refused: \"+err.Error())\n	}\n	if err != nil && f.Classify(err) != ClassRejected {\n		return f.miss(ctx, m, err)\n	}\n	after, readErr := f.readBack(ctx, m, d.tree, err == nil)\n	after.guards = nil\n",
	},
	{name: "looks no more once refused", fault: "does a Set by halves"},
	{name: "believes an OK", fault: "drops a leaf"},
	{name: "takes silence for a refusal", fault: "loses the answer to a Set"},
	{name: "takes a lock for a refusal", fault: "is locked"},
	{name: "takes a lock for a refusal, by another code", fault: "is locked, by another code"},
	{name: "takes a broken connection for a refusal", fault: "loses the connection in a Set"},
	{
		"owns whatever stays", "ignores a delete", ledgerGo,
		" || before.Lookup(c.Path) != nil {", " || before.Lookup(c.Path) != nil && !mutant(\"owns whatever stays\") || mutant(\"owns nothing\") {",
	},
	{name: "owns nothing", fault: "makes objects of its own"},
	{
		"compares secrets by value", "hashes secrets", ledgerGo,
		"	if !known || f.Sent != r.mark(path, secret) {", "	if !known || f.Sent != r.mark(path, secret) || mutant(\"compares secrets by value\") {",
	},
	{
		"calls no secret write-only", "hashes secrets anew at each read", actGo,
		"if before, ok := m.flux[path]; ok && before != mark {", "if before, ok := m.flux[path]; ok && before != mark && !mutant(\"calls no secret write-only\") {",
	},
	{
		"misses no entry", "renames an object", actGo,
		"	if d.plan, err = r.plan(running, intended); err != nil {\n		return d, err\n	}\n	if again,", "	if d.plan, err = r.plan(running, intended); err != nil {\n		return d, err\n	}\n	if mutant(\"misses no entry\") && d.plan.Removed() == 0 {\n		d.plan = &plan.Plan{}\n	}\n	if again,",
	},
	{
		"compares addresses as text", "writes values in other forms", "../models/tree/scalar.go",
		"func canonicalFormat(format, s string) (string, bool) {\n", "func canonicalFormat(format, s string) (string, bool) {\n	if mutant(\"compares addresses as text\") {\n		return \"\", false\n	}\n",
	},
	{
		"knows no defaults", "reports defaults", "../models/tree/tree.go",
		"		return b.text == b.Schema.defaultJSON\n", "		return b.text == b.Schema.defaultJSON && !mutant(\"knows no defaults\") && !mutant(\"knows no defaults that are hidden\")\n",
	},
	{name: "knows no defaults that are hidden", fault: "hides defaults"},
	{
		"waits a second", "is slow", "device/session.go",
		"	t.orDefaults()\n", "	t.orDefaults()\n	if mutant(\"waits a second\") {\n		t.ReadTimeout, t.SetTimeout = time.Second, time.Second\n	}\n",
	},
	{
		"takes a failed read for an empty device", "hangs in a Get", "device/reader.go",
		"		if err == nil {\n			err = doc.add(a.notifications, root)\n		}\n", "		if mutant(\"takes a failed read for an empty device\") {\n			err = nil\n		}\n		if err == nil {\n			err = doc.add(a.notifications, root)\n		}\n",
	},
	{
		"takes a part for the whole", "reads in part", "device/reader.go",
		"			refusals = append(refusals,", "			if mutant(\"takes a part for the whole\") {\n				return answer{rung: r}, nil\n			}\n			refusals = append(refusals,",
	},
	{
		"knows one kind of Get", "has no Get", "device/reader.go",
		"	for _, r := range []rung{getConfig, getAll, once} {\n", "	for _, r := range []rung{getConfig, getAll, once} {\n		if r != getConfig && (mutant(\"knows one kind of Get\") || mutant(\"knows Get CONFIG alone\")) {\n			continue\n		}\n",
	},
	{name: "knows Get CONFIG alone", fault: "has Get ALL alone"},
	{
		"goes by the device's clock", "has a wrong clock", "device/stream.go",
		"		if s.concerns(r.GetUpdate()) {\n",
		"		if mutant(\"goes by the device's clock\") && r.GetUpdate().GetTimestamp() < 946684800000000000 {\n			continue\n		}\n		if mutant(\"drops what it can't read\") && len(r.GetUpdate().GetUpdate()) > 0 {\n			if v := r.GetUpdate().GetUpdate()[0].GetVal().GetJsonIetfVal(); len(v) > 0 && v[0] == '{' && v[len(v)-1] != '}' {\n				continue\n			}\n		}\n		if s.concerns(r.GetUpdate()) {\n",
	},
	{name: "drops what it can't read", fault: "streams bad values"},
	{
		"names no origin", "is silent without an origin", "device/reader.go",
		"Origin: s.t.Profile.Origin,", "Origin: map[bool]string{false: s.t.Profile.Origin}[mutant(\"names no origin\")],",
	},
	{
		"calls samples a stream of changes", "refuses ON_CHANGE", "device/stream.go",
		"	s.proved(\"watch\", how)\n", "	if mutant(\"calls samples a stream of changes\") {\n		how = \"on-change\"\n	}\n	s.proved(\"watch\", how)\n",
	},
	{
		"trusts silence", "takes ON_CHANGE and is silent", actGo,
		"	return f.done(m, f.Resync)\n}\n\n// stand records", "	if mutant(\"trusts silence\") || mutant(\"takes an end for a rest\") || mutant(\"takes a cancel for its own\") || mutant(\"gives up a stream that is too much\") || mutant(\"drops what it can't read\") || mutant(\"goes by the device's clock\") || mutant(\"trusts every stream\") || mutant(\"trusts a silent path\") || mutant(\"trusts a stream of bad paths\") || mutant(\"waits for a stream to begin\") {\n		m.failures, m.restless, m.due = 0, 0, time.Now().Add(24*time.Hour)\n		return next{}\n	}\n	return f.done(m, f.Resync)\n}\n\n// stand records",
	},
	{name: "trusts every stream", fault: "loses notifications"},
	{name: "trusts a stream of bad paths", fault: "streams bad paths"},
	{name: "trusts a silent path", fault: "is silent on a path"},
	{name: "waits for a stream to begin", fault: "hangs in a Subscribe"},
	{
		"takes an end for a rest", "ends its streams", "session.go",
		"		if ctx.Err() != nil {\n			return\n		}\n		if err == nil {\n", "		if ctx.Err() != nil || mutant(\"takes an end for a rest\") || mutant(\"takes a cancel for its own\") || mutant(\"gives up a stream that is too much\") || mutant(\"waits for a stream to begin\") {\n			return\n		}\n		if err == nil {\n",
	},
	{name: "takes a cancel for its own", fault: "cancels its streams"},
	{
		"gives up a stream that is too much", "streams more than fits", "device/session.go",
		"grpc.MaxCallRecvMsgSize(maxMessage)", "grpc.MaxCallRecvMsgSize(func() int {\n			if mutant(\"gives up a stream that is too much\") {\n				return 4 << 20\n			}\n			return maxMessage\n		}())",
	},
	{name: "leaves a reboot as it is", fault: "reboots with an old configuration"},
}
