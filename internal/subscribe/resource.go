package subscribe

import (
	"net/url"
	"path"
	"regexp"
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
	kind, query, _ := strings.Cut(strings.ToLower(resource), "?")
	properties := selected[path.Base(kind)]
	options, _ := url.ParseQuery(query) // the valid part, despite an error
	switch {
	case !withData || properties == "" || options.Has("$select"):
		return resource
	case query != "":
		return resource + "&$select=" + properties
	}
	return strings.TrimSuffix(resource, "?") + "?$select=" + properties
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
