package config

import (
	"slices"
	"strings"
)

const ownResources = "/users/{id}/"

// refusals are resources that Graph is known not to notify this service about.
var refusals = []struct{ part, reason string }{
	{"/mailboxsettings", "Graph can't notify about mailbox settings, that is why they are polled: leave it out, /users/{id}/events is the best hint"},
	{"/communications/presences", "Graph notifies about presence on behalf of a signed-in user only, not to an application: leave it out"},
}

func (r *reader) resources() []string {
	s := r.get("SUBSCRIPTION_RESOURCES")
	var resources []string
	for resource := range strings.SplitSeq(s.text, ",") {
		resource = strings.TrimSpace(resource)
		switch reason := refusal(resource); {
		case resource == "":
		case reason != "":
			r.wrong(s.name, "has %s: %s", shown(resource), reason)
		case !strings.Contains(resource, "{id}"):
			r.wrong(s.name, "has %s without {id}, which stands for the directory object id: write it such as /users/{id}/events", shown(resource))
		case !strings.HasPrefix(resource, ownResources) || resource == ownResources:
			r.wrong(s.name, "has %s, which is not under %s: write it such as /users/{id}/events", shown(resource), ownResources)
		case slices.Contains(resources, resource):
			r.wrong(s.name, "has %s twice: Graph takes it once", shown(resource))
		default:
			resources = append(resources, resource)
		}
	}
	if strings.Trim(s.text, ", ") == "" {
		r.wrong(s.name, "names no resource: write such as /users/{id}/events, or leave it out")
	}
	return resources
}

func refusal(resource string) string {
	for _, refused := range refusals {
		if strings.Contains("/"+strings.ToLower(resource), refused.part) {
			return refused.reason
		}
	}
	return ""
}
