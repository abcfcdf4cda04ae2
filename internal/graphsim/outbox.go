package graphsim

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"outlook-monitor/internal/schedule"
)

const (
	maxItemsPerPost = 100
	maxPosts        = 64 // POSTs in flight

	batchWait    = 5 * time.Millisecond   // for more items to share a POST
	reorderWait  = 500 * time.Millisecond // for later items to overtake
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

// newClient returns the client for notification URLs, which trusts the authority too.
func newClient(ca *authority) *http.Client {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	roots.AddCert(ca.certificate)
	return &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:   true,
			MaxIdleConnsPerHost: maxPosts,
			IdleConnTimeout:     time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// outbox holds the items that wait for runOutbox.
type outbox map[destination][]map[string]any

// enqueue adds an item to an outbox. The caller holds mu, as for delay.
func (s *Server) enqueue(box outbox, to destination, item map[string]any) {
	box[to] = append(box[to], item)
	select {
	case s.wake <- struct{}{}:
	default: // a wake-up is already pending
	}
}

// delay enqueues an item after d, unless a reset replaces the outbox before.
func (s *Server) delay(to destination, item map[string]any, d time.Duration) {
	box := s.outbox
	time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.enqueue(box, to, item)
	})
}

// runOutbox delivers notifications in batches until ctx ends. It returns once nothing is in flight.
func (s *Server) runOutbox(ctx context.Context) error {
	var wg sync.WaitGroup
	defer s.client.CloseIdleConnections()
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		}
		if !schedule.Sleep(ctx, batchWait) {
			return nil
		}
		s.mu.Lock()
		waiting := maps.Clone(s.outbox)
		clear(s.outbox) // not replaced, because delayed items are added to it
		s.mu.Unlock()
		for to, items := range waiting {
			for part := range slices.Chunk(items, maxItemsPerPost) {
				wg.Go(func() { s.deliver(ctx, to, part) })
			}
		}
	}
}

// deliver sends one POST until it is acknowledged or dropped.
func (s *Server) deliver(ctx context.Context, to destination, items []map[string]any) {
	collection := map[string]any{"value": items}
	if to.rich {
		collection["validationTokens"] = []string{s.validationToken(time.Now())}
	}
	body, _ := json.Marshal(collection) // never fails for strings
	schedule.Retry(ctx, s.cfg.NotificationRetry, maxRetryWait, func(attempt int) error {
		timeout := s.cfg.RetryTimeout
		if attempt == 1 {
			timeout = s.cfg.NotificationTimeout
		}
		err := s.attempt(ctx, to.url, body, timeout)
		if err == nil || attempt < maxAttempts {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.stats.Notifications.Dropped += int64(len(items))
		s.cfg.Log.Warn("notification dropped", "items", len(items), "attempts", attempt)
		return nil
	})
}

// attempt sends a POST once. It returns an error if the POST was not acknowledged.
func (s *Server) attempt(ctx context.Context, url string, body []byte, timeout time.Duration) error {
	select {
	case s.posts <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.posts }()
	resp, _, err := s.post(ctx, url, notificationType, body, timeout)
	if err == nil && resp.StatusCode/100 != 2 {
		err = errors.New(resp.Status)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := &s.stats.Notifications
	counts.Sent++
	if err == nil {
		counts.Acknowledged++
	} else {
		counts.Failed++
	}
	return err
}

// post POSTs body and returns the response and its body.
func (s *Server) post(ctx context.Context, url, contentType string, body []byte, timeout time.Duration) (*http.Response, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	return resp, answer, err
}
