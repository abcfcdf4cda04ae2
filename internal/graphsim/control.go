package graphsim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// controlHandler is the control API: each route is one method of Server.
func (s *Server) controlHandler() http.Handler {
	mux := http.NewServeMux()
	for pattern, handle := range s.controlRoutes() {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			status, answer, err := handle(r)
			if err != nil {
				writeJSON(w, controlStatus(err), map[string]string{"error": err.Error()})
				return
			}
			if answer == nil {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			writeJSON(w, status, answer)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "no such path or method: " + r.Method + " " + r.URL.Path})
	})
	return mux
}

// controlOutcomes says how each refusal is answered. The first match wins.
var controlOutcomes = []struct {
	err    error
	status int
}{
	{ErrUnknownUser, http.StatusNotFound},
	{ErrUnknownSubscription, http.StatusNotFound},
	{ErrExists, http.StatusConflict},
	{ErrInvalid, http.StatusBadRequest},
	{errUnreachable, http.StatusBadGateway},
}

var errUnreachable = errors.New("no answer")

func controlStatus(err error) int {
	for _, o := range controlOutcomes {
		if errors.Is(err, o.err) {
			return o.status
		}
	}
	return http.StatusInternalServerError
}

// decode reads a JSON body strictly.
func decode[T any](r *http.Request) (v T, err error) {
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		return v, fmt.Errorf("%w: body: %w", ErrInvalid, err)
	}
	return v, nil
}

type controlRoute func(*http.Request) (status int, answer any, err error)

func (s *Server) controlRoutes() map[string]controlRoute {
	return map[string]controlRoute{
		"GET /users":                         s.controlUsers,
		"POST /users":                        s.controlAddUser,
		"POST /users/bulk":                   s.controlAddUsers,
		"GET /users/{x}":                     s.controlUser,
		"DELETE /users/{x}":                  s.controlDeleteUser,
		"GET /users/{x}/automaticReplies":    s.controlReplies,
		"PUT /users/{x}/automaticReplies":    s.controlSetReplies,
		"PUT /users/{x}/mailbox":             s.controlSetMailbox,
		"POST /users/{x}/changes":            s.controlTouch,
		"GET /subscriptions":                 s.controlSubscriptions,
		"POST /subscriptions/{id}/lifecycle": s.controlLifecycle,
		"POST /subscriptions/{id}/remove":    s.controlRemove,
		"POST /subscriptions/{id}/expire":    s.controlExpire,
		"GET /faults":                        s.controlFaults,
		"POST /faults":                       s.controlSetFault,
		"DELETE /faults":                     s.controlClearFaults,
		"DELETE /faults/{id}":                s.controlClearFault,
		"POST /tokens/revoke":                s.controlRevoke,
		"POST /notify":                       s.controlNotify,
		"GET /stats":                         s.controlStats,
		"POST /stats/reset":                  s.controlResetStats,
		"POST /reset":                        s.controlReset,
	}
}

func (s *Server) controlUsers(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]any{"users": s.Users()}, nil
}

func (s *Server) controlAddUser(r *http.Request) (int, any, error) {
	u, err := decode[User](r)
	if err != nil {
		return 0, nil, err
	}
	u, err = s.AddUser(u)
	return http.StatusCreated, u, err
}

