package redisstore_test

import (
	"encoding/base64"
	"errors"
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
