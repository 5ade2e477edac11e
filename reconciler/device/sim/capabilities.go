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
		SupportedModels:    models(),
		SupportedEncodings: []gnmi.Encoding{gnmi.Encoding_JSON_IETF, gnmi.Encoding_JSON, gnmi.Encoding_PROTO},
		GNMIVersion:        gnmiVersion,
	}, nil
}

// models lists the modules that models/oc was generated from, with the versions
// of that release.
func models() []*gnmi.ModelData {
	var out []*gnmi.ModelData
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		org := "OpenConfig working group"
		if !strings.HasPrefix(name, "openconfig-") {
			org = "IETF"
		}
		out = append(out, &gnmi.ModelData{Name: name, Organization: org, Version: versions[name]})
	}
	return out
}

// versions is each module's openconfig-version, or the date of its revision where
// it has none.
var versions = map[string]string{
	"iana-if-type":                       "2017-01-19",
	"ietf-inet-types":                    "2013-07-15",
	"ietf-interfaces":                    "2018-02-20",
	"ietf-yang-types":                    "2013-07-15",
	"openconfig-aaa":                     "1.1.0",
	"openconfig-aaa-types":               "0.4.1",
	"openconfig-acl":                     "1.3.3",
	"openconfig-aft":                     "3.4.0",
	"openconfig-aft-types":               "1.3.0",
	"openconfig-alarm-types":             "0.2.1",
	"openconfig-alarms":                  "0.3.2",
	"openconfig-bfd":                     "0.5.0",
	"openconfig-bgp":                     "9.9.1",
	"openconfig-bgp-policy":              "8.3.0",
	"openconfig-bgp-types":               "6.2.0",
	"openconfig-defined-sets":            "1.1.0",
	"openconfig-ethernet-segments":       "0.2.0",
	"openconfig-evpn":                    "0.11.0",
	"openconfig-evpn-types":              "0.2.0",
	"openconfig-extensions":              "0.7.0",
	"openconfig-fs-types":                "0.1.0",
	"openconfig-icmpv4-types":            "0.1.0",
	"openconfig-icmpv6-types":            "0.1.1",
	"openconfig-if-aggregate":            "2.4.6",
	"openconfig-if-ethernet":             "2.18.0",
	"openconfig-if-ip":                   "3.9.0",
	"openconfig-igmp":                    "0.3.1",
	"openconfig-igmp-types":              "0.1.1",
	"openconfig-inet-types":              "0.8.0",
	"openconfig-interfaces":              "3.8.1",
	"openconfig-isis":                    "1.8.0",
	"openconfig-isis-lsdb-types":         "0.4.2",
	"openconfig-isis-policy":             "0.8.0",
	"openconfig-isis-types":              "0.7.0",
	"openconfig-keychain":                "0.5.0",
	"openconfig-keychain-types":          "0.4.0",
	"openconfig-lacp":                    "2.2.0",
	"openconfig-license":                 "0.2.0",
	"openconfig-lldp":                    "1.1.0",
	"openconfig-lldp-types":              "0.2.0",
	"openconfig-local-routing":           "4.1.0",
	"openconfig-messages":                "0.1.0",
	"openconfig-mpls":                    "3.6.2",
	"openconfig-mpls-ldp":                "3.2.1",
	"openconfig-mpls-rsvp":               "4.1.0",
	"openconfig-mpls-sr":                 "3.0.1",
	"openconfig-mpls-types":              "3.6.0",
	"openconfig-network-instance":        "4.7.0",
	"openconfig-network-instance-l3":     "2.0.0",
	"openconfig-network-instance-policy": "0.1.3",
	"openconfig-network-instance-static": "0.3.0",
	"openconfig-network-instance-types":  "0.9.3",
	"openconfig-ospf":                    "0.1.1",
	"openconfig-ospf-policy":             "0.1.3",
	"openconfig-ospf-types":              "0.1.4",
	"openconfig-ospfv2":                  "0.5.2",
	"openconfig-packet-match":            "2.3.0",
	"openconfig-packet-match-types":      "1.3.4",
	"openconfig-pcep":                    "0.1.1",
	"openconfig-pim":                     "0.4.4",
	"openconfig-pim-types":               "0.1.2",
	"openconfig-platform":                "0.32.0",
	"openconfig-platform-port":           "1.0.1",
	"openconfig-platform-types":          "1.12.0",
	"openconfig-policy-forwarding":       "1.2.0",
	"openconfig-policy-types":            "3.3.0",
	"openconfig-procmon":                 "0.4.0",
	"openconfig-qos":                     "2.2.0",
	"openconfig-qos-types":               "1.0.1",
	"openconfig-relay-agent":             "0.1.2",
	"openconfig-rib-bgp":                 "0.10.0",
	"openconfig-rib-bgp-types":           "0.5.0",
	"openconfig-routing-policy":          "3.5.0",
	"openconfig-segment-routing":         "0.4.1",
	"openconfig-segment-routing-types":   "0.2.0",
	"openconfig-spanning-tree":           "0.3.1",
	"openconfig-spanning-tree-types":     "0.4.1",
	"openconfig-srte-policy":             "0.2.4",
	"openconfig-system":                  "3.1.0",
	"openconfig-system-grpc":             "1.1.0",
	"openconfig-system-logging":          "0.7.0",
	"openconfig-system-terminal":         "0.4.0",
	"openconfig-transport-types":         "1.4.0",
	"openconfig-types":                   "1.0.0",
	"openconfig-vlan":                    "3.2.2",
	"openconfig-vlan-types":              "3.2.0",
	"openconfig-yang-types":              "1.0.0",
}
