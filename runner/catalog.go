package runner

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/sandbox"
)

// catalog is what tools there are: those of [Options.Tools], which [Runner.Replace]
// exchanges all at once, and those of organizations that [Runner.Put] adds.
type catalog struct {
	mu    sync.RWMutex
	tools map[toolKey]*tool
	base  []*tool                     // in the order that they were given
	owned map[string]map[string]*tool // by organization and id
}

type toolKey struct{ organization, id string }

// names are what a tool is called by: one namespace.
func (t *tool) names() []calledBy {
	return []calledBy{{"/id", t.def.ID}, {"/name", t.def.Name}}
}

type calledBy struct{ pointer, word string }

// claim makes a tool known by its id and its name. It notes what is taken already.
func claim(tools map[toolKey]*tool, t *tool) {
	for _, called := range t.names() {
		if called.word == "" {
			continue
		}
		key := toolKey{t.def.Organization, called.word}
		if other, taken := tools[key]; taken && other != t {
			t.fault(called.pointer, "is taken: %s is called %s too", other.place(), called.word)
			continue
		}
		tools[key] = t
	}
}

// waive forgets what a tool is called by.
func waive(tools map[toolKey]*tool, t *tool) {
	for _, called := range t.names() {
		if key := (toolKey{t.def.Organization, called.word}); tools[key] == t {
			delete(tools, key)
		}
	}
}

func (c *catalog) find(organization, id string) *tool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if t, ok := c.tools[toolKey{organization, id}]; ok {
		return t
	}
	return c.tools[toolKey{"", id}]
}

// visible lists the tools that an organization sees: the base, then its own by id.
func (c *catalog) visible(organization string) []*Definition {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var defs []*Definition
	for _, t := range c.base {
		if t.def.Organization == "" || t.def.Organization == organization {
			defs = append(defs, t.written)
		}
	}
	own := defs[len(defs):]
	for _, t := range c.owned[organization] {
		own = append(own, t.written)
	}
	slices.SortFunc(own, func(a, b *Definition) int { return cmp.Compare(a.id(), b.id()) })
	return append(defs, own...)
}

// rebase exchanges the base, unless that has faults, and returns those with the ones
// that it finds.
func (c *catalog) rebase(base []*tool, faults []errclass.FieldError) []errclass.FieldError {
	c.mu.Lock()
	defer c.mu.Unlock()
	tools := make(map[toolKey]*tool)
	for _, t := range base {
		known := len(t.faults)
		claim(tools, t)
		faults = append(faults, t.faults[known:]...)
		t.faults = t.faults[:known] // another try may come with other neighbours
	}
	for _, own := range c.owned {
		for _, t := range own {
			for _, called := range t.names() {
				key := toolKey{t.def.Organization, called.word}
				if other, taken := tools[key]; taken && called.word != "" && other != t {
					faults = append(faults, other.def.fault("", "is called "+called.word+", which its organization has a tool for already"))
				}
				if called.word != "" {
					tools[key] = t
				}
			}
		}
	}
	if len(faults) == 0 {
		c.base, c.tools = base, tools
	}
	return faults
}

// put adds a tool of an organization, in place of the one with its id.
func (c *catalog) put(t *tool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	organization, id := t.def.Organization, t.def.id()
	old := c.owned[organization][id]
	if old != nil {
		waive(c.tools, old)
	}
	if claim(c.tools, t); len(t.faults) > 0 {
		waive(c.tools, t)
		if old != nil {
			claim(c.tools, old)
		}
		return invalid("definition", t.faults)
	}
	if c.owned[organization] == nil {
		c.owned[organization] = make(map[string]*tool)
	}
	c.owned[organization][id] = t
	return nil
}

func (c *catalog) remove(organization, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.owned[organization][id]; t != nil {
		waive(c.tools, t)
		delete(c.owned[organization], id)
		if len(c.owned[organization]) == 0 {
			delete(c.owned, organization)
		}
	}
}

// Tools lists the definitions that an organization sees: those of [Options.Tools],
// in their order, then those that [Runner.Put] added for it, by id. They must not
// be changed.
func (r *Runner) Tools(organization string) []*Definition { return r.catalog.visible(organization) }

// Tool returns the definition with an id, as an organization sees it. The error
// is a 404 [*errclass.APIError].
func (r *Runner) Tool(organization, id string) (*Definition, error) {
	t, err := r.find(organization, id)
	if err != nil {
		return nil, err
	}
	return t.written, nil
}

// Needs lists the names that a tool reads from Env and Credentials by
// expressions, its provider's included, sorted.
func (r *Runner) Needs(organization, id string) (env, credentials []string, err error) {
	t, err := r.find(organization, id)
	if err != nil {
		return nil, nil, err
	}
	return t.env, t.credentials, nil
}

