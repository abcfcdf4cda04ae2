package ui

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/ooo"
)

const (
	usersPerPage  = 50
	maxSearchText = 200
)

// row is a user in the list.
type row struct {
	Email       string     `json:"email"`
	Name        string     `json:"name"`
	State       string     `json:"state"` // pending, watching or unknown
	Reason      string     `json:"reason,omitempty"`
	OutOfOffice *bool      `json:"outOfOffice"`
	Scheduled   bool       `json:"scheduled,omitempty"`
	Start       *time.Time `json:"start,omitempty"` // of a scheduled reply
	End         *time.Time `json:"end,omitempty"`
	CheckedAt   *time.Time `json:"checkedAt"`

	Delivery      string     `json:"delivery"`
	DeliveredAt   *time.Time `json:"deliveredAt"`
	DeliveryError string     `json:"deliveryError,omitempty"`

	Live         int        `json:"live"`             // number of live subscriptions
	Failed       string     `json:"failed,omitempty"` // error of a failed subscription
	CoveredUntil *time.Time `json:"coveredUntil,omitempty"`
}

func rowOf(u ooo.User) row {
	r := row{
		Email: u.Spelling, Name: u.Person.DisplayName, State: string(u.Condition), Reason: u.Reason,
		CheckedAt: known(u.CheckedAt), Delivery: string(u.Delivery.State), DeliveredAt: known(u.Delivery.DeliveredAt),
		DeliveryError: u.Delivery.Error,
	}
	if u.State != nil {
		r.OutOfOffice = &u.State.Away
	}
	if s := u.Setting; s != nil && s.Status == ooo.Scheduled {
		r.Scheduled, r.Start, r.End = true, known(s.Start), known(s.End)
	}
	for _, s := range u.Subscriptions {
		switch s.State {
		case ooo.SubscriptionLive:
			r.Live++
			if r.CoveredUntil == nil || s.ExpiresAt.Before(*r.CoveredUntil) {
				r.CoveredUntil = known(s.ExpiresAt)
			}
		case ooo.SubscriptionFailed:
			r.Failed = s.Error
		}
	}
	return r
}

// known returns nil for the zero time.
func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}

// list answers with a page of users.
func (u *UI) list(c *gin.Context) {
	q := ooo.Query{
		Text: c.Query("q"), Filter: ooo.Filter(c.DefaultQuery("filter", string(ooo.FilterAll))),
		Cursor: c.Query("cursor"), Resources: u.cfg.Resources, Limit: usersPerPage,
	}
	if !slices.Contains(ooo.Filters, q.Filter) || len(q.Text) > maxSearchText {
		refuse(c, http.StatusBadRequest, "unknown filter, or search text too long")
		return
	}
	page, err := u.cfg.Store.Search(c.Request.Context(), q)
	if err != nil {
		u.fail(c, err)
		return
	}
	rows := make([]row, 0, len(page.Users))
	for _, user := range page.Users {
		rows = append(rows, rowOf(user))
	}
	c.JSON(http.StatusOK, gin.H{"users": rows, "cursor": page.Cursor, "total": page.Total, "counts": page.Counts})
}

// cover makes the owner check the subscriptions of a user now.
func (u *UI) cover(c *gin.Context) {
	ctx := c.Request.Context()
	text := c.Param("email")
	if c.Request.URL.RawPath != "" { // gin then matched the escaped path
		text, _ = url.PathUnescape(text)
	}
	user, err := u.cfg.Store.User(ctx, text)
	if err == nil && user.Person.ID != "" {
		err = u.cfg.LeaveHints(ctx, ooo.Hint{
			ID: ooo.RecordID(user.Person.ID), Kind: ooo.HintSubscription, Source: ooo.SourceRequest, Reason: "request",
		})
	}
	switch {
	case errors.Is(err, ooo.ErrNotMonitored):
		refuse(c, http.StatusNotFound, ooo.ErrNotMonitored.Error())
	case err != nil:
		u.fail(c, err)
	default:
		c.JSON(http.StatusAccepted, gin.H{"result": "accepted"})
	}
}
