package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
	"github.com/setpoint-net/setpoint/reconciler/device"
	"github.com/setpoint-net/setpoint/reconciler/plan"
	"github.com/setpoint-net/setpoint/renderer"
)

// importing is the flags of setpoint import.
type importing struct {
	reaching
	name string
}

func newImport() *cobra.Command {
	var i importing
	c := &cobra.Command{
		Use:   "import ADDRESS [PATH...]",
		Short: "a target's running config as a Device document",
		Long: `import reads a target over gNMI and prints a Device document that renders to what
the target runs: against that device its plan is empty. It writes to nothing.

The PATHs become the document's managed paths; without any, the top containers
that hold something do. Secrets are left out, as is what can't be kept in the
intent; both are excluded from the managed paths, so that nothing is planned
for them, and told on stderr, as is what the schema does not know.

What runs against a condition (when) of the model is kept: a Platform document,
printed along, lists what the device takes unconditionally.

  setpoint import leaf01.example.net -c setpoint.yaml --credentials lab > leaf01.yaml
  setpoint import 192.0.2.11:9339 /interfaces --username admin --password-env PW --ca ca.pem`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return i.run(c.Context(), args[0], args[1:], c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	i.flags(c)
	c.Flags().StringVar(&i.name, "name", "", "the device's name; default: its hostname, or the address")
	return c
}

func (i *importing) run(ctx context.Context, address string, paths []string, out, errOut io.Writer) error {
	read := paths
	switch {
	case len(paths) == 0:
		read = []string{"/"}
	case i.name == "":
		read = append(slices.Clone(paths), "/system/config/hostname")
	}
	scope, err := tree.NewScope(tree.OpenConfig(), read)
	if err != nil {
		return err
	}
	t, credentials, err := i.target(address, scope)
	if err != nil {
		return err
	}
	s, err := dialTarget(ctx, t)
	if err != nil {
		return err
	}
	containers, err := s.Survey(ctx)
	if err = errors.Join(err, s.Close()); err != nil {
		return err
	}
	m, err := merged(containers, paths)
	if err != nil {
		return err
	}
	d := models.Device{
		Address: t.Address, Platform: "openconfig", Credentials: credentials, Adopt: models.AdoptApprove,
		Name: models.DeviceName(i.name), Manage: m.manage, Profile: t.Profile,
	}
	if d.Name == "" {
		d.Name = nameOf(m.running, t.Address)
	}
	doc, err := compose(ctx, d, m.running)
	if err != nil {
		return err
	}
	m.tell(errOut, d.Name, doc)
	_, err = out.Write(doc.text)
	return err
}

// survey is a target's answers, put together.
type survey struct {
	running *tree.Tree
	manage  []string
	unknown []string // left out: the schema does not have it
	unread  []string // containers that could not be read
}

// merged puts the containers together. With no paths asked for, what can't be
// read is left out, and managed are the containers that hold something.
func merged(containers []device.Container, paths []string) (survey, error) {
	s := survey{running: tree.Empty(tree.OpenConfig()), manage: paths}
	var asked []string
	if len(paths) > 0 {
		scope, err := tree.NewScope(tree.OpenConfig(), paths)
		if err != nil {
			return s, err
		}
		asked = scope.Roots()
	}
	for _, c := range containers {
		wanted := slices.Contains(asked, c.Name)
		switch {
		case c.Err != nil && wanted:
			return s, fmt.Errorf("read /%s: %w", c.Name, c.Err)
		case c.Err != nil:
			s.unread = append(s.unread, fmt.Sprintf("/%s: %v", c.Name, c.Err))
			continue
		case c.Leaves > 0 && len(paths) == 0:
			s.manage = append(s.manage, "/"+c.Name)
		}
		if wanted || len(paths) == 0 {
			s.unknown = append(s.unknown, c.Unknown...)
		}
		s.running, _ = tree.Merge(s.running, c.Tree)
	}
	if len(s.manage) == 0 {
		return s, hint(errors.New("the target runs nothing that the schema knows"), `"setpoint probe" shows what it answers; name the PATHs to manage`)
	}
	return s, nil
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// nameOf makes a device's name of its hostname, or of its address.
func nameOf(running *tree.Tree, address string) models.DeviceName {
	host, _, _ := strings.Cut(address, ":")
	if p, err := tree.ParsePath("/system/config/hostname"); err == nil {
		if v := running.Lookup(p); v != nil && v.Text() != "" {
			host = v.Text()
		}
	}
	name := notInNames.ReplaceAllString(host, "-")
	name = strings.Trim(name[:min(len(name), 63)], "._-")
	if name == "" {
		name = "device"
	}
	return models.DeviceName(name)
}

// document is a Device document, with the Platform document that it needs, and what
// was left out of it.
type document struct {
	text    []byte
	leaves  int
	secrets []string
	unfit   []string // path: why
	lifted  []renderer.Lifted
}

// composeRounds bounds how often what does not render is left out.
const composeRounds = 20

// compose writes the document of which the rendering gives an empty plan against
// running. What stands in the way of that is left out and excluded from the
// managed paths: secrets first, then what the renderer refuses.
func compose(ctx context.Context, d models.Device, running *tree.Tree) (document, error) {
	var doc document
	scope, err := tree.NewScope(tree.OpenConfig(), d.Manage)
	if err != nil {
		return doc, err
	}
	for p, v := range scope.Filter(running).Leaves {
		if v.Schema.Secret {
			doc.secrets = append(doc.secrets, p.String())
		}
	}
	d.Manage = slices.Clone(d.Manage)
	for _, p := range doc.secrets {
		d.Manage = append(d.Manage, "!"+p)
	}
	if d.Profile.Origin != "" {
		d.Platform = platformName(d.Name)
	}
	for range composeRounds {
		unfit, err := doc.write(ctx, d, running)
		if err != nil || len(unfit) == 0 {
			return doc, err
		}
		before := len(d.Manage) + len(doc.lifted)
		for _, u := range unfit {
			if u.condition != "" {
				doc.lift(u)
				d.Platform = platformName(d.Name)
				continue
			}
			if ex := "!" + u.path; !slices.Contains(d.Manage, ex) {
				d.Manage = append(d.Manage, ex)
				doc.unfit = append(doc.unfit, u.path+": "+u.why)
			}
		}
		if len(d.Manage)+len(doc.lifted) == before {
			return doc, fmt.Errorf("the document would not render: %s: %s", unfit[0].path, unfit[0].why)
		}
	}
	return doc, fmt.Errorf("the document would not render after %d paths were left out", len(doc.unfit))
}

// unfit is a path that keeps the document from rendering to what runs. condition is
// the path of the model whose condition it breaks, if that is what it does.
type unfit struct{ path, why, condition string }

// lift has the Platform take a node whatever its condition says: the device does.
func (doc *document) lift(u unfit) {
	same := func(l renderer.Lifted) bool { return l.Path == u.condition }
	if !slices.ContainsFunc(doc.lifted, same) {
		doc.lifted = append(doc.lifted, renderer.Lifted{Path: u.condition, Why: u.why})
	}
}

// platformName is what the Platform of an imported device is called, until a person
// knows what the make is called.
func platformName(name models.DeviceName) string {
	const like = "like-"
	return like + strings.Trim(string(name[:min(len(name), 63-len(like))]), "._-")
}

const platformComment = `# %s %s. Devices of one make can
# share a Platform: keep one such document, and name it in each Device.
`

const (
	liftsReason  = "runs what the model has a condition (when) against"
	originReason = "wants an origin in every path"
)

// write makes the document's text, and renders it to see that it is right.
func (doc *document) write(ctx context.Context, d models.Device, running *tree.Tree) ([]unfit, error) {
	scope, err := tree.NewScope(tree.OpenConfig(), d.Manage)
	if err != nil {
		return nil, err
	}
	config := scope.Filter(running)
	doc.leaves = 0
	for range config.Leaves {
		doc.leaves++
	}
	var text bytes.Buffer
	if len(doc.lifted) > 0 || d.Profile.Origin != "" {
		why := liftsReason
		if len(doc.lifted) == 0 {
			why = originReason
		}
		fmt.Fprintf(&text, platformComment, d.Name, why)
		if err := renderer.WritePlatform(&text, d, doc.lifted); err != nil {
			return nil, err
		}
		text.WriteString("---\n")
	}
	if err := renderer.WriteDevice(&text, d, config); err != nil {
		return nil, err
	}
	doc.text = text.Bytes()
	r, err := renderText(ctx, doc.text)
	if err != nil {
		return nil, err
	}
	var bad []unfit
	for _, m := range r.Mistakes {
		p, err := tree.ParsePath(m.Path)
		if m.Path == "" || err != nil || len(p) == 0 {
			return nil, fmt.Errorf("the document would not render: line %d: %s", m.Line, m.Message)
		}
		bad = append(bad, unfit{path: fitting(p).String(), why: m.Message})
		if n, err := tree.OpenConfig().Find(p); m.Code == renderer.CodeYANGWhen && err == nil {
			bad[len(bad)-1].condition = n.Path()
		}
	}
	if len(r.Mistakes) > 0 {
		return bad, nil
	}
	rendered, err := parse(r.Devices[0].Config)
	if err != nil {
		return nil, err
	}
	for _, c := range plan.DiffScoped(scope, config, rendered).Changes {
		bad = append(bad, unfit{path: fitting(c.Path).String(), why: "it would be changed"})
	}
	return bad, nil
}

// fitting is what can be left out for a leaf: the leaf, or the entry if that
// would lack its key.
func fitting(p tree.Path) tree.Path {
	n, err := tree.OpenConfig().Find(p)
	if err != nil || n.Kind == tree.List || n.Parent == nil {
		return p
	}
	above := n.Parent
	if above.Name == "config" && above.Parent != nil {
		above = above.Parent
	}
	if above.Kind == tree.List && slices.Contains(above.Keys, n.Name) {
		return entryOf(p)
	}
	return p
}

// entryOf is the nearest list entry around a path; without one, the path.
func entryOf(p tree.Path) tree.Path {
	for i := len(p) - 1; i > 0; i-- {
		if len(p[i-1].Keys) > 0 {
			return p[:i]
		}
	}
	return p
}

// renderText renders a config repo of one document.
func renderText(ctx context.Context, text []byte) (*renderer.Result, error) {
	dir, err := os.MkdirTemp("", "setpoint-import-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "device.yaml"), text, 0o600); err != nil {
		return nil, err
	}
	return renderTree(ctx, os.DirFS(dir))
}

// tell says what was imported and what was left out.
func (s survey) tell(w io.Writer, name models.DeviceName, doc document) {
	t := newTerm(w)
	fmt.Fprintf(w, "%s: %d leaves below %s\n", t.bold(string(name)), doc.leaves, strings.Join(s.manage, ", "))
	list := func(title string, lines []string) {
		const most = 25
		if len(lines) == 0 {
			return
		}
		fmt.Fprintf(w, "%s\n", t.yellow(fmt.Sprintf("%s: %d", title, len(lines))))
		for i, l := range lines {
			if i == most {
				fmt.Fprintf(w, "  and %d more\n", len(lines)-most)
				break
			}
			fmt.Fprintf(w, "  %s\n", l)
		}
	}
	var lifted []string
	for _, l := range doc.lifted {
		lifted = append(lifted, l.Path+"\n    "+l.Why)
	}
	list("kept, although the model has a condition against it: see the Platform document", lifted)
	list("secrets left out, and not managed", doc.secrets)
	list("left out, and not managed, because it would not render as it runs", doc.unfit)
	list("left out, because the schema does not know it", s.unknown)
	list("not read, and not managed", s.unread)
}
