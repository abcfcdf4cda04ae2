package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// permission is an application permission.
type permission struct {
	name       string
	why        string
	wider      []string // permissions that include it
	narrower   string   // permission for a part of it; empty: none
	limitation string   // what does not work with the narrower one
	exchange   bool     // Exchange can grant it (RBAC for Applications), which the token does not show
}

var (
	readSettings = permission{name: "MailboxSettings.Read", why: "to read automatic replies",
		wider: []string{"MailboxSettings.ReadWrite"}, exchange: true}
	readUsers = permission{name: "User.Read.All", why: "to find users",
		wider:    []string{"User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"},
		narrower: "User.ReadBasic.All", limitation: "users are found by user principal name and mail address only, not by further addresses"}
	readPresence  = permission{name: "Presence.Read.All", why: "for PRESENCE_SWEEP", wider: []string{"Presence.ReadWrite.All"}}
	readCalendars = permission{name: "Calendars.Read", wider: []string{"Calendars.ReadWrite"}, exchange: true}
	readMail      = permission{name: "Mail.Read", wider: []string{"Mail.ReadWrite"}, exchange: true,
		narrower: "Mail.ReadBasic.All", limitation: "resource data of messages is not available"}
	readContacts = permission{name: "Contacts.Read", wider: []string{"Contacts.ReadWrite"}, exchange: true}
	readTasks    = permission{name: "Tasks.Read.All", wider: []string{"Tasks.ReadWrite.All"}, exchange: true}
)

// resourcePermissions are needed to subscribe, by the part of the resource after {id}.
var resourcePermissions = []struct {
	prefix string
	needs  permission
}{
	{"events", readCalendars}, {"calendar", readCalendars},
	{"messages", readMail}, {"mailfolders", readMail},
	{"contacts", readContacts}, {"contactfolders", readContacts},
	{"todo", readTasks},
}

// requiredPermissions returns the permissions that the settings need.
func (d *diagnosis) requiredPermissions() []permission {
	all := []permission{readSettings, readUsers}
	if d.cfg.Settings.PresenceSweep {
		all = append(all, readPresence)
	}
	if d.cfg.Settings.PublicURL.IsZero() && !d.cfg.Settings.Tunnel.Used() {
		return all
	}
	for _, resource := range d.cfg.Settings.Resources {
		rest := strings.ToLower(strings.TrimPrefix(resource, "/users/{id}/"))
		for _, s := range resourcePermissions {
			known := slices.ContainsFunc(all, func(p permission) bool { return p.name == s.needs.name })
			if strings.HasPrefix(rest, s.prefix) && !known {
				s.needs.why = "to subscribe to " + resource
				all = append(all, s.needs)
			}
		}
	}
	return all
}

const grantMissing = permissionsPage + " > Add a permission > Microsoft Graph > Application permissions, select the missing ones, " +
	"then Grant admin consent and restart; permissions granted in Exchange (RBAC for Applications) are not in the token: use --user EMAIL"

func (d *diagnosis) permissions(ctx context.Context) Result {
	if !d.grant.Readable {
		return skipped("the token can't be read")
	}
	has := func(name string) bool { return slices.Contains(d.grant.Roles, name) }
	var names, missing, weak, wide, justified, unproven []string
	exchange := false // some permissions are granted in Exchange
	for _, p := range d.requiredPermissions() {
		names, justified = append(names, p.name), append(justified, p.wider...)
		wider := slices.IndexFunc(p.wider, has)
		switch {
		case has(p.name):
		case wider >= 0:
			wide = append(wide, p.name+" is enough instead of "+p.wider[wider])
		case has(p.narrower):
			weak = append(weak, fmt.Sprintf("%s instead of %s: %s", p.narrower, p.name, p.limitation))
		case p.exchange && (exchange || p.name == readSettings.name && d.mailbox(ctx).Status == OK):
			exchange = true
			if p.name != readSettings.name {
				unproven = append(unproven, p.name)
			}
		default:
			missing = append(missing, fmt.Sprintf("%s (%s)", p.name, p.why))
		}
	}
	for _, role := range d.grant.Roles {
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
		return warning(found, "remove the wide permissions: "+permissionsPage)
	case len(unproven) > 0 && !d.cfg.Subscribe:
		return warning(readSettings.name+" is granted in Exchange (RBAC for Applications), as the read of the mailbox shows; perhaps "+
			strings.Join(unproven, ", ")+" too", "use --subscribe, which shows it")
	case exchange:
		return ok("mailbox permissions are granted in Exchange (RBAC for Applications), which the token does not show")
	}
	return ok("%s", strings.Join(names, ", "))
}
