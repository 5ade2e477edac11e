package sim

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/openconfig/gnmi/proto/gnmi"
)

// gnmiVersion is the version of the gNMI service that the target speaks.
const gnmiVersion = "0.10.0"

// Capabilities names the models, the encodings and the version (gNMI 3.2.2).
func (t *Target) Capabilities(_ context.Context, req *gnmi.CapabilityRequest) (*gnmi.CapabilityResponse, error) {
	if err := refuseExtensions(req.GetExtension()); err != nil {
		return nil, err
	}
	return &gnmi.CapabilityResponse{
		SupportedModels:    models(t.schema),
		SupportedEncodings: []gnmi.Encoding{gnmi.Encoding_JSON_IETF, gnmi.Encoding_JSON, gnmi.Encoding_PROTO},
		GNMIVersion:        gnmiVersion,
	}, nil
}

// models lists the modules that define nodes of the schema, with the versions of
// the release that models/oc was generated from.
func models(s *schema) []*gnmi.ModelData {
	names := map[string]bool{}
	s.modules(names)
	var out []*gnmi.ModelData
	for _, name := range slices.Sorted(maps.Keys(names)) {
		org := "OpenConfig working group"
		if strings.HasPrefix(name, "ietf-") {
			org = "IETF"
		}
		out = append(out, &gnmi.ModelData{Name: name, Organization: org, Version: versions[name]})
	}
	return out
}

func (s *schema) modules(names map[string]bool) {
	if s.module != "" {
		names[s.module] = true
	}
	for _, c := range s.children {
		c.modules(names)
	}
}

// versions is the openconfig-version of each module.
var versions = map[string]string{
	"openconfig-acl":                     "1.3.3",
	"openconfig-bfd":                     "0.5.0",
	"openconfig-bgp-policy":              "8.3.0",
	"openconfig-defined-sets":            "1.1.0",
	"openconfig-ethernet-segments":       "0.2.0",
	"openconfig-if-aggregate":            "2.4.6",
	"openconfig-if-ethernet":             "2.18.0",
	"openconfig-if-ip":                   "3.9.0",
	"openconfig-interfaces":              "3.8.1",
	"openconfig-isis-policy":             "0.8.0",
	"openconfig-keychain":                "0.5.0",
	"openconfig-lacp":                    "2.2.0",
	"openconfig-lldp":                    "1.1.0",
	"openconfig-network-instance":        "4.7.0",
	"openconfig-network-instance-policy": "0.1.3",
	"openconfig-ospf-policy":             "0.1.3",
	"openconfig-platform":                "0.32.0",
	"openconfig-platform-port":           "1.0.1",
	"openconfig-qos":                     "2.2.0",
	"openconfig-relay-agent":             "0.1.2",
	"openconfig-routing-policy":          "3.5.0",
	"openconfig-spanning-tree":           "0.3.1",
	"openconfig-system":                  "3.1.0",
	"openconfig-system-grpc":             "1.1.0",
	"openconfig-vlan":                    "3.2.2",
}
