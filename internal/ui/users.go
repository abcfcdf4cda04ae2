package ui

import (
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/api"
	"outlook-monitor/internal/ooo"
)

const (
	usersPerPage  = 50
	maxSearchText = 200
)

// list answers with a page of users.
func (u *UI) list(c *gin.Context) {
	q := ooo.Query{
		Text: c.Query("q"), Filter: ooo.Filter(c.DefaultQuery("filter", string(ooo.FilterAll))),
		Cursor: c.Query("cursor"), Resources: u.cfg.Resources, Limit: usersPerPage,
	}
	if !slices.Contains(ooo.Filters, q.Filter) || len(q.Text) > maxSearchText {
		api.Refuse(c, http.StatusBadRequest, "unknown filter, or search text too long")
		return
	}
	page, err := u.cfg.Store.Search(c.Request.Context(), q)
	if err != nil {
		u.fail(c, err)
		return
	}
	c.JSON(http.StatusOK, gin.H{"users": api.UsersOf(page.Users), "cursor": page.Cursor, "total": page.Total, "counts": page.Counts})
}
