package device

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/openconfig/gnmi/proto/gnmi"
)

// Profile is how one platform's gNMI really behaves, as data. A knob is added
// when a target is known that needs it.
type Profile struct {
	Name string

	// Origin is sent in the path of every Get, Subscribe and Set. The
	// specification's default for a missing origin is "openconfig" (gNMI 2.7);
	// naming it is recommended, but targets exist that refuse the name.
	Origin string

	// Encoding is asked for in Get and Subscribe. JSON_IETF is what OpenConfig
	// targets must support; answers in another encoding are understood anyway.
	Encoding gnmi.Encoding

	// Sample is the interval of the stream that replaces ON_CHANGE where a
	// target refuses that.
	Sample time.Duration
}

// profiles is a constant table.
var profiles = map[string]Profile{
	"openconfig": {Name: "openconfig", Encoding: gnmi.Encoding_JSON_IETF, Sample: 10 * time.Second},
}

func profileOf(platform string) (Profile, error) {
	p, ok := profiles[platform]
	if !ok {
		known := slices.Sorted(maps.Keys(profiles))
		return Profile{}, fmt.Errorf("platform %q is not known; known are: %s", platform, strings.Join(known, ", "))
	}
	return p, nil
}
