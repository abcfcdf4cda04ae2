package graphsim

import (
	"net/http"
	"slices"
	"strings"
)

// Operations of calls, as counted by Stats and selected by faults.
const (
	opOther                   = "other"
	opToken                   = "token"
	opRead                    = "read" // of a mailbox
	opBatch                   = "batch"
	opDirectory               = "directory"
	opPresence                = "presence"
	opSubscriptionCreate      = "subscription-create"
	opSubscriptionRenew       = "subscription-renew"
	opSubscriptionDelete      = "subscription-delete"
	opSubscriptionList        = "subscription-list"
	opSubscriptionGet         = "subscription-get"
	opSubscriptionReauthorize = "subscription-reauthorize"
)

// route maps a method and path to an operation and its handler.
type route struct {
	method string
	path   []string // * is any segment
	op     string
	handle func(*Server, *call) *reply
}

// graphRoutes returns the routes of Graph.
func graphRoutes() []route {
	path := func(p string) []string { return strings.Split(p, "/") }
	return []route{
		{http.MethodGet, path("users/*/mailboxSettings/automaticRepliesSetting"), opRead, (*Server).readAutomaticReplies},
		{http.MethodGet, path("users/*/mailboxSettings"), opRead, (*Server).readMailboxSettings},
		{http.MethodGet, path("users/*"), opDirectory, (*Server).getUser},
		{http.MethodGet, path("users"), opDirectory, (*Server).listUsers},
		{http.MethodPost, path("$batch"), opBatch, (*Server).batch},
		{http.MethodPost, path("communications/getPresencesByUserId"), opPresence, (*Server).presences},
		{http.MethodGet, path("subscriptions"), opSubscriptionList, (*Server).listSubscriptions},
		{http.MethodPost, path("subscriptions"), opSubscriptionCreate, (*Server).createSubscription},
		{http.MethodGet, path("subscriptions/*"), opSubscriptionGet, (*Server).getSubscription},
		{http.MethodPatch, path("subscriptions/*"), opSubscriptionRenew, (*Server).renewSubscription},
		{http.MethodDelete, path("subscriptions/*"), opSubscriptionDelete, (*Server).deleteSubscription},
		{http.MethodPost, path("subscriptions/*/reauthorize"), opSubscriptionReauthorize, (*Server).reauthorizeSubscription},
	}
}

// routeOf returns the route of a call. As in Graph, the letter case of segments does not
// matter.
func (s *Server) routeOf(c *call) route {
	found := route{op: opOther, handle: (*Server).notFound}
	for _, r := range s.routes {
		if !slices.EqualFunc(r.path, c.path, func(want, got string) bool { return want == "*" || strings.EqualFold(want, got) }) {
			continue
		}
		if r.method == c.method {
			return r
		}
		found = route{op: opOther, handle: (*Server).notAllowed}
	}
	return found
}

func (s *Server) notFound(*call) *reply {
	return badRequest("Resource not found for the segment.")
}

func (s *Server) notAllowed(*call) *reply {
	return fail(http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
}
