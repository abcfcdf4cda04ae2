package graph_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"outlook-monitor/internal/ooo"
)

// BenchmarkRead reads twenty mailboxes at a time from a server that has its
// answer ready. The floor is the least that the same answer costs: net/http,
// one typed struct and encoding/json, without tokens, reports or errors.
func BenchmarkRead(b *testing.B) {
	ids := make([]ooo.ObjectID, 20)
	var items []string
	for i := range ids {
		ids[i] = ooo.ObjectID("6d1f2c34-90ab-4cde-8f01-23456789ab" + strconv.Itoa(10+i))
		items = append(items, `{"id":"`+strconv.Itoa(i)+`","status":200,"headers":{"Content-Type":"application/json"},"body":`+setting+`}`)
	}
	answer := `{"responses":[` + strings.Join(items, ",") + `]}`
	s := newStub(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasSuffix(r.URL.Path, "/$batch") {
			answerJSON(w, http.StatusOK, answer)
		} else {
			answerJSON(w, http.StatusOK, setting)
		}
	})
	c := s.client(b)
	transport := &http.Transport{TLSClientConfig: tlsFor(s.config.RootCAs), ForceAttemptHTTP2: true, DisableCompression: true}
	b.Cleanup(transport.CloseIdleConnections)
	bare := &http.Client{Transport: transport}

	b.Run("twenty", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			check(b, c.Read(b.Context(), ids, nil))
		}
	})
	b.Run("twenty/floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			readings, err := floorBatch(bare, s.URL, ids)
			if err != nil {
				b.Fatal(err)
			}
			check(b, readings)
		}
	})
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			check(b, c.Read(b.Context(), ids[:1], nil))
		}
	})
	b.Run("one/floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			resp, err := bare.Get(s.URL + "/v1.0/users/" + string(ids[0]) + "/mailboxSettings/automaticRepliesSetting")
			if err != nil {
				b.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				b.Fatal(err)
			}
			_ = resp.Body.Close() // it was read to its end
			setting, err := ooo.ParseSetting(body)
			check(b, []ooo.Reading{{Setting: setting, Err: err}})
		}
	})
}

func check(b *testing.B, readings []ooo.Reading) {
	for _, r := range readings {
		if r.Err != nil || r.Setting.Status != ooo.Scheduled {
			b.Fatalf("reading = %+v, want the setting", r)
		}
	}
}

func floorBatch(client *http.Client, base string, ids []ooo.ObjectID) ([]ooo.Reading, error) {
	type item struct {
		ID     string `json:"id"`
		Method string `json:"method"`
		URL    string `json:"url"`
	}
	var ask struct {
		Requests []item `json:"requests"`
	}
	for i, id := range ids {
		ask.Requests = append(ask.Requests, item{strconv.Itoa(i), "GET", "/users/" + string(id) + "/mailboxSettings/automaticRepliesSetting"})
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return nil, err
	}
	resp, err := client.Post(base+"/v1.0/$batch", "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Responses []struct {
			ID     string          `json:"id"`
			Status int             `json:"status"`
			Body   json.RawMessage `json:"body"`
		} `json:"responses"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	readings := make([]ooo.Reading, len(ids))
	for _, one := range answer.Responses {
		place, err := strconv.Atoi(one.ID)
		if err != nil {
			return nil, err
		}
		readings[place].Setting, readings[place].Err = ooo.ParseSetting(one.Body)
	}
	return readings, nil
}

// BenchmarkRenewal renews a subscription at a server that has its answer ready.
// Beside the time it reports the CPU time of a renewal, the server's included.
func BenchmarkRenewal(b *testing.B) {
	c := newStub(b, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answerJSON(w, http.StatusOK, subscription)
	}).client(b)
	patch := ooo.SubscriptionPatch{ExpiresAt: time.Now().Add(time.Hour)}
	b.ReportAllocs()
	began := cpuTime(b)
	for b.Loop() {
		if _, err := c.PatchSubscription(b.Context(), "1", patch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpuTime(b)-began).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
}

// subscription is what Graph answers to a renewal.
const subscription = `{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#subscriptions/$entity",` +
	`"id":"7f105c7d-2dc5-4530-97cd-4e7ae6534c07","resource":"/users/6d1f2c34-90ab-4cde-8f01-23456789ab10/events",` +
	`"applicationId":"24d3b144-21ae-4080-943f-7067b395b913","creatorId":"8ee44408-0679-472c-bc2a-692812af3437",` +
	`"changeType":"created,updated,deleted","clientState":null,"notificationUrl":"https://hook.example/notify",` +
	`"lifecycleNotificationUrl":"https://hook.example/lifecycle","notificationQueryOptions":null,` +
	`"expirationDateTime":"2026-11-25T12:00:00.0000000Z","includeResourceData":false,"latestSupportedTlsVersion":"v1_2",` +
	`"encryptionCertificate":null,"encryptionCertificateId":null,"notificationUrlAppId":null}`

// cpuTime is what this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
