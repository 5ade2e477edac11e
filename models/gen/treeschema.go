package main

const treeSchemaFile = "schema.json.gz"

func treeSchema(string) ([]byte, error) { return nil, nil }
