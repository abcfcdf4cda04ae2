package graphsim

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	maxItemsPerPost = 100
	maxWaiting      = 100_000 // queued items; further ones are dropped
	maxPosts        = 64      // POSTs in flight

	batchWait    = 5 * time.Millisecond   // for more items to share a POST
	reorderWait  = 500 * time.Millisecond // for another item to overtake
	maxAttempts  = 10                     // then a POST is dropped
	maxRetryWait = time.Minute
)

// notificationType is the content type of notifications.
const notificationType = "application/json; charset=utf-8"

// destination identifies the items that may share a POST.
type destination struct {
	url  string
	kind string // opNotification or opLifecycle
	rich bool   // with resource data
}

// outbox delivers notifications in batches and retries them.
type outbox struct {
	cfg    Config
	client *http.Client
	stats  *statistics
	token  func(time.Time) (string, error) // validation token
	posts  chan struct{}                   // capacity maxPosts
	wake   chan struct{}                   // capacity 1

	mu      sync.Mutex
	waiting map[destination][]map[string]any // guarded by mu
	count   int                              // of waiting items; guarded by mu
	held    []*heldItem                      // guarded by mu
}

// heldItem is an item that a fault holds back.
type heldItem struct {
	to       destination
	item     map[string]any
	overtake bool
}

func newOutbox(cfg Config, stats *statistics, token func(time.Time) (string, error)) *outbox {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	roots.AddCert(cfg.Authority.certificate)
	return &outbox{
		cfg: cfg, stats: stats, token: token,
		client: &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
				ForceAttemptHTTP2:   true,
				MaxIdleConnsPerHost: maxPosts,
				IdleConnTimeout:     time.Minute,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		posts:   make(chan struct{}, maxPosts),
		wake:    make(chan struct{}, 1),
		waiting: make(map[destination][]map[string]any),
	}
}

// clear drops all items that are not in flight.
func (o *outbox) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.waiting)
	o.count, o.held = 0, nil
}

// enqueue adds an item for run, followed by the held items that it overtakes.
func (o *outbox) enqueue(to destination, item map[string]any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.add(to, item)
	o.release(func(h *heldItem) bool { return h.overtake && h.to == to })
}

// hold enqueues an item after d or, if overtake is true, earlier after the next item to
// its destination.
func (o *outbox) hold(to destination, item map[string]any, d time.Duration, overtake bool) {
	h := &heldItem{to, item, overtake}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = append(o.held, h)
	time.AfterFunc(d, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.release(func(other *heldItem) bool { return other == h })
	})
}

// release enqueues the held items that are due. The caller must hold mu.
func (o *outbox) release(due func(*heldItem) bool) {
	o.held = slices.DeleteFunc(o.held, func(h *heldItem) bool {
		if !due(h) {
			return false
		}
		o.add(h.to, h.item)
		return true
	})
}

// add enqueues one item. The caller must hold mu.
func (o *outbox) add(to destination, item map[string]any) {
	if o.count >= maxWaiting {
		o.stats.notifications(func(n *NotificationStats) { n.Dropped++ })
		return
	}
	o.count++
	o.waiting[to] = append(o.waiting[to], item)
	select {
	case o.wake <- struct{}{}:
	default: // a wake-up is already pending
	}
}

// run delivers until ctx ends. It returns once nothing is in flight.
func (o *outbox) run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer o.client.CloseIdleConnections()
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-o.wake:
		}
		if !sleep(ctx, batchWait) {
			return nil
		}
		for to, items := range o.takeAll() {
			for part := range slices.Chunk(items, maxItemsPerPost) {
				wg.Go(func() { o.deliver(ctx, to, part) })
			}
		}
	}
}

// takeAll returns and removes all waiting items.
func (o *outbox) takeAll() map[destination][]map[string]any {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.waiting
	o.waiting, o.count = make(map[destination][]map[string]any), 0
	return all
}

// deliver sends one POST until it is acknowledged or dropped.
func (o *outbox) deliver(ctx context.Context, to destination, items []map[string]any) {
	collection := map[string]any{"value": items}
	if to.rich {
		if token, err := o.token(time.Now()); err == nil { // receivers refuse a POST without it
			collection["validationTokens"] = []string{token}
		}
	}
	body, err := json.Marshal(collection)
	if err != nil {
		o.cfg.Log.Error("notification not sent", "err", err)
		return
	}
	timeout, wait := o.cfg.NotificationTimeout, o.cfg.NotificationRetry
	for attempt := 1; ; attempt++ {
		if o.attempt(ctx, to.url, body, timeout) || ctx.Err() != nil {
			return
		}
		if attempt == maxAttempts {
			o.stats.notifications(func(n *NotificationStats) { n.Dropped += int64(len(items)) })
			o.cfg.Log.Warn("notification dropped", "items", len(items), "attempts", attempt)
			return
		}
		if !sleep(ctx, wait) {
			return
		}
		timeout, wait = o.cfg.RetryTimeout, min(2*wait, maxRetryWait)
	}
}

// attempt sends a POST once and reports whether it was acknowledged.
func (o *outbox) attempt(ctx context.Context, url string, body []byte, timeout time.Duration) bool {
	select {
	case o.posts <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-o.posts }()
	resp, _, err := o.post(ctx, url, notificationType, body, timeout)
	acknowledged := err == nil && resp.StatusCode/100 == 2
	o.stats.notifications(func(n *NotificationStats) {
		n.Sent++
		if acknowledged {
			n.Acknowledged++
		} else {
			n.Failed++
		}
	})
	return acknowledged
}

// post POSTs body and returns the response and its body.
func (o *outbox) post(ctx context.Context, url, contentType string, body []byte, timeout time.Duration) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := o.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return resp, answer, err
}

// sleep waits for d. It returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
