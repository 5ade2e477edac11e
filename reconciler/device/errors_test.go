package device

import "testing"

func TestATransportErrorIsItsCause(t *testing.T) {
	for in, want := range map[string]string{
		`connection error: desc = "transport: Error while dialing: dial tcp 192.0.2.1:9339: connect: connection refused"`:   "connection refused",
		`connection error: desc = "transport: Error while dialing: dial tcp [2001:db8::1]:9339: i/o timeout"`:               "i/o timeout",
		`connection error: desc = "transport: Error while dialing: dial tcp: lookup leaf01 on 192.0.2.53:53: no such host"`: "lookup leaf01 on 192.0.2.53:53: no such host",
		"something else": "something else",
	} {
		if got := transportText(in); got != want {
			t.Errorf("%s: %q", in, got)
		}
	}
}
