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

// userResource matches a user's resource as Graph spells it, with the object id.
var userResource = regexp.MustCompile(`(?i)^/?users(?:/|\('?)([^/')]+)'?\)?/`)

// mailboxOf returns the mailbox of a listed resource, or an empty id if it is not a user's.
func mailboxOf(resource string) ooo.RecordID {
	found := userResource.FindStringSubmatch(resource)
	if found == nil || !ooo.ValidObjectID(ooo.ObjectID(found[1])) {
		return ""
	}
	return ooo.RecordID(found[1])
}
