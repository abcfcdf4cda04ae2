package graphsim

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// collectionUsers is the collection of subscriptions to the directory.
const collectionUsers = "users"

// mailboxRoles maps the collections of a mailbox to the permissions that they need.
var mailboxRoles = map[string]string{"events": roleCalendars, "messages": roleMail, "contacts": roleContacts}

// target is the parsed resource of a subscription.
type target struct {
	collection string // one of mailboxRoles, or collectionUsers
	user       string // id or UPN as given; empty: all users
	role       string // required permission
	changes    []string
	selected   bool // has a $select
}

// parseResource parses the resource of a subscription.
func parseResource(resource string) (target, *reply) {
	unsupported := invalidRequest(fmt.Sprintf("The resource '%s' is not supported for subscriptions.", resource))
	path, query, _ := strings.Cut(resource, "?")
	options, err := url.ParseQuery(query)
	if err != nil {
		return target{}, unsupported
	}
	segments, err := splitPath(path)
	if err != nil || slices.Contains(segments, "") {
		return target{}, unsupported
	}
	directory := target{collection: collectionUsers, role: roleUsers, changes: []string{"updated", "deleted"}}
	switch head := strings.ToLower(segments[0]); {
	case head == "communications":
		return target{}, fail(http.StatusForbidden, "Forbidden", "Application-only authorization is not supported for presence subscriptions.")
	case head == "me":
		return target{}, badRequest("/me request is only valid with delegated authentication flow.")
	case head != "users":
		return target{}, unsupported
	case len(segments) == 1:
		return directory, nil
	case strings.Contains(segments[1], "'"):
		return target{}, fail(http.StatusBadRequest, "ExtensionError", "Operation: Create; Exception: the resource path is malformed.")
	case len(segments) == 2:
		directory.user = segments[1]
		return directory, nil
	}
	collection := strings.ToLower(strings.Join(segments[2:], "/"))
	if strings.HasPrefix(collection, "mailfolders") && strings.HasSuffix(collection, "/messages") {
		collection = "messages"
	}
	role, ok := mailboxRoles[collection]
	if !ok {
		return target{}, unsupported
	}
	return target{
		collection: collection, user: segments[1], role: role,
		changes: []string{"created", "updated", "deleted"}, selected: options.Get("$select") != "",
	}, nil
}

// checkChanges checks a changeType, such as "created,updated".
func (t target) checkChanges(changeType string) *reply {
	parts := strings.Split(changeType, ",")
	for i, p := range parts {
		if !slices.Contains(t.changes, p) || slices.Contains(parts[:i], p) {
			return invalidRequest(fmt.Sprintf("The value '%s' of property 'changeType' is not valid for the resource.", changeType))
		}
	}
	return nil
}

// Longest lives of subscriptions that Config does not set.
const (
	maxUserLife = 41760 * time.Minute
	maxRichLife = 24 * time.Hour // with resource data
)

// maxLife returns the longest life of a subscription.
func (s *Server) maxLife(t target, rich bool) time.Duration {
	switch {
	case rich:
		return min(maxRichLife, s.cfg.MaxSubscription)
	case t.collection == collectionUsers:
		return maxUserLife
	}
	return s.cfg.MaxSubscription
}
