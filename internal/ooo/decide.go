package ooo

import (
	"cmp"
	"strconv"
	"time"
)

// ScheduledMode says when a scheduled reply counts as out of office.
type ScheduledMode string

const (
	ScheduledWindow ScheduledMode = "window" // from its start until its end
	ScheduledAlways ScheduledMode = "always" // whenever it is scheduled, as the first outlook-monitor did
)

// MessageSource says which of the two reply texts is spoken.
type MessageSource string

const (
	ExternalMessage MessageSource = "external"
	InternalMessage MessageSource = "internal"
)

// State is what the mediator receives: whether the user is out of office now and
// the text fit to be spoken.
type State struct {
	Away    bool   `json:"away"`
	Message string `json:"message"`
}

// Same reports whether the mediator would notice no difference: a text does not matter while
// it is not spoken.
func (s State) Same(other State) bool {
	return s.Away == other.Away && (!s.Away || s.Message == other.Message)
}

// Policy is how settings are read; the same for all mailboxes.
type Policy struct {
	Scheduled ScheduledMode // default ScheduledWindow
	Message   MessageSource // default ExternalMessage
	Limit     int           // longest message in characters; 0: none
}

// Tag tells policies apart: what was decided under another one has to be decided
// again. Whoever changes the rule itself must change the tag too.
func (p Policy) Tag() string {
	tag := string(cmp.Or(p.Scheduled, ScheduledWindow)) + "," + string(cmp.Or(p.Message, ExternalMessage))
	return tag + "," + strconv.Itoa(p.Limit)
}

// Apply returns the setting with the text to be spoken in place of the two
// replies: of the one that the policy names or, if nothing in it can be spoken, of
// the other one.
func (p Policy) Apply(s Setting) Setting {
	first, second := s.ExternalReply, s.InternalReply
	if p.Message == InternalMessage {
		first, second = second, first
	}
	s.Message = Shorten(cmp.Or(Spoken(first), Spoken(second)), p.Limit)
	s.InternalReply, s.ExternalReply = "", ""
	return s
}

// Decision is what a setting means at one instant.
type Decision struct {
	State   State
	Changed bool      // State differs from the one before, or there was none
	Edge    time.Time // when the same setting will mean something else; zero if never
}

// Decide says what a setting that [Policy.Apply] returned means at now for a mailbox
// whose last state is before (nil if there was none). Without a change the state
// before stands.
func (p Policy) Decide(before *State, setting Setting, now time.Time) Decision {
	state := State{Away: p.away(setting, now), Message: setting.Message}
	d := Decision{State: state, Changed: true, Edge: p.Edge(setting, now)}
	if before != nil && before.Same(state) {
		d.State, d.Changed = *before, false
	}
	return d
}

func (p Policy) away(s Setting, now time.Time) bool {
	switch s.Status {
	case AlwaysEnabled:
		return true
	case Scheduled:
		return p.Scheduled == ScheduledAlways || (!now.Before(s.Start) && now.Before(s.End))
	}
	return false
}

// Edge returns the next instant at which the setting means something else by the
// clock alone; zero if there is none.
func (p Policy) Edge(s Setting, now time.Time) time.Time {
	switch {
	case s.Status != Scheduled || p.Scheduled == ScheduledAlways || !s.Start.Before(s.End):
		return time.Time{}
	case now.Before(s.Start):
		return s.Start
	case now.Before(s.End):
		return s.End
	}
	return time.Time{}
}
