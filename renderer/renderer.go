package renderer

import (
	"bytes"
	"context"
	"io/fs"
	"slices"
	"sync"

	"github.com/setpoint-net/setpoint/models"
	"github.com/setpoint-net/setpoint/models/tree"
)

// Renderer renders trees one after the other and keeps what the next one is
// likely to share with the last: files by their content, documents, fragments,
// and each device's config by the sum of all that goes into it. What was rendered
// before changes no byte and no mistake of what is rendered now, only the time it
// takes. What two renderings in a row had no use for is dropped.
//
// The zero Renderer is ready: kinds are then evaluated in this process. It may be
// used by several goroutines, of which one renders at a time; its fields are set
// before the first call and not changed after.
type Renderer struct {
	// Evaluator evaluates kinds; nil: this process does, without limits.
	Evaluator Evaluator

	here    inProcess
	answers answers

	mu      sync.Mutex
	checker *checker
	kinds   *kinds // of the last tree
	told    []mistake
	files   shelf[fileID, *parsed]
	groups  shelf[*groupDoc, *built] // without references
	pieces  shelf[sum, *tree.Tree]   // of a device's fragments, those without a mistake
	devices shelf[sum, *outcome]

	rules     *rules // of the last tree
	misruled  []mistake
	verdicts  shelf[sum, *verdict]
	projected shelf[sum, *projected] // leaves that policies over the network look at; turned by judging
}

// outcome is what is kept of a device that rendered without a mistake. It is kept
// by the sum of the device's inputs, so it may hold nothing that depends on
// anything else: no place, no name, nothing of another device.
type outcome struct {
	config     []byte
	hash       models.Hash
	unenforced []string
}

// fileID is a file with its content. Its places hold the name, so two files of
// equal content are two.
type fileID struct {
	name, sum string
}

// parsed is one file's documents and what is wrong with it as YAML.
type parsed struct {
	ledger
	source
	docs   []*node
	sound  bool
	groups bool // it may hold a Group
	names  []docName
	owned  []string // folders that Tenants in it name

	decoded *decoding // the last time, see decode
}

// docName is what a document is called, before anybody has looked into it.
type docName struct {
	key string // kind and name
	at  place
}

// decoding is what a file's documents say, and what is wrong with them.
type decoding struct {
	ledger
	intent
	kinds *kinds // that were known
}

// Render is the package's Render with what is kept from the renderings before.
func (r *Renderer) Render(ctx context.Context, repo fs.FS) (*Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := &ledger{}
	f, err := r.survey(ctx, repo, l)
	if err != nil {
		return nil, err
	}
	rules, err := r.loadRules(ctx, f.schema, f.ruleFiles, l)
	if err != nil {
		return nil, err
	}
	devices, mistakes, err := f.render(ctx)
	if err != nil {
		return nil, err
	}
	l.list = append(l.list, mistakes...)
	warned, err := f.judge(ctx, rules, devices, l)
	if err != nil {
		return nil, err
	}
	res := &Result{Mistakes: settle(l.list), Warnings: settle(warned), Policies: len(f.ruleFiles) > 0, Files: len(f.files) + len(f.kinds.files) + len(f.ruleFiles), Fresh: int(f.fresh.Load()), Notes: settle(f.notes)}
	if len(res.Mistakes) == 0 {
		res.Devices = devices
	}
	return res, nil
}

// survey reads a tree as far as what its documents say of which device.
func (r *Renderer) survey(ctx context.Context, repo fs.FS, l *ledger) (*fleet, error) {
	m, err := loadModels()
	if err != nil {
		return nil, err
	}
	if r.checker == nil {
		r.checker = newChecker(m)
	}
	r.files.turn()
	r.groups.turn()
	r.pieces.turn()
	r.devices.turn()
	r.verdicts.turn()
	src, err := gather(ctx, repo, &r.files, l)
	if err != nil {
		return nil, err
	}
	k, err := r.loadKinds(ctx, src.kinds, l)
	if err != nil {
		return nil, err
	}
	f := &fleet{schema: m.schema, kinds: k, checker: r.checker, refs: m.refs, groupFiles: make(map[string]bool), kept: r}
	d, err := r.decode(ctx, src, f, l)
	if err != nil {
		return nil, err
	}
	f.ruleFiles = src.rules
	f.tenancy(d, src)
	assemble(d, f)
	f.fragments(d)
	f.notes = notes(d)
	return f, nil
}