func (s *Server) controlAddUsers(r *http.Request) (int, any, error) {
	ask, err := decode[struct {
		Count  int    `json:"count"`
		Domain string `json:"domain"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	users, err := s.AddUsers(ask.Count, ask.Domain)
	return http.StatusCreated, map[string]any{"users": users}, err
}

func (s *Server) controlUser(r *http.Request) (int, any, error) {
	u, err := s.User(r.PathValue("x"))
	return http.StatusOK, u, err
}

func (s *Server) controlDeleteUser(r *http.Request) (int, any, error) {
	return 0, nil, s.DeleteUser(r.PathValue("x"))
}

func (s *Server) controlReplies(r *http.Request) (int, any, error) {
	replies, err := s.AutomaticReplies(r.PathValue("x"))
	return http.StatusOK, replies, err
}

func (s *Server) controlSetReplies(r *http.Request) (int, any, error) {
	u, err := decode[AutomaticRepliesUpdate](r)
	if err != nil {
		return 0, nil, err
	}
	replies, err := s.SetAutomaticReplies(r.PathValue("x"), u)
	return http.StatusOK, replies, err
}

func (s *Server) controlSetMailbox(r *http.Request) (int, any, error) {
	m, err := decode[Mailbox](r)
	if err != nil {
		return 0, nil, err
	}
	return 0, nil, s.SetMailbox(r.PathValue("x"), m)
}

func (s *Server) controlTouch(r *http.Request) (int, any, error) {
	ask, err := decode[struct {
		Collection string `json:"collection"`
		ChangeType string `json:"changeType"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	return 0, nil, s.Touch(r.PathValue("x"), ask.Collection, ask.ChangeType)
}

func (s *Server) controlSubscriptions(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]any{"subscriptions": s.Subscriptions()}, nil
}

func (s *Server) controlLifecycle(r *http.Request) (int, any, error) {
	ask, err := decode[struct {
		Event string `json:"event"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	return 0, nil, s.SendLifecycle(r.PathValue("id"), ask.Event)
}

func (s *Server) controlRemove(r *http.Request) (int, any, error) {
	var ask struct {
		Silent bool `json:"silent"`
	}
	if r.ContentLength != 0 {
		var err error
		if ask, err = decode[struct {
			Silent bool `json:"silent"`
		}](r); err != nil {
			return 0, nil, err
		}
	}
	return 0, nil, s.RemoveSubscription(r.PathValue("id"), ask.Silent)
}

func (s *Server) controlExpire(r *http.Request) (int, any, error) {
	return 0, nil, s.ExpireSubscription(r.PathValue("id"))
}

func (s *Server) controlFaults(*http.Request) (int, any, error) {
	return http.StatusOK, map[string]any{"faults": s.Faults()}, nil
}

func (s *Server) controlSetFault(r *http.Request) (int, any, error) {
	f, err := decode[Fault](r)
	if err != nil {
		return 0, nil, err
	}
	f, err = s.SetFault(f)
	return http.StatusCreated, f, err
}

func (s *Server) controlClearFaults(*http.Request) (int, any, error) {
	s.ClearFaults()
	return 0, nil, nil
}

func (s *Server) controlClearFault(r *http.Request) (int, any, error) {
	s.ClearFault(r.PathValue("id"))
	return 0, nil, nil
}

func (s *Server) controlRevoke(*http.Request) (int, any, error) {
	s.RevokeTokens()
	return 0, nil, nil
}

func (s *Server) controlNotify(r *http.Request) (int, any, error) {
	ask, err := decode[struct {
		URL  string          `json:"url"`
		Body json.RawMessage `json:"body"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	body := []byte(ask.Body)
	var text string
	if json.Unmarshal(ask.Body, &text) == nil {
		body = []byte(text) // what isn't JSON is sent as it is
	}
	status, err := s.Notify(r.Context(), ask.URL, body)
	return http.StatusOK, map[string]int{"status": status}, err
}

func (s *Server) controlStats(*http.Request) (int, any, error) {
	return http.StatusOK, s.Stats(), nil
}

func (s *Server) controlResetStats(*http.Request) (int, any, error) {
	s.ResetStats()
	return 0, nil, nil
}

func (s *Server) controlReset(*http.Request) (int, any, error) {
	s.Reset()
	return 0, nil, nil
}

// Notify POSTs body to url as a notification is, whatever it says, and returns
// the status of the answer.
func (s *Server) Notify(ctx context.Context, url string, body []byte) (status int, err error) {
	if bad := checkURL("url", url); bad != nil {
		return 0, fmt.Errorf("%w: %s", ErrInvalid, bad.message)
	}
	status, err = s.outbox.post(ctx, url, body, s.cfg.RetryTimeout)
	if err != nil {
		return 0, fmt.Errorf("%w from the notification URL: %w", errUnreachable, err)
	}
	return status, nil
}

// Reset forgets users, subscriptions, faults, quotas, counts and waiting
// notifications, and starts the ids anew. Tokens stay valid.
func (s *Server) Reset() {
	s.directory.clear()
	s.subs.clear()
	s.ClearFaults()
	s.outbox.clear()
	s.app.reset()
	s.ids.reset(s.cfg.Seed)
	s.ResetStats()
}
