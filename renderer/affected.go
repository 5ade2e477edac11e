package renderer

import (
	"maps"
	"reflect"
	"slices"

	"github.com/setpoint-net/setpoint/models"
)

// Affected are the devices that a change of a config repo has an effect on, by
// name.
type Affected struct {
	Changed []models.DeviceName // their config, or their entry in the inventory
	Added   []models.DeviceName
	Removed []models.DeviceName
}

// Len is how many devices are affected.
func (a Affected) Len() int { return len(a.Changed) + len(a.Added) + len(a.Removed) }

// AffectedBetween compares what two trees render to. It is exact: a device is
// affected when what comes out for it is another, whatever moved in the documents.
// Neither result has mistakes. It compares hashes, never configs.
func AffectedBetween(before, after *Result) Affected {
	was := make(map[models.DeviceName]*Device, len(before.Devices))
	for i := range before.Devices {
		was[before.Devices[i].Name] = &before.Devices[i]
	}
	var out Affected
	for i := range after.Devices {
		now := &after.Devices[i]
		old, known := was[now.Name]
		delete(was, now.Name)
		switch {
		case !known:
			out.Added = append(out.Added, now.Name)
		case old.Hash != now.Hash || !reflect.DeepEqual(old.Device, now.Device):
			out.Changed = append(out.Changed, now.Name)
		}
	}
	out.Removed = slices.Sorted(maps.Keys(was))
	return out
}
