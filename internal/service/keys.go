package service

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/almyty-inc/toolrun/errclass"
	"github.com/almyty-inc/toolrun/internal/access"
	"github.com/almyty-inc/toolrun/internal/queue"
	"github.com/almyty-inc/toolrun/internal/strictjson"
)

// shownKey is an API key as its organization's admins see it.
type shownKey struct {
	access.Key
	Secret string `json:"key,omitempty"` // on creation only
}

func shown(k access.Key) shownKey {
	k.Hash = ""
	return shownKey{Key: k}
}

func (s *Server) listKeys(w http.ResponseWriter, r *http.Request) {
	page, err := readPage(r, "limit", "cursor")
	if err != nil {
		s.refuse(w, err)
		return
	}
	keys, err := s.opts.Keys.List(r.Context(), callOf(r).organization)
	if err != nil {
		s.refuse(w, err)
		return
	}
	if page.cursor != "" { // keys are never removed
		last := slices.IndexFunc(keys, func(k access.Key) bool { return k.ID == page.cursor })
		if last < 0 {
			s.refuse(w, strangeCursor())
			return
		}
		keys = keys[last+1:]
	}
	keys, next := pageOf(page, keys, func(k access.Key) string { return k.ID })
	list := make([]shownKey, len(keys))
	for i, k := range keys {
		list[i] = shown(k)
	}
	s.succeedPage(w, r, list, next)
}

func (s *Server) createKey(w http.ResponseWriter, r *http.Request) {
	c := callOf(r)
	body, err := s.readBody(w, r)
	if err != nil {
		s.refuse(w, err)
		return
	}
	var wanted struct {
		Name              string      `json:"name"`
		Role              access.Role `json:"role"`
		Tools             []string    `json:"tools"`
		RequestsPerMinute int         `json:"requestsPerMinute"`
		ExpiresAt         time.Time   `json:"expiresAt"`
	}
	if err := strictjson.Unmarshal(body, &wanted); err != nil {
		s.refuse(w, errclass.NewAPIError(errclass.CodeBadRequest, "Malformed request body: %v", err))
		return
	}
	if !isObject(body) {
		s.refuse(w, errclass.NewAPIError(errclass.CodeBadRequest, `Malformed request body: must be an object like {"name":"deployment","role":"member"}`))
		return
	}
	if all, err := s.opts.Keys.List(r.Context(), c.organization); err != nil || len(all) >= maxKeys {
		s.refuse(w, cmp.Or(err, error(errclass.NewAPIError(errclass.CodeConflict, "The organization has had %d keys, as many as it may; the service's operator can make more", maxKeys))))
		return
	}
	key, secret, err := access.NewKey(access.Key{
		Name: wanted.Name, Organization: c.organization, Role: wanted.Role, Tools: wanted.Tools,
		RequestsPerMinute: wanted.RequestsPerMinute, ExpiresAt: wanted.ExpiresAt,
	})
	if err == nil {
		err = s.opts.Keys.Create(r.Context(), key)
	}
	if err != nil {
		s.refuse(w, err)
		return
	}
	answer := shown(key)
	answer.Secret = secret
	w.Header().Set("Location", "/organizations/"+url.PathEscape(c.organization)+"/keys/"+key.ID)
	s.succeedWith(w, http.StatusCreated, answer)
}

func (s *Server) revokeKey(w http.ResponseWriter, r *http.Request) {
	key, err := s.opts.Keys.Revoke(r.Context(), callOf(r).organization, pathParameter(r, "id"))
	if errors.Is(err, queue.ErrNotFound) {
		err = errclass.NewAPIError(errclass.CodeNotFound, "Key not found")
	}
	if err != nil {
		s.refuse(w, err)
		return
	}
	s.succeed(w, shown(key))
}
