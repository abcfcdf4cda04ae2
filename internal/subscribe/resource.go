package subscribe

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"outlook-monitor/internal/ooo"
)

// properties are those to ask for in resource data, by the end of a resource's path.
// Graph wants some to be named; these tell little about people.
var properties = map[string]string{
	"events":   "id,showAs,isAllDay,start,end",
	"messages": "id,receivedDateTime",
	"contacts": "id,lastModifiedDateTime",
}

// requestOf returns the resource to ask Graph for.
func requestOf(template string, id ooo.ObjectID, withData bool) string {
	resource := ooo.ResourcePath(template, id)
	path, query, _ := strings.Cut(resource, "?")
	named := properties[kindOf(path)]
	switch {
	case !withData || named == "" || slices.Contains(options(query), "$select"):
		return resource
	case query != "":
		return resource + "&$select=" + named
	}
	return path + "?$select=" + named
}

func kindOf(path string) string { return strings.ToLower(path[strings.LastIndexByte(path, '/')+1:]) }

// options are the names of the options in a query, in lower case.
func options(query string) []string {
	values, _ := url.ParseQuery(strings.ToLower(query)) // all that can be read, whatever the error
	return slices.Sorted(maps.Keys(values))
}

// CheckResources says which of the resources can't be subscribed to, with or without
// resource data, and what to write instead.
func CheckResources(resources []string, withData bool) error {
	var errs []error
	for _, resource := range resources {
		path, query, _ := strings.Cut(resource, "?")
		given := options(query)
		for _, name := range given {
			if name != "$select" && name != "$filter" {
				errs = append(errs, fmt.Errorf(
					"%s has %q: Graph takes only $select and $filter in a subscription, leave it out", resource, name))
			}
		}
		switch {
		case !withData || properties[kindOf(path)] != "":
		case strings.Contains(strings.ToLower(path), "/todo/"):
			errs = append(errs, fmt.Errorf(
				"%s: Graph sends no resource data of tasks, leave it out or do without ENCRYPTION_CERT_FILE", resource))
		case !slices.Contains(given, "$select"):
			errs = append(errs, fmt.Errorf(
				"%s: which properties to send is only known of events, messages and contacts, add ?$select=... or do without ENCRYPTION_CERT_FILE", resource))
		}
	}
	return errors.Join(errs...)
}

// listed is how Graph spells a resource of a user: the object id, and what follows.
var listed = regexp.MustCompile(`(?i)^/?users(?:/|\('?)([^/')]+)'?\)?/(.+)$`)

// splitResource returns the object id in a resource and what follows it; both are
// empty if there is none.
func splitResource(resource string) (id ooo.ObjectID, rest string) {
	found := listed.FindStringSubmatch(resource)
	if found == nil || !ooo.ValidObjectID(ooo.ObjectID(found[1])) {
		return "", ""
	}
	return ooo.ObjectID(found[1]), found[2]
}

// mailboxOf returns the mailbox that a listed resource is of, and the tag of the
// template; each is empty if it is of none.
func mailboxOf(resource string, want Settings) (id ooo.RecordID, tag string) {
	user, rest := splitResource(resource)
	for _, template := range want.Resources {
		_, asked := splitResource(requestOf(template, user, want.Certificate.ID != ""))
		if user != "" && strings.EqualFold(rest, asked) {
			tag = ooo.ResourceTag(template)
		}
	}
	return ooo.RecordID(user), tag
}
