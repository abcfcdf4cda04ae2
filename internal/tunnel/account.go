package tunnel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.ngrok.com/ngrok/v2"
)

// Account is who opens an endpoint at ngrok.
type Account struct {
	Token  string
	URL    string // of a domain reserved for the account; empty: ngrok chooses one
	Server string // host:port to connect to; empty: ngrok's own
}

// openTime is how long opening may take: ngrok's SDK itself retries without end.
const openTime = 20 * time.Second

var errSlow = errors.New("ngrok did not answer in time")

// Open opens an endpoint. The SDK restores a broken session by itself, under the
// same URL; the endpoint fails only if it can't.
func (a Account) Open(ctx context.Context) (Endpoint, error) {
	// The session lives as long as the context that it was opened with.
	living, end := context.WithCancelCause(ctx)
	slow := time.AfterFunc(openTime, func() { end(errSlow) })
	options := []ngrok.AgentOption{
		ngrok.WithAuthtoken(a.Token),
		ngrok.WithClientInfo("outlook-monitor", "1"),
		ngrok.WithLogger(slog.New(slog.DiscardHandler)), // its errors may repeat the token
		ngrok.WithEventHandler(func(e ngrok.Event) {
			// While it opens, the first failure is the answer.
			if lost, ok := e.(*ngrok.EventAgentDisconnected); ok && lost.Error != nil && slow.Stop() {
				end(lost.Error)
			}
		}),
	}
	if a.Server != "" {
		options = append(options, ngrok.WithAgentConnectURL(a.Server))
	}
	agent, err := ngrok.NewAgent(options...)
	if err != nil {
		end(nil)
		return nil, refusal(err)
	}
	var wanted []ngrok.EndpointOption
	if a.URL != "" {
		wanted = append(wanted, ngrok.WithURL(a.URL))
	}
	listener, err := agent.Listen(living, wanted...)
	if inTime := slow.Stop(); err != nil || !inTime {
		cause := context.Cause(living)
		end(nil)
		_ = agent.Disconnect()
		if cause != nil && !errors.Is(cause, context.Canceled) {
			err = cause
		}
		return nil, refusal(err)
	}
	return &session{listener, agent, end}, nil
}

// session is an endpoint together with the connection to ngrok that it needs.
type session struct {
	ngrok.EndpointListener
	agent ngrok.Agent
	end   context.CancelCauseFunc
}

// Close ends the session first, so that it does not wait for ngrok to answer.
func (s *session) Close() error {
	s.end(nil)
	err := s.agent.Disconnect()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return errors.Join(err, s.CloseWithContext(ctx))
}

// Refusal is ngrok's error code, such as ERR_NGROK_105.
type Refusal struct{ Code string }

// Error says what to do.
func (r *Refusal) Error() string {
	remedy, ok := remedies[r.Code]
	if !ok {
		remedy = "see https://ngrok.com/docs/errors/" + strings.ToLower(r.Code)
	}
	return fmt.Sprintf("ngrok refuses with %s: %s", r.Code, remedy)
}

// ForGood reports whether only another token helps.
func (r *Refusal) ForGood() bool { return remedies[r.Code] == badToken }

const badToken = "NGROK_AUTHTOKEN is not valid: copy it from https://dashboard.ngrok.com/get-started/your-authtoken"

var remedies = map[string]string{
	"ERR_NGROK_105":  badToken,
	"ERR_NGROK_106":  badToken,
	"ERR_NGROK_107":  badToken,
	"ERR_NGROK_4018": badToken,
	"ERR_NGROK_108":  "the account has as many sessions as its plan allows: end another one",
	"ERR_NGROK_319":  "NGROK_URL is not reserved for this account: reserve it at https://dashboard.ngrok.com/domains",
	"ERR_NGROK_320":  "NGROK_URL is reserved for another account: choose another",
	"ERR_NGROK_334":  "NGROK_URL is in use by another tunnel: end that one",
}

// coded is an error with one of ngrok's codes; those of the SDK have either method.
type coded interface {
	error
	ErrorCode() string
}

// refusal turns an error of the SDK into ours: a [Refusal], or a sentence
// without what ngrok said.
func refusal(err error) error {
	code := ""
	if known, ok := errors.AsType[ngrok.Error](err); ok {
		code = known.Code()
	} else if known, ok := errors.AsType[coded](err); ok {
		code = known.ErrorCode()
	}
	switch {
	case code != "":
		return &Refusal{Code: code}
	case errors.Is(err, errSlow):
		return err
	}
	return fmt.Errorf("ngrok can't be reached: let this machine connect to connect.ngrok-agent.com:443: %w", network(err))
}
