package graphsim

import (
	"net/http"
	"strings"
)

// operation is what a call is about: the name under which it is counted and
// disturbed.
type operation int

const (
	opOther operation = iota
	opToken
	opRead // of a mailbox
	opBatch
	opDirectory
	opPresence
	opSubscriptionCreate
	opSubscriptionRenew
	opSubscriptionDelete
	opSubscriptionList
	opSubscriptionGet
	opSubscriptionReauthorize
	operations // how many there are
)

var operationNames = [operations]string{
	"other", "token", "read", "batch", "directory", "presence",
	"subscription-create", "subscription-renew", "subscription-delete",
	"subscription-list", "subscription-get", "subscription-reauthorize",
}

func (o operation) String() string { return operationNames[o] }

// route is an operation and who answers it.
type route struct {
	op     operation
	handle func(*Server, *call) reply
}

// routeOf finds who answers a call. Fixed segments match in any letter case, as
// they do in Graph.
func routeOf(c *call) route {
	switch first := c.path[0]; {
	case strings.EqualFold(first, "users"):
		return userRoute(c)
	case strings.EqualFold(first, "subscriptions"):
		return subscriptionRoute(c)
	case first == "$batch" && len(c.path) == 1:
		if c.method != http.MethodPost {
			return route{opBatch, (*Server).notAllowed}
		}
		if c.inner {
			return route{opBatch, (*Server).nestedBatch}
		}
		return route{opBatch, (*Server).batch}
	case strings.EqualFold(first, "communications") && len(c.path) == 2 && strings.EqualFold(c.path[1], "getPresencesByUserId"):
		if c.method != http.MethodPost {
			return route{opPresence, (*Server).notAllowed}
		}
		return route{opPresence, (*Server).presences}
	}
	return route{opOther, (*Server).notFound}
}

func userRoute(c *call) route {
	r := route{opDirectory, (*Server).notFound}
	switch {
	case len(c.path) == 1:
		r.handle = (*Server).listUsers
	case len(c.path) == 2:
		r.handle = (*Server).getUser
	case strings.EqualFold(c.path[2], "mailboxSettings"):
		r.op = opRead
		switch {
		case len(c.path) == 3:
			r.handle = (*Server).readMailboxSettings
		case len(c.path) == 4 && strings.EqualFold(c.path[3], "automaticRepliesSetting"):
			r.handle = (*Server).readAutomaticReplies
		}
	}
	if c.method != http.MethodGet {
		r.handle = (*Server).notAllowed
	}
	return r
}

func subscriptionRoute(c *call) route {
	switch {
	case len(c.path) == 1 && c.method == http.MethodGet:
		return route{opSubscriptionList, (*Server).listSubscriptions}
	case len(c.path) == 1 && c.method == http.MethodPost:
		return route{opSubscriptionCreate, (*Server).createSubscription}
	case len(c.path) == 2 && c.method == http.MethodGet:
		return route{opSubscriptionGet, (*Server).getSubscription}
	case len(c.path) == 2 && c.method == http.MethodPatch:
		return route{opSubscriptionRenew, (*Server).renewSubscription}
	case len(c.path) == 2 && c.method == http.MethodDelete:
		return route{opSubscriptionDelete, (*Server).deleteSubscription}
	case len(c.path) == 3 && c.method == http.MethodPost && strings.EqualFold(c.path[2], "reauthorize"):
		return route{opSubscriptionReauthorize, (*Server).reauthorizeSubscription}
	case len(c.path) <= 2:
		return route{opOther, (*Server).notAllowed}
	}
	return route{opOther, (*Server).notFound}
}

// answer disturbs the call if a fault says so, and otherwise has it handled.
func (s *Server) answer(c *call, r route) reply {
	if r.op == opRead && len(c.path) > 2 {
		return s.inMailbox(c, r.handle)
	}
	if rep, hit := s.disturbCall(c, r.op); hit {
		return rep
	}
	return r.handle(s, c)
}

func (s *Server) notFound(*call) reply {
	return badRequest("Resource not found for the segment.")
}

func (s *Server) notAllowed(*call) reply {
	return fail(http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
}

func (s *Server) nestedBatch(*call) reply {
	return badRequest("A batch can't be nested in a batch.")
}
