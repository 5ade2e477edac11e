// Package repotemplate is the config repo that "setpoint init" writes: a fabric of
// two spines and four leaves, in documents that a network engineer reads in ten
// minutes. The folder is the repo as it is written, but for this file, and it
// validates without a mistake. Fabric makes a larger one, of as many devices as
// are asked for. The package writes nothing: it gives files.
package repotemplate

import "embed"

// Files are the repo's files, at the paths they are written to.
//
//go:embed README.md inventory fabric policies tenants all:.github all:.gitea .gitlab-ci.yml .editorconfig all:.vscode
var Files embed.FS
