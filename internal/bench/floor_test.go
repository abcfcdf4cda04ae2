package bench_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"outlook-monitor/internal/graphsim"
	"outlook-monitor/internal/graphtest"
)

const (
	batchSize        = 20 // Graph's limit for one $batch
	floorConcurrency = 64 // batches in flight
)

// floorParams configures the floor of reading.
type floorParams struct {
	Graph   graphInfo
	IDs     []string
	Rate    float64 // reads a second
	Burst   float64 // seconds whose batches are sent together; 0: each batch at its own time
	HTTP1   bool
	Seconds float64
}

// floorResult is the result of the floor of reading.
type floorResult struct {
	Reads float64
	CPU   float64 // seconds of its process
}

// runReadFloor reads mailboxes at the least possible cost: with net/http, one typed struct
// and encoding/json.
func runReadFloor(ctx context.Context, o floorParams, report func(any)) error {
	f, err := newBareClient(o.Graph, o.HTTP1)
	if err != nil {
		return err
	}
	full := len(o.IDs) / batchSize * batchSize
	batches := slices.Collect(slices.Chunk(o.IDs[:full], batchSize))
	if len(batches) == 0 {
		return errors.New("too few users for a batch")
	}
	var next, failed atomic.Int64
	var workers sync.WaitGroup
	before, began := ownCPU(), time.Now()
	end := began.Add(time.Duration(o.Seconds * float64(time.Second)))
	for range floorConcurrency {
		workers.Go(func() {
			for {
				n := next.Add(1) - 1
				at := float64(n) * batchSize / o.Rate
				if o.Burst > 0 {
					at = math.Floor(at/o.Burst) * o.Burst
				}
				time.Sleep(time.Until(began.Add(time.Duration(at * float64(time.Second)))))
				if !time.Now().Before(end) {
					return
				}
				if err := f.batch(batches[n%int64(len(batches))]); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	workers.Wait()
	done := next.Load() - floorConcurrency - failed.Load()
	if failed.Load() > done/10 {
		return fmt.Errorf("%d of %d batches failed", failed.Load(), next.Load())
	}
	report(floorResult{Reads: float64(done * batchSize), CPU: ownCPU() - before})
	<-ctx.Done()
	return nil
}

// bareClient is a minimal client of Graph.
type bareClient struct {
	client *http.Client
	base   string
	bearer string
}

func newBareClient(g graphInfo, http1 bool) (*bareClient, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(g.CA)) {
		return nil, errors.New("no authority")
	}
	// Without ForceAttemptHTTP2, a transport with its own TLS settings speaks only HTTP/1.1.
	b := &bareClient{base: g.URL + "/v1.0", client: &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: !http1, DisableCompression: true, MaxIdleConnsPerHost: 256,
	}}}
	token, err := graphtest.Token(b.client, g.URL+"/"+g.Tenant+"/oauth2/v2.0/token", g.URL, graphsim.DefaultClientID, graphsim.DefaultClientSecret)
	if err != nil {
		return nil, err
	}
	b.bearer = "Bearer " + token
	return b, nil
}

type bareItem struct {
	ID     string `json:"id"`
	Method string `json:"method"`
	URL    string `json:"url"`
}

// bareSetting is the automatic replies setting of a mailbox.
type bareSetting struct {
	Status           string `json:"status"`
	ExternalAudience string `json:"externalAudience"`
	InternalReply    string `json:"internalReplyMessage"`
	ExternalReply    string `json:"externalReplyMessage"`
	Start, End       struct {
		DateTime string `json:"dateTime"`
		TimeZone string `json:"timeZone"`
	}
}

const settingPath = "/mailboxSettings/automaticRepliesSetting"

func (b *bareClient) batch(ids []string) error {
	ask := struct {
		Requests []bareItem `json:"requests"`
	}{make([]bareItem, len(ids))}
	for i, id := range ids {
		ask.Requests[i] = bareItem{strconv.Itoa(i), http.MethodGet, "/users/" + id + settingPath}
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return err
	}
	var answer struct {
		Responses []struct {
			ID     string      `json:"id"`
			Status int         `json:"status"`
			Body   bareSetting `json:"body"`
		} `json:"responses"`
	}
	if err := b.do(http.MethodPost, "/$batch", body, &answer); err != nil {
		return err
	}
	read := 0
	for _, one := range answer.Responses {
		if one.Status == http.StatusOK && one.Body.Status != "" {
			read++
		}
	}
	if read != len(ids) {
		return fmt.Errorf("%d of %d were read", read, len(ids))
	}
	return nil
}

func (b *bareClient) read(id string) error {
	var setting bareSetting
	return b.do(http.MethodGet, "/users/"+id+settingPath, nil, &setting)
}

func (b *bareClient) do(method, path string, body []byte, answer any) error {
	request, err := http.NewRequestWithContext(context.Background(), method, b.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", b.bearer)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := b.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

// each returns a text of each user.
func each(users []graphsim.User, text func(graphsim.User) string) []string {
	all := make([]string, len(users))
	for i, u := range users {
		all[i] = text(u)
	}
	return all
}

// ids returns the object ids of users.
func ids(users []graphsim.User) []string {
	return each(users, func(u graphsim.User) string { return u.ID })
}
