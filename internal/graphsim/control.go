package graphsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// controlHandler is the control API: each route is one method of Server.
func (s *Server) controlHandler() http.Handler {
	mux := http.NewServeMux()
	get := func(pattern string, act func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			answer, err := act(r)
			writeControl(w, answer, err)
		})
	}
	get("GET /users", func(*http.Request) (any, error) { return map[string]any{"users": s.Users()}, nil })
	get("GET /users/{x}", func(r *http.Request) (any, error) { return s.User(r.PathValue("x")) })
	get("DELETE /users/{x}", func(r *http.Request) (any, error) { return nil, s.DeleteUser(r.PathValue("x")) })
	get("GET /users/{x}/automaticReplies", func(r *http.Request) (any, error) { return s.AutomaticReplies(r.PathValue("x")) })
	get("GET /subscriptions", func(*http.Request) (any, error) { return map[string]any{"subscriptions": s.Subscriptions()}, nil })
	get("POST /subscriptions/{id}/expire", func(r *http.Request) (any, error) { return nil, s.ExpireSubscription(r.PathValue("id")) })
	get("GET /faults", func(*http.Request) (any, error) { return map[string]any{"faults": s.Faults()}, nil })
	get("DELETE /faults", func(*http.Request) (any, error) { s.ClearFaults(); return nil, nil })
	get("DELETE /faults/{id}", func(r *http.Request) (any, error) { s.ClearFault(r.PathValue("id")); return nil, nil })
	get("POST /tokens/revoke", func(*http.Request) (any, error) { s.RevokeTokens(); return nil, nil })
	get("GET /stats", func(*http.Request) (any, error) { return s.Stats(), nil })
	get("POST /stats/reset", func(*http.Request) (any, error) { s.ResetStats(); return nil, nil })
	get("POST /reset", func(*http.Request) (any, error) { s.Reset(); return nil, nil })

	put(mux, "POST /users", func(_ *http.Request, u User) (any, error) { return s.AddUser(u) })
	put(mux, "POST /users/bulk", func(_ *http.Request, ask usersRequest) (any, error) {
		made, err := s.AddUsers(ask.Count, ask.Domain)
		return map[string]any{"users": made}, err
	})
	put(mux, "PUT /users/{x}/automaticReplies", func(r *http.Request, u AutomaticRepliesUpdate) (any, error) {
		return s.SetAutomaticReplies(r.PathValue("x"), u)
	})
	put(mux, "PUT /users/{x}/mailbox", func(r *http.Request, m Mailbox) (any, error) {
		return nil, s.SetMailbox(r.PathValue("x"), m)
	})
	put(mux, "POST /users/{x}/changes", func(r *http.Request, ask struct{ Collection, ChangeType string }) (any, error) {
		return nil, s.Touch(r.PathValue("x"), ask.Collection, ask.ChangeType)
	})
	put(mux, "POST /subscriptions/{id}/lifecycle", func(r *http.Request, ask struct{ Event string }) (any, error) {
		return nil, s.SendLifecycle(r.PathValue("id"), ask.Event)
	})
	put(mux, "POST /subscriptions/{id}/remove", func(r *http.Request, ask struct{ Silent bool }) (any, error) {
		return nil, s.RemoveSubscription(r.PathValue("id"), ask.Silent)
	})
	put(mux, "POST /faults", func(_ *http.Request, f Fault) (any, error) { return s.SetFault(f) })
	put(mux, "POST /notify", func(r *http.Request, ask notifyRequest) (any, error) {
		body, text := []byte(ask.Body), ""
		if json.Unmarshal(body, &text) == nil {
			body = []byte(text) // which need not be JSON
		}
		status, err := s.Notify(r.Context(), ask.URL, body)
		return map[string]int{"status": status}, err
	})

	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeControl(w, nil, fmt.Errorf("%w: %s %s", errNoRoute, r.Method, r.URL.Path))
	})
	return mux
}

type usersRequest struct {
	Count  int
	Domain string
}

type notifyRequest struct {
	URL  string
	Body json.RawMessage
}

// put adds a route with a JSON body, in which unknown fields are refused. No body
// stands for an empty object.
func put[T any](mux *http.ServeMux, pattern string, act func(r *http.Request, body T) (any, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var body T
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&body); err != nil && !errors.Is(err, io.EOF) {
			writeControl(w, nil, fmt.Errorf("%w: body: %w", ErrInvalid, err))
			return
		}
		answer, err := act(r, body)
		writeControl(w, answer, err)
	})
}

var (
	errNoRoute     = errors.New("no such path or method")
	errUnreachable = errors.New("no answer from the notification URL")
)

// controlStatuses says how each refusal is answered. The first match wins.
var controlStatuses = []struct {
	err    error
	status int
}{
	{errNoRoute, http.StatusNotFound},
	{ErrUnknownUser, http.StatusNotFound},
	{ErrUnknownSubscription, http.StatusNotFound},
	{ErrExists, http.StatusConflict},
	{ErrInvalid, http.StatusBadRequest},
	{errUnreachable, http.StatusBadGateway},
}

func writeControl(w http.ResponseWriter, answer any, err error) {
	status := http.StatusOK
	switch {
	case err != nil:
		status, answer = http.StatusInternalServerError, map[string]string{"error": err.Error()}
		for _, s := range controlStatuses {
			if errors.Is(err, s.err) {
				status = s.status
				break
			}
		}
	case answer == nil:
		status = http.StatusNoContent
	}
	writeJSON(w, status, 0, answer)
}
