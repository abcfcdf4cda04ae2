package tunnel_test

import (
	"slices"
	"sync"
)

// urls are the URLs that a tunnel reported, in order.
type urls struct {
	mu   sync.Mutex
	list []string
}

func (u *urls) add(url string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = append(u.list, url)
}

func (u *urls) all() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.list)
}
