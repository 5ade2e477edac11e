package device

import (
	"context"
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxForeignText bounds, in runes, what a target may put into our errors.
const maxForeignText = 600

// connectionError turns the outcome of an RPC that never reached the stage of
// content (Capabilities, a broken connection) into one of the sentinels, with
// the cause in words. It returns nil for a code that is about content.
func connectionError(err error) error {
	st := status.Convert(err)
	text := transportText(st.Message())
	switch st.Code() {
	case codes.Unavailable:
		if hint := handshakeHint(text); hint != "" {
			return fmt.Errorf("%w: %s (%s)", ErrUnauthenticated, hint, text)
		}
		return fmt.Errorf("%w: %s", ErrUnreachable, text)
	case codes.Unauthenticated:
		return fmt.Errorf("%w: the target refused the user name or password (%s)", ErrUnauthenticated, text)
	case codes.PermissionDenied:
		return fmt.Errorf("%w: the target refused the user name or password, or the user may not do this (%s)", ErrUnauthenticated, text)
	case codes.DeadlineExceeded:
		if strings.HasPrefix(text, "stream terminated by RST_STREAM") || text == context.DeadlineExceeded.Error() {
			return fmt.Errorf("%w: no answer in time: %w", ErrUnreachable, context.DeadlineExceeded) // how the library gave up says nothing
		}
		return fmt.Errorf("%w: no answer in time (%s): %w", ErrUnreachable, text, context.DeadlineExceeded)
	case codes.Canceled:
		return fmt.Errorf("%w: the call was cancelled (%s): %w", ErrUnreachable, text, context.Canceled)
	}
	return nil
}

// handshakeHints are constant: what a part of a TLS error's text means, most
// specific first. gRPC hands handshake errors on as text only.
var handshakeHints = []struct{ part, hint string }{
	{"certificate signed by unknown authority", "the target's certificate is not from a CA that the credentials trust"},
	{"certificate is not trusted", "the target's certificate is not from a CA that the credentials trust"},
	{"certificate has expired", "the target's certificate has expired or is not valid yet"},
	{"x509: certificate is valid for", "the target's certificate is for another name than the address"},
	{"doesn't contain any IP SANs", "the target's certificate is for another name than the address"},
	{"not valid for any names", "the target's certificate is for another name than the address"},
	{"x509:", "the target's certificate was refused"},
	{"tls: certificate required", "the target wants a client certificate, and the credentials have none"},
	{"remote error: tls:", "the target refused our certificate or TLS version"},
	{"first record does not look like a TLS handshake", "the target does not speak TLS on this port"},
	{"missing selected ALPN", "the target's TLS does not negotiate HTTP/2 (ALPN)"},
	{"tls: ", "the TLS handshake broke off"},
}

func handshakeHint(text string) string {
	for _, h := range handshakeHints {
		if strings.Contains(text, h.part) {
			return h.hint
		}
	}
	return ""
}

// transportText takes gRPC's packing off a transport error: what is left is the
// cause as the operating system or TLS gave it.
func transportText(s string) string {
	if i := strings.LastIndex(s, `desc = "`); i >= 0 {
		s = strings.TrimSuffix(s[i+len(`desc = "`):], `"`)
	}
	for _, wrap := range []string{"last connection error: ", "connection error: ", "transport: ", "Error while dialing: ", "authentication handshake failed: "} {
		s = strings.TrimPrefix(s, wrap)
	}
	s = strings.TrimPrefix(s, "dial tcp: ")
	if rest, dialing := strings.CutPrefix(s, "dial tcp "); dialing {
		// The address is said by whoever dialled it.
		if _, cause, ok := strings.Cut(rest, ": "); ok {
			s = strings.TrimPrefix(cause, "connect: ")
		}
	}
	return foreign(s)
}

// foreign makes a text from outside fit for one line of a log or a terminal:
// no control characters, no line breaks, bounded.
func foreign(s string) string {
	if len(s) > 8*maxForeignText {
		s = s[:8*maxForeignText]
	}
	runes := []rune(strings.ToValidUTF8(s, "�"))
	cut := len(runes) > maxForeignText
	if cut {
		runes = runes[:maxForeignText]
	}
	for i, r := range runes {
		if !unicode.IsPrint(r) {
			runes[i] = ' '
		}
	}
	out := strings.Join(strings.Fields(string(runes)), " ")
	if cut {
		out += "…"
	}
	return out
}

// setError classifies the outcome of a Set. sent says whether the request may
// have left this process.
func setError(err error, sent bool) error {
	st := status.Convert(err)
	text := foreign(st.Message())
	switch code := st.Code(); code {
	case codes.DeadlineExceeded, codes.Canceled, codes.Unavailable, codes.DataLoss:
		if sent {
			return unknownOutcome(code, text)
		}
		return connectionError(err)
	case codes.Unauthenticated:
		return connectionError(err)
	case codes.ResourceExhausted:
		return fmt.Errorf("the target has no room for this now (%s: %s)", code, text)
	case codes.Aborted, codes.FailedPrecondition:
		if locked(text) {
			return fmt.Errorf("the target is locked by another session (%s: %s)", code, text)
		}
		return fmt.Errorf("%w: %s: %s", ErrRejected, code, text)
	case codes.Internal, codes.Unknown:
		if broken(text) {
			return unknownOutcome(code, text)
		}
		return fmt.Errorf("%w: %s: %s", ErrRejected, code, text)
	default:
		return fmt.Errorf("%w: %s: %s", ErrRejected, code, text)
	}
}

func unknownOutcome(code codes.Code, text string) error {
	text = transportText(text)
	switch code {
	case codes.DeadlineExceeded:
		return fmt.Errorf("%w: the request was sent and not answered in time (%s): %w", ErrUnknownOutcome, text, context.DeadlineExceeded)
	case codes.Canceled:
		return fmt.Errorf("%w: the request was sent and then given up (%s): %w", ErrUnknownOutcome, text, context.Canceled)
	}
	return fmt.Errorf("%w: the request was sent and the connection broke (%s: %s)", ErrUnknownOutcome, code, text)
}

// locked reports whether a refusal is about another writer and not about
// content. gNMI has no code of its own for that, only text.
func locked(text string) bool {
	text = strings.ToLower(text)
	for _, phrase := range []string{"in progress", "another session", "another commit", "try again"} {
		if strings.Contains(text, phrase) {
			return true
		}
	}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) }) {
		switch word {
		case "lock", "locks", "locked", "exclusive", "busy", "pending":
			return true
		}
	}
	return false
}

// broken reports whether gRPC made up the code because the stream broke: the
// target did not speak, so nothing is known of the Set.
func broken(text string) bool {
	for _, part := range []string{"RST_STREAM", "stream terminated", "transport:", "unexpected EOF", "malformed header", "server closed the stream without sending trailers"} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}
