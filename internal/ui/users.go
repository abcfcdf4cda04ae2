package ui

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/ooo"
)

const (
	usersPerPage = 50
	mostPerPage  = 200
	longestText  = 200
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
	ChangedAt   *time.Time `json:"changedAt"`

	Delivery      string     `json:"delivery"`
	DeliveredAt   *time.Time `json:"deliveredAt"`
	NextAttemptAt *time.Time `json:"nextAttemptAt,omitempty"`
	DeliveryError string     `json:"deliveryError,omitempty"` // of the delivery

	Live         int        `json:"live"`             // subscriptions
	Failed       string     `json:"failed,omitempty"` // why one failed
	CoveredUntil *time.Time `json:"coveredUntil,omitempty"`
	Shared       bool       `json:"shared,omitempty"` // the mailbox is monitored under other addresses too
}

func rowOf(u ooo.User) row {
	r := row{
		Email: u.Spelling, Name: u.Person.DisplayName, State: string(u.Condition), Reason: u.Reason,
		CheckedAt: known(u.CheckedAt), ChangedAt: known(u.ChangedAt),
		Delivery: string(u.Delivery.State), DeliveredAt: known(u.Delivery.DeliveredAt),
		NextAttemptAt: known(u.Delivery.NextAttemptAt), DeliveryError: u.Delivery.Error, Shared: len(u.Addresses) > 1,
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
	if n, err := strconv.Atoi(c.Query("limit")); err == nil && n > 0 {
		q.Limit = min(n, mostPerPage)
	}
	if !slices.Contains(ooo.Filters, q.Filter) || len(q.Text) > longestText {
		refuse(c, http.StatusBadRequest, "unknown filter, or the text is too long")
		return
	}
	page, err := u.cfg.Store.Find(c.Request.Context(), q)
	switch {
	case errors.Is(err, ooo.ErrBadCursor):
		refuse(c, http.StatusBadRequest, err.Error())
		return
	case err != nil:
		u.fail(c, err)
		return
	}
	rows := make([]row, 0, len(page.Users))
	for _, one := range page.Users {
		rows = append(rows, rowOf(one))
	}
	c.JSON(http.StatusOK, gin.H{"users": rows, "cursor": page.Cursor, "total": page.Total, "counts": page.Counts})
}

// cover has the subscriptions of a user examined now.
func (u *UI) cover(c *gin.Context) {
	ctx := c.Request.Context()
	text := c.Param("email")
	if c.Request.URL.RawPath != "" { // then the route was found by that, still escaped
		text, _ = url.PathUnescape(text)
	}
	user, err := u.cfg.Store.User(ctx, text)
	if err == nil && user.Person.ID != "" {
		err = u.cfg.Leave(ctx, ooo.Hint{
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
