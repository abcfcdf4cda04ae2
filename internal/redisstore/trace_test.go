package redisstore_test

import (
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

// traceSuite is the part of the suite about traces that cross Redis.
var traceSuite = map[string]func(t *testing.T, s store){
	"a trace goes from the mark to the parcel": func(t *testing.T, s store) {
		const marked, looked = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"
		ann := s.start("ann")
		s.read(ann, off)
		_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{
			Key: ann, Source: ooo.SourceNotification, ID: "n|1", Trace: marked, Urgent: true})
		s.must(err)
		c := s.claim(ooo.ReadQueue, ann, long)
		if c.Trace != marked || c.SourceID != "n|1" || c.Source != ooo.SourceNotification {
			t.Errorf("Claim = %+v, want the mark's trace and id", c)
		}
		u := s.user(ann)
		_, err = s.Record(t.Context(), c, ooo.Change{Revision: u.Revision, Setting: on, Fingerprint: "f",
			Decision: policy.Decide(u.State, on, s.now()), At: s.now(), Trace: looked})
		s.must(err)
		s.done(c, s.now().Add(time.Hour))
		if p := s.parcel(ann); p.Trace != looked {
			t.Errorf("Trace = %q, want %q", p.Trace, looked)
		}
	},
	"a resend begins anew": func(t *testing.T, s store) {
		ann := s.start("ann")
		s.read(ann, off)
		s.must(s.Resend(t.Context(), ann))
		if p := s.parcel(ann); p.Trace != "" {
			t.Errorf("Trace = %q, want none", p.Trace)
		}
	},
	"what is no trace stays out": func(t *testing.T, s store) {
		ann := s.start("ann")
		s.read(ann, off)
		_, err := s.Mark(t.Context(), ooo.ReadQueue, ooo.Mark{Key: ann, Source: ooo.SourceNotification, ID: "n1", Trace: "nonsense"})
		s.must(err)
		if c := s.claim(ooo.ReadQueue, ann, long); c.Trace != "" || c.SourceID != "n1" {
			t.Errorf("Claim = %+v, want the id alone", c)
		}
	},
}

// parcel waits until a user is due for delivery and returns what is to be told.
func (s store) parcel(key ooo.Key) ooo.Parcel {
	s.t.Helper()
	p, send, err := s.Begin(s.t.Context(), s.claim(ooo.DeliverQueue, key, long))
	s.must(err)
	if !send {
		s.t.Fatal("Begin = nothing to send, want the newest state")
	}
	return p
}
