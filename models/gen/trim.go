package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
)

// ocSchemaFile is the schema that package oc embeds, in ygot's own form: the fake
// root as a goyang entry in JSON, trimmed and zipped.
const ocSchemaFile = "schema.json.gz"

const embedSource = `package oc

import _ "embed"

// ySchema is the gzipped schema of the generated structs, without descriptions
// and state nodes.
//
//go:embed ` + ocSchemaFile + `
var ySchema []byte
`

// Members of goyang's yang.Entry and yang.YangType that ygot's unmarshalling and
// validation read. The rest (descriptions, groupings, prefixes, extensions) is
// nine tenths of the schema, and the part that is not deterministic.
var (
	entryMembers = set("Name", "Kind", "Config", "Dir", "Key", "Type", "ListAttr", "Annotation", "Default", "Mandatory")
	typeMembers  = set("Name", "Kind", "Enum", "Range", "Length", "Pattern", "POSIXPattern", "Path", "FractionDigits",
		"Type", "Default", "HasDefault", "OptionalInstance", "Bit", "IdentityBase")
)

// configFalse is goyang's yang.TSFalse as it stands in JSON.
const configFalse = json.Number("2")

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

var hexByte = regexp.MustCompile(`0x([0-9a-f]{2})`)

// trimSchema takes the schema.go that ygot wrote and returns the trimmed schema,
// zipped.
func trimSchema(src []byte) ([]byte, error) {
	i := bytes.Index(src, []byte("ySchema = []byte{"))
	if i < 0 {
		return nil, fmt.Errorf("no ySchema")
	}
	var zipped []byte
	for _, m := range hexByte.FindAllSubmatch(src[i:], -1) {
		b, err := strconv.ParseUint(string(m[1]), 16, 8)
		if err != nil {
			return nil, err
		}
		zipped = append(zipped, byte(b))
	}
	data, err := unzip(zipped)
	if err != nil {
		return nil, err
	}
	var root map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // MaxElements is MaxUint64
	if err := dec.Decode(&root); err != nil {
		return nil, err
	}
	trimEntry(root)
	out, err := json.Marshal(root)
	if err != nil {
		return nil, err
	}
	return zip(out)
}

func trimEntry(e map[string]any) {
	keepMembers(e, entryMembers)
	if a, ok := e["Annotation"].(map[string]any); ok {
		// The schema's path is repeated on every node, and nothing reads it.
		delete(a, "schemapath_")
		if len(a) == 0 {
			delete(e, "Annotation")
		}
	}
	if t, ok := e["Type"].(map[string]any); ok {
		trimType(t)
	}
	dir, _ := e["Dir"].(map[string]any)
	for name, c := range dir {
		child, ok := c.(map[string]any)
		if !ok || child["Config"] == configFalse {
			delete(dir, name)
			continue
		}
		trimEntry(child)
	}
}

func trimType(t map[string]any) {
	keepMembers(t, typeMembers)
	if base, ok := t["IdentityBase"].(map[string]any); ok {
		t["IdentityBase"] = map[string]any{"Name": base["Name"]}
	}
	union, _ := t["Type"].([]any)
	for _, u := range union {
		if m, ok := u.(map[string]any); ok {
			trimType(m)
		}
	}
}

func keepMembers(m map[string]any, keep map[string]bool) {
	maps.DeleteFunc(m, func(k string, _ any) bool { return !keep[k] })
}

func unzip(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// zip compresses without a time or name in the header.
func zip(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return slices.Clip(b.Bytes()), nil
}
