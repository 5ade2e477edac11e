package reconciler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/setpoint-net/setpoint/bus"
	"github.com/setpoint-net/setpoint/models"
)

// Order is the value of the table orders, by device, and under the key
// [Everyone] for all: what a person asked for. Who is who the socket's kernel
// said, or "setpoint" for a stop that setpoint made itself.
type Order struct {
	Suspend *Suspension  `json:"suspend,omitempty"`
	Paths   []Suspension `json:"paths,omitempty"` // suspended paths, of one device
	Retry   Asked        `json:"retry,omitzero"`  // what is held, or was given up, is tried again
	Look    Asked        `json:"look,omitzero"`   // the device is read now
}

// Suspension is a device or path that is left alone for a while.
type Suspension struct {
	Path  string    `json:"path,omitempty"`
	Who   string    `json:"who"`
	Why   string    `json:"why"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"`  // zero: until it is resumed
	Heals bool      `json:"heals,omitempty"` // only putting drift back is suspended; commits go on
}

// Asked is who asked for something, and when.
type Asked struct {
	Who  string    `json:"who,omitempty"`
	Time time.Time `json:"time,omitzero"`
}

// Everyone is the key of the order that holds for every device.
const Everyone = "*"

// Itself is who suspends where setpoint does.
const Itself = "setpoint"

// Orders is the bus's table of orders.
func Orders(b *bus.Bus) *bus.Table[Order] { return bus.TableOf[Order](b, "orders") }

func (s *Suspension) holds(now time.Time) bool {
	return s != nil && (s.Until.IsZero() || now.Before(s.Until))
}

// String says who suspended, why, and until when.
func (s *Suspension) String() string {
	until := "until it is resumed"
	if !s.Until.IsZero() {
		until = "until " + s.Until.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("suspended by %s %s: %s", s.Who, until, oneLine(s.Why, briefLength))
}

// Suspended is a line for each suspension of the order that holds at a time.
func (o Order) Suspended(now time.Time) []string {
	var lines []string
	if o.Suspend.holds(now) {
		lines = append(lines, o.Suspend.String())
	}
	for _, p := range o.Paths {
		if p.holds(now) {
			lines = append(lines, p.Path+" "+p.String())
		}
	}
	return lines
}

// command is what the orders for a device come to at one moment.
type command struct {
	all   *Suspension // nothing is written
	heals *Suspension // drift is not put back
	paths []string    // left alone, sorted
	ends  time.Time   // when the first of these does; zero: none does by itself
	retry time.Time
	look  time.Time
}

// commanded adds up the order for a device and the one for all.
func commanded(own, everyone Order, now time.Time) command {
	var c command
	ends := func(s Suspension) {
		if !s.Until.IsZero() && (c.ends.IsZero() || s.Until.Before(c.ends)) {
			c.ends = s.Until
		}
	}
	for _, o := range []Order{everyone, own} {
		if o.Suspend.holds(now) {
			if o.Suspend.Heals {
				c.heals = o.Suspend
			} else {
				c.all = o.Suspend
			}
			ends(*o.Suspend)
		}
		for _, p := range o.Paths {
			if p.holds(now) {
				c.paths = append(c.paths, p.Path)
				ends(p)
			}
		}
		c.retry, c.look = later(c.retry, o.Retry.Time), later(c.look, o.Look.Time)
	}
	slices.Sort(c.paths)
	c.paths = slices.Compact(c.paths)
	return c
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// heed follows the orders until the watch ends: whoever is meant is looked at.
func (f *fleet) heed(changes <-chan bus.Change[Order]) {
	for c := range changes {
		if c.Current {
			continue
		}
		name := models.DeviceName(c.Key)
		f.mu.Lock()
		if c.Deleted {
			delete(f.orders, name)
		} else {
			f.orders[name] = c.Value
		}
		begun := f.begun
		f.mu.Unlock()
		if !begun {
			continue // who is assigned is not known yet: a look now would release
		}
		names := []models.DeviceName{name}
		if name == Everyone {
			names = f.names()
		}
		for _, n := range names {
			f.queue.look(n)
		}
	}
}

func (f *fleet) command(name models.DeviceName) command {
	f.mu.Lock()
	defer f.mu.Unlock()
	return commanded(f.orders[name], f.orders[Everyone], time.Now())
}

// obey takes the orders for a device: what is suspended, and what is to be tried
// again.
func (f *fleet) obey(ctx context.Context, m *member) error {
	c := f.command(m.name)
	if !slices.Equal(c.paths, m.order.paths) {
		m.order.paths = c.paths
		if err := f.enter(ctx, m, m.taken.Manifest); err != nil {
			return err
		}
	}
	if c.retry.After(m.order.retry) && c.retry.After(m.status.Since) {
		m.ledger.Stopped, m.ledger.Heals = Stop{}, nil
		if m.status.State == models.DeviceHeld {
			m.status.State, m.status.Reason, m.status.Guards = models.DeviceUnknown, "", ""
		}
		m.complete = false
	}
	if c.look.After(m.order.look) && c.look.After(m.status.ReadAt) {
		m.complete = false
	}
	m.order = c
	return nil
}

// stopFleet suspends putting back everywhere, because many devices drifted at
// once. A suspension that stands already is left as it is.
func (f *fleet) stopFleet(ctx context.Context, why string) error {
	ctx, cancel := context.WithTimeout(ctx, busDeadline)
	defer cancel()
	o, rev, err := f.Orders.Get(ctx, Everyone)
	if err != nil || o.Suspend.holds(time.Now()) {
		return err
	}
	o.Suspend = &Suspension{Who: Itself, Why: why, Since: time.Now().UTC(), Heals: true}
	if _, err = f.Orders.Update(ctx, Everyone, o, rev); err != nil {
		return fmt.Errorf("stop putting back: %w", err)
	}
	f.mu.Lock()
	f.orders[Everyone] = o
	f.mu.Unlock()
	f.Log.ErrorContext(ctx, "putting back is stopped everywhere", "why", why)
	return nil
}

// suspendedHint is what to do about a suspension.
func (s *Suspension) hint(name models.DeviceName) string {
	who := string(name)
	if strings.HasPrefix(s.Who, Itself) {
		who = "--all"
	}
	return "to go on: setpoint resume " + who
}
