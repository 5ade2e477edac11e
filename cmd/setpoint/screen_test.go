package main

import (
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestFoldedTextFitsAndLosesNothing(t *testing.T) {
	long := "/network-instances/network-instance[name=default]/vlans/vlan[vlan-id=20]/config/name"
	for _, text := range []string{
		"", "one", "one two three four five six seven", long + " web → shop", "set '" + long + "' 20", strings.Repeat("x", 70), "a " + strings.Repeat("é", 45) + " b/c",
	} {
		for width := 8; width < 60; width += 7 {
			lines := fold(text, width)
			for _, l := range lines {
				if n := len([]rune(l)); n > width {
					t.Errorf("width %d: %q has %d", width, l, n)
				}
			}
			squeeze := strings.NewReplacer(" ", "", "\n", "")
			if got, want := squeeze.Replace(strings.Join(lines, "")), squeeze.Replace(text); got != want {
				t.Errorf("width %d: %q became %q", width, want, got)
			}
		}
	}
	if got := strings.Join(fold("leaf02: "+long+" web → shop", 60), "|"); got != "leaf02: /network-instances/network-instance[name=default]|/vlans/vlan[vlan-id=20]/config/name web → shop" {
		t.Error(got)
	}
}

// TestTheMovingLineLeavesNothingBehind plays a terminal: what is wiped is gone.
func TestTheMovingLineLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		s := &screen{term: term{colour: true}, began: time.Now(), out: &out}
		done := s.await("waiting for something")
		time.Sleep(time.Second)
		s.print("first\n")
		time.Sleep(time.Second)
		s.print("second\n")
		done()
		s.print("third\n")
		if n := strings.Count(out.String(), "waiting for something"); n < 20 {
			t.Errorf("it moved %d times in two seconds", n)
		}
		wiped := regexp.MustCompile("[^\n]*\r\x1b\\[K").ReplaceAllString(out.String(), "")
		if wiped != "first\nsecond\nthird\n" {
			t.Errorf("left is %q", wiped)
		}
	})
}

// TestNothingMovesInAPipe, nor is there an escape code.
func TestNothingMovesInAPipe(t *testing.T) {
	var out strings.Builder
	s := newScreen(&out)
	done := s.await("waiting for something")
	s.say("git", "pushed")
	s.quote("```\n+ mtu 9000\n```")
	done()
	if got := out.String(); strings.ContainsAny(got, "\r\x1b") || !strings.Contains(got, "git    pushed\n    + mtu 9000\n") {
		t.Errorf("%q", got)
	}
}
