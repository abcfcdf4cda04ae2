package graphsim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"
)

// announce sends a change of one thing in a user's mailbox to the subscriptions
// that watch it.
func (s *Server) announce(a *account, collection, thing, change string) {
	for _, sub := range s.subs.ofUser(a.ID) {
		if sub.collection == collection && sub.changes(change) {
			to := destination{url: sub.NotificationURL, kind: opNotification, rich: sub.IncludeResourceData}
			s.send(a.ID, to, s.changeItem(sub, thing, change))
		}
	}
}

// Touch makes something in the mailbox of the user x change, such as
// ("events", "updated"), and notifies the subscriptions that watch it.
func (s *Server) Touch(x, collection, change string) error {
	if mailboxRoles[collection] == "" {
		return fmt.Errorf("%w: collection %q, want events, messages or contacts", ErrInvalid, collection)
	}
	if change != "created" && change != "updated" && change != "deleted" {
		return fmt.Errorf("%w: changeType %q, want created, updated or deleted", ErrInvalid, change)
	}
	a, err := s.account(x)
	if err != nil {
		return err
	}
	s.announce(a, collection, s.eventIDs.next(), change)
	return nil
}

// Notify POSTs body to url like a notification, whatever it contains, and returns
// the status of the answer.
func (s *Server) Notify(ctx context.Context, url string, body []byte) (status int, err error) {
	if bad := checkURL("url", url); bad != nil {
		return 0, fmt.Errorf("%w: %s", ErrInvalid, bad.message)
	}
	resp, _, err := s.outbox.post(ctx, url, notificationType, body, s.cfg.RetryTimeout)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errUnreachable, err)
	}
	return resp.StatusCode, nil
}

// changeItem is one item of a change notification.
func (s *Server) changeItem(sub Subscription, thing, change string) map[string]any {
	spelled := strings.ToUpper(sub.collection[:1]) + sub.collection[1:] // Events
	path := "Users/" + sub.UserID + "/" + spelled + "/" + thing
	data := map[string]any{
		"@odata.type": "#Microsoft.Graph." + strings.TrimSuffix(spelled, "s"),
		"@odata.id":   path,
		"@odata.etag": `W/"` + thing + `"`,
		"id":          thing,
	}
	item := map[string]any{
		"id":                             requestID(),
		"subscriptionId":                 sub.ID,
		"subscriptionExpirationDateTime": sub.ExpirationDateTime.UTC().Format(graphTime + "+00:00"),
		"tenantId":                       s.cfg.TenantID,
		"clientState":                    orNull(sub.ClientState),
		"changeType":                     change,
		"resource":                       path,
		"resourceData":                   data,
	}
	if sub.IncludeResourceData && change != "deleted" {
		plain, err := json.Marshal(map[string]any{
			"@odata.context": s.URL() + "/v1.0/$metadata#users('" + sub.UserID + "')/events/$entity", "id": thing, "showAs": "oof",
		})
		if err == nil {
			if content, err := encrypt(sub, plain); err == nil { // the certificate was checked when it came
				item["encryptedContent"] = content
			}
		}
	}
	return item
}

// send puts an item about a user on its way, unless a fault does something else
// with it.
func (s *Server) send(userID string, to destination, item map[string]any) {
	s.stats.notifications(func(n *NotificationStats) { n.Items++ })
	for _, f := range s.faults.fire(userID, notificationKinds, to.kind) {
		switch f.Kind {
		case "drop":
			s.stats.notifications(func(n *NotificationStats) { n.Dropped++ })
			return
		case "double":
			s.outbox.put(to, item)
		case "delay":
			s.outbox.hold(to, item, time.Duration(f.Delay), false)
			return
		case "reorder":
			s.outbox.hold(to, item, reorderWait, true)
			return
		case "forge":
			forged := maps.Clone(item)
			forged["clientState"] = "forged-" + requestID()
			s.outbox.put(to, forged)
		}
	}
	s.outbox.put(to, item)
}
