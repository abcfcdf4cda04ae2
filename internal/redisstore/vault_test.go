package redisstore_test

import (
	"bytes"
	"testing"

	"outlook-monitor/internal/redistest"
)

// vaultSuite is the part of the suite about what replicas keep for each other.
var vaultSuite = map[string]func(t *testing.T, s store){
	"what one replica keeps another finds": func(t *testing.T, s store) {
		data := []byte("-----BEGIN\x00\xff\r\n")
		s.must(s.Vault("acme").Put(t.Context(), "monitor.contoso.example+token", data))
		got, err := open(t, s.url).Vault("acme").Get(t.Context(), "monitor.contoso.example+token")
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("Get = %q, %v, want %q", got, err, data)
		}
	},
	"nothing is nil and no error": func(t *testing.T, s store) {
		if got, err := s.Vault("acme").Get(t.Context(), "a"); got != nil || err != nil {
			t.Errorf("Get = %q, %v, want nothing", got, err)
		}
	},
	"something empty is not nothing": func(t *testing.T, s store) {
		s.must(s.Vault("acme").Put(t.Context(), "a", nil))
		if got, err := s.Vault("acme").Get(t.Context(), "a"); got == nil || len(got) != 0 || err != nil {
			t.Errorf("Get = %#v, %v, want no bytes, but not nil", got, err)
		}
	},
	"the last that was put counts": func(t *testing.T, s store) {
		v := s.Vault("acme")
		s.must(v.Put(t.Context(), "a", []byte("old and long")))
		s.must(v.Put(t.Context(), "a", []byte("new")))
		if got, err := v.Get(t.Context(), "a"); string(got) != "new" || err != nil {
			t.Errorf("Get = %q, %v, want new", got, err)
		}
	},
	"what is deleted is gone, and it alone": func(t *testing.T, s store) {
		v := s.Vault("acme")
		s.must(v.Put(t.Context(), "a", []byte("1")))
		s.must(v.Put(t.Context(), "b", []byte("2")))
		s.must(v.Delete(t.Context(), "a"))
		s.must(v.Delete(t.Context(), "a")) // gone already
		a, err := v.Get(t.Context(), "a")
		s.must(err)
		b, err := v.Get(t.Context(), "b")
		s.must(err)
		if a != nil || string(b) != "2" {
			t.Errorf("Get = %q and %q, want nothing and 2", a, b)
		}
	},
	"vaults do not mix": func(t *testing.T, s store) {
		s.must(s.Vault("acme").Put(t.Context(), "a", []byte("1")))
		if got, err := s.Vault("other").Get(t.Context(), "a"); got != nil || err != nil {
			t.Errorf("Get in another vault = %q, %v, want nothing", got, err)
		}
	},
}

func TestAVaultTellsThatRedisIsAway(t *testing.T) {
	server := redistest.Start(t)
	v := open(t, server.URL()).Vault("acme")
	server.Kill()
	if got, err := v.Get(t.Context(), "a"); got != nil || err == nil {
		t.Errorf("Get = %q, %v, want an error", got, err)
	}
	if err := v.Put(t.Context(), "a", nil); err == nil {
		t.Error("Put = nil, want an error")
	}
	if err := v.Delete(t.Context(), "a"); err == nil {
		t.Error("Delete = nil, want an error")
	}
}
