package ooo

import "time"

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

// State is what the mediator is told: whether the user is out of office now and
// the text fit to be spoken.
type State struct {
	Away    bool   `json:"away"`
	Message string `json:"message"`
}

// Same says whether the mediator would notice no difference: a text does not
// matter while nobody hears it.
func (s State) Same(other State) bool {
	return s.Away == other.Away && (!s.Away || s.Message == other.Message)
}

// Policy is how settings are read; the same for all users.
type Policy struct {
	Scheduled ScheduledMode // default ScheduledWindow
	Message   MessageSource // default ExternalMessage
}

// Tag tells policies apart: what was decided under another one has to be decided
// anew. That of the default is empty.
func (p Policy) Tag() (tag string) {
	if p.Scheduled == ScheduledAlways {
		tag += "~always"
	}
	if p.Message == InternalMessage {
		tag += "~internal"
	}
	return tag
}

// Decision is what a setting means at one instant.
type Decision struct {
	State   State
	Changed bool      // State differs from the one before, or there was none
	Edge    time.Time // when the same setting will mean something else; zero if never
}

// Decide says what setting means at now for a user whose last state is before
// (nil if there was none). Without a change the state before stands.
func (p Policy) Decide(before *State, setting Setting, now time.Time) Decision {
	state := State{Away: p.away(setting, now), Message: Spoken(p.reply(setting))}
	d := Decision{State: state, Changed: true, Edge: p.edge(setting, now)}
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

// edge returns the next instant at which away changes by the clock alone.
func (p Policy) edge(s Setting, now time.Time) time.Time {
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

func (p Policy) reply(s Setting) string {
	if p.Message == InternalMessage {
		return s.InternalReply
	}
	return s.ExternalReply
}
