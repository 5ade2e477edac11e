package renderer

import "github.com/setpoint-net/setpoint/models"

// The codes of mistakes. A code is public: people look it up in docs/errors.md,
// and programs read it from -o json. It names the rule that is broken, whatever
// the message says of the case, and it does not change once released. A test holds
// that each is in the table below, has a golden case that brings it forth, and an
// entry with cause and remedy in docs/errors.md.
const (
	// CodeYANGWhen is the one that a Platform may lift: setpoint import looks for it.
	CodeYANGWhen models.Code = "yang-when"

	// The files.
	codeSymlink   models.Code = "symlink"
	codeIrregular models.Code = "irregular"
	codeFiles     models.Code = "files"
	codeSize      models.Code = "size"
	codeEncoding  models.Code = "encoding"
	codeBOM       models.Code = "bom"
	codeControl   models.Code = "control"
	codeIgnore    models.Code = "ignore"

	// YAML.
	codeSyntax       models.Code = "syntax"
	codeTab          models.Code = "tab"
	codeDepth        models.Code = "depth"
	codeValues       models.Code = "values"
	codeAliases      models.Code = "aliases"
	codeKey          models.Code = "key"
	codeDuplicateKey models.Code = "duplicate-key"
	codeMerge        models.Code = "merge"
	codeTag          models.Code = "tag"
	codeAmbiguous    models.Code = "ambiguous"

	// Documents.
	codeDocument      models.Code = "document"
	codeAPIVersion    models.Code = "api-version"
	codeKindUnknown   models.Code = "kind-unknown"
	codeUnsupported   models.Code = "unsupported"
	codeMissing       models.Code = "missing"
	codeField         models.Code = "field"
	codeShape         models.Code = "shape"
	codeText          models.Code = "text"
	codeName          models.Code = "name"
	codeLabel         models.Code = "label"
	codeDuplicateName models.Code = "duplicate-name"

	// Devices, groups, links, policies.
	codeAddress          models.Code = "address"
	codeDuplicateAddress models.Code = "duplicate-address"
	codePlatform         models.Code = "platform"
	codePlatformValue    models.Code = "platform-value"
	codeAdopt            models.Code = "adopt"
	codeApply            models.Code = "apply"
	codeApplyTie         models.Code = "apply-tie"
	codeNull             models.Code = "null"
	codeVarTie           models.Code = "var-tie"
	codePriority         models.Code = "priority"
	codeFor              models.Code = "for"
	codeSelector         models.Code = "selector"
	codeSelectorEmpty    models.Code = "selector-empty"
	codeSelectorLabel    models.Code = "selector-label"
	codeDeviceUnknown    models.Code = "device-unknown"
	codeDuplicateDevice  models.Code = "duplicate-device"
	codeDuplicatePort    models.Code = "duplicate-port"
	codeMode             models.Code = "mode"
	codeEnforce          models.Code = "enforce"
	codeEnforceValue     models.Code = "enforce-value"
	codeIgnored          models.Code = "ignored-path"
	codeDuration         models.Code = "duration"
	codePolicyTie        models.Code = "policy-tie"
	codeManage           models.Code = "manage"
	codeManageOverlap    models.Code = "manage-overlap"
	codeManageMissing    models.Code = "manage-missing"

	codeSchemaPath    models.Code = "schema-path"
	codeUnenforced    models.Code = "unenforced"
	codeUnconditional models.Code = "unconditional"
	codeOmitted       models.Code = "omitted"
	codeRolloutValue  models.Code = "rollout-value"

	// Tenants.
	codePort         models.Code = "port"
	codeTenantFolder models.Code = "tenant-folder"
	codeTenantKind   models.Code = "tenant-kind"
	codeTenantPort   models.Code = "tenant-port"
	codeTenantPath   models.Code = "tenant-path"
	codeTenantVLAN   models.Code = "tenant-vlan"

	// Fragments and references.
	codeUnmanaged    models.Code = "unmanaged"
	codeTie          models.Code = "tie"
	codeReference    models.Code = "reference"
	codeLabelUnknown models.Code = "label-unknown"
	codeVarUnknown   models.Code = "var-unknown"

	// YANG.
	codeYANGUnknown   models.Code = "yang-unknown"
	codeYANGShape     models.Code = "yang-shape"
	codeYANGKey       models.Code = "yang-key"
	codeYANGDuplicate models.Code = "yang-duplicate"
	codeYANGType      models.Code = "yang-type"
	codeYANGValue     models.Code = "yang-value"
	codeYANGLeafref   models.Code = "yang-leafref"
	codeYANGMandatory models.Code = "yang-mandatory"

	// Kinds.
	codeKindFolder  models.Code = "kind-folder"
	codeKindSyntax  models.Code = "kind-syntax"
	codeKindPackage models.Code = "kind-package"
	codeKindImport  models.Code = "kind-import"
	codeKindShape   models.Code = "kind-shape"
	codeKindName    models.Code = "kind-name"
	codeSpecField   models.Code = "spec-field"
	codeSpec        models.Code = "spec"
	codeKindDevice  models.Code = "kind-device"
	codeKindFailed  models.Code = "kind-failed"
	codeKindSize    models.Code = "kind-size"
	codeKindCrash   models.Code = "kind-crash"
	codeKindHelper  models.Code = "kind-helper"
	codeKindTime    models.Code = "kind-time"
	codeKindMemory  models.Code = "kind-memory"
	codeKindDepth   models.Code = "kind-depth"
	codeKindLimits  models.Code = "kind-limits"

	// Policies.
	codePolicy                   = models.CodePolicy
	codePolicyFolder models.Code = "policy-folder"
	codePolicySyntax models.Code = "policy-syntax"
	codePolicyShape  models.Code = "policy-shape"
	codePolicyPath   models.Code = "policy-path"
	codePolicyFailed models.Code = "policy-failed"
	codePolicyResult models.Code = "policy-result"
	codePolicyLimit  models.Code = "policy-limit"

	// The end of a long list.
	codeMore models.Code = "more"
)

