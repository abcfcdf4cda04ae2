package graphsim

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// announce sends a change of one thing in a user's mailbox to the subscriptions
// that watch it. spelled is the collection as notifications spell it.
func (s *Server) announce(a *account, collection, spelled, thing, change string) {
	for _, sub := range s.subs.ofUser(a.ID) {
		if sub.collection == collection && sub.changes(change) {
			s.send(sub, s.changeItem(sub, a.ID, spelled, thing, change), notificationFault)
		}
	}
}

var spelledCollections = map[string]string{"events": "Events", "messages": "Messages", "contacts": "Contacts"}

// Touch makes something in the mailbox of the user x change, such as
// ("events", "updated"), and tells the subscriptions that watch it.
func (s *Server) Touch(x, collection, change string) error {
	spelled, ok := spelledCollections[collection]
	if !ok {
		return fmt.Errorf("%w: collection %q, want events, messages or contacts", ErrInvalid, collection)
	}
	if change != "created" && change != "updated" && change != "deleted" {
		return fmt.Errorf("%w: changeType %q, want created, updated or deleted", ErrInvalid, change)
	}
	a, err := s.account(x)
	if err != nil {
		return err
	}
	s.announce(a, collection, spelled, s.ids.event(), change)
	return nil
}

// changeItem is one item of a change notification.
func (s *Server) changeItem(sub Subscription, user, spelled, thing, change string) map[string]any {
	path := "Users/" + user + "/" + spelled + "/" + thing
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
		plain, err := json.Marshal(map[string]any{"@odata.context": s.URL() + "/v1.0/$metadata#users('" + user + "')/events/$entity", "id": thing, "showAs": "oof"})
		if err == nil {
			if content, err := encrypt(sub, plain); err == nil { // the certificate was checked when it came
				item["encryptedContent"] = content
			}
		}
	}
	return item
}

// sendLifecycle sends a lifecycle notification of the kind event.
func (s *Server) sendLifecycle(sub Subscription, event string) {
	if sub.LifecycleNotificationURL == "" {
		return
	}
	s.send(sub, map[string]any{
		"subscriptionId":                 sub.ID,
		"subscriptionExpirationDateTime": sub.ExpirationDateTime.UTC().Format(graphTime + "Z"),
		"organizationId":                 s.cfg.TenantID,
		"clientState":                    orNull(sub.ClientState),
		"lifecycleEvent":                 event,
		"resource":                       sub.Resource,
	}, lifecycleFault)
}

// reorderWait is how long an item waits at most for another to overtake it.
const reorderWait = 500 * time.Millisecond

// send puts an item on its way, unless a fault has other plans with it.
func (s *Server) send(sub Subscription, item map[string]any, kind string) {
	o := s.outbox
	lane := lane{url: sub.NotificationURL, kind: kind}
	if kind == lifecycleFault {
		lane.url = sub.LifecycleNotificationURL
	}
	if sub.IncludeResourceData {
		lane.rich = true
	}
	o.stats.items.Add(1)
	for _, f := range s.faults.fire(sub.UserID, notificationKinds, kind) {
		switch f.Kind {
		case "drop":
			o.stats.dropped.Add(1)
			return
		case "double":
			o.put(lane, item)
		case "delay":
			o.later(time.Duration(f.Delay), lane, item)
			return
		case "forge":
			forged := make(map[string]any, len(item))
			for k, v := range item {
				forged[k] = v
			}
			forged["clientState"] = "forged-" + requestID()
			o.put(lane, forged)
		case "reorder":
			o.hold(reorderWait, lane, item)
			return
		}
	}
	o.put(lane, item)
}
