package renderer

import (
	"bytes"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// TestAWrittenDeviceIsReadable holds the form: what a person would write.
func TestAWrittenDeviceIsReadable(t *testing.T) {
	config, err := tree.Parse(tree.OpenConfig(), []byte(`{"interfaces":{"interface":[
		{"name":"Ethernet10","config":{"name":"Ethernet10","type":"ethernetCsmacd","enabled":false,"mtu":9000,"description":"to: spine"}},
		{"name":"Ethernet2","config":{"name":"Ethernet2"}}]},
		"system":{"config":{"hostname":"0x1f","login-banner":"${name}"},"dns":{"config":{"search":["a.example","on"]}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	d := models.Device{
		Name: "10", Labels: map[string]string{"site": "lon1", "rack": "07"}, Address: "[2001:db8::1]:9339", Platform: "openconfig",
		Credentials: "lab", Manage: []string{"/interfaces/interface[name=Ethernet*]", "/system", "!/system/aaa"}, Adopt: models.AdoptApprove, Redundancy: "pair 1",
	}
	want := `apiVersion: setpoint/v1
kind: Device
metadata:
  name: "10"
  labels:
    rack: "07"
    site: lon1
spec:
  address: "[2001:db8::1]:9339"
  platform: openconfig
  credentials: lab
  manage:
    - /interfaces/interface[name=Ethernet*]
    - /system
    - "!/system/aaa"
  adopt: approve
  redundancy: pair 1
  openconfig:
    interfaces:
      interface:
        - name: Ethernet2
        - name: Ethernet10
          config:
            description: "to: spine"
            enabled: false
            mtu: 9000
            type: ethernetCsmacd
    system:
      config:
        hostname: "0x1f"
        login-banner: "$${name}"
      dns:
        config:
          search:
            - a.example
            - "on"
`
	var got bytes.Buffer
	if err := WriteDevice(&got, d, config); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	r, err := Render(t.Context(), fstest.MapFS{"a.yaml": {Data: got.Bytes()}})
	if err != nil || len(r.Mistakes) > 0 {
		t.Fatalf("%v %v", err, r.Mistakes)
	}
	if r.Devices[0].Hash != config.Hash() {
		t.Errorf("rendered %s\nwritten %s", r.Devices[0].Config, config.Canonical())
	}
}

// FuzzWrittenTextReadsBack puts any text through a leaf that takes any.
func FuzzWrittenTextReadsBack(f *testing.F) {
	for _, s := range []string{"", "~", "Null", "0o17", "1_000", "1:30", "1e3", ".inf", "- a", "a: b", "a #b", "${name}", "$${", "\u2028\ufeff\u0085", "é\U0001f600", "'", "\"\\", " a ", "a\nb", "=", "<<", "!x", "&a", "*a", "%", "@", "`", "|", "?", "[a]", "{a}", "2026-01-02"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		data := []byte(`{"system":{"config":{"login-banner":` + string(appendString(nil, s)) + `}}}`)
		config, err := tree.Parse(tree.OpenConfig(), data)
		if err != nil {
			return // no YANG string
		}
		var doc bytes.Buffer
		if err := WriteDevice(&doc, models.Device{Name: "x", Address: "x", Credentials: "x", Manage: []string{"/system"}}, config); err != nil {
			t.Fatal(err)
		}
		r, err := Render(t.Context(), fstest.MapFS{"a.yaml": {Data: doc.Bytes()}})
		if err != nil || len(r.Mistakes) > 0 {
			t.Fatalf("%q: %v %v\n%s", s, err, r.Mistakes, doc.Bytes())
		}
		if r.Devices[0].Hash != config.Hash() {
			t.Errorf("%q became %s", s, r.Devices[0].Config)
		}
	})
}
