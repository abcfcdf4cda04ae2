package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// permission is an application permission that the settings need.
type permission struct {
	name     string
	why      string
	wider    []string // include it
	narrower string   // is enough for a part; empty: none
	lacking  string   // what does not work with the narrower one
	exchange bool     // Exchange may grant it (RBAC for Applications); tokens don't show that
}

var (
	readSettings = permission{name: "MailboxSettings.Read", why: "to read automatic replies",
		wider: []string{"MailboxSettings.ReadWrite"}, exchange: true}
	readUsers = permission{name: "User.Read.All", why: "to find users",
		wider:    []string{"User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"},
		narrower: "User.ReadBasic.All", lacking: "users are found by user principal name and mail address only, not by further addresses"}
	readPresence  = permission{name: "Presence.Read.All", why: "for PRESENCE_SWEEP", wider: []string{"Presence.ReadWrite.All"}}
	readCalendars = permission{name: "Calendars.Read", wider: []string{"Calendars.ReadWrite"}, exchange: true}
	readMail      = permission{name: "Mail.Read", wider: []string{"Mail.ReadWrite"}, exchange: true,
		narrower: "Mail.ReadBasic.All", lacking: "resource data of messages is not available"}
	readContacts = permission{name: "Contacts.Read", wider: []string{"Contacts.ReadWrite"}, exchange: true}
	readTasks    = permission{name: "Tasks.Read.All", wider: []string{"Tasks.ReadWrite.All"}, exchange: true}
)

// subscribing says what a subscription needs, by how its resource goes on after {id}.
var subscribing = []struct {
	prefix string
	needs  permission
}{
	{"events", readCalendars}, {"calendar", readCalendars},
	{"messages", readMail}, {"mailfolders", readMail},
	{"contacts", readContacts}, {"contactfolders", readContacts},
	{"todo", readTasks},
}

// needed lists what the settings need.
func (e *examination) needed() []permission {
	all := []permission{readSettings, readUsers}
	if e.cfg.Settings.PresenceSweep {
		all = append(all, readPresence)
	}
	if e.cfg.Settings.PublicURL.IsZero() && !e.tunnelled() {
		return all
	}
	for _, resource := range e.cfg.Settings.Resources {
		rest := strings.ToLower(strings.TrimPrefix(resource, "/users/{id}/"))
		for _, s := range subscribing {
			known := slices.ContainsFunc(all, func(p permission) bool { return p.name == s.needs.name })
			if strings.HasPrefix(rest, s.prefix) && !known {
				s.needs.why = "to subscribe to " + resource
				all = append(all, s.needs)
			}
		}
	}
	return all
}

const grantMissing = permissionsPage + " > Add a permission > Microsoft Graph > Application permissions, select what is missing, " +
	"then Grant admin consent and restart; what Exchange grants (RBAC for Applications) is not in the token: prove it with --user EMAIL"

func (e *examination) permissions(ctx context.Context) Result {
	if !e.grant.Readable {
		return skipped("the token can't be read")
	}
	has := func(name string) bool { return slices.Contains(e.grant.Roles, name) }
	var names, missing, weak, wide, justified []string
	exchange := false // some are granted in Exchange
	for _, p := range e.needed() {
		names, justified = append(names, p.name), append(justified, p.wider...)
		wider := slices.IndexFunc(p.wider, has)
		switch {
		case has(p.name):
		case wider >= 0:
			wide = append(wide, p.name+" is enough instead of "+p.wider[wider])
		case has(p.narrower):
			weak = append(weak, fmt.Sprintf("%s instead of %s: %s", p.narrower, p.name, p.lacking))
		case p.exchange && (exchange || p.name == readSettings.name && e.canRead(ctx)):
			exchange = true
		default:
			missing = append(missing, fmt.Sprintf("%s (%s)", p.name, p.why))
		}
	}
	for _, role := range e.grant.Roles {
		writes := strings.Contains(role, "ReadWrite") || strings.Contains(role, "FullControl") || strings.HasSuffix(role, ".Send")
		if writes && !slices.Contains(justified, role) {
			wide = append(wide, role+" is not needed")
		}
	}
	switch found := strings.Join(append(weak, wide...), "; "); {
	case len(missing) > 0:
		return failed("missing: "+strings.Join(missing, ", "), grantMissing)
	case len(weak) > 0:
		return warning(found, "add the wider permission: "+permissionsPage)
	case len(wide) > 0:
		return warning(found, "remove what is too wide: "+permissionsPage)
	case exchange:
		return ok("mailbox permissions are granted in Exchange (RBAC for Applications), as the mailbox read proves")
	}
	return ok("%s", strings.Join(names, ", "))
}
