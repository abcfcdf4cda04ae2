package graphsim

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// What the control API and its Go methods refuse.
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

// account is a user and what belongs to it.
type account struct {
	User
	mailbox mailbox
}

// directory finds accounts. The keys of its maps are in lower case, but for the
// prefix of a proxy address: Graph tells smtp: from SMTP:.
type directory struct {
	mu      sync.RWMutex
	byID    map[string]*account
	byUPN   map[string]*account
	byMail  map[string][]*account
	byProxy map[string][]*account
	byName  map[string][]*account
	all     []*account // in the order of their making
}

func newDirectory() *directory {
	d := &directory{}
	d.clear()
	return d
}

func (d *directory) clear() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.byID = make(map[string]*account)
	d.byUPN = make(map[string]*account)
	d.byMail = make(map[string][]*account)
	d.byProxy = make(map[string][]*account)
	d.byName = make(map[string][]*account)
	d.all = nil
}

func (d *directory) add(a *account) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	id, upn := strings.ToLower(a.ID), strings.ToLower(a.UserPrincipalName)
	if d.byID[id] != nil || d.byUPN[upn] != nil {
		return fmt.Errorf("%w: %s", ErrExists, a.UserPrincipalName)
	}
	d.byID[id], d.byUPN[upn] = a, a
	put(d.byMail, strings.ToLower(a.Mail), a)
	put(d.byName, strings.ToLower(a.DisplayName), a)
	for _, p := range a.ProxyAddresses {
		put(d.byProxy, proxyKey(p), a)
	}
	d.all = append(d.all, a)
	return nil
}

func put(m map[string][]*account, key string, a *account) {
	if key != "" && !slices.Contains(m[key], a) {
		m[key] = append(m[key], a)
	}
}

func (d *directory) remove(a *account) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.byID, strings.ToLower(a.ID))
	delete(d.byUPN, strings.ToLower(a.UserPrincipalName))
	take(d.byMail, strings.ToLower(a.Mail), a)
	take(d.byName, strings.ToLower(a.DisplayName), a)
	for _, p := range a.ProxyAddresses {
		take(d.byProxy, proxyKey(p), a)
	}
	d.all = slices.DeleteFunc(d.all, func(b *account) bool { return b == a })
}

func take(m map[string][]*account, key string, a *account) {
	// A new slice: a listing may be reading the old one.
	left := slices.DeleteFunc(slices.Clone(m[key]), func(b *account) bool { return b == a })
	if len(left) == 0 {
		delete(m, key)
		return
	}
	m[key] = left
}

// proxyKey keeps the letter case of the prefix alone.
func proxyKey(proxy string) string {
	prefix, address, ok := strings.Cut(proxy, ":")
	if !ok {
		return strings.ToLower(proxy)
	}
	return prefix + ":" + strings.ToLower(address)
}

// find looks up what Graph takes as a key in a path: an object id or a UPN,
// nothing else. It returns nil if there is none.
func (d *directory) find(key string) *account {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if a := d.byID[key]; a != nil {
		return a // ids are mostly spelled as we spell them
	}
	key = strings.ToLower(key)
	if a := d.byID[key]; a != nil {
		return a
	}
	return d.byUPN[key]
}

// findAny also takes a mail address, for the control API.
func (d *directory) findAny(key string) *account {
	if a := d.find(key); a != nil {
		return a
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if hits := d.byMail[strings.ToLower(key)]; len(hits) == 1 {
		return hits[0]
	}
	return nil
}

func (d *directory) list() []*account {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Clone(d.all)
}

func (s *Server) account(x string) (*account, error) {
	if a := s.directory.findAny(x); a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknownUser, x)
}

// AddUser makes a user with automatic replies disabled. Only
// UserPrincipalName is needed: the id is made up, the display name is taken
// from the UPN, the mail address is the UPN, and the proxy addresses are the
// mail address as the primary one and, if it differs, the UPN as another.
func (s *Server) AddUser(u User) (User, error) {
	if !strings.Contains(u.UserPrincipalName, "@") {
		return User{}, fmt.Errorf("%w: userPrincipalName %q is no address", ErrInvalid, u.UserPrincipalName)
	}
	local, _, _ := strings.Cut(u.UserPrincipalName, "@")
	if u.ID == "" {
		u.ID = s.ids.user()
	}
	if u.Mail == "" {
		u.Mail = u.UserPrincipalName
	}
	if u.DisplayName == "" {
		u.DisplayName = local
	}
	if u.ProxyAddresses == nil {
		u.ProxyAddresses = []string{"SMTP:" + u.Mail}
		if !strings.EqualFold(u.Mail, u.UserPrincipalName) {
			u.ProxyAddresses = append(u.ProxyAddresses, "smtp:"+u.UserPrincipalName)
		}
	}
	u.ProxyAddresses = slices.Clone(u.ProxyAddresses)
	a := &account{User: u}
	a.mailbox.init(s, u.ID)
	if err := s.directory.add(a); err != nil {
		return User{}, err
	}
	return u, nil
}

// bulkLimit bounds the users made by one call.
const bulkLimit = 200_000

// AddUsers makes count users named user0001@domain and so on.
func (s *Server) AddUsers(count int, domain string) ([]User, error) {
	if count < 1 || count > bulkLimit {
		return nil, fmt.Errorf("%w: count is %d, want 1 to %d", ErrInvalid, count, bulkLimit)
	}
	if domain == "" {
		return nil, fmt.Errorf("%w: domain is empty", ErrInvalid)
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

// Users lists all users in the order of their making.
func (s *Server) Users() []User {
	accounts := s.directory.list()
	users := make([]User, len(accounts))
	for i, a := range accounts {
		users[i] = a.User
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

// DeleteUser takes a user out of the directory. Its subscriptions go with it,
// each with a subscriptionRemoved lifecycle notification.
func (s *Server) DeleteUser(x string) error {
	a, err := s.account(x)
	if err != nil {
		return err
	}
	s.directory.remove(a)
	for _, sub := range s.subs.ofUser(a.ID) {
		_ = s.RemoveSubscription(sub.ID, false) // gone by itself meanwhile is as good
	}
	return nil
}
