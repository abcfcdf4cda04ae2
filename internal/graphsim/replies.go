package graphsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// graphTime is Exchange's format of a time without its zone.
const graphTime = "2006-01-02T15:04:05.0000000"

// DateTimeZone is Graph's dateTimeTimeZone: a time without offset, and UTC or an IANA or
// Windows time zone. The simulator returns it unchanged.
type DateTimeZone struct {
	DateTime string `json:"dateTime"`
	TimeZone string `json:"timeZone"`
}

// UTC returns t as a DateTimeZone.
func UTC(t time.Time) DateTimeZone {
	return DateTimeZone{t.UTC().Format(graphTime), "UTC"}
}

// UnmarshalJSON also accepts an RFC 3339 string.
func (d *DateTimeZone) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		var t time.Time
		if err := json.Unmarshal(data, &t); err != nil {
			return err
		}
		*d = UTC(t)
		return nil
	}
	type plain DateTimeZone // without this method
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	return decoder.Decode((*plain)(d))
}

// AutomaticReplies is a mailbox's automaticRepliesSetting.
type AutomaticReplies struct {
	Status                 string       `json:"status"`
	ExternalAudience       string       `json:"externalAudience"`
	InternalReplyMessage   string       `json:"internalReplyMessage"`
	ExternalReplyMessage   string       `json:"externalReplyMessage"`
	ScheduledStartDateTime DateTimeZone `json:"scheduledStartDateTime"`
	ScheduledEndDateTime   DateTimeZone `json:"scheduledEndDateTime"`
}

// scheduled reports whether the dates apply.
func (r AutomaticReplies) scheduled() bool { return strings.EqualFold(r.Status, "scheduled") }

// displayed returns the setting as Exchange returns it at now. Unless it is scheduled, its
// dates are placeholders: the current hour and a day later.
func (r AutomaticReplies) displayed(now time.Time) AutomaticReplies {
	if !r.scheduled() {
		hour := now.UTC().Truncate(time.Hour)
		r.ScheduledStartDateTime, r.ScheduledEndDateTime = UTC(hour), UTC(hour.AddDate(0, 0, 1))
	}
	return r
}

// AutomaticRepliesUpdate changes the fields that are not nil. Letter case is preserved.
type AutomaticRepliesUpdate struct {
	Status                 *string       `json:"status"`
	ExternalAudience       *string       `json:"externalAudience"`
	InternalReplyMessage   *string       `json:"internalReplyMessage"`
	ExternalReplyMessage   *string       `json:"externalReplyMessage"`
	ScheduledStartDateTime *DateTimeZone `json:"scheduledStartDateTime"`
	ScheduledEndDateTime   *DateTimeZone `json:"scheduledEndDateTime"`

	// CalendarBlock also creates, updates or (when disabled) deletes the calendar
	// entry that Outlook offers with automatic replies. Subscriptions to events are
	// notified of it; without it, only a read sees the change.
	CalendarBlock bool `json:"calendarBlock"`
}

func (u AutomaticRepliesUpdate) check() error {
	if u.Status != nil && !oneOf(*u.Status, "disabled", "alwaysEnabled", "scheduled") {
		return fmt.Errorf("%w: status %q, want disabled, alwaysEnabled or scheduled", ErrInvalid, *u.Status)
	}
	if u.ExternalAudience != nil && !oneOf(*u.ExternalAudience, "none", "contactsOnly", "all") {
		return fmt.Errorf("%w: externalAudience %q, want none, contactsOnly or all", ErrInvalid, *u.ExternalAudience)
	}
	for _, d := range []*DateTimeZone{u.ScheduledStartDateTime, u.ScheduledEndDateTime} {
		if d != nil && (d.DateTime == "" || d.TimeZone == "") {
			return fmt.Errorf("%w: a scheduled time needs dateTime and timeZone", ErrInvalid)
		}
	}
	return nil
}

// apply changes r. Both have the same JSON, in which null changes nothing.
func (u AutomaticRepliesUpdate) apply(r AutomaticReplies) AutomaticReplies {
	text, _ := json.Marshal(u)   // never fails for strings
	_ = json.Unmarshal(text, &r) // has no calendarBlock
	return r
}

func oneOf(s string, choices ...string) bool {
	return slices.ContainsFunc(choices, func(c string) bool { return strings.EqualFold(c, s) })
}

// SetAutomaticReplies changes the setting of user x and returns it as Graph would.
func (s *Server) SetAutomaticReplies(x string, u AutomaticRepliesUpdate) (r AutomaticReplies, err error) {
	if err := u.check(); err != nil {
		return AutomaticReplies{}, err
	}
	err = s.withAccount(x, func(a *account) {
		now := time.Now()
		a.setting = u.apply(a.setting.displayed(now)) // placeholder dates become the schedule unless u sets others
		if u.CalendarBlock {
			s.changeBlock(a)
		}
		r = a.setting.displayed(now)
	})
	return r, err
}

// changeBlock creates, updates or deletes the calendar entry of automatic replies.
func (s *Server) changeBlock(a *account) {
	change := "updated"
	if a.block == "" {
		a.block, change = newID(s.eventIDs), "created"
	}
	block := a.block
	if strings.EqualFold(a.setting.Status, "disabled") {
		a.block, change = "", "deleted"
	}
	s.notifyChange(a, "events", block, change)
}

// AutomaticReplies returns the setting of user x as Graph would.
func (s *Server) AutomaticReplies(x string) (r AutomaticReplies, err error) {
	err = s.withAccount(x, func(a *account) { r = a.setting.displayed(time.Now()) })
	return r, err
}
