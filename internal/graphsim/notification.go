package graphsim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"
)

// notifyChange notifies the subscriptions to a collection of a change of one item. The
// caller holds mu.
func (s *Server) notifyChange(a *account, collection, itemID, change string) {
	for _, sub := range s.live(a.ID) {
		if sub.collection == collection && sub.changes(change) {
			to := destination{url: sub.NotificationURL, kind: opNotification, rich: sub.IncludeResourceData}
			s.send(a.ID, to, s.changeItem(sub, itemID, change))
		}
	}
}

// Touch simulates a change in the mailbox of user x, such as ("events", "updated"), and
// notifies the subscriptions to the collection.
func (s *Server) Touch(x, collection, change string) error {
	if mailboxRoles[collection] == "" {
		return fmt.Errorf("%w: collection %q, want events, messages or contacts", ErrInvalid, collection)
	}
	if change != "created" && change != "updated" && change != "deleted" {
		return fmt.Errorf("%w: changeType %q, want created, updated or deleted", ErrInvalid, change)
	}
	return s.withAccount(x, func(a *account) { s.notifyChange(a, collection, newID(s.eventIDs), change) })
}

// Notify POSTs any body to url like a notification and returns the status of the answer.
func (s *Server) Notify(ctx context.Context, url string, body []byte) (status int, err error) {
	if refusal := checkURL("url", url); refusal != nil {
		return 0, fmt.Errorf("%w: %s", ErrInvalid, refusal.message)
	}
	resp, _, err := s.post(ctx, url, notificationType, body, s.cfg.RetryTimeout)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errUnreachable, err)
	}
	return resp.StatusCode, nil
}

// changeItem returns one item of a change notification.
func (s *Server) changeItem(sub Subscription, itemID, change string) map[string]any {
	name := strings.ToUpper(sub.collection[:1]) + sub.collection[1:] // such as Events
	path := "Users/" + sub.UserID + "/" + name + "/" + itemID
	data := map[string]any{
		"@odata.type": "#Microsoft.Graph." + strings.TrimSuffix(name, "s"),
		"@odata.id":   path,
		"@odata.etag": `W/"` + itemID + `"`,
		"id":          itemID,
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
		plain, _ := json.Marshal(map[string]string{ // never fails for strings
			"@odata.context": s.URL() + "/v1.0/$metadata#users('" + sub.UserID + "')/events/$entity", "id": itemID, "showAs": "oof",
		})
		item["encryptedContent"] = encrypt(sub, plain)
	}
	return item
}

// send queues an item about a user, subject to faults. The caller holds mu.
func (s *Server) send(userID string, to destination, item map[string]any) {
	s.stats.Notifications.Items++
	for _, f := range s.fire(userID, notificationKinds, to.kind) {
		switch f.Kind {
		case "drop":
			s.stats.Notifications.Dropped++
			return
		case "double":
			s.enqueue(s.outbox, to, item)
		case "delay":
			s.delay(to, item, time.Duration(f.Delay))
			return
		case "reorder":
			s.delay(to, item, reorderWait)
			return
		case "forge":
			forged := maps.Clone(item)
			forged["clientState"] = "forged-" + requestID()
			s.enqueue(s.outbox, to, forged)
		}
	}
	s.enqueue(s.outbox, to, item)
}
