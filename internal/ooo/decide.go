package ooo

import (
	"cmp"
	"fmt"
	"time"
)

// ScheduledMode says when a scheduled reply counts as out of office.
type ScheduledMode string

const (
	ScheduledWindow ScheduledMode = "window" // from its start until its end
	ScheduledAlways ScheduledMode = "always" // even outside its window, as the first outlook-monitor did
)

// MessageSource says which of the two reply texts is spoken.
type MessageSource string

const (
	ExternalMessage MessageSource = "external"
	InternalMessage MessageSource = "internal"
)

// State is what the mediator receives: whether the user is out of office now, and the
// text to be spoken. Another value also belongs in Same, and Decide takes it from the setting.
type State struct {
	Away    bool   `json:"away"`
	Message string `json:"message"`
}

// Same reports whether the two states are the same to the mediator. Messages only count
// while away: otherwise they are not spoken.
func (s State) Same(other State) bool {
	return s.Away == other.Away && (!s.Away || s.Message == other.Message)
}

// Policy is how settings are interpreted; the same for all mailboxes.
type Policy struct {
	Scheduled ScheduledMode // default ScheduledWindow
	Message   MessageSource // default ExternalMessage
	Limit     int           // longest message in characters; 0: no limit
}

// rulesVersion must be incremented when a setting of a mailbox leads to another state than
// before under an unchanged policy, by this file or by speech.go, so that stored states are
// decided again.
const rulesVersion = 2

// Tag identifies the policy and the rules. A state that was decided under another tag is decided
// again by the next read. Append a new field only if it differs from its default: otherwise all
// states are decided again after the upgrade.
func (p Policy) Tag() string {
	return fmt.Sprintf("%d,%s,%s,%d", rulesVersion, cmp.Or(p.Scheduled, ScheduledWindow), cmp.Or(p.Message, ExternalMessage), p.Limit)
}

// Apply returns the setting with the spoken text in place of the two replies. It takes the
// reply that the policy names or, if that has nothing to speak, the other one.
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
	Changed bool      // State is not the same as the previous one, or is the first
	Edge    time.Time // when the unchanged setting will next mean another state; zero: never
}

// Decide returns what a setting from [Policy.Apply] means at now for a mailbox whose last
// state is before, nil if there was none.
func (p Policy) Decide(before *State, setting Setting, now time.Time) Decision {
	away, edge := p.interpret(setting, now)
	state := State{Away: away, Message: setting.Message}
	return Decision{State: state, Changed: before == nil || !before.Same(state), Edge: edge}
}

// interpret returns whether the user is out of office at now, and when that will next change
// if the setting does not: at the start or the end of its window. It returns the zero time if
// it never will.
func (p Policy) interpret(s Setting, now time.Time) (away bool, edge time.Time) {
	switch {
	case s.Status == AlwaysEnabled, s.Status == Scheduled && p.Scheduled == ScheduledAlways:
		return true, time.Time{}
	case s.Status != Scheduled, !s.Start.Before(s.End), !now.Before(s.End):
		return false, time.Time{}
	case now.Before(s.Start):
		return false, s.Start
	}
	return true, s.End
}
