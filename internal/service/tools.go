package service

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/catalog"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/internal/redact"
	"github.com/almyty-inc/toolrun/internal/strictjson"
	"github.com/almyty-inc/toolrun/runner"
)

const (
	// defaultPage and maxPage bound how much a list answers with.
	defaultPage = 100
	maxPage     = 1000
	// maxTools and maxKeys bound what one organization may store: every node has all of
	// it in memory. Of keys, revoked ones count.
	maxTools = 2000
	maxKeys  = 2000
)

// listTools shows the definitions that the caller may use, by id.
func (s *Server) listTools(w http.ResponseWriter, r *http.Request) {
	c := callOf(r)
	page, err := readPage(r, "limit", "cursor")
	if err != nil {
		s.refuse(w, err)
		return
	}
	defs := slices.DeleteFunc(s.runner.Tools(c.organization), func(def *runner.Definition) bool { return !mayUse(c, def) })
	slices.SortStableFunc(defs, func(a, b *runner.Definition) int { return cmp.Compare(toolID(a), toolID(b)) })
	start, _ := slices.BinarySearchFunc(defs, page.cursor, func(def *runner.Definition, after string) int {
		if toolID(def) <= after {
			return -1
		}
		return 1
	})
	defs = defs[start:]
	defs, next := pageOf(page, defs, toolID)
	list := make([]runner.Definition, len(defs))
	for i, def := range defs {
		list[i] = completed(def)
	}
	s.succeedPage(w, r, list, next)
}

func toolID(def *runner.Definition) string { return cmp.Or(def.ID, def.Name) }

// mayUse reports whether the caller's credential is for a tool, by its id or its name.
func mayUse(c *call, def *runner.Definition) bool {
	return c.caller.MayUse(toolID(def)) || c.caller.MayUse(def.Name)
}

// findTool is the tool that the path names, as the caller may see it.
func (s *Server) findTool(r *http.Request) (*runner.Definition, error) {
	c := callOf(r)
	def, err := s.runner.Tool(c.organization, pathParameter(r, "id"))
	if len(c.caller.Tools) > 0 && (err != nil || !mayUse(c, def)) {
		return nil, errclass.NewAPIError(errclass.CodeForbidden, "The credential is not for this tool")
	}
	return def, err
}

