package plan

import "github.com/setpoint-net/setpoint/models/tree"

// coversNode reports whether the scope manages the node at p and everything that
// the schema has below it.
func coversNode(scope *tree.Scope, p tree.Path, node *tree.Node) bool {
	if len(p) > 0 && !scope.Contains(p) {
		return false
	}
	for _, c := range node.Children() {
		if !coversNode(scope, append(p[:len(p):len(p)], tree.Elem{Name: c.Name}), c) {
			return false
		}
	}
	return true
}
