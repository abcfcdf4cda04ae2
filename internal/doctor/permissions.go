package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// right is an application permission that the settings need.
type right struct {
	name     string
	why      string
	wider    []string // have it in them
	narrower string   // does in part; empty: none
	lacking  string   // what does not work with the narrower one
	exchange bool     // may be given in Exchange, by RBAC for Applications; tokens don't show it
}

var (
	readSettings = right{name: "MailboxSettings.Read", why: "to read automatic replies", wider: []string{"MailboxSettings.ReadWrite"}, exchange: true}
	readUsers    = right{name: "User.Read.All", why: "to find users",
		wider:    []string{"User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"},
		narrower: "User.ReadBasic.All", lacking: "users are found by user principal name and mail address alone, not by their further addresses"}
	readPresence  = right{name: "Presence.Read.All", why: "for PRESENCE_SWEEP", wider: []string{"Presence.ReadWrite.All"}}
	readCalendars = right{name: "Calendars.Read", wider: []string{"Calendars.ReadWrite"}, exchange: true}
	readMail      = right{name: "Mail.Read", wider: []string{"Mail.ReadWrite"}, narrower: "Mail.ReadBasic.All", lacking: "resource data of messages can't be had", exchange: true}
	readContacts  = right{name: "Contacts.Read", wider: []string{"Contacts.ReadWrite"}, exchange: true}
	readTasks     = right{name: "Tasks.Read.All", wider: []string{"Tasks.ReadWrite.All"}, exchange: true}
)

// subscribing says which right a resource needs, by the part after {id}.
var subscribing = []struct {
	begins string
	right  right
}{
	{"events", readCalendars}, {"calendar", readCalendars},
	{"messages", readMail}, {"mailfolders", readMail},
	{"contacts", readContacts}, {"contactfolders", readContacts},
	{"todo", readTasks},
}

// rights lists what the settings need.
func (e *examination) rights() []right {
	all := []right{readSettings, readUsers}
	if e.cfg.Settings.PresenceSweep {
		all = append(all, readPresence)
	}
	if e.cfg.Settings.PublicURL.IsZero() && !e.tunnelled() {
		return all
	}
	for _, resource := range e.cfg.Settings.Resources {
		rest := strings.ToLower(strings.TrimPrefix(resource, "/users/{id}/"))
		for _, s := range subscribing {
			known := slices.ContainsFunc(all, func(r right) bool { return r.name == s.right.name })
			if strings.HasPrefix(rest, s.begins) && !known {
				needed := s.right
				needed.why = "to subscribe to " + resource
				all = append(all, needed)
			}
		}
	}
	return all
}

const grantPath = grantPage + " > Add a permission > Microsoft Graph > Application permissions, tick what is missing, then Grant admin consent, " +
	"and restart the service; rights over mailboxes that Exchange gives (RBAC for Applications) are not in the token: prove those with --user EMAIL"

func (e *examination) permissions(ctx context.Context) verdict {
	if !e.grant.Readable {
		return skipped("the token can't be looked into")
	}
	var missing, wide, weak, remedies []string
	elsewhere := false // rights were given in Exchange
	needed := e.rights()
	for _, r := range needed {
		has := func(name string) bool { return slices.Contains(e.grant.Roles, name) }
		switch {
		case has(r.name):
		case slices.ContainsFunc(r.wider, has):
			wide = append(wide, fmt.Sprintf("%s would do instead of %s", r.name, r.wider[slices.IndexFunc(r.wider, has)]))
		case r.narrower != "" && has(r.narrower):
			weak = append(weak, fmt.Sprintf("%s instead of %s: %s", r.narrower, r.name, r.lacking))
		case r.name == readSettings.name && e.proven(ctx), r.exchange && elsewhere:
			elsewhere = true
		default:
			missing = append(missing, fmt.Sprintf("%s (%s)", r.name, r.why))
		}
	}
	for _, role := range e.grant.Roles {
		known := slices.ContainsFunc(needed, func(r right) bool { return slices.Contains(r.wider, role) })
		if !known && (strings.Contains(role, "ReadWrite") || strings.Contains(role, "FullControl") || strings.HasSuffix(role, ".Send")) {
			wide = append(wide, role+" is not needed")
		}
	}
	if len(missing) > 0 {
		return failed("missing: "+strings.Join(missing, ", "), grantPath)
	}
	if len(weak) > 0 {
		remedies = append(remedies, "add the wider one: "+grantPage)
	}
	if len(wide) > 0 {
		remedies = append(remedies, "take out what is too wide: "+grantPage)
	}
	if len(remedies) > 0 {
		return warning(strings.Join(append(weak, wide...), "; "), strings.Join(remedies, "; "))
	}
	if elsewhere {
		return well("those of mailboxes come from Exchange (RBAC for Applications), as the mailbox read proves")
	}
	var names []string
	for _, r := range needed {
		names = append(names, r.name)
	}
	return well("%s", strings.Join(names, ", "))
}
