package graphsim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Subscription is a living subscription.
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
	combination string
	dies        time.Time // the expiry, or earlier if a fault says so
	reauthorize time.Time // when reauthorizationRequired is due; zero: not any more
}

// changes says whether the subscription is about that kind of change.
func (s *Subscription) changes(change string) bool {
	return slices.Contains(strings.Split(s.ChangeType, ","), change)
}

// schedule sets the times that follow from an expiry: left is the share of life
// that remains when reauthorizationRequired is due.
func (s *Subscription) schedule(now, expires time.Time, left float64) {
	s.ExpirationDateTime, s.dies = expires, expires
	life := expires.Sub(now)
	s.reauthorize = expires.Add(-time.Duration(float64(life) * left))
}

// due is when the clock has to look at the subscription next.
func (s *Subscription) due() time.Time {
	if s.reauthorize.IsZero() || s.dies.Before(s.reauthorize) {
		return s.dies
	}
	return s.reauthorize
}

// subscriptionStore holds the subscriptions.
type subscriptionStore struct {
	writes, lists, reauthorizations *quota

	mu      sync.Mutex
	byID    map[string]*Subscription            // living, as far as the clock has looked; guarded by mu
	byUser  map[string]map[string]*Subscription // the same by user id and id; guarded by mu
	taken   map[string]string                   // id by combination; guarded by mu
	expired []Subscription                      // listed for a while yet; guarded by mu
	next    time.Time                           // when the clock looks again; guarded by mu
	wake    chan struct{}                       // capacity 1: something is due sooner
}

func newSubscriptionStore() *subscriptionStore {
	s := &subscriptionStore{
		writes:           newQuota(subscriptionWrites, subscriptionWindow),
		lists:            newQuota(subscriptionLists, subscriptionWindow),
		reauthorizations: newQuota(subscriptionReauthorize, subscriptionWindow),
		wake:             make(chan struct{}, 1),
	}
	s.clear()
	return s
}

func (s *subscriptionStore) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID = make(map[string]*Subscription)
	s.byUser = make(map[string]map[string]*Subscription)
	s.taken = make(map[string]string)
	s.expired = nil
	for _, q := range []*quota{s.writes, s.lists, s.reauthorizations} {
		q.reset()
	}
}

// live returns the subscription if it lives at now. The caller holds mu.
func (s *subscriptionStore) live(id string, now time.Time) *Subscription {
	sub := s.byID[strings.ToLower(id)]
	if sub == nil || !now.Before(sub.dies) {
		return nil
	}
	return sub
}

func (s *subscriptionStore) get(id string, now time.Time) (Subscription, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub := s.live(id, now); sub != nil {
		return *sub, true
	}
	return Subscription{}, false
}

// refusalOf says why sub can't be added, if so: the id of the one that has its
// combination already, or that its mailbox is full.
func (s *subscriptionStore) refusalOf(sub *Subscription, now time.Time) (double string, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused(sub, now)
}

func (s *subscriptionStore) refused(sub *Subscription, now time.Time) (double string, full bool) {
	if id, ok := s.taken[sub.combination]; ok && s.live(id, now) != nil {
		return id, false
	}
	limit, same := subscriptionsPerMailbox, 0
	if sub.collection == "users" {
		limit = subscriptionsToUsers
		for _, o := range s.byID {
			if o.collection == "users" {
				same++
			}
		}
	} else {
		same = len(s.byUser[sub.UserID])
	}
	return "", same >= limit
}

// add stores sub unless that is refused meanwhile.
func (s *subscriptionStore) add(sub Subscription, now time.Time) (double string, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if double, full = s.refused(&sub, now); double != "" || full {
		return double, full
	}
	s.byID[sub.ID] = &sub
	if s.byUser[sub.UserID] == nil {
		s.byUser[sub.UserID] = make(map[string]*Subscription)
	}
	s.byUser[sub.UserID][sub.ID] = &sub
	s.taken[sub.combination] = sub.ID
	s.hurry(&sub)
	return "", false
}

// hurry wakes the clock if sub is due before it looks next. The caller holds mu.
func (s *subscriptionStore) hurry(sub *Subscription) {
	if !s.next.IsZero() && !sub.due().Before(s.next) {
		return
	}
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already
	}
}

// change applies edit to the living subscription id and returns the result.
func (s *subscriptionStore) change(id string, now time.Time, edit func(*Subscription)) (Subscription, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.live(id, now)
	if sub == nil {
		return Subscription{}, false
	}
	edit(sub)
	s.hurry(sub)
	return *sub, true
}

// remove takes the living subscription id away and returns what it was.
func (s *subscriptionStore) remove(id string, now time.Time) (Subscription, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.live(id, now)
	if sub == nil {
		return Subscription{}, false
	}
	s.drop(sub)
	return *sub, true
}

// drop takes sub out of all maps. The caller holds mu.
func (s *subscriptionStore) drop(sub *Subscription) {
	delete(s.byID, sub.ID)
	delete(s.byUser[sub.UserID], sub.ID)
	if len(s.byUser[sub.UserID]) == 0 {
		delete(s.byUser, sub.UserID)
	}
	if s.taken[sub.combination] == sub.ID {
		delete(s.taken, sub.combination)
	}
}

func (s *subscriptionStore) all(now time.Time) []Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	subs := make([]Subscription, 0, len(s.byID))
	for id := range s.byID {
		if sub := s.live(id, now); sub != nil {
			subs = append(subs, *sub)
		}
	}
	slices.SortFunc(subs, oldestFirst)
	return subs
}

// listed are the living ones and those that expired a short while ago.
func (s *subscriptionStore) listed(now time.Time) []Subscription {
	subs := s.all(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	subs = append(subs, s.expired...)
	slices.SortFunc(subs, oldestFirst)
	return subs
}

func oldestFirst(a, b Subscription) int {
	return cmp.Or(a.CreatedDateTime.Compare(b.CreatedDateTime), strings.Compare(a.ID, b.ID))
}

// ofUser are the living subscriptions about a user, by object id.
func (s *subscriptionStore) ofUser(userID string) []Subscription {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	subs := make([]Subscription, 0, len(s.byUser[userID]))
	for id := range s.byUser[userID] {
		if sub := s.live(id, now); sub != nil {
			subs = append(subs, *sub)
		}
	}
	slices.SortFunc(subs, oldestFirst)
	return subs
}

// Subscriptions lists the living subscriptions, oldest first.
func (s *Server) Subscriptions() []Subscription { return s.subs.all(time.Now()) }

func unknownSubscription(id string) error {
	return fmt.Errorf("%w: %s", ErrUnknownSubscription, id)
}
