package sim

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// authenticate checks the username and password in an RPC's metadata (gNMI 3.1),
// in constant time. Failure is Unauthenticated (gNMI 3.4.7).
func (t *Target) authenticate(ctx context.Context) error {
	if t.config.Username == "" && t.config.Password == "" {
		return nil
	}
	md, _ := metadata.FromIncomingContext(ctx)
	user := same(md.Get("username"), t.config.Username)
	pass := same(md.Get("password"), t.config.Password)
	if user&pass != 1 {
		return status.Error(codes.Unauthenticated, "wrong username or password")
	}
	return nil
}

func same(got []string, want string) int {
	if len(got) != 1 {
		return 0
	}
	a, b := sha256.Sum256([]byte(got[0])), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:])
}

func (t *Target) authUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if err := t.authenticate(ctx); err != nil {
		return nil, err
	}
	if err := t.pace(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (t *Target) authStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if err := t.authenticate(ss.Context()); err != nil {
		return err
	}
	if err := t.pace(ss.Context(), info.FullMethod); err != nil {
		return err
	}
	return next(srv, ss)
}
