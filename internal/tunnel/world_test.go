package tunnel_test

import (
	"slices"
	"sync"
)

// urls are those that a tunnel reported, in order.
type urls struct {
	mu   sync.Mutex
	list []string
}

func (o *urls) opened(url string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, url)
}

func (o *urls) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.list)
}
