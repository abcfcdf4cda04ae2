package doctor

import (
	"context"
	"errors"
	"fmt"

	"outlook-monitor/internal/ooo"
)

// proven says whether the user's mailbox can be read, whatever the token tells.
func (e *examination) proven(ctx context.Context) bool {
	return e.cfg.User != "" && e.lookUp(ctx) == nil && e.read(ctx) == nil
}

// lookUp finds the user, once.
func (e *examination) lookUp(ctx context.Context) error {
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
	setting, err := e.cfg.Graph.Read(ctx, e.person.ID)
	if err == nil {
		e.status = setting.Status
	}
	return err
}

// mend says what mends an error of a call to Graph.
func mend(err error) string {
	for _, m := range []struct {
		kind   error
		remedy string
	}{
		{ooo.ErrNotInDirectory, "check the spelling of --user, and that the tenant is the right one"},
		{ooo.ErrAmbiguous, "let only one of them have this address"},
		{ooo.ErrNoMailbox, "give the user an Exchange Online licence, or name another user"},
		{ooo.ErrUserGone, "try again: it was there a moment ago"},
		{ooo.ErrBadSetting, "report it, with the value that Graph's explorer shows"},
		{ooo.ErrHandshake, "Graph can't reach what this machine can: open PUBLIC_URL to the internet (firewall, allow-list, split DNS) and show it the whole certificate chain"},
		{ooo.ErrSubscriptionQuota, "delete subscriptions of apps that are no longer used, or wait for them to end"},
		{ooo.ErrSubscriptionDenied, "grant the right for the resource, with admin consent, and let the access policy have this mailbox: " + grantPage},
		{ooo.ErrDenied, "grant the right with admin consent (" + grantPage + "), and let the access policy, or RBAC for Applications, have this mailbox; Exchange takes up to 2 hours to follow"},
		{ooo.ErrUnauthorized, "log in anew; if it stays, GRAPH_ENDPOINT is not of the cloud that the token is for"},
		{ooo.ErrRejected, "look at GRAPH_ENDPOINT and SUBSCRIPTION_RESOURCES"},
	} {
		if errors.Is(err, m.kind) {
			return m.remedy
		}
	}
	if wait, ok := errors.AsType[*ooo.Throttled](err); ok {
		return fmt.Sprintf("try again in %v; if it stays, another program with this app registration asks too much", wait.After)
	}
	return "try again in a minute; if it stays, look at https://status.cloud.microsoft"
}

// mendLookUp says what mends an error of a look-up, which no policy of Exchange
// concerns.
func mendLookUp(err error) string {
	if errors.Is(err, ooo.ErrDenied) {
		return "grant " + readUsers.name + " with admin consent: " + grantPage
	}
	return mend(err)
}

func (e *examination) mailbox(ctx context.Context) verdict {
	if e.cfg.User == "" {
		return skipped("name someone with --user EMAIL to have a mailbox read")
	}
	if err := e.lookUp(ctx); err != nil {
		return failed("look-up of the user: "+err.Error(), mendLookUp(err))
	}
	if err := e.read(ctx); err != nil {
		return failed("read of "+string(e.person.ID)+": "+err.Error(), mend(err))
	}
	return well("%s is found, and its automatic replies are %s", e.person.ID, e.status)
}
