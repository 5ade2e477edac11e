package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/openconfig/goyang/pkg/yang"
)

// What makes a leaf secret: never printed, never stored but as a reference.
var (
	// Typedefs that say so themselves: a password in clear text that devices
	// store obfuscated (openconfig-types), a crypt(3) hash (openconfig-aaa-types).
	secretTypes = set("routing-password", "crypt-password-type")

	// The extension for leaves that a device hashes and never reports in the
	// clear (openconfig-extensions).
	secretExtension = "openconfig-hashed-value"

	// Leaves that are secret by their description alone, a plain string for YANG.
	secretPaths = []string{
		"/keychains/keychain/keys/key/config/secret-key", // openconfig-keychain: "Authentication key supplied as an encrypted value"
		"/system/ntp/ntp-keys/ntp-key/config/key-value",  // openconfig-system: "NTP authentication key value"
	}
)

// secret says whether a leaf is secret by its type or an extension, or is one of
// secretPaths.
func secret(e *yang.Entry) bool {
	for _, x := range e.Exts {
		if _, name, ok := strings.Cut(x.Keyword, ":"); ok && name == secretExtension {
			return true
		}
	}
	return secretType(e.Type) || slices.Contains(secretPaths, entryPath(e))
}

func secretType(y *yang.YangType) bool {
	for y != nil {
		if secretTypes[y.Name] || slices.ContainsFunc(y.Type, secretType) {
			return true
		}
		if y.Base == nil || y.Base.YangType == y {
			return false
		}
		y = y.Base.YangType
	}
	return false
}

// entryPath is the data path of e: without the module, choices and cases.
func entryPath(e *yang.Entry) string {
	if e.Parent == nil {
		return ""
	}
	if e.IsChoice() || e.IsCase() {
		return entryPath(e.Parent)
	}
	return entryPath(e.Parent) + "/" + e.Name
}

// unsecret are leaves whose names sound secret and that are not: names and
// identifiers of keys, references to keychains, public keys.
var unsecret = []string{
	"key-id", "key-type", "key-chain", "keychain", "ssh-key", "password-type",
}

// checkSecrets stops the run when the models hold a string leaf whose name sounds
// secret and that no rule knows: a new release must not print passwords.
func checkSecrets(n *nodeJSON) error {
	if n.Type != nil && !n.Secret && n.entry.Type.Kind == yang.Ystring && !slices.Contains(unsecret, n.Name) {
		for _, word := range []string{"password", "secret", "passphrase", "auth-key", "authentication-key", "token"} {
			if strings.Contains(n.Name, word) {
				return fmt.Errorf("%s sounds secret, and secrets.go does not say whether it is", dataPath(n))
			}
		}
	}
	for _, c := range n.Children {
		if err := checkSecrets(c); err != nil {
			return err
		}
	}
	return nil
}
