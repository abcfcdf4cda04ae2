package graphsim

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Errors of the control API and of the methods of Server.
var (
	errNotFound    = errors.New("no such") // followed by what was not found
	errExists      = errors.New("exists already")
	errUnreachable = errors.New("no answer from the notification URL")
	ErrInvalid     = errors.New("invalid")
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
	quota    *quota
	setting  AutomaticReplies
	behavior Mailbox
	block    string // event id of the calendar block, or ""
	inFlight int64  // requests to the mailbox
}

// find finds an account by the keys that Graph accepts in a path, object id and UPN. It
// returns nil if there is none.
func (s *state) find(key string) *account { return s.byKey[strings.ToLower(key)] }

// match returns the accounts for which matches returns true.
func (s *state) match(matches func(User) bool) []*account {
	var hits []*account
	for _, a := range s.accounts {
		if matches(a.User) {
			hits = append(hits, a)
		}
	}
	return hits
}

// account finds an account by object id, UPN or mail address.
func (s *state) account(x string) (*account, error) {
	if a := s.find(x); a != nil {
		return a, nil
	}
	hits := s.match(func(u User) bool { return strings.EqualFold(u.Mail, x) })
	if len(hits) != 1 {
		return nil, fmt.Errorf("%w user: %s", errNotFound, x)
	}
	return hits[0], nil
}

// withAccount calls act, with mu held, for the user with the object id, UPN or mail address x.
func (s *Server) withAccount(x string, act func(*account)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.account(x)
	if err == nil {
		act(a)
	}
	return err
}

// AddUser adds a user with automatic replies disabled. Only UserPrincipalName is required:
// by default the id is generated, the display name is the local part of the UPN, the mail
// address is the UPN, and the proxy addresses are the mail address (primary) and the UPN.
func (s *Server) AddUser(u User) (User, error) {
	local, domain, _ := strings.Cut(u.UserPrincipalName, "@")
	if local == "" || domain == "" {
		return User{}, fmt.Errorf("%w: userPrincipalName %q is not an address", ErrInvalid, u.UserPrincipalName)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if u.ID == "" {
		u.ID = newID(s.userIDs)
	}
	u.Mail = cmp.Or(u.Mail, u.UserPrincipalName)
	u.DisplayName = cmp.Or(u.DisplayName, local)
	if u.ProxyAddresses == nil {
		u.ProxyAddresses = []string{"SMTP:" + u.Mail}
		if !strings.EqualFold(u.Mail, u.UserPrincipalName) {
			u.ProxyAddresses = append(u.ProxyAddresses, "smtp:"+u.UserPrincipalName)
		}
	}
	if s.find(u.ID) != nil || s.find(u.UserPrincipalName) != nil {
		return User{}, fmt.Errorf("%w: %s", errExists, u.UserPrincipalName)
	}
	a := &account{User: u, quota: newMailboxQuota(), setting: AutomaticReplies{Status: "disabled", ExternalAudience: "all"}}
	s.byKey[strings.ToLower(u.ID)], s.byKey[strings.ToLower(u.UserPrincipalName)] = a, a
	s.accounts = append(s.accounts, a)
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
	s.mu.Lock()
	defer s.mu.Unlock()
	users := []User{}
	for _, a := range s.accounts {
		users = append(users, a.User)
	}
	return users
}

// User returns the user with the id, UPN or mail address x.
func (s *Server) User(x string) (u User, err error) {
	err = s.withAccount(x, func(a *account) { u = a.User })
	return u, err
}

// DeleteUser deletes a user and its subscriptions, each with a subscriptionRemoved
// lifecycle notification.
func (s *Server) DeleteUser(x string) error {
	return s.withAccount(x, func(a *account) {
		delete(s.byKey, strings.ToLower(a.ID))
		delete(s.byKey, strings.ToLower(a.UserPrincipalName))
		s.accounts = slices.DeleteFunc(s.accounts, func(b *account) bool { return b == a })
		for _, sub := range s.live(a.ID) {
			s.drop(sub.ID)
			s.sendLifecycle(sub, SubscriptionRemoved)
		}
	})
}
