package doctor

import (
	"context"
	"errors"
	"fmt"

	"outlook-monitor/internal/ooo"
)

func (e *examination) withoutUser() string {
	if e.cfg.User == "" {
		return "name someone with --user EMAIL to read a mailbox"
	}
	return ""
}

// find looks the user up, once.
func (e *examination) find(ctx context.Context) error {
	if e.person.ID != "" {
		return nil
	}
	found, err := e.cfg.Graph.Find(ctx, e.cfg.User)
	if err == nil {
		e.person = found
	}
	return err
}

// read reads the mailbox of the user, who was found, once.
func (e *examination) read(ctx context.Context) error {
	if e.status != "" {
		return nil
	}
	reading := e.cfg.Graph.Read(ctx, []ooo.ObjectID{e.person.ID}, nil)[0]
	e.status = reading.Setting.Status
	return reading.Err
}

// canRead reports whether the user's mailbox can be read, whatever the token says.
func (e *examination) canRead(ctx context.Context) bool {
	return e.cfg.User != "" && e.find(ctx) == nil && e.read(ctx) == nil
}

func (e *examination) mailbox(ctx context.Context) Result {
	if err := e.find(ctx); err != nil {
		return notFound(err)
	}
	if err := e.read(ctx); err != nil {
		return failed("read of "+string(e.person.ID)+": "+err.Error(), remedyFor(err))
	}
	return ok("%s is found, and its automatic replies are %s", e.person.ID, e.status)
}

// notFound is the result of a look-up, to which no policy of Exchange applies.
func notFound(err error) Result {
	remedy := remedyFor(err)
	if errors.Is(err, ooo.ErrDenied) {
		remedy = "grant " + readUsers.name + " with admin consent: " + permissionsPage
	}
	return failed("look-up of the user: "+err.Error(), remedy)
}

// tryAgain is the remedy for an outage of Microsoft's.
const tryAgain = "try again in a minute; if it persists, check https://status.cloud.microsoft"

var callRemedies = []struct {
	err    error
	remedy string
}{
	{ooo.ErrNotInDirectory, "check the spelling of --user, and whether the tenant is the right one"},
	{ooo.ErrAmbiguous, "remove this address from all but one of them"},
	{ooo.ErrNoMailbox, "give the user an Exchange Online licence, or name another user"},
	{ooo.ErrUserGone, "try again: it was there a moment ago"},
	{ooo.ErrBadSetting, "report it, with the value that Graph Explorer shows"},
	{ooo.ErrHandshake, "open PUBLIC_URL to the internet (firewall, allow-list, split DNS) and send the whole certificate chain"},
	{ooo.ErrSubscriptionQuota, "delete subscriptions of apps that are no longer used, or wait until they end"},
	{ooo.ErrSubscriptionDenied, "grant it with admin consent, and let the access policy include this mailbox: " + permissionsPage},
	{ooo.ErrDenied, "grant it with admin consent (" + permissionsPage + "), and let the access policy, or RBAC for Applications, " +
		"include this mailbox; Exchange takes up to 2 hours to apply it"},
	{ooo.ErrUnauthorized, "check that GRAPH_ENDPOINT is of the cloud that the login endpoint is of"},
	{ooo.ErrRejected, "check GRAPH_ENDPOINT and SUBSCRIPTION_RESOURCES"},
}

// remedyFor says what to do about an error of a call to Graph.
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