// loadKinds compiles the kinds, unless they are the last tree's.
func (r *Renderer) loadKinds(ctx context.Context, files []source, l *ledger) (*kinds, error) {
	for _, f := range files {
		if f.kept == nil {
			r.files.put(fileID{f.name, f.sum}, &parsed{source: f, sound: true})
		}
	}
	same := func(a, b source) bool { return a.name == b.name && bytes.Equal(a.data, b.data) }
	if r.kinds == nil || !slices.EqualFunc(r.kinds.files, files, same) {
		var own ledger
		k, err := r.compile(ctx, files, &own)
		if err != nil {
			return nil, err
		}
		if k.overrun {
			l.list = append(l.list, own.list...)
			return k, nil // the next tree's may do
		}
		r.kinds, r.told = k, own.list
	}
	l.list = append(l.list, r.told...)
	return r.kinds, nil
}

// decode brings all files' documents together, in the order of the files. What a
// file's documents say depends on the file and the kinds alone, but for names that
// a file before has taken.
func (r *Renderer) decode(ctx context.Context, src *sources, f *fleet, l *ledger) (*decoder, error) {
	files := make([]*parsed, len(src.yaml))
	fresh := make([]int, 0, len(src.yaml))
	for i, s := range src.yaml {
		if files[i] = s.kept; files[i] == nil {
			fresh = append(fresh, i)
		}
	}
	if err := each(ctx, len(fresh), func() func(int) {
		return func(i int) { files[fresh[i]] = parseFile(src.yaml[fresh[i]]) }
	}); err != nil {
		return nil, err
	}
	for _, i := range fresh {
		r.files.put(fileID{files[i].name, files[i].sum}, files[i])
	}
	taken := takenNames(files)
	decodings := make([]*decoding, len(files))
	if err := each(ctx, len(files), func() func(int) {
		return func(i int) { decodings[i] = files[i].decode(f.kinds, taken[i]) }
	}); err != nil {
		return nil, err
	}
	d := &decoder{ledger: l, kinds: f.kinds}
	f.files = files
	for i, p := range files {
		l.list = append(l.list, p.list...)
		l.list = append(l.list, decodings[i].list...)
		if !p.sound {
			f.unreadable = append(f.unreadable, p.data)
		}
		if p.groups {
			f.groupFiles[p.name] = true
		}
		d.intent.join(&decodings[i].intent)
	}
	return d, nil
}

func parseFile(src source) *parsed {
	p := &parsed{source: src}
	p.docs, p.sound = parse(src, &p.ledger)
	p.groups = bytes.Contains(src.data, []byte("Group"))
	if p.sound {
		p.data = nil // its documents say it all
	}
	for _, n := range p.docs {
		kind, name := n.get("kind"), n.get("metadata").get("name")
		if kind != nil && name != nil && name.shape == text {
			p.names = append(p.names, docName{kind.text + " " + name.text, name.at})
		}
		if folder := n.get("spec").get("folder"); kind.is("Tenant") && folder != nil {
			p.owned = append(p.owned, folder.text)
		}
	}
	return p
}

// takenNames are, for each file, the names in it that a file before has taken,
// with the place. The names in a tenant's folder are none of others' business.
func takenNames(files []*parsed) []map[string]place {
	first := make(map[string]place, len(files))
	taken := make([]map[string]place, len(files))
	owned := make(map[string]bool)
	for _, p := range files {
		for _, folder := range p.owned {
			owned[folder] = true
		}
	}
	for i, p := range files {
		folder := folderOf(p.name, func(dir string) bool { return owned[dir] })
		for _, n := range p.names {
			key := folder + "\x00" + n.key
			at, twice := first[key]
			switch {
			case !twice:
				first[key] = n.at
			case at.file != p.name:
				if taken[i] == nil {
					taken[i] = make(map[string]place)
				}
				taken[i][n.key] = at
			}
		}
	}
	return taken
}

// decode reads a file's documents. taken are names that are not theirs any more.
func (p *parsed) decode(k *kinds, taken map[string]place) *decoding {
	if p.decoded != nil && p.decoded.kinds == k && len(taken) == 0 {
		return p.decoded
	}
	out := &decoding{kinds: k}
	d := decoder{ledger: &out.ledger, kinds: k, names: make(map[string]place, len(p.names))}
	for key, at := range taken {
		d.names[key] = at
	}
	for _, n := range p.docs {
		d.document(n)
	}
	out.intent = d.intent
	if len(taken) == 0 {
		p.decoded = out
	}
	return out
}

// shelf keeps values for as long as they are of use: what was neither put nor
// asked for between two turns is gone after the second. It is safe for concurrent
// use, but for turn.
type shelf[K comparable, V any] struct {
	mu       sync.Mutex
	now, old map[K]V
}

func (s *shelf[K, V]) turn() {
	s.old, s.now = s.now, make(map[K]V, len(s.now))
}

func (s *shelf[K, V]) get(k K) (V, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.now[k]
	if !ok {
		if v, ok = s.old[k]; ok {
			s.now[k] = v
		}
	}
	return v, ok
}

func (s *shelf[K, V]) put(k K, v V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now[k] = v
}
