package redisstore_test

import (
	"encoding/base64"
	"errors"
	"slices"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

var requestSuite = map[string]func(*testing.T, store){
	"a stop that comes late": func(t *testing.T, s store) {
		ann := s.start("ann")
		asked := time.Now().Add(time.Millisecond)
		s.eventually("a moment has passed", func() bool { return s.now().After(asked.Add(2 * time.Millisecond)) })
		s.start("ann") // monitored already, but asked for again
		if err := s.StopBefore(t.Context(), ann, asked); !errors.Is(err, ooo.ErrNotMonitored) || !s.user(ann).Active {
			t.Errorf("stop from before the last start = %v, want the user left alone", err)
		}
		s.must(s.StopBefore(t.Context(), ann, time.Now().Add(time.Minute)))
		if s.user(ann).Active {
			t.Error("the user is monitored after a newer stop, want it stopped")
		}
	},
	"a stop is in the feed, and says who it was": func(t *testing.T, s store) {
		_, place, err := s.News(t.Context(), "")
		s.must(err)
		ann, bob := s.start("ann"), s.start("bob")
		s.stop(ann)
		s.leave(ann)
		if err := s.Stop(t.Context(), ann); !errors.Is(err, ooo.ErrNotMonitored) {
			t.Errorf("second Stop = %v, want %v", err, ooo.ErrNotMonitored)
		}
		s.stop(bob)
		for name, read := range map[string]func() ([]ooo.News, string, error){
			"News":   func() ([]ooo.News, string, error) { return s.News(t.Context(), place) },
			"Recent": func() ([]ooo.News, string, error) { return s.Recent(t.Context(), 10) },
		} {
			news, _, err := read()
			s.must(err)
			var stopped []string
			for _, n := range news {
				if n.Kind == ooo.EventStopped {
					stopped = append(stopped, n.Address)
				}
			}
			if want := []string{"ann@contoso.example", "bob@contoso.example"}; !slices.Equal(stopped, want) {
				t.Errorf("%s tells of the stops of %q, want %q", name, stopped, want)
			}
		}
	},
	"a cursor that is none": func(t *testing.T, s store) {
		s.start("ann")
		for _, cursor := range []string{"garbage", "!", base64.RawURLEncoding.EncodeToString([]byte("ann")), base64.RawURLEncoding.EncodeToString([]byte("ANN@contoso.example"))} {
			if _, _, err := s.Users(t.Context(), 10, cursor); !errors.Is(err, ooo.ErrBadCursor) {
				t.Errorf("Users after %q = %v, want %v", cursor, err, ooo.ErrBadCursor)
			}
		}
		users, _, err := s.Users(t.Context(), 10, base64.RawURLEncoding.EncodeToString([]byte("ann@contoso")))
		if s.must(err); len(users) != 1 {
			t.Errorf("users = %d, want those after an address that is no longer there", len(users))
		}
	},
}
