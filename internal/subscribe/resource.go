package subscribe

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"outlook-monitor/internal/ooo"
)

// kinds are the resources of which Graph sends data, by the end of their path, with
// properties that each one has. Graph wants some to be named; these tell little about
// people.
var kinds = map[string]string{
	"events":   "id,showAs,isAllDay,start,end",
	"messages": "id,receivedDateTime",
	"contacts": "id,lastModifiedDateTime",
}

// selectOption is the query option that names properties.
const selectOption = "$select"

// requestOf returns the resource to ask Graph for.
func requestOf(template string, id ooo.ObjectID, withData bool) string {
	path, query, _ := strings.Cut(ooo.ResourcePath(template, id), "?")
	properties := kinds[kindOf(path)]
	if withData && properties != "" && !hasOption(query, selectOption) {
		if query != "" {
			query += "&"
		}
		query += selectOption + "=" + properties
	}
	if query == "" {
		return path
	}
	return path + "?" + query
}

func kindOf(path string) string {
	return strings.ToLower(path[strings.LastIndexByte(path, '/')+1:])
}

func hasOption(query, name string) bool {
	for option := range strings.SplitSeq(query, "&") {
		given, _, _ := strings.Cut(option, "=")
		if plain, err := url.QueryUnescape(given); err == nil && strings.EqualFold(plain, name) {
			return true
		}
	}
	return false
}

// CheckResources says which of the resources can't be subscribed to, with or without
// resource data, and what to write instead.
func CheckResources(resources []string, withData bool) error {
	var errs []error
	for _, resource := range resources {
		path, query, _ := strings.Cut(resource, "?")
		for option := range strings.SplitSeq(query, "&") {
			if option != "" && !hasOption(option, selectOption) && !hasOption(option, "$filter") {
				errs = append(errs, fmt.Errorf("%s has %q: Graph takes only $select and $filter in a subscription, leave it out", resource, option))
			}
		}
		switch {
		case !withData || kinds[kindOf(path)] != "":
		case strings.Contains(strings.ToLower(path), "/todo/"):
			errs = append(errs, fmt.Errorf("%s: Graph sends no resource data of tasks, leave it out or do without ENCRYPTION_CERT_FILE", resource))
		case !hasOption(query, selectOption):
			errs = append(errs, fmt.Errorf("%s: which properties to send is only known of events, messages and contacts, add ?$select=... or do without ENCRYPTION_CERT_FILE", resource))
		}
	}
	return errors.Join(errs...)
}

// owner is where a resource names its user, in Graph's spellings.
var owner = regexp.MustCompile(`(?i)^/?users(?:/|\(')([^/')]+)`)

// mailboxOf returns the object id in a resource that Graph lists; empty if there is
// none.
func mailboxOf(resource string) ooo.ObjectID {
	found := owner.FindStringSubmatch(resource)
	if found == nil || !ooo.ValidObjectID(ooo.ObjectID(found[1])) {
		return ""
	}
	return ooo.ObjectID(found[1])
}

// templateOf returns the template that a listed resource is of; empty if it is of
// none. Two may differ in their query alone.
func templateOf(templates []string, listed string, id ooo.ObjectID, withData bool) string {
	found := ""
	for _, template := range templates {
		asked := requestOf(template, id, withData)
		if strings.EqualFold(rest(listed), rest(asked)) {
			return template
		}
		path, _, _ := strings.Cut(asked, "?")
		listedPath, _, _ := strings.Cut(listed, "?")
		if found == "" && strings.EqualFold(rest(listedPath), rest(path)) {
			found = template
		}
	}
	return found
}

// rest is a resource without its user, whom Graph spells in several ways.
func rest(resource string) string {
	at := owner.FindStringIndex(resource)
	if at == nil {
		return resource
	}
	return strings.Trim(strings.TrimLeft(resource[at[1]:], "')"), "/")
}
