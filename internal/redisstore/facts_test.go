package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"outlook-monitor/internal/ooo"
	"outlook-monitor/internal/redisstore"
	"outlook-monitor/internal/redistest"
)

// factSuite is the part of the suite about what replicas share.
var factSuite = map[string]func(t *testing.T, s store){
	"a secret is made once": func(t *testing.T, s store) {
		first, err := s.Secret(t.Context(), "client-state", "one")
		s.must(err)
		second, err := s.Secret(t.Context(), "client-state", "two")
		if err != nil || first != "one" || second != "one" {
			t.Errorf("Secret = %q, then %q, %v, want the first twice", first, second, err)
		}
	},
	"a lock has one owner and is freed by it alone": func(t *testing.T, s store) {
		unlock, err := s.Lock(t.Context(), "sync", long)
		s.must(err)
		if _, err := s.Lock(t.Context(), "sync", long); !errors.Is(err, ooo.ErrBusy) {
			t.Errorf("second Lock = %v, want ErrBusy", err)
		}
		s.must(unlock(t.Context()))
		_, err = s.Lock(t.Context(), "sync", long)
		s.must(err)
		s.must(unlock(t.Context())) // no longer the owner
		if _, err := s.Lock(t.Context(), "sync", long); !errors.Is(err, ooo.ErrBusy) {
			t.Errorf("Lock after the old owner's unlock = %v, want ErrBusy", err)
		}
	},
	"a lock is kept for as long as its owner lives": func(t *testing.T, s store) {
		unlock, err := s.Lock(t.Context(), "sync", 300*time.Millisecond)
		s.must(err)
		time.Sleep(time.Second)
		if _, err := s.Lock(t.Context(), "sync", long); !errors.Is(err, ooo.ErrBusy) {
			t.Errorf("Lock after three times its life = %v, want ErrBusy", err)
		}
		s.must(unlock(t.Context()))
		unlock, err = s.Lock(t.Context(), "sync", long)
		s.must(err)
		s.must(unlock(t.Context()))
	},
	"a stamp is the shared time": func(t *testing.T, s store) {
		if at, err := s.Stamp(t.Context(), "sync"); !at.IsZero() || err != nil {
			t.Errorf("Stamp = %v, %v, want none yet", at, err)
		}
		before := s.now()
		s.must(s.SetStamp(t.Context(), "sync"))
		if at, err := s.Stamp(t.Context(), "sync"); err != nil || at.Before(before.Truncate(time.Millisecond)) {
			t.Errorf("Stamp = %v, %v, want it not before %v", at, err, before)
		}
	},
	"a budget gives its burst, then by its rate, and keeps some for others": func(t *testing.T, s store) {
		b := redisstore.Budget{Name: "test", Rate: 0.01, Burst: 10}
		take := func(kept float64) (taken int) {
			for range 20 {
				wait, err := s.Spend(t.Context(), b, kept)
				s.must(err)
				if wait == 0 {
					taken++
				} else if wait > 1000*time.Second {
					t.Errorf("wait = %v, want at most the budget's 1,000 s", wait)
				}
			}
			return taken
		}
		humble, bold := take(0.5), take(0)
		if humble != 5 || bold != 5 {
			t.Errorf("taken = %d keeping half, then %d, want 5 and 5", humble, bold)
		}
	},
	"an emptied Redis is noticed once": func(t *testing.T, s store) {
		if emptied, err := s.Emptied(t.Context()); emptied || err != nil {
			t.Errorf("Emptied = %t, %v, want false", emptied, err)
		}
		flush(t, s.url)
		first, err := s.Emptied(t.Context())
		s.must(err)
		second, err := s.Emptied(t.Context())
		if err != nil || !first || second {
			t.Errorf("Emptied = %t, then %t, %v, want true once", first, second, err)
		}
	},
}

func TestANewerSchemaIsRefused(t *testing.T) {
	server := redistest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer client.Close()
	if err := client.Set(t.Context(), "om:schema", 99, 0).Err(); err != nil {
		t.Fatal(err)
	}
	s, err := redisstore.Open(redisstore.Config{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Ready(t.Context()); !errors.Is(err, redisstore.ErrNewerSchema) {
		t.Errorf("Ready = %v, want ErrNewerSchema", err)
	}
}

func TestARestartLosesNothingAndScriptsComeBack(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	key := s.start("ann")
	s.read(key, on)
	held := s.claim(ooo.SubscribeQueue, key, long)
	server.Kill()
	if _, err := s.User(t.Context(), key); err == nil || errors.Is(err, ooo.ErrNotMonitored) {
		t.Errorf("User while Redis is away = %v, want an error of its own", err)
	}
	server.Restart()
	s.eventually("Redis answers", func() bool { return s.Ping(t.Context()) == nil })
	if u := s.user(key); u.Sequence != 1 || u.State == nil {
		t.Errorf("User = %+v, want the state kept", u)
	}
	s.must(s.SaveSubscription(t.Context(), held, ooo.Subscription{Resource: "r"}))
	if p := s.deliverable(key); p.Sequence != 1 {
		t.Errorf("Parcel = %+v, want the state still to be delivered", p)
	}
	server.RestartEmpty()
	s.eventually("the loss is noticed", func() bool {
		emptied, err := s.Emptied(t.Context())
		return err == nil && emptied
	})
}

func TestWrongURLs(t *testing.T) {
	for name, url := range map[string]string{
		"no scheme": "localhost:6379", "http": "http://localhost", "a bad number": "redis://localhost:6379/x",
		"a bad option": "redis://:secret@localhost?addr=a&read_timeout=x",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := redisstore.Open(redisstore.Config{URL: url})
			if err == nil {
				t.Fatal("Open = nil, want an error")
			}
		})
	}
}
