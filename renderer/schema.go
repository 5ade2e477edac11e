package renderer

import (
	"bytes"
	"context"
	_ "embed" // schema.json
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/setpoint-net/setpoint/models"
)

// documentSchema is what setpoint's own documents may say, as JSON Schema. It follows
// the decoder, and where JSON Schema has no words for what that asks it lets pass.
//
//go:embed schema.json
var documentSchema []byte

// Schema is a JSON Schema (2020-12) of a repo's documents, setpoint's own and those
// of all kinds, for editors: indented, the same bytes for the same kinds. Whatever
// renders fits it; what does not render may fit it as well, for it says nothing of
// how documents fit together, nor of what it can't read off a kind. Repo and mistakes
// are as in Kinds.
func (r *Renderer) Schema(ctx context.Context, repo fs.FS) ([]byte, []models.Mistake, error) {
	l := &ledger{}
	k, err := r.known(ctx, repo, l)
	if err != nil || len(l.list) > 0 {
		return nil, settle(l.list), err
	}
	a, err := k.ask(ctx, k.program, &question{Parts: []string{specPart, devicePart}, Output: openconfigPart, Shape: specPart})
	if err != nil {
		return nil, nil, fmt.Errorf("read the shape of the kinds: %w", err)
	}
	list, err := decodeDescription(a.value)
	if err != nil {
		return nil, nil, err
	}
	root := jsonSchema{}
	if err := json.Unmarshal(documentSchema, &root); err != nil {
		return nil, nil, fmt.Errorf("read schema.json: %w", err)
	}
	var cases []any
	for _, name := range documentKinds {
		cases = append(cases, ifKind(name, jsonSchema{"$ref": "#/$defs/" + name}))
	}
	names := slices.Clone(documentKinds)
	for _, d := range list {
		if slices.Contains(d.Written, openconfigPart) || slices.Contains(d.Has, openconfigPart) {
			names = append(names, d.Name)
			cases = append(cases, ifKind(d.Name, d.document()))
		}
	}
	properties := root["properties"].(jsonSchema)
	kind := maps.Clone(properties["kind"].(jsonSchema))
	kind["enum"] = names
	properties["kind"], root["allOf"] = kind, cases
	return indented(root), nil, nil
}

// ifKind holds documents of one kind to a schema. Editors complete by it.
func ifKind(name string, then jsonSchema) jsonSchema {
	return jsonSchema{
		"if":   jsonSchema{"required": []any{"kind"}, "properties": jsonSchema{"kind": jsonSchema{"const": name}}},
		"then": then,
	}
}

// document is the schema of a kind's documents.
func (d definition) document() jsonSchema {
	spec := jsonSchema{}
	_ = json.Unmarshal(d.Shape, &spec) // of which nothing is known when it can't be read
	required := []any{"for"}
	if d.Needed {
		required = append(required, specPart)
	} else if spec["type"] == "object" {
		spec["type"] = []any{"object", "null"}
	} else if len(spec) > 0 {
		spec = jsonSchema{"anyOf": []any{spec, jsonSchema{"type": "null"}}}
	}
	first, _, _ := strings.Cut(d.Doc, "\n\n")
	if first = strings.Join(strings.Fields(first), " "); first != "" && spec["description"] == nil {
		spec["description"] = first
	}
	return jsonSchema{
		"type": "object", "required": required, "additionalProperties": false,
		"properties": jsonSchema{
			"apiVersion": true, "kind": true,
			"metadata": jsonSchema{"$ref": "#/$defs/named"}, "for": jsonSchema{"$ref": "#/$defs/for"}, specPart: spec,
		},
	}
}

func indented(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // maps of what JSON has: it has no error
	return b.Bytes()
}
