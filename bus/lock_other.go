//go:build !unix

package bus

// lock does nothing where the system has no flock.
func lock(string) (unlock func() error, err error) {
	return func() error { return nil }, nil
}
