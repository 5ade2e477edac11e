# make models YANG=<folder> regenerates models/oc and the schema of models/tree,
# byte for byte the same from the same YANG (github.com/openconfig/public v5.9.0
# with the IETF and IANA modules it imports, all .yang files in one folder).
.PHONY: models
models:
	@test -n "$(YANG)" || { echo 'usage: make models YANG=<folder with the .yang files>' >&2; exit 2; }
	go run ./models/gen -yang "$(YANG)"