// codes say of each what it means, in one line.
var codes = map[models.Code]string{
	codeSymlink:   "a file is a symbolic link",
	codeIrregular: "a file to be read is no regular file",
	codeFiles:     "the repo holds too many files, or too much in them",
	codeSize:      "a file is larger than 1 MiB",
	codeEncoding:  "a file is not UTF-8",
	codeBOM:       "a file begins with a byte order mark",
	codeControl:   "a text holds a character that nobody sees",
	codeIgnore:    "a line of .setpointignore is no pattern",

	codeSyntax:       "a file is not YAML",
	codeTab:          "a line is indented with a tab",
	codeDepth:        "a document is nested too deep",
	codeValues:       "a document holds too many values",
	codeAliases:      "aliases repeat too much, or themselves",
	codeKey:          "a key is not text",
	codeDuplicateKey: "a key is given twice",
	codeMerge:        "<< names something that is no mapping",
	codeTag:          "a YAML tag is used",
	codeAmbiguous:    "a value is written so that people and YAML may read it differently",

	codeDocument:      "a document is not a mapping",
	codeAPIVersion:    "apiVersion is not one that setpoint knows",
	codeKindUnknown:   "a document is of a kind that nobody defines",
	codeUnsupported:   "the format has this, and this version does not act on it yet",
	codeMissing:       "a required field is missing",
	codeField:         "a field is not known",
	codeShape:         "a mapping or a list is expected, and something else is given",
	codeText:          "text is expected, and something else is given",
	codeName:          "a name is empty or holds what a name may not",
	codeLabel:         "a label's name or value holds what it may not",
	codeDuplicateName: "two documents of one kind have the same name",

	codeAddress:          "an address is not host:port",
	codeDuplicateAddress: "two devices have the same address",
	codePlatform:         "a platform is not known",
	codePlatformValue:    "a Platform says something that its devices can't be told",
	codeAdopt:            "adopt is neither approve nor auto",
	codeApply:            "apply is neither entries nor root, or root has no effect",
	codeApplyTie:         "two groups of one priority say different things of apply",
	codeNull:             "a var or a field of a spec has no value",
	codeVarTie:           "two groups of one priority give a var different values",
	codePriority:         "a priority is not an integer from 0 to 999",
	codeFor:              "for does not say whom the document is for",
	codeSelector:         "a selector is not one",
	codeSelectorEmpty:    "a selector matches no device",
	codeSelectorLabel:    "a selector excludes by a label that no device has",
	codeDeviceUnknown:    "a device is named that no document defines",
	codeDuplicateDevice:  "a device is named twice in one list",
	codeDuplicatePort:    "a port is the end of two links",
	codeMode:             "a drift policy's mode is not known",
	codeEnforce:          "enforce is given for another mode",
	codeEnforceValue:     "a limit of enforce is not one",
	codeIgnored:          "an ignored path is not one, or has no reason",
	codeDuration:         "a length of time is not one",
	codePolicyTie:        "two drift policies say different things of a device",
	codeManage:           "a managed path is not one",
	codeManageOverlap:    "managed paths of one list repeat or contradict one another",
	codeManageMissing:    "a device manages nothing",

	codeSchemaPath:    "a path of the model is not one, or has keys",
	codeUnenforced:    "a device is allowed to go without what its platform has",
	codeUnconditional: "a Platform lifts a condition that the model does not have",
	codeOmitted:       "a value is set that the device's platform has no place for",
	codeRolloutValue:  "a value of a Rollout is not one, or out of bounds",

	codePort:         "a port or a range of ports is not one",
	codeTenantFolder: "a tenant's folder is not one, or not its own",
	codeTenantKind:   "something stands in a tenant's folder that the tenant is not granted",
	codeTenantPort:   "a port belongs to somebody else, or to nobody",
	codeTenantPath:   "a tenant's request sets more than its ports",
	codeTenantVLAN:   "a VLAN is not granted to the tenant, or is none",

	codeUnmanaged:    "something is set outside the managed paths",
	codeTie:          "two documents of one level give a leaf different values",
	codeReference:    "${…} is not a reference, or can't stand where it does",
	codeLabelUnknown: "${labels.x} names a label that the device has not",
	codeVarUnknown:   "${vars.x} names a var that the device has not",

	codeYANGUnknown:   "a name is not in the model",
	codeYANGShape:     "a container, list or leaf is written as something else",
	codeYANGKey:       "a list entry lacks a key, or the key is no single value",
	codeYANGDuplicate: "two entries of a list have the same key",
	codeYANGType:      "YAML reads a value as another type than YANG wants",
	codeYANGValue:     "YANG refuses a value",
	codeYANGLeafref:   "a value refers to something that is not there",
	CodeYANGWhen:      "something is set where another value rules it out",
	codeYANGMandatory: "an entry lacks a value that it must have",

	codeKindFolder:  "a CUE file lies where kinds are not read from",
	codeKindSyntax:  "a kind's file is not CUE, or contradicts itself",
	codeKindPackage: "a kind's file is not of package kinds",
	codeKindImport:  "a kind imports something other than CUE's own packages",
	codeKindShape:   "a kind lacks one of its three parts",
	codeKindName:    "a kind has the name of one of setpoint's own documents",
	codeSpecField:   "the spec has a field that its kind has not",
	codeSpec:        "the spec is not what its kind asks for",
	codeKindDevice:  "the device has not what the kind asks of it",
	codeKindFailed:  "a kind brings forth no config from what it was given",
	codeKindSize:    "a kind brings forth too much",
	codeKindCrash:   "the evaluation of a kind broke down",
	codeKindHelper:  "a definition would change one that built-in kinds share",
	codeKindTime:    "a kind did not finish in time",
	codeKindMemory:  "a kind needed more memory than it may have",
	codeKindDepth:   "a kind calls itself too deep",
	codeKindLimits:  "a kind was given up: it ran into limits too often",

	codePolicy:       "the config is not what a policy of the repo asks for",
	codePolicyFolder: "a policy lies where policies are not read from",
	codePolicySyntax: "a policy's file is not CUE of package policies, or contradicts itself",
	codePolicyShape:  "a definition is not what a policy has to be",
	codePolicyPath:   "a path of a policy leads to no leaf",
	codePolicyFailed: "a policy gives no list of violations",
	codePolicyResult: "a violation does not say what it is about",
	codePolicyLimit:  "a policy needed more than it may have",

	codeMore: "there are more mistakes than are reported",
}
