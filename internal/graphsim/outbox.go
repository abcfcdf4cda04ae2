package graphsim

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

const (
	collectionItems = 100         // in one POST
	outboxLimit     = 100_000     // items waiting; further ones are dropped
	outboxPosts     = 64          // POSTs in the air
	retryLimit      = time.Minute // longest wait before a retry
)

// lane is where an item goes and what it may share a POST with.
type lane struct {
	url  string
	kind string // changes and lifecycle events don't share
	rich bool
}

// outbox delivers notifications: gathered, answered within a time, repeated.
type outbox struct {
	cfg    Config
	log    *slog.Logger
	client *http.Client
	stats  *statBoard
	token  func(time.Time) (string, error) // validation token
	posts  chan struct{}                   // capacity outboxPosts
	wake   chan struct{}                   // capacity 1

	mu      sync.Mutex
	waiting map[lane][]map[string]any // guarded by mu
	held    map[lane][]*heldItem      // until overtaken; guarded by mu
	busy    map[lane]bool             // being gathered; guarded by mu
	count   int                       // of all waiting; guarded by mu
	epoch   int                       // grows when all is forgotten; guarded by mu
}

// heldItem is an item that waits to be overtaken.
type heldItem struct{ item map[string]any }

func newOutbox(cfg Config, stats *statBoard, token func(time.Time) (string, error)) *outbox {
	roots := cfg.NotificationRootCAs
	if roots == nil {
		var err error
		if roots, err = x509.SystemCertPool(); err != nil {
			roots = x509.NewCertPool()
		}
		roots.AddCert(cfg.Authority.certificate)
	}
	o := &outbox{
		cfg: cfg, log: cfg.Log, stats: stats, token: token,
		client: &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
				ForceAttemptHTTP2:   true,
				MaxIdleConnsPerHost: outboxPosts,
				IdleConnTimeout:     time.Minute,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		posts: make(chan struct{}, outboxPosts),
		wake:  make(chan struct{}, 1),
	}
	o.clear()
	return o
}

// clear forgets all that waits.
func (o *outbox) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting = make(map[lane][]map[string]any)
	o.held = make(map[lane][]*heldItem)
	o.busy = make(map[lane]bool)
	o.count = 0
	o.epoch++
}

// put adds an item to its lane, and after it those that waited to be overtaken.
func (o *outbox) put(l lane, item map[string]any) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.add(l, item)
	for _, h := range o.held[l] {
		o.add(l, h.item)
	}
	delete(o.held, l)
}

// add is put for one item. The caller holds mu.
func (o *outbox) add(l lane, item map[string]any) {
	if o.count >= outboxLimit {
		o.stats.dropped.Add(1)
		return
	}
	o.count++
	o.waiting[l] = append(o.waiting[l], item)
	select {
	case o.wake <- struct{}{}:
	default: // it is awake already
	}
}

// later puts an item after d.
func (o *outbox) later(d time.Duration, l lane, item map[string]any) {
	o.mu.Lock()
	epoch := o.epoch
	o.mu.Unlock()
	time.AfterFunc(d, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.epoch == epoch {
			o.add(l, item)
		}
	})
}

// hold keeps an item until another in its lane has overtaken it, or for d.
func (o *outbox) hold(d time.Duration, l lane, item map[string]any) {
	h := &heldItem{item}
	o.mu.Lock()
	o.held[l] = append(o.held[l], h)
	o.mu.Unlock()
	time.AfterFunc(d, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		for i, other := range o.held[l] {
			if other == h {
				o.held[l] = append(o.held[l][:i:i], o.held[l][i+1:]...)
				o.add(l, item)
				return
			}
		}
	})
}

// run delivers until ctx ends and returns when nothing is in the air any more.
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
		for _, l := range o.idleLanes() {
			wg.Go(func() { o.gather(ctx, &wg, l) })
		}
	}
}

// idleLanes marks the lanes that have items and nobody to gather them as busy,
// and returns them.
func (o *outbox) idleLanes() []lane {
	o.mu.Lock()
	defer o.mu.Unlock()
	var lanes []lane
	for l := range o.waiting {
		if !o.busy[l] {
			o.busy[l] = true
			lanes = append(lanes, l)
		}
	}
	return lanes
}

// gather waits a little for items to come together, then sends what there is.
func (o *outbox) gather(ctx context.Context, wg *sync.WaitGroup, l lane) {
	for {
		if !sleep(ctx, o.cfg.NotificationGather) {
			return
		}
		items := o.next(l)
		if items == nil {
			return
		}
		wg.Go(func() { o.deliver(ctx, l, items) })
	}
}

// next takes up to collectionItems out of a lane; nil ends the gathering.
func (o *outbox) next(l lane) []map[string]any {
	o.mu.Lock()
	defer o.mu.Unlock()
	items := o.waiting[l]
	if len(items) == 0 {
		delete(o.waiting, l)
		delete(o.busy, l)
		return nil
	}
	n := min(len(items), collectionItems)
	o.waiting[l] = items[n:]
	o.count -= n
	return items[:n:n]
}

// deliver sends one collection until it is acknowledged or given up.
func (o *outbox) deliver(ctx context.Context, l lane, items []map[string]any) {
	collection := map[string]any{"value": items}
	if l.rich {
		if token, err := o.token(time.Now()); err == nil { // without it the receiver refuses, as it should
			collection["validationTokens"] = []string{token}
		}
	}
	body, err := json.Marshal(collection)
	if err != nil {
		o.log.Error("notification not sent", "err", err)
		return
	}
	timeout, wait := o.cfg.NotificationTimeout, o.cfg.NotificationRetry
	for attempt := 1; ; attempt++ {
		if o.attempt(ctx, l.url, body, timeout) || ctx.Err() != nil {
			return
		}
		if attempt == o.cfg.NotificationAttempts {
			o.stats.dropped.Add(int64(len(items)))
			o.log.Warn("notification given up", "items", len(items), "attempts", attempt)
			return
		}
		if !sleep(ctx, wait) {
			return
		}
		timeout, wait = o.cfg.RetryTimeout, min(2*wait, retryLimit)
	}
}

// attempt sends a collection once and says whether it was acknowledged.
func (o *outbox) attempt(ctx context.Context, url string, body []byte, timeout time.Duration) bool {
	select {
	case o.posts <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-o.posts }()
	o.stats.sent.Add(1)
	start := time.Now()
	status, err := o.post(ctx, url, body, timeout)
	if err == nil {
		o.stats.answers.add(time.Since(start))
	}
	if err != nil || status < 200 || status > 299 {
		o.stats.failed.Add(1)
		return false
	}
	o.stats.acknowledged.Add(1)
	return true
}

func (o *outbox) post(ctx context.Context, url string, body []byte, timeout time.Duration) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := o.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody)) // so that the connection is kept
	return resp.StatusCode, nil
}
