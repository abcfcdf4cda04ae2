package ooo

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"strings"
	"time"
)

// Status is whether automatic replies are sent.
type Status string

const (
	Disabled      Status = "disabled"
	AlwaysEnabled Status = "alwaysEnabled"
	Scheduled     Status = "scheduled"
)

// Setting is a mailbox's parsed automaticRepliesSetting.
type Setting struct {
	Status           Status    `json:"status"`
	ExternalAudience string    `json:"externalAudience,omitempty"`
	Start            time.Time `json:"start,omitzero"` // UTC; only while Scheduled
	End              time.Time `json:"end,omitzero"`   // UTC; only while Scheduled
	InternalReply    string    `json:"internalReply,omitempty"`
	ExternalReply    string    `json:"externalReply,omitempty"` // HTML, as Graph returns it

	// Message is the spoken text of the reply that the policy selects. [Policy.Apply] sets it
	// and clears the two replies.
	Message string `json:"message,omitempty"`
}

// Equal reports whether two settings are equal; times are compared as instants.
func (s Setting) Equal(o Setting) bool {
	sameTimes := s.Start.Equal(o.Start) && s.End.Equal(o.End)
	s.Start, s.End = o.Start, o.End
	return sameTimes && s == o
}

// dateTimeZone is Graph's dateTimeTimeZone: a time without an offset, and a zone.
type dateTimeZone struct {
	DateTime string `json:"dateTime"`
	TimeZone string `json:"timeZone"`
}

// rawSetting is automaticRepliesSetting as Graph sends it. The SDK's model would drop a
// status in another letter case.
type rawSetting struct {
	Status           string        `json:"status"`
	ExternalAudience string        `json:"externalAudience"`
	InternalReply    string        `json:"internalReplyMessage"`
	ExternalReply    string        `json:"externalReplyMessage"`
	Start            *dateTimeZone `json:"scheduledStartDateTime"`
	End              *dateTimeZone `json:"scheduledEndDateTime"`
}

// The documented spellings, by their lower-case form.
var (
	statuses  = map[string]Status{"disabled": Disabled, "alwaysenabled": AlwaysEnabled, "scheduled": Scheduled}
	audiences = map[string]string{"none": "none", "contactsonly": "contactsOnly", "all": "all"}
)

// ParseSetting parses the JSON body of GET …/automaticRepliesSetting. Letter case does not
// matter. It ignores the dates of a setting that is not scheduled: they are placeholders
// that change every hour. It returns [ErrBadSetting] for an unknown status and for a
// schedule with invalid dates.
func ParseSetting(body []byte) (Setting, error) {
	var raw rawSetting
	if err := json.Unmarshal(body, &raw); err != nil {
		return Setting{}, fmt.Errorf("%w: invalid JSON", ErrBadSetting)
	}
	status, ok := statuses[strings.ToLower(raw.Status)]
	if !ok {
		return Setting{}, fmt.Errorf("%w: status %.40q", ErrBadSetting, raw.Status)
	}
	audience, ok := audiences[strings.ToLower(raw.ExternalAudience)]
	if !ok {
		audience = raw.ExternalAudience // only informative
	}
	s := Setting{Status: status, ExternalAudience: audience, InternalReply: raw.InternalReply, ExternalReply: raw.ExternalReply}
	if status != Scheduled {
		return s, nil
	}
	var err error
	if s.Start, err = raw.Start.instant(); err != nil {
		return Setting{}, fmt.Errorf("scheduledStartDateTime: %w", err)
	}
	if s.End, err = raw.End.instant(); err != nil {
		return Setting{}, fmt.Errorf("scheduledEndDateTime: %w", err)
	}
	return s, nil
}

// ReadResult is the result of reading one mailbox.
type ReadResult struct {
	ID        ObjectID
	Digest    Digest // of the answer
	Unchanged bool   // Digest is the one that the caller knows; Setting is empty
	Setting   Setting
	Err       error // if set, Setting is empty
}

// Digest identifies an answer by its bytes. It is only valid in the process that computed
// it. No answer has the zero Digest.
type Digest [2]uint64

var digestSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

// DigestOf returns the digest of an answer.
func DigestOf(answer []byte) Digest {
	return Digest{maphash.Bytes(digestSeeds[0], answer), maphash.Bytes(digestSeeds[1], answer) | 1}
}

// MaxPresences is how many users Graph accepts in one presence request.
const MaxPresences = 650
