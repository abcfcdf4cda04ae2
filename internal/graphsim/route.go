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
	role   string             // required permission; empty: none, or it depends on the request
	handle func(*call) *reply // called with Server.mu held
}

// graphRoutes returns the routes of Graph.
func (s *Server) graphRoutes() []route {
	path := func(p string) []string { return strings.Split(p, "/") }
	return []route{
		{http.MethodGet, path("users/*/mailboxSettings/automaticRepliesSetting"), opRead, roleMailboxSettings, s.readAutomaticReplies},
		{http.MethodGet, path("users/*/mailboxSettings"), opRead, roleMailboxSettings, s.readMailboxSettings},
		{http.MethodGet, path("users/*"), opDirectory, roleUsers, s.getUser},
		{http.MethodGet, path("users"), opDirectory, roleUsers, s.listUsers},
		{http.MethodPost, path("$batch"), opBatch, "", s.batch},
		{http.MethodPost, path("communications/getPresencesByUserId"), opPresence, rolePresence, s.presences},
		{http.MethodGet, path("subscriptions"), opSubscriptionList, "", s.listSubscriptions},
		{http.MethodPost, path("subscriptions"), opSubscriptionCreate, "", s.createSubscription},
		{http.MethodGet, path("subscriptions/*"), opSubscriptionGet, "", s.getSubscription},
		{http.MethodPatch, path("subscriptions/*"), opSubscriptionRenew, "", s.renewSubscription},
		{http.MethodDelete, path("subscriptions/*"), opSubscriptionDelete, "", s.deleteSubscription},
		{http.MethodPost, path("subscriptions/*/reauthorize"), opSubscriptionReauthorize, "", s.reauthorizeSubscription},
	}
}

// routeOf returns the route of a call. As in Graph, the letter case of segments does not
// matter.
func (s *Server) routeOf(c *call) route {
	found := route{op: opOther, handle: notFound}
	for _, r := range s.routes {
		if !slices.EqualFunc(r.path, c.path, func(want, got string) bool { return want == "*" || strings.EqualFold(want, got) }) {
			continue
		}
		if r.method == c.method {
			return r
		}
		found = route{op: opOther, handle: notAllowed}
	}
	return found
}

func notFound(*call) *reply {
	return badRequest("Resource not found for the segment.")
}

func notAllowed(*call) *reply {
	return fail(http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
}
