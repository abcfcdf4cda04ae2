package api

import (
	"time"

	"outlook-monitor/internal/ooo"
)

// User is a user as JSON. Times are RFC 3339 in UTC. Unknown values are
// null; what only some users have is absent from the others.
type User struct {
	Email             string         `json:"email"`
	ID                string         `json:"id"`
	UserPrincipalName string         `json:"userPrincipalName"`
	DisplayName       string         `json:"displayName"`
	State             string         `json:"state"` // pending, watching or unknown
	Reason            string         `json:"reason,omitempty"`
	OutOfOffice       *bool          `json:"outOfOffice"`
	Setting           *Setting       `json:"setting"`
	CheckedAt         *time.Time     `json:"checkedAt"`
	ChangedAt         *time.Time     `json:"changedAt"`
	Delivery          Delivery       `json:"delivery"`
	Subscriptions     []Subscription `json:"subscriptions"`
}

// Setting is the setting of automatic replies.
type Setting struct {
	Status           string     `json:"status"`
	ExternalAudience string     `json:"externalAudience"`
	ScheduledStart   *time.Time `json:"scheduledStart"`
	ScheduledEnd     *time.Time `json:"scheduledEnd"`
	Message          string     `json:"message"` // the text to be spoken
}

// Delivery is the delivery of the newest state to the mediator.
type Delivery struct {
	State         string     `json:"state"`
	Sequence      int64      `json:"sequence"` // of the newest state
	Attempts      int        `json:"attempts"`
	DeliveredAt   *time.Time `json:"deliveredAt"`
	NextAttemptAt *time.Time `json:"nextAttemptAt"`
	Error         string     `json:"error,omitempty"`
}

// Subscription is a subscription of the user's mailbox.
type Subscription struct {
	ID         string     `json:"id"`
	Resource   string     `json:"resource"`
	ExpiresAt  *time.Time `json:"expiresAt"`
	State      string     `json:"state"`
	NotifiedAt *time.Time `json:"spokeAt"` // when its last notification arrived; JSON name kept for clients
	Error      string     `json:"error,omitempty"`
}

// UserOf returns a user as JSON shows it.
func UserOf(u ooo.User) User {
	v := User{
		Email: u.Spelling, ID: string(u.Person.ID), UserPrincipalName: u.Person.UserPrincipalName,
		DisplayName: u.Person.DisplayName, State: string(u.Condition), Reason: u.Reason,
		CheckedAt: known(u.CheckedAt), ChangedAt: known(u.ChangedAt),
		Delivery: Delivery{
			State: string(u.Delivery.State), Sequence: u.Sequence, Attempts: u.Delivery.Attempts,
			DeliveredAt: known(u.Delivery.DeliveredAt), NextAttemptAt: known(u.Delivery.NextAttemptAt), Error: u.Delivery.Error,
		},
		Subscriptions: make([]Subscription, 0, len(u.Subscriptions)),
	}
	if u.State != nil {
		v.OutOfOffice = &u.State.Away
	}
	if s := u.Setting; s != nil {
		v.Setting = &Setting{
			Status: string(s.Status), ExternalAudience: s.ExternalAudience,
			ScheduledStart: known(s.Start), ScheduledEnd: known(s.End), Message: s.Message,
		}
	}
	for _, s := range u.Subscriptions {
		v.Subscriptions = append(v.Subscriptions, Subscription{
			ID: string(s.ID), Resource: ooo.ResourcePath(s.Resource, u.Person.ID),
			ExpiresAt: known(s.ExpiresAt), State: string(s.State), NotifiedAt: known(s.NotifiedAt), Error: s.Error,
		})
	}
	return v
}

// UsersOf returns users as JSON shows them.
func UsersOf(users []ooo.User) []User {
	views := make([]User, 0, len(users))
	for _, u := range users {
		views = append(views, UserOf(u))
	}
	return views
}

// known returns nil for the zero time.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}
