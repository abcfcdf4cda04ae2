package doctor

import (
	"context"
	"errors"
	"fmt"

	"outlook-monitor/internal/ooo"
)

// ofMailbox returns what the error of a call about a mailbox means after the directory found its user.
func ofMailbox(err error) error {
	switch {
	case errors.Is(err, ooo.ErrUserGone):
		return ooo.ErrMailboxAbsent
	case errors.Is(err, ooo.ErrUnauthorized):
		return ooo.ErrMailboxUnauthorized
	}
	return err
}

func (d *diagnosis) mailbox(ctx context.Context) Result {
	if d.cfg.User == "" {
		return skipped("use --user EMAIL to read a mailbox")
	}
	person, err := d.cfg.Graph.Find(ctx, d.cfg.User)
	if err != nil {
		return notFound(err)
	}
	reading := d.cfg.Graph.Read(ctx, []ooo.ObjectID{person.ID}, nil)[0]
	if err := ofMailbox(reading.Err); err != nil {
		return failed("read of "+string(person.ID)+": "+err.Error(), remedyFor(err))
	}
	return ok("%s is found, and its automatic replies are %s", person.ID, reading.Setting.Status)
}

// notFound returns the result of a failed look-up. Access policies of Exchange do not apply to
// look-ups.
func notFound(err error) Result {
	remedy := remedyFor(err)
	if errors.Is(err, ooo.ErrDenied) {
		remedy = "grant " + readUsers.name + " with admin consent: " + permissionsPage
	}
	return failed("look-up of the user: "+err.Error(), remedy)
}

// tryAgain is the remedy for an outage at Microsoft.
const tryAgain = "try again in a minute; if it persists, check https://status.cloud.microsoft"

var callRemedies = []struct {
	err    error
	remedy string
}{
	{ooo.ErrNotInDirectory, "check the spelling of --user, and the tenant"},
	{ooo.ErrAmbiguous, "remove this address from all users but one"},
	{ooo.ErrNoMailbox, "give the user an Exchange Online licence, or name another user"},
	{ooo.ErrBadSetting, "report this, with the value that Graph Explorer shows"},
	{ooo.ErrHandshake, "open PUBLIC_URL to the internet (firewall, allow-list, split DNS) and send the whole certificate chain"},
	{ooo.ErrSubscriptionQuota, "delete subscriptions of apps that are no longer used, or wait until they expire"},
	{ooo.ErrSubscriptionDenied, "grant it with admin consent, and let the access policy include this mailbox: " + permissionsPage},
	{ooo.ErrMailboxUnauthorized, "give the user an Exchange Online licence, and let the access policy include this mailbox"},
	{ooo.ErrDenied, "grant it with admin consent (" + permissionsPage + "), and let the access policy, or RBAC for Applications, " +
		"include this mailbox; Exchange takes up to 2 hours to apply it"},
	{ooo.ErrUnauthorized, "check that GRAPH_ENDPOINT and the login endpoint belong to the same cloud"},
	{ooo.ErrRejected, "check GRAPH_ENDPOINT and SUBSCRIPTION_RESOURCES"},
}

// remedyFor returns the remedy for an error of a call to Graph.
func remedyFor(err error) string {
	for _, r := range callRemedies {
		if errors.Is(err, r.err) {
			return r.remedy
		}
	}
	if wait, is := errors.AsType[*ooo.Throttled](err); is {
		return fmt.Sprintf("try again in %v; if it persists, another program with this app registration makes too many requests", wait.After)
	}
	return tryAgain
}
