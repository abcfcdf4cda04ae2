package graphsim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Errors of the control API and of the methods of Server.
var (
	ErrUnknownUser         = errors.New("no such user")
	ErrUnknownSubscription = errors.New("no such subscription")
	ErrExists              = errors.New("exists already")
	ErrInvalid             = errors.New("invalid")
)

// User is a person in the directory, with a mailbox.
type User struct {
	ID                string   `json:"id"`
	UserPrincipalName string   `json:"userPrincipalName"`
	Mail              string   `json:"mail"`
	DisplayName       string   `json:"displayName"`
	ProxyAddresses    []string `json:"proxyAddresses"`
}

// account is a user with its mailbox.
type account struct {
	User
	mailbox mailbox
}

// accountStore holds the accounts.
type accountStore struct {
	mu    sync.RWMutex
	byKey map[string]*account // by object id and by UPN, in lower case; guarded by mu
	all   []*account          // in order of creation; guarded by mu
}

func newAccountStore() *accountStore { return &accountStore{byKey: make(map[string]*account)} }

func (s *accountStore) add(a *account) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, upn := strings.ToLower(a.ID), strings.ToLower(a.UserPrincipalName)
	if s.byKey[id] != nil || s.byKey[upn] != nil {
		return fmt.Errorf("%w: %s", ErrExists, a.UserPrincipalName)
	}
	s.byKey[id], s.byKey[upn] = a, a
	s.all = append(s.all, a)
	return nil
}

func (s *accountStore) remove(a *account) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byKey, strings.ToLower(a.ID))
	delete(s.byKey, strings.ToLower(a.UserPrincipalName))
	s.all = slices.DeleteFunc(s.all, func(b *account) bool { return b == a })
}

func (s *accountStore) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.byKey)
	s.all = nil
}

// find finds an account by the keys that Graph accepts in a path, object id and UPN. It
// returns nil if there is none.
func (s *accountStore) find(key string) *account {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byKey[strings.ToLower(key)]
}

// match returns the accounts for which matches returns true.
func (s *accountStore) match(matches func(User) bool) []*account {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var hits []*account
	for _, a := range s.all {
		if matches(a.User) {
			hits = append(hits, a)
		}
	}
	return hits
}

// account finds an account by object id, UPN or mail address.
func (s *Server) account(x string) (*account, error) {
	if a := s.accounts.find(x); a != nil {
		return a, nil
	}
	hits := s.accounts.match(func(u User) bool { return strings.EqualFold(u.Mail, x) })
	if len(hits) != 1 {
		return nil, fmt.Errorf("%w: %s", ErrUnknownUser, x)
	}
	return hits[0], nil
}

// AddUser adds a user with automatic replies disabled. Only UserPrincipalName is required:
// by default the id is generated, the display name is the local part of the UPN, the mail
// address is the UPN, and the proxy addresses are the mail address (primary) and the UPN.
func (s *Server) AddUser(u User) (User, error) {
	local, domain, _ := strings.Cut(u.UserPrincipalName, "@")
	if local == "" || domain == "" {
		return User{}, fmt.Errorf("%w: userPrincipalName %q is not an address", ErrInvalid, u.UserPrincipalName)
	}
	if u.ID == "" {
		u.ID = s.userIDs.next()
	}
	u.Mail = cmp.Or(u.Mail, u.UserPrincipalName)
	u.DisplayName = cmp.Or(u.DisplayName, local)
	if u.ProxyAddresses == nil {
		u.ProxyAddresses = []string{"SMTP:" + u.Mail}
		if !strings.EqualFold(u.Mail, u.UserPrincipalName) {
			u.ProxyAddresses = append(u.ProxyAddresses, "smtp:"+u.UserPrincipalName)
		}
	}
	a := &account{User: u}
	a.mailbox.init(s.URL(), u.ID)
	if err := s.accounts.add(a); err != nil {
		return User{}, err
	}
	return u, nil
}

// maxUsers limits the users added by one call.
const maxUsers = 200_000

// AddUsers adds count users named user0001@domain and so on.
func (s *Server) AddUsers(count int, domain string) ([]User, error) {
	if count < 1 || count > maxUsers {
		return nil, fmt.Errorf("%w: count is %d, want 1 to %d", ErrInvalid, count, maxUsers)
	}
	users := make([]User, 0, count)
	for n := 1; n <= count; n++ {
		u, err := s.AddUser(User{
			UserPrincipalName: fmt.Sprintf("user%04d@%s", n, domain),
			DisplayName:       fmt.Sprintf("User %04d", n),
		})
		if err != nil {
			return users, err
		}
		users = append(users, u)
	}
	return users, nil
}

// Users lists all users in order of creation.
func (s *Server) Users() []User {
	users := []User{}
	for _, a := range s.accounts.match(func(User) bool { return true }) {
		users = append(users, a.User)
	}
	return users
}

// User returns the user with the id, UPN or mail address x.
func (s *Server) User(x string) (User, error) {
	a, err := s.account(x)
	if err != nil {
		return User{}, err
	}
	return a.User, nil
}

// DeleteUser deletes a user and its subscriptions, each with a subscriptionRemoved
// lifecycle notification.
func (s *Server) DeleteUser(x string) error {
	a, err := s.account(x)
	if err != nil {
		return err
	}
	s.accounts.remove(a)
	for _, sub := range s.subs.ofUser(a.ID) {
		_ = s.RemoveSubscription(sub.ID, false) // it may have expired in between
	}
	return nil
}
