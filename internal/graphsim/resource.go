package graphsim

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// target is what a subscription watches.
type target struct {
	collection string // events, messages, contacts; users for the directory
	user       string // id or UPN as given; empty for all users
	role       string // needed
	changes    []string
	life       time.Duration // longest; 0: as configured
	selected   bool          // has a $select
}

var allChanges = []string{"created", "updated", "deleted"}

// userLife is how long a subscription to the directory may live.
const userLife = 41760 * time.Minute

var mailboxRoles = map[string]string{"events": roleCalendars, "messages": roleMail, "contacts": roleContacts}

func unsupported(resource string) *apiError {
	return &apiError{"InvalidRequest", fmt.Sprintf("The resource '%s' is not supported for subscriptions.", resource)}
}

// parseResource reads the resource of a subscription.
func parseResource(resource string) (target, *reply) {
	refuse := func(status int, e *apiError) (target, *reply) { return target{}, &reply{status: status, fail: e} }
	path, query, _ := strings.Cut(resource, "?")
	options, err := url.ParseQuery(query)
	segments, ok := splitPath(strings.ReplaceAll(path, "+", "%2B"))
	if err != nil || !ok || slices.Contains(segments, "") {
		return refuse(http.StatusBadRequest, unsupported(resource))
	}
	head := strings.ToLower(segments[0])
	switch {
	case head == "communications":
		return refuse(http.StatusForbidden, &apiError{"Forbidden", "Application-only authorization is not supported for presence subscriptions."})
	case head == "me":
		return refuse(http.StatusBadRequest, &apiError{"BadRequest", "/me request is only valid with delegated authentication flow."})
	case head != "users":
		return refuse(http.StatusBadRequest, unsupported(resource))
	case len(segments) == 1:
		return target{collection: "users", role: roleUsers, changes: []string{"updated", "deleted"}, life: userLife}, nil
	case strings.Contains(segments[1], "'"):
		return refuse(http.StatusBadRequest, &apiError{"ExtensionError", "Operation: Create; Exception: the resource path is malformed."})
	case len(segments) == 2:
		return target{collection: "users", user: segments[1], role: roleUsers, changes: []string{"updated", "deleted"}, life: userLife}, nil
	}
	t := target{user: segments[1], changes: allChanges, selected: options.Get("$select") != ""}
	rest := strings.ToLower(strings.Join(segments[2:], "/"))
	switch {
	case rest == "events", rest == "messages", rest == "contacts":
		t.collection = rest
	case strings.HasPrefix(rest, "mailfolders") && strings.HasSuffix(rest, "/messages"):
		t.collection = "messages"
	default:
		return refuse(http.StatusBadRequest, unsupported(resource))
	}
	t.role = mailboxRoles[t.collection]
	return t, nil
}

// checkChanges reads a changeType, such as "created,updated".
func (t target) checkChanges(changeType string) *apiError {
	parts := strings.Split(changeType, ",")
	for i, p := range parts {
		if !slices.Contains(t.changes, p) || slices.Contains(parts[:i], p) {
			return &apiError{"InvalidRequest", fmt.Sprintf("The value '%s' of property 'changeType' is not valid for the resource.", changeType)}
		}
	}
	return nil
}

// combination identifies what may be subscribed to once only.
func combination(changeType, resource string) string {
	parts := strings.Split(changeType, ",")
	slices.Sort(parts)
	return strings.Join(parts, ",") + " " + strings.ToLower(strings.Trim(resource, "/"))
}
