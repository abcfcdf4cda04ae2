package graph_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

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
