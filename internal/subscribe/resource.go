package subscribe

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"outlook-monitor/internal/ooo"
)

// selected are the properties to select in resource data, by the last segment of the
// resource's path. Graph requires a selection; these reveal little about people.
var selected = map[string]string{
	"events":   "id,showAs,isAllDay,start,end",
	"messages": "id,receivedDateTime",
	"contacts": "id,lastModifiedDateTime",
}

// resourceOf returns the resource to request from Graph.
func resourceOf(template string, id ooo.ObjectID, withData bool) string {
	resource := ooo.ResourcePath(template, id)
	path, query, _ := strings.Cut(resource, "?")
	properties := selected[kindOf(path)]
	switch {
	case !withData || properties == "" || slices.Contains(queryOptions(query), "$select"):
		return resource
	case query != "":
		return resource + "&$select=" + properties
	}
	return path + "?$select=" + properties
}

func kindOf(path string) string { return strings.ToLower(path[strings.LastIndexByte(path, '/')+1:]) }

// queryOptions returns the names of the options in a query, in lower case.
func queryOptions(query string) []string {
	values, _ := url.ParseQuery(strings.ToLower(query)) // the valid part, despite an error
	return slices.Sorted(maps.Keys(values))
}

// userResource matches a user's resource as Graph spells it: the object id, and the rest.
var userResource = regexp.MustCompile(`(?i)^/?users(?:/|\('?)([^/')]+)'?\)?/(.+)$`)

// splitResource returns the object id in a resource and what follows it; both are empty
// if the resource is not a user's.
func splitResource(resource string) (id ooo.ObjectID, rest string) {
	found := userResource.FindStringSubmatch(resource)
	if found == nil || !ooo.ValidObjectID(ooo.ObjectID(found[1])) {
		return "", ""
	}
	return ooo.ObjectID(found[1]), found[2]
}

// mailboxOf returns the mailbox of a listed resource and the tag of its template; each is
// empty if there is none.
func mailboxOf(resource string, want Settings) (id ooo.RecordID, tag string) {
	user, rest := splitResource(resource)
	for _, template := range want.Resources {
		_, requested := splitResource(resourceOf(template, user, want.Certificate.ID != ""))
		if user != "" && strings.EqualFold(rest, requested) {
			tag = ooo.ResourceTag(template)
		}
	}
	return ooo.RecordID(user), tag
}