func (s *Server) showTool(w http.ResponseWriter, r *http.Request) {
	def, err := s.findTool(r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	stored, ok := s.stored(r, def)
	switch {
	case ok && matches(r.Header["If-None-Match"], etag(stored), weakly):
		s.unchanged(w, stored)
	case ok:
		s.succeedStored(w, stored)
	default:
		s.succeed(w, completed(def))
	}
}

// unchanged answers a caller who has this version (RFC 9110, section 15.4.5).
func (s *Server) unchanged(w http.ResponseWriter, stored queue.Stored) {
	w.Header().Set("ETag", etag(stored))
	s.setCommon(w.Header())
	w.WriteHeader(http.StatusNotModified)
}

// succeedStored shows a version as it is stored, with the ETag of just that one: the
// runner may have another by now.
func (s *Server) succeedStored(w http.ResponseWriter, stored queue.Stored) {
	def, err := catalog.Parse(stored.Organization, stored.ID, stored.Definition)
	if err != nil { // what was stored was good, for a node of another version perhaps
		s.refuse(w, errclass.NewAPIError(errclass.CodeConflict, "The definition can't be read by this node: %v", err))
		return
	}
	w.Header().Set("ETag", etag(stored))
	s.succeed(w, completed(def))
}

// stored is what the API stores of a definition; false for one of a file.
func (s *Server) stored(r *http.Request, def *runner.Definition) (queue.Stored, bool) {
	if s.opts.Definitions == nil || def.Organization == "" {
		return queue.Stored{}, false
	}
	stored, err := s.opts.Definitions.Get(r.Context(), def.Organization, toolID(def))
	return stored, err == nil
}

// completed is a definition with what its author may leave out, and without the
// secrets that he wrote into it.
func completed(def *runner.Definition) runner.Definition {
	d := *def
	d.ID = cmp.Or(d.ID, d.Name)
	d.Status = cmp.Or(d.Status, runner.Active)
	d.AuthConfig = d.AuthConfig.Redacted()
	if d.API != nil {
		api := *d.API
		api.Authentication = api.Authentication.Redacted()
		d.API = &api
	}
	return d
}

// etag names a version of a definition, strongly (RFC 9110, section 8.8.3).
func etag(stored queue.Stored) string { return `"` + strconv.FormatUint(stored.Revision, 10) + `"` }

func (s *Server) createTool(w http.ResponseWriter, r *http.Request) {
	c := callOf(r)
	if len(c.caller.Tools) > 0 {
		s.refuse(w, errclass.NewAPIError(errclass.CodeForbidden, "The credential is for some tools only, and can't make others"))
		return
	}
	body, err := s.readBody(w, r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	def, err := s.readDefinition(c, "", body)
	if err != nil {
		s.refuse(w, err)
		return
	}
	if all, err := s.opts.Definitions.List(r.Context(), c.organization); err != nil || len(all) >= maxTools {
		s.refuse(w, cmp.Or(err, error(errclass.NewAPIError(errclass.CodeConflict, "The organization has %d tools, as many as it may: delete one", maxTools))))
		return
	}
	for _, name := range []string{toolID(def), def.Name} {
		if _, err := s.runner.Tool("", name); err == nil {
			s.refuse(w, errclass.NewAPIError(errclass.CodeConflict, "Tool with name '%s' already exists: a file of the service defines it", name))
			return
		}
	}
	stored, err := s.opts.Definitions.Create(r.Context(), queue.Stored{
		Organization: c.organization, ID: toolID(def), Definition: body, UpdatedBy: c.caller.ID,
	})
	if err != nil {
		s.refuse(w, storeFault(err, def))
		return
	}
	w.Header().Set("ETag", etag(stored))
	w.Header().Set("Location", "/organizations/"+url.PathEscape(c.organization)+"/tools/"+stored.ID)
	s.succeedWith(w, http.StatusCreated, completed(def))
}

// readDefinition checks all of a definition that an organization wants to store.
func (s *Server) readDefinition(c *call, id string, text []byte) (*runner.Definition, error) {
	value, err := strictjson.Decode(text)
	if err != nil {
		return nil, errclass.NewAPIError(errclass.CodeBadRequest, "Malformed request body: %v", err)
	}
	if _, ok := value.(map[string]any); !ok {
		return nil, errclass.NewAPIError(errclass.CodeBadRequest, "Malformed request body: must be an object, the definition")
	}
	if faults := redactedValues(value); len(faults) > 0 {
		e := errclass.NewAPIError(errclass.CodeValidation, "Invalid definition: %s %s", faults[0].Field, faults[0].Message)
		e.Fields = faults
		return nil, e
	}
	def, err := catalog.Parse(c.organization, id, text)
	if err != nil {
		return nil, err
	}
	return def, s.runner.Check(def)
}

// redactedValues finds the marker that stands for secrets in what GET shows: who sends
// that back would lose them.
func redactedValues(value any) (faults []errclass.FieldError) {
	object, _ := value.(map[string]any)
	for _, holder := range []string{"authConfig", "api"} {
		walkTexts(object[holder], "/"+holder, func(pointer, text string) {
			if text == redact.Marker {
				faults = append(faults, errclass.FieldError{Field: pointer, Message: "is what GET shows in place of a secret: leave it out of a PATCH to keep the secret, or send another"})
			}
		})
	}
	return faults
}

func walkTexts(value any, pointer string, found func(pointer, text string)) {
	switch v := value.(type) {
	case string:
		found(pointer, v)
	case []any:
		for i, item := range v {
			walkTexts(item, fmt.Sprintf("%s/%d", pointer, i), found)
		}
	case map[string]any:
		for name, member := range v {
			walkTexts(member, pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), found)
		}
	}
}

// storeFault is what the store refuses as callers read it.
func storeFault(err error, def *runner.Definition) error {
	switch {
	case errors.Is(err, queue.ErrTaken):
		return errclass.NewAPIError(errclass.CodeConflict, "Tool with name '%s' already exists", def.Name)
	case errors.Is(err, queue.ErrStale):
		return errclass.NewAPIError(errclass.CodeConflict, "The definition has changed since: get it again and repeat the change on what it is now")
	case errors.Is(err, queue.ErrNotFound):
		return errclass.NewAPIError(errclass.CodeNotFound, "Tool not found")
	}
	return err
}

// patchAttempts is how often a change is made anew on what another has written
// meanwhile, where the caller names no version.
const patchAttempts = 5

// patchTool changes a definition as a JSON Merge Patch (RFC 7396) says.
func (s *Server) patchTool(w http.ResponseWriter, r *http.Request) {
	def, stored, err := s.writable(r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	body, err := s.readBody(w, r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	for attempt := 1; ; attempt++ {
		written, err := s.patch(r, stored, body)
		if errors.Is(err, queue.ErrStale) && r.Header.Get("If-Match") == "" && attempt < patchAttempts {
			if def, stored, err = s.writable(r); err == nil {
				continue
			}
		}
		if err != nil {
			s.refuse(w, storeFault(err, def))
			return
		}
		s.succeedStored(w, written)
		return
	}
}

func (s *Server) patch(r *http.Request, stored queue.Stored, body []byte) (queue.Stored, error) {
	merged, err := mergePatch(stored.Definition, body)
	if err != nil {
		return stored, err
	}
	def, err := s.readDefinition(callOf(r), stored.ID, merged)
	if err != nil {
		return stored, err
	}
	if _, err := s.runner.Tool("", def.Name); err == nil && def.Name != stored.ID {
		return stored, errclass.NewAPIError(errclass.CodeConflict, "Tool with name '%s' already exists: a file of the service defines it", def.Name)
	}
	stored.Definition, stored.UpdatedBy = merged, callOf(r).caller.ID
	return s.opts.Definitions.Update(r.Context(), stored, stored.Revision)
}

// mergePatch applies a JSON Merge Patch (RFC 7396).
func mergePatch(document, patch []byte) ([]byte, error) {
	changes, err := strictjson.Decode(patch)
	if err != nil {
		return nil, errclass.NewAPIError(errclass.CodeBadRequest, "Malformed request body: %v", err)
	}
	if _, ok := changes.(map[string]any); !ok {
		return nil, errclass.NewAPIError(errclass.CodeBadRequest, "Malformed request body: must be an object with the members to change (a JSON Merge Patch)")
	}
	target, err := strictjson.Decode(document)
	if err != nil {
		return nil, err
	}
	return strictjson.Marshal(merge(target, changes))
}

func merge(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = make(map[string]any)
	}
	for name, value := range changes {
		if value == nil {
			delete(object, name)
			continue
		}
		object[name] = merge(object[name], value)
	}
	return object
}

func (s *Server) deleteTool(w http.ResponseWriter, r *http.Request) {
	def, stored, err := s.writable(r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	revision := stored.Revision
	if r.Header.Get("If-Match") == "" {
		revision = 0
	}
	if err := s.opts.Definitions.Delete(r.Context(), stored.Organization, stored.ID, revision); err != nil {
		s.refuse(w, storeFault(err, def))
		return
	}
	s.succeed(w, map[string]any{"id": stored.ID, "deleted": true})
}

// writable is a definition that the API may change, at the version that the caller
// names with If-Match, if one.
func (s *Server) writable(r *http.Request) (*runner.Definition, queue.Stored, error) {
	def, err := s.findTool(r)
	if err != nil {
		return nil, queue.Stored{}, err
	}
	stored, ok := s.stored(r, def)
	if !ok {
		return nil, stored, errclass.NewAPIError(errclass.CodeConflict, "Tool '%s' is read-only here: a file of the service defines it", toolID(def))
	}
	if wanted := r.Header.Values("If-Match"); len(wanted) > 0 && !matches(wanted, etag(stored), strongly) {
		return nil, stored, storeFault(queue.ErrStale, def)
	}
	return def, stored, nil
}

// strongly and weakly compare what If-Match and If-None-Match name with a version's ETag
// (RFC 9110, section 8.8.3.2).
func strongly(item, tag string) bool { return item == tag }

func weakly(item, tag string) bool { return strings.TrimPrefix(item, "W/") == tag }

// matches tells whether the values of If-Match or If-None-Match name a version.
func matches(values []string, tag string, same func(item, tag string) bool) bool {
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item == "*" || same(item, tag) {
				return true
			}
		}
	}
	return false
}

// shownVersion is a version of a definition in a list.
type shownVersion struct {
	Version   int       `json:"version"`
	UpdatedAt time.Time `json:"updatedAt"`
	UpdatedBy string    `json:"updatedBy"`
	// Definition is there where one version was asked for.
	Definition *runner.Definition `json:"definition,omitempty"`
}

// versions are those of the tool that the path names, newest first.
func (s *Server) versions(r *http.Request) ([]queue.Stored, error) {
	def, err := s.findTool(r)
	if err != nil {
		return nil, err
	}
	stored, ok := s.stored(r, def)
	if !ok {
		return nil, errclass.NewAPIError(errclass.CodeNotFound, "There are no versions of tool '%s': a file of the service defines it", toolID(def))
	}
	versions, err := s.opts.Definitions.Versions(r.Context(), stored.Organization, stored.ID)
	return versions, storeFault(err, def)
}

func (s *Server) listVersions(w http.ResponseWriter, r *http.Request) {
	page, err := readPage(r, "limit", "cursor")
	if err != nil {
		s.refuse(w, err)
		return
	}
	before := math.MaxInt
	if page.cursor != "" {
		if before, err = strconv.Atoi(page.cursor); err != nil {
			s.refuse(w, strangeCursor())
			return
		}
	}
	versions, err := s.versions(r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	versions = slices.DeleteFunc(versions, func(v queue.Stored) bool { return v.Version >= before })
	versions, next := pageOf(page, versions, func(v queue.Stored) string { return strconv.Itoa(v.Version) })
	list := make([]shownVersion, len(versions))
	for i, v := range versions {
		list[i] = shownVersion{Version: v.Version, UpdatedAt: v.UpdatedAt, UpdatedBy: v.UpdatedBy}
	}
	s.succeedPage(w, r, list, next)
}

func (s *Server) showVersion(w http.ResponseWriter, r *http.Request) {
	versions, err := s.versions(r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	wanted := pathParameter(r, "version")
	for _, v := range versions {
		if strconv.Itoa(v.Version) != wanted {
			continue
		}
		var def runner.Definition // what was stored was good when it was; this version may know more
		if err := json.Unmarshal(v.Definition, &def); err != nil {
			s.refuse(w, err)
			return
		}
		def.ID = v.ID
		clean := completed(&def)
		s.succeed(w, shownVersion{Version: v.Version, UpdatedAt: v.UpdatedAt, UpdatedBy: v.UpdatedBy, Definition: &clean})
		return
	}
	s.refuse(w, errclass.NewAPIError(errclass.CodeNotFound, "Version not found"))
}

// page is what part of a list is asked for.
type page struct {
	limit  int
	cursor string
	query  url.Values
}

// readPage takes limit and cursor and the other parameters that a list knows.
func readPage(r *http.Request, known ...string) (p page, err error) {
	if p.query, err = knownQuery(r, known...); err != nil {
		return p, err
	}
	for name, values := range p.query {
		if len(values) > 1 {
			return p, errclass.NewAPIError(errclass.CodeBadRequest, "Query parameter %s stands more than once", name)
		}
	}
	p.limit, p.cursor = defaultPage, p.query.Get("cursor")
	if text := p.query.Get("limit"); p.query.Has("limit") {
		if p.limit, err = strconv.Atoi(text); err != nil || p.limit < 1 || p.limit > maxPage {
			return p, errclass.NewAPIError(errclass.CodeBadRequest, "Query parameter limit must be a number from 1 to %d", maxPage)
		}
	}
	return p, nil
}

// pageOf is the part that a page holds of a list, and the cursor of the next: the name
// of the last in this one, or "".
func pageOf[T any](p page, list []T, name func(T) string) (part []T, next string) {
	if len(list) <= p.limit {
		return list, ""
	}
	return list[:p.limit], name(list[p.limit-1])
}

func strangeCursor() error {
	return errclass.NewAPIError(errclass.CodeBadRequest, "Query parameter cursor is not one that this list gave")
}

// succeedPage answers with a part of a list, and with where the next one begins.
func (s *Server) succeedPage(w http.ResponseWriter, r *http.Request, list any, next string) {
	if next == "" {
		s.succeed(w, list)
		return
	}
	query := r.URL.Query()
	query.Set("cursor", next)
	w.Header().Set("Link", "<"+r.URL.EscapedPath()+"?"+query.Encode()+`>; rel="next"`)
	document, err := encode(struct {
		Success    bool   `json:"success"`
		Data       any    `json:"data"`
		NextCursor string `json:"nextCursor"`
	}{true, list, next})
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.send(w, http.StatusOK, document)
}

// encode writes JSON without the escapes that only HTML needs.
func encode(value any) ([]byte, error) {
	var document bytes.Buffer
	enc := json.NewEncoder(&document)
	enc.SetEscapeHTML(false)
	err := enc.Encode(value)
	return bytes.TrimSuffix(document.Bytes(), []byte("\n")), err
}
