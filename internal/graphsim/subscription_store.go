package graphsim

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Subscription is a Graph subscription.
type Subscription struct {
	ID                       string    `json:"id"`
	ChangeType               string    `json:"changeType"`
	Resource                 string    `json:"resource"`
	NotificationURL          string    `json:"notificationUrl"`
	LifecycleNotificationURL string    `json:"lifecycleNotificationUrl,omitempty"`
	ClientState              string    `json:"clientState"`
	ExpirationDateTime       time.Time `json:"expirationDateTime"`
	CreatedDateTime          time.Time `json:"createdDateTime"`
	UserID                   string    `json:"userId,omitempty"` // of the user it is about

	IncludeResourceData     bool   `json:"includeResourceData,omitempty"`
	EncryptionCertificate   string `json:"encryptionCertificate,omitempty"`
	EncryptionCertificateID string `json:"encryptionCertificateId,omitempty"`
	TLSVersion              string `json:"latestSupportedTlsVersion,omitempty"`

	collection  string
	ends        time.Time // the expiry, or earlier because of a fault
	reauthorize time.Time // when reauthorizationRequired is due; zero: it was sent
}

// changes reports whether the subscription includes a changeType.
func (s *Subscription) changes(change string) bool {
	return slices.Contains(strings.Split(s.ChangeType, ","), change)
}

// combination identifies subscriptions of which Graph allows only one.
func (s *Subscription) combination() string {
	changes := strings.Split(s.ChangeType, ",")
	slices.Sort(changes)
	return strings.Join(changes, ",") + " " + strings.ToLower(strings.Trim(s.Resource, "/"))
}

// setExpiry sets the times that depend on the expiry. left is the share of the life that
// remains when reauthorizationRequired is due.
func (s *Subscription) setExpiry(now, expires time.Time, left float64) {
	s.ExpirationDateTime, s.ends = expires, expires
	s.reauthorize = expires.Add(-time.Duration(float64(expires.Sub(now)) * left))
}

// ended reports whether the subscription has ended by now.
func (s *Subscription) ended(now time.Time) bool { return !now.Before(s.ends) }

// expiredListedFor is how long expired subscriptions stay listed.
const expiredListedFor = 2 * time.Minute

// subscriptionStore holds the subscriptions, including recently expired ones.
type subscriptionStore struct {
	mu     sync.Mutex
	byID   map[string]*Subscription            // guarded by mu
	byUser map[string]map[string]*Subscription // the same by user id and id; guarded by mu
}

func newSubscriptionStore() *subscriptionStore {
	return &subscriptionStore{
		byID:   make(map[string]*Subscription),
		byUser: make(map[string]map[string]*Subscription),
	}
}

func (s *subscriptionStore) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.byID)
	clear(s.byUser)
}

// change applies edit to the live subscription id and returns the result.
func (s *subscriptionStore) change(id string, edit func(*Subscription)) (Subscription, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.byID[strings.ToLower(id)]
	if sub == nil || sub.ended(time.Now()) {
		return Subscription{}, false
	}
	edit(sub)
	return *sub, true
}

func (s *subscriptionStore) get(id string) (Subscription, bool) {
	return s.change(id, func(*Subscription) {})
}

// remove deletes the live subscription id and returns it.
func (s *subscriptionStore) remove(id string) (Subscription, bool) { return s.change(id, s.drop) }

// drop deletes sub from the maps. The caller must hold mu.
func (s *subscriptionStore) drop(sub *Subscription) {
	delete(s.byID, sub.ID)
	delete(s.byUser[sub.UserID], sub.ID)
	if len(s.byUser[sub.UserID]) == 0 {
		delete(s.byUser, sub.UserID)
	}
}

// add stores sub, unless its combination exists or the limit is reached.
func (s *subscriptionStore) add(sub Subscription) *reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refusal := s.refusal(&sub); refusal != nil {
		return refusal
	}
	s.byID[sub.ID] = &sub
	if s.byUser[sub.UserID] == nil {
		s.byUser[sub.UserID] = make(map[string]*Subscription)
	}
	s.byUser[sub.UserID][sub.ID] = &sub
	return nil
}

// check returns why sub can't be added, or nil.
func (s *subscriptionStore) check(sub *Subscription) *reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusal(sub)
}

// refusal is like check. The caller must hold mu.
func (s *subscriptionStore) refusal(sub *Subscription) *reply {
	now := time.Now()
	for _, other := range s.byUser[sub.UserID] {
		if other.combination() == sub.combination() && !other.ended(now) {
			return fail(http.StatusConflict, "Conflict",
				fmt.Sprintf("Subscription Id <%s> already exists for the requested combination", other.ID))
		}
	}
	limit, among := subscriptionsPerMailbox, s.byUser[sub.UserID]
	if sub.collection == collectionUsers {
		limit, among = subscriptionsToUsers, s.byID
	}
	count := 0
	for _, other := range among {
		if (other.collection == collectionUsers) == (sub.collection == collectionUsers) && !other.ended(now) {
			count++
		}
	}
	if count >= limit {
		return fail(http.StatusForbidden, "Forbidden", "The number of subscriptions has exceeded its quota.")
	}
	return nil
}

// live returns copies of the subscriptions that have not expired, oldest first.
func (s *subscriptionStore) live(among map[string]*Subscription) []Subscription {
	now := time.Now()
	return slices.DeleteFunc(copies(among), func(sub Subscription) bool { return sub.ended(now) })
}

func copies(subs map[string]*Subscription) []Subscription {
	all := make([]Subscription, 0, len(subs))
	for _, sub := range subs {
		all = append(all, *sub)
	}
	slices.SortFunc(all, func(a, b Subscription) int {
		return cmp.Or(a.CreatedDateTime.Compare(b.CreatedDateTime), strings.Compare(a.ID, b.ID))
	})
	return all
}

// listed returns the live and the recently expired subscriptions.
func (s *subscriptionStore) listed() []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return copies(s.byID)
}

// ofUser returns the live subscriptions of a user, by object id.
func (s *subscriptionStore) ofUser(userID string) []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live(s.byUser[userID])
}

// Subscriptions lists the live subscriptions, oldest first.
func (s *Server) Subscriptions() []Subscription {
	s.subs.mu.Lock()
	defer s.subs.mu.Unlock()
	return s.subs.live(s.subs.byID)
}

func unknownSubscription(id string) error {
	return fmt.Errorf("%w: %s", ErrUnknownSubscription, id)
}
