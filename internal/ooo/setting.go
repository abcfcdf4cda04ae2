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

// Setting is a mailbox's automaticRepliesSetting, read and understood.
type Setting struct {
	Status           Status    `json:"status"`
	ExternalAudience string    `json:"externalAudience,omitempty"`
	Start            time.Time `json:"start,omitzero"` // UTC; only while Scheduled
	End              time.Time `json:"end,omitzero"`   // UTC; only while Scheduled
	InternalReply    string    `json:"internalReply,omitempty"`
	ExternalReply    string    `json:"externalReply,omitempty"` // HTML, as Graph has it

	// Message is the spoken text of the reply that the policy picks. [Policy.Apply]
	// puts it in the place of the two replies, which are not kept.
	Message string `json:"message,omitempty"`
}

// Equal reports whether two settings say the same.
func (s Setting) Equal(o Setting) bool {
	sameTimes := s.Start.Equal(o.Start) && s.End.Equal(o.End)
	s.Start, s.End, o.Start, o.End = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return sameTimes && s == o
}

// dateTimeZone is Graph's dateTimeTimeZone: a time without offset and a zone.
type dateTimeZone struct {
	DateTime string `json:"dateTime"`
	TimeZone string `json:"timeZone"`
}

// rawSetting is automaticRepliesSetting as Graph sends it. The SDK's own model
// is no use here: it drops a status spelled in another letter case.
type rawSetting struct {
	Status           string        `json:"status"`
	ExternalAudience string        `json:"externalAudience"`
	InternalReply    string        `json:"internalReplyMessage"`
	ExternalReply    string        `json:"externalReplyMessage"`
	Start            *dateTimeZone `json:"scheduledStartDateTime"`
	End              *dateTimeZone `json:"scheduledEndDateTime"`
}

// What may be in a setting, by its lower-case form.
var (
	statuses  = map[string]Status{"disabled": Disabled, "alwaysenabled": AlwaysEnabled, "scheduled": Scheduled}
	audiences = map[string]string{"none": "none", "contactsonly": "contactsOnly", "all": "all"}
)

// ParseSetting reads the JSON body of GET …/automaticRepliesSetting. Letter case
// does not matter. The dates of a setting that is not scheduled are
// placeholders that slide with the hour and are left out. An unknown status, or
// dates of a schedule that can't be understood, are [ErrBadSetting].
func ParseSetting(body []byte) (Setting, error) {
	var raw rawSetting
	if err := json.Unmarshal(body, &raw); err != nil {
		return Setting{}, fmt.Errorf("%w: no JSON object of the right form", ErrBadSetting)
	}
	status, ok := statuses[strings.ToLower(raw.Status)]
	if !ok {
		return Setting{}, fmt.Errorf("%w: status %.40q", ErrBadSetting, raw.Status)
	}
	audience, ok := audiences[strings.ToLower(raw.ExternalAudience)]
	if !ok {
		audience = raw.ExternalAudience // does not decide anything
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

// ReadResult is the answer to one mailbox read.
type ReadResult struct {
	ID        ObjectID
	Digest    Digest // of the answer
	Unchanged bool   // the answer is the one that the asker knows; Setting is empty
	Setting   Setting
	Err       error // then Setting is empty
}

// Digest tells two answers apart, byte for byte. It means something only in the
// process that made it, and the zero Digest is that of no answer.
type Digest [2]uint64

var digestSeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

// DigestOf returns the digest of an answer.
func DigestOf(answer []byte) Digest {
	return Digest{maphash.Bytes(digestSeeds[0], answer), maphash.Bytes(digestSeeds[1], answer) | 1}
}

// MaxPresences is how many users Graph takes in one request for presence.
const MaxPresences = 650
