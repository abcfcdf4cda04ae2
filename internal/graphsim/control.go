package graphsim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// controlHandler serves the control API. Each route is one method of Server.
func (s *Server) controlHandler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, act func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			answer, err := act(r)
			writeControl(w, answer, err)
		})
	}
	handle("GET /users", func(*http.Request) (any, error) { return map[string]any{"users": s.Users()}, nil })
	handle("GET /users/{x}", func(r *http.Request) (any, error) { return s.User(r.PathValue("x")) })
	handle("DELETE /users/{x}", func(r *http.Request) (any, error) { return nil, s.DeleteUser(r.PathValue("x")) })
	handle("GET /users/{x}/automaticReplies", func(r *http.Request) (any, error) { return s.AutomaticReplies(r.PathValue("x")) })
	handle("GET /subscriptions", func(*http.Request) (any, error) { return map[string]any{"subscriptions": s.Subscriptions()}, nil })
	handle("GET /faults", func(*http.Request) (any, error) { return map[string]any{"faults": s.Faults()}, nil })
	handle("DELETE /faults", func(*http.Request) (any, error) { s.ClearFaults(); return nil, nil })
	handle("DELETE /faults/{id}", func(r *http.Request) (any, error) { return nil, s.ClearFault(r.PathValue("id")) })
	handle("POST /tokens/revoke", func(*http.Request) (any, error) { s.RevokeTokens(); return nil, nil })
	handle("GET /stats", func(*http.Request) (any, error) { return s.Stats(), nil })
	handle("POST /stats/reset", func(*http.Request) (any, error) { s.ResetStats(); return nil, nil })
	handle("POST /reset", func(*http.Request) (any, error) { s.Reset(); return nil, nil })

	handleJSON(mux, "POST /users", func(_ *http.Request, u User) (any, error) { return s.AddUser(u) })
	handleJSON(mux, "POST /users/bulk", func(_ *http.Request, req struct {
		Count  int
		Domain string
	}) (any, error) {
		made, err := s.AddUsers(req.Count, req.Domain)
		return map[string]any{"users": made}, err
	})
	handleJSON(mux, "PUT /users/{x}/automaticReplies", func(r *http.Request, u AutomaticRepliesUpdate) (any, error) {
		return s.SetAutomaticReplies(r.PathValue("x"), u)
	})
	handleJSON(mux, "PUT /users/{x}/mailbox", func(r *http.Request, m Mailbox) (any, error) {
		return nil, s.SetMailbox(r.PathValue("x"), m)
	})
	handleJSON(mux, "POST /users/{x}/changes", func(r *http.Request, req struct{ Collection, ChangeType string }) (any, error) {
		return nil, s.Touch(r.PathValue("x"), req.Collection, req.ChangeType)
	})
	handleJSON(mux, "POST /subscriptions/{id}/lifecycle", func(r *http.Request, req struct{ Event string }) (any, error) {
		return nil, s.SendLifecycle(r.PathValue("id"), req.Event)
	})
	handleJSON(mux, "POST /subscriptions/{id}/remove", func(r *http.Request, req struct{ Silent bool }) (any, error) {
		return nil, s.RemoveSubscription(r.PathValue("id"), req.Silent)
	})
	handleJSON(mux, "POST /faults", func(_ *http.Request, f Fault) (any, error) { return s.SetFault(f) })
	handleJSON(mux, "POST /notify", func(r *http.Request, req struct {
		URL  string
		Body json.RawMessage
	}) (any, error) {
		body, text := []byte(req.Body), ""
		if json.Unmarshal(body, &text) == nil {
			body = []byte(text) // a string is sent as plain text
		}
		status, err := s.Notify(r.Context(), req.URL, body)
		return map[string]int{"status": status}, err
	})

	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeControl(w, nil, fmt.Errorf("%w path or method: %s %s", errNotFound, r.Method, r.URL.Path))
	})
	return mux
}

// handleJSON adds a route with a JSON body. Unknown fields are refused. An empty body
// counts as an empty object.
func handleJSON[T any](mux *http.ServeMux, pattern string, act func(r *http.Request, body T) (any, error)) {
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

// controlStatuses maps errors to statuses. The first match wins.
var controlStatuses = []struct {
	err    error
	status int
}{
	{errNotFound, http.StatusNotFound},
	{errExists, http.StatusConflict},
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
