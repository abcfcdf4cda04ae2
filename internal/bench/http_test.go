package bench_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"outlook-monitor/internal/must"
	"outlook-monitor/internal/programtest"
)

// client is used for all plain HTTP requests.
var client = &http.Client{Transport: &http.Transport{
	MaxIdleConns: 1000, MaxIdleConnsPerHost: 1000, DisableCompression: true,
}}

// send sends a JSON body and returns the answer. Without an answer the status is 0 and
// the text is the error.
func send(method, url string, body []byte) (status int, answer string) {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	request.Header.Set("Content-Type", "application/json")
	return programtest.Send(client, request)
}

// post sends a JSON body and checks the status of the answer.
func post(url string, body []byte, want int) error {
	if status, answer := send(http.MethodPost, url, body); status != want {
		return fmt.Errorf("POST %s = %d %.200s, want %d", url, status, answer, want)
	}
	return nil
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	must.NoError(t, err)
	return text
}
