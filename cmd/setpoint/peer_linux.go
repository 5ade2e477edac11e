package main

import (
	"fmt"
	"net"
	"os/user"
	"strconv"
	"syscall"
)

// peerOf says who is at the other end of a unix socket, by the kernel's word
// (SO_PEERCRED): the user that connected, not one that it calls itself.
func peerOf(c net.Conn) string {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return unknownPeer
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return unknownPeer
	}
	var cred *syscall.Ucred
	if e := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); e != nil || err != nil {
		return unknownPeer
	}
	uid := strconv.FormatUint(uint64(cred.Uid), 10)
	if known, err := user.LookupId(uid); err == nil {
		return fmt.Sprintf("%s (uid %s)", known.Username, uid)
	}
	return "uid " + uid
}