func (r *Runner) find(organization, id string) (*tool, error) {
	if t := r.catalog.find(organization, id); t != nil {
		return t, nil
	}
	return nil, errclass.NewAPIError(errclass.CodeNotFound, "Tool not found")
}

// Check looks for all that is wrong with a definition without adding it. The error
// is a 422 [*errclass.APIError] that lists it.
func (r *Runner) Check(def *Definition) error {
	_, err := r.compileAlone(def, false)
	return err
}

// Put adds a definition of an organization ([Definition.Organization]), or puts it in
// place of the one with its id. Executions under way end as they began. The error is
// a 422 [*errclass.APIError], and leaves everything as it was. The definition must not
// be changed afterwards.
func (r *Runner) Put(def *Definition) error { return r.put(def, false) }

// Restore is Put for a definition that [Runner.Check] found good when it was stored: the
// source of its code, which a stranger may have made hard to compile, isn't compiled again until it runs.
func (r *Runner) Restore(def *Definition) error { return r.put(def, true) }

func (r *Runner) put(def *Definition, restored bool) error {
	t, err := r.compileAlone(def, restored)
	if err != nil {
		return err
	}
	if def.Organization == "" {
		return errors.New("runner: Put is for definitions of an organization; Replace exchanges those of all")
	}
	return r.catalog.put(t)
}

// Remove takes away what [Runner.Put] added. What isn't there is no error.
func (r *Runner) Remove(organization, id string) { r.catalog.remove(organization, id) }

// Replace puts definitions in place of those of [Options.Tools], all at once. One that
// is there already (the same pointer) keeps its rate limit's use and isn't compiled again. The error
// is a 422 [*errclass.APIError] with all faults, and leaves everything as it was.
func (r *Runner) Replace(defs []*Definition) error {
	if err := r.openPoolFor(defs); err != nil {
		return err
	}
	base, faults := r.compileAll(defs)
	if faults = r.catalog.rebase(base, faults); len(faults) > 0 {
		return invalid("definition", faults)
	}
	return nil
}

func (r *Runner) compileAlone(def *Definition, restored bool) (*tool, error) {
	if err := r.openPoolFor([]*Definition{def}); err != nil {
		return nil, err
	}
	t := r.compileAs(def, restored)
	if len(t.faults) > 0 {
		return nil, invalid("definition", t.faults)
	}
	return t, nil
}

// compileAll compiles the tools on all processors, so that a directory of thousands
// is ready in seconds, and returns them with their faults.
func (r *Runner) compileAll(defs []*Definition) (compiled []*tool, faults []errclass.FieldError) {
	known := r.catalog.compiled()
	compiled = make([]*tool, len(defs))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(defs)) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(defs)); i = next.Add(1) - 1 {
				if compiled[i] = known[defs[i]]; compiled[i] == nil {
					compiled[i] = r.compile(defs[i])
				}
			}
		})
	}
	wg.Wait()
	for _, t := range compiled {
		faults = append(faults, t.faults...)
	}
	return compiled, faults
}

// compiled is the base by its definitions.
func (c *catalog) compiled() map[*Definition]*tool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	known := make(map[*Definition]*tool, len(c.base))
	for _, t := range c.base {
		known[t.written] = t
	}
	return known
}

// openPoolFor starts the sandbox when the first definition with JavaScript comes: a
// runner without any starts no process.
func (r *Runner) openPoolFor(defs []*Definition) error {
	if r.pool.Load() != nil || !slices.ContainsFunc(defs, needsSandbox) {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pool.Load() != nil {
		return nil
	}
	if r.closed {
		return shuttingDown()
	}
	pool, err := sandbox.New(r.opts.Sandbox)
	if err != nil {
		return err
	}
	r.pool.Store(pool)
	return nil
}

// needsSandbox reports whether a tool has JavaScript.
func needsSandbox(def *Definition) bool {
	return def != nil && (def.Type == JavaScript || def.Code != "")
}

// Admit does what [Runner.Execute] does before a tool runs: it finds the tool, holds
// the parameters to its schema and spends its rate limit. It is for requests that are
// accepted now and executed later, with [Request.RateSpent]. The error is the
// [*errclass.APIError] that Execute would have turned the request away with; the
// definition is the tool's.
func (r *Runner) Admit(ctx context.Context, req Request) (*Definition, error) {
	x := &execution{runner: r, organization: req.Organization, secrets: &secrets{runner: r}, rateSpent: req.RateSpent}
	if err := x.find(req.Tool); err != nil {
		return nil, err
	}
	if err := x.validate(req.Parameters); err != nil {
		return nil, err
	}
	if err := x.spendRate(ctx); err != nil {
		return nil, err
	}
	return x.tool.written, nil
}
